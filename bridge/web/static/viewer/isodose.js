// @ts-check
/** Isodose lines: where they run in a cut (marching squares between voxel centres). */

/** @typedef {import("./plane.js").Cut} Cut */

/**
 * Where a level runs through each square of four voxel centres. A saddle is parted by the mean of its corners.
 * @param {Cut} cut
 * @param {number} level
 * @returns {Float32Array} four numbers for each piece of line: column and row of both ends
 */
export function pieces(cut, level) {
  const { values, width, height } = cut;
  /** @type {number[]} */
  const found = [];
  for (let row = 0; row + 1 < height; row++) {
    for (let column = 0; column + 1 < width; column++) {
      const place = row * width + column;
      const a = values[place], b = values[place + 1], c = values[place + width + 1], d = values[place + width];
      const state = Number(a >= level) | (Number(b >= level) << 1) | (Number(c >= level) << 2) | (Number(d >= level) << 3);
      if (state === 0 || state === 15) continue;
      const top = () => [column + (level - a) / (b - a), row], right = () => [column + 1, row + (level - b) / (c - b)];
      const bottom = () => [column + (level - d) / (c - d), row + 1], left = () => [column, row + (level - a) / (d - a)];
      const isHigh = (a + b + c + d) / 4 >= level;
      for (const [from, to] of EDGES[state === 5 || state === 10 ? (isHigh === (state === 5) ? 16 : 17) : state]) {
        found.push(...[top, right, bottom, left][from](), ...[top, right, bottom, left][to]());
      }
    }
  }
  return Float32Array.from(found);
}

/** By which corners are high (a 1, b 2, c 4, d 8): the edges (0 top, 1 right, 2 bottom, 3 left) that a piece joins. */
/** @type {[number, number][][]} */
const EDGES = [
  [], [[3, 0]], [[0, 1]], [[3, 1]], [[1, 2]], [], [[0, 2]], [[3, 2]],
  [[2, 3]], [[0, 2]], [], [[1, 2]], [[1, 3]], [[0, 1]], [[0, 3]], [],
  [[0, 1], [2, 3]], // a and c are high and joined: b and d are cut off
  [[3, 0], [1, 2]], // a and c are cut off
];
