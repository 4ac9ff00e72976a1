// @ts-check
/**
 * Structures in the three planes. Each contour stands unchanged for its slab, half way to its neighbours, as it does in
 * the DVHs: a coronal or sagittal cut shows the steps that are measured. The first and the last one reach half a spacing
 * beyond, so that they show on their own images; whether they count there is the site's choice (`dvh.end_caps`).
 */

/** @typedef {import("./types.js").ContourPlane} ContourPlane */
/** @typedef {{bottom: number, top: number, plane: ContourPlane}} Slab */

/**
 * @param {ContourPlane[]} planes in ascending z
 * @param {number} spacing mm between images: how thick a single contour is
 * @returns {Slab[]}
 */
export function slabs(planes, spacing) {
  const half = (/** @type {number} */ index) => {
    const [one, other] = [planes[index], planes[index + 1]];
    return one && other ? (other.z_mm - one.z_mm) / 2 : null;
  };
  return planes.map((plane, index) => {
    const before = half(index - 1), after = half(index);
    return {
      bottom: plane.z_mm - (before ?? after ?? spacing / 2),
      top: plane.z_mm + (after ?? before ?? spacing / 2),
      plane,
    };
  });
}

/**
 * The contours of the slab at a height.
 * @param {Slab[]} all
 * @param {number} z mm
 * @returns {[number, number][][]} closed loops in x, y
 */
export function loopsAt(all, z) {
  const slab = all.find(({ bottom, top }) => z >= bottom - 1e-3 && z < top + 1e-3);
  return slab ? slab.plane.loops_mm : [];
}

/**
 * Where a plane of constant x (axis 0) or y (axis 1) goes through one contour plane, by the even-odd rule.
 * @param {ContourPlane} plane
 * @param {0 | 1} axis
 * @param {number} position mm
 * @returns {number[]} where it enters and leaves in turn, ascending, mm along the other axis
 */
export function crossings(plane, axis, position) {
  /** @type {number[]} */
  const found = [];
  for (const loop of plane.loops_mm) {
    for (let index = 0, last = loop.length - 1; index < loop.length; last = index++) {
      const from = loop[last][axis] - position, to = loop[index][axis] - position;
      if (from <= 0 === to <= 0) continue;
      const part = from / (from - to);
      found.push(loop[last][1 - axis] + part * (loop[index][1 - axis] - loop[last][1 - axis]));
    }
  }
  return found.sort((a, b) => a - b);
}

/**
 * The outline of a structure in a coronal or sagittal plane.
 * @param {Slab[]} all
 * @param {0 | 1} axis
 * @param {number} position mm
 * @returns {number[]} four numbers for each piece of line: mm across and z of both ends
 */
export function uprightPieces(all, axis, position) {
  /** @type {number[]} */
  const pieces = [];
  /** @type {number[]} */
  let below = [];
  let height = NaN;
  for (const { bottom, top, plane } of all) {
    const here = crossings(plane, axis, position);
    if (bottom - height > 1e-3) {
      between(below, [], height, pieces);
      below = [];
    }
    between(below, here, bottom, pieces);
    for (const mm of here) pieces.push(mm, bottom, mm, top);
    below = here;
    height = top;
  }
  between(below, [], height, pieces);
  return pieces;
}

/**
 * Where only one of two slabs is inside, their border shows.
 * @param {number[]} one
 * @param {number[]} other
 * @param {number} z
 * @param {number[]} pieces
 */
function between(one, other, z, pieces) {
  const ends = [...one, ...other].sort((a, b) => a - b);
  for (let index = 0; index + 1 < ends.length; index += 2) {
    if (ends[index + 1] > ends[index]) pieces.push(ends[index], z, ends[index + 1], z);
  }
}
