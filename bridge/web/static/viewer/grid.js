// @ts-check
/** Where the voxels of a volume lie in the patient: mm (LPS) to array indices [k, j, i] and back, by its affine. */

/** @typedef {import("./types.js").Vec3} Vec3 */

export class Grid {
  /**
   * @param {Vec3} shape voxels along the array axes
   * @param {number[][]} affine 4 x 4; takes [k, j, i, 1] to [x, y, z, 1]
   */
  constructor(shape, affine) {
    this.shape = shape;
    this.affine = affine;
    this.inverse = inverted(affine);
  }

  /**
   * @param {ArrayLike<number>} point mm
   * @returns {Vec3} fractional index of each array axis
   */
  indexOf(point) {
    const x = point[0] - this.affine[0][3], y = point[1] - this.affine[1][3], z = point[2] - this.affine[2][3];
    return /** @type {Vec3} */ (this.inverse.map(([a, b, c]) => a * x + b * y + c * z));
  }

  /**
   * @param {ArrayLike<number>} index
   * @returns {Vec3} mm
   */
  pointOf(index) {
    const [k, j, i] = [index[0], index[1], index[2]];
    return /** @type {Vec3} */ ([0, 1, 2].map((row) => {
      const [a, b, c, d] = this.affine[row];
      return a * k + b * j + c * i + d;
    }));
  }

  /**
   * The array axis that runs along a patient axis: in a patient who lies on his side, rows are not columns.
   * @param {number} patientAxis 0 x, 1 y, 2 z
   * @returns {number}
   */
  axisAlong(patientAxis) {
    const parts = this.affine[patientAxis].slice(0, 3).map(Math.abs);
    return parts.indexOf(Math.max(...parts));
  }

  /**
   * @param {number} patientAxis
   * @returns {number} mm between voxel centres along it
   */
  spacingAlong(patientAxis) {
    const axis = this.axisAlong(patientAxis);
    return Math.hypot(this.affine[0][axis], this.affine[1][axis], this.affine[2][axis]);
  }

  /** @returns {{low: Vec3, high: Vec3}} outer faces of the outermost voxels */
  bounds() {
    const low = /** @type {Vec3} */ ([Infinity, Infinity, Infinity]);
    const high = /** @type {Vec3} */ ([-Infinity, -Infinity, -Infinity]);
    for (const k of [-0.5, this.shape[0] - 0.5])
      for (const j of [-0.5, this.shape[1] - 0.5])
        for (const i of [-0.5, this.shape[2] - 0.5])
          this.pointOf([k, j, i]).forEach((mm, axis) => {
            low[axis] = Math.min(low[axis], mm);
            high[axis] = Math.max(high[axis], mm);
          });
    return { low, high };
  }
}

/**
 * @param {number[][]} m the 3 x 3 part is inverted
 * @returns {Vec3[]}
 */
function inverted(m) {
  const cofactor = (/** @type {number} */ r, /** @type {number} */ c) => {
    const [r1, r2, c1, c2] = [(r + 1) % 3, (r + 2) % 3, (c + 1) % 3, (c + 2) % 3];
    return m[r1][c1] * m[r2][c2] - m[r1][c2] * m[r2][c1];
  };
  const determinant = m[0][0] * cofactor(0, 0) + m[0][1] * cofactor(0, 1) + m[0][2] * cofactor(0, 2);
  return [0, 1, 2].map((r) => /** @type {Vec3} */ ([0, 1, 2].map((c) => cofactor(c, r) / determinant)));
}
