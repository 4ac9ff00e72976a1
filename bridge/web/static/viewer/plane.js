// @ts-check
/**
 * The three planes. Pictures lie as the patient does and not as the array does: the patient's right is on the left of
 * axial and coronal ones, anterior on the left of sagittal ones, in all eight positions on the couch.
 */

/** @typedef {import("./types.js").Vec3} Vec3 */
/** @typedef {import("./types.js").PlaneName} PlaneName */
/** @typedef {import("./volume.js").Volume} Volume */

/** Patient axes (0 x, 1 y, 2 z) across the plane, to the right, and down; `turn` is -1 where down is the way back. */
/** @type {Record<PlaneName, {normal: number, across: number, down: number, turn: 1 | -1}>} */
export const PLANES = {
  axial: { normal: 2, across: 0, down: 1, turn: 1 },
  coronal: { normal: 1, across: 0, down: 2, turn: -1 },
  sagittal: { normal: 0, across: 1, down: 2, turn: -1 },
};

const DIRECTIONS = [["R", "L"], ["A", "P"], ["I", "S"]];

/** How pixels of a canvas lie in the patient; one mm is as long across as it is down. */
export class Field {
  /**
   * @param {PlaneName} plane
   * @param {Vec3} through a point of the plane, mm
   * @param {[number, number]} middle mm across and down that lie in the middle of the canvas
   * @param {number} pixelsPerMm
   * @param {number} width pixels
   * @param {number} height pixels
   */
  constructor(plane, through, middle, pixelsPerMm, width, height) {
    this.plane = plane;
    this.axes = PLANES[plane];
    this.position = through[this.axes.normal];
    this.middle = middle;
    this.scale = pixelsPerMm;
    this.width = width;
    this.height = height;
  }

  /**
   * mm along the two axes at a place of the canvas.
   * @param {number} x
   * @param {number} y
   * @returns {[number, number]}
   */
  mmAt(x, y) {
    return [
      this.middle[0] + (x - this.width / 2) / this.scale,
      this.middle[1] + (this.axes.turn * (y - this.height / 2)) / this.scale,
    ];
  }

  /**
   * @param {number} x
   * @param {number} y
   * @returns {Vec3} mm in the patient
   */
  pointAt(x, y) {
    const [across, down] = this.mmAt(x, y);
    const point = /** @type {Vec3} */ ([0, 0, 0]);
    point[this.axes.normal] = this.position;
    point[this.axes.across] = across;
    point[this.axes.down] = down;
    return point;
  }

  /**
   * @param {number} across mm
   * @param {number} down mm
   * @returns {[number, number]} place on the canvas
   */
  placeOf(across, down) {
    return [
      this.width / 2 + (across - this.middle[0]) * this.scale,
      this.height / 2 + this.axes.turn * (down - this.middle[1]) * this.scale,
    ];
  }

  /** Patient directions at the four edges, read off the way from one edge to the other. */
  labels() {
    const toRight = direction(this.pointAt(0, 0), this.pointAt(this.width, 0));
    const toBottom = direction(this.pointAt(0, 0), this.pointAt(0, this.height));
    return {
      left: DIRECTIONS[toRight.axis][toRight.forward ? 0 : 1], right: DIRECTIONS[toRight.axis][toRight.forward ? 1 : 0],
      top: DIRECTIONS[toBottom.axis][toBottom.forward ? 0 : 1], bottom: DIRECTIONS[toBottom.axis][toBottom.forward ? 1 : 0],
    };
  }
}

/**
 * @param {Vec3} from
 * @param {Vec3} to
 */
function direction(from, to) {
  const way = to.map((mm, axis) => mm - from[axis]);
  const axis = way.map(Math.abs).indexOf(Math.max(...way.map(Math.abs)));
  return { axis, forward: way[axis] > 0 };
}

/**
 * One plane of a volume at its own resolution: `values[row * width + column]`, where a mm across lies in column
 * `column[0] + column[1] * mm`, and a mm down in row `row[0] + row[1] * mm`.
 * @typedef {{values: Float32Array, width: number, height: number, column: [number, number], row: [number, number]}} Cut
 */

/**
 * @param {Volume} volume
 * @param {PlaneName} plane
 * @param {number} position mm along the plane's normal
 * @param {boolean} toFaces whether the outer half of the outermost voxels shows their value, as of a CT; else nothing
 * is known there, as of a dose
 * @returns {Cut | null} null where the plane lies beyond the volume
 */
export function cut(volume, plane, position, toFaces) {
  const { grid, numbers, step } = volume;
  const { normal, across, down } = PLANES[plane];
  const [alongNormal, alongAcross, alongDown] = [normal, across, down].map((axis) => grid.axisAlong(axis));
  const start = /** @type {Vec3} */ (grid.pointOf([0, 0, 0]));
  const on = start.slice();
  on[normal] = position;
  let index = grid.indexOf(on)[alongNormal];
  const count = grid.shape[alongNormal], edge = toFaces ? 0.5 : 1e-6;
  if (!(index >= -edge && index <= count - 1 + edge)) return null;
  index = Math.min(Math.max(index, 0), count - 1);
  const near = Math.floor(index), far = Math.min(near + 1, count - 1), part = index - near;
  const strides = [grid.shape[1] * grid.shape[2], grid.shape[2], 1];
  const width = grid.shape[alongAcross], height = grid.shape[alongDown];
  const values = new Float32Array(width * height);
  const [a, b] = [near * strides[alongNormal], far * strides[alongNormal]];
  for (let row = 0, place = 0; row < height; row++) {
    let source = row * strides[alongDown];
    for (let column = 0; column < width; column++, place++, source += strides[alongAcross]) {
      values[place] = step * ((1 - part) * numbers[source + a] + part * numbers[source + b]);
    }
  }
  return { values, width, height, column: line(grid, across), row: line(grid, down) };
}

/**
 * Index along the array axis of a patient axis as a function of mm.
 * @param {import("./grid.js").Grid} grid
 * @param {number} patientAxis
 * @returns {[number, number]}
 */
function line(grid, patientAxis) {
  const along = grid.axisAlong(patientAxis), perMm = 1 / grid.affine[patientAxis][along];
  return [-grid.affine[patientAxis][3] * perMm, perMm];
}
