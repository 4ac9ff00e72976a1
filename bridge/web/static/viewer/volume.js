// @ts-check
/** A volume as the server sends it, and its value at a point of the patient. */

import { Grid } from "./grid.js";

/** @typedef {import("./types.js").Described} Described */

/** Voxels by which a point may lie beyond the outermost voxel centres by rounding alone. */
const EDGE = 1e-6;

export class Volume {
  /**
   * @param {Grid} grid
   * @param {Int16Array | Uint16Array} numbers
   * @param {number} step value of one
   * @param {string} unit
   */
  constructor(grid, numbers, step, unit) {
    this.grid = grid;
    this.numbers = numbers;
    this.step = step;
    this.unit = unit;
  }

  /**
   * Interpolate trilinearly between voxel centres; null beyond them, where nothing is known.
   * @param {ArrayLike<number>} point mm
   * @returns {number | null}
   */
  at(point) {
    const { shape } = this.grid;
    const index = this.grid.indexOf(point);
    if (index.some((value, axis) => !(value >= -EDGE && value <= shape[axis] - 1 + EDGE))) return null;
    const first = index.map((value, axis) => Math.min(Math.max(Math.floor(value), 0), Math.max(shape[axis] - 2, 0)));
    const part = index.map((value, axis) => Math.min(Math.max(value - first[axis], 0), 1));
    let sum = 0;
    for (let corner = 0; corner < 8; corner++) {
      let weight = 1, place = 0;
      for (let axis = 0; axis < 3; axis++) {
        const further = (corner >> axis) & 1;
        weight *= further ? part[axis] : 1 - part[axis];
        place = place * shape[axis] + Math.min(first[axis] + further, shape[axis] - 1);
      }
      if (weight) sum += weight * this.numbers[place];
    }
    return sum * this.step;
  }
}

/**
 * Undo the differences along the last axis; the sums run over in 16 bits as the differences did.
 * @param {ArrayBuffer} bytes little-endian, as browsers' computers are
 * @param {Described} described
 */
export function unpacked(bytes, described) {
  const [slices, rows, columns] = described.shape;
  if (bytes.byteLength !== 2 * slices * rows * columns) {
    throw new Error(`A volume of ${described.shape.join(" x ")} voxels came with ${bytes.byteLength} bytes.`);
  }
  const numbers = described.dtype === "<i2" ? new Int16Array(bytes) : new Uint16Array(bytes);
  for (let row = 0; row < numbers.length; row += columns) {
    for (let place = row + 1; place < row + columns; place++) numbers[place] += numbers[place - 1];
  }
  return new Volume(new Grid(described.shape, described.affine), numbers, described.step, described.unit);
}
