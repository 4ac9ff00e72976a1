// @ts-check
/** What pictures begin with: the body with a margin, as far as the CT goes, and the cross where the dose is highest. */

import { loopsAt, uprightPieces } from "./contours.js";
import { PLANES } from "./plane.js";

/** @typedef {import("./types.js").Vec3} Vec3 */
/** @typedef {import("./types.js").PlaneName} PlaneName */
/** @typedef {import("./contours.js").Slab} Slab */

const MARGIN_MM = 12;

/**
 * The box of the body with a margin, as far as the CT goes.
 * @param {{shape: number[], affine: number[][]}} ct
 * @param {Slab[][]} bodies
 * @returns {{low: Vec3, high: Vec3}}
 */
export function bodyBox(ct, bodies) {
  const corners = [0, 1].flatMap((k) => [0, 1].flatMap((j) => [0, 1].map((i) => [k, j, i].map(
    (end, axis) => end * (ct.shape[axis] - 1) + (end - 0.5)))));
  const at = (/** @type {number[]} */ index, /** @type {number} */ row) =>
    index.reduce((sum, value, column) => sum + ct.affine[row][column] * value, ct.affine[row][3]);
  const body = bodies.flat().flatMap(({ bottom, top, plane }) =>
    plane.loops_mm.flatMap((loop) => loop.flatMap(([x, y]) => [[x, y, bottom], [x, y, top]])));
  const box = { low: /** @type {Vec3} */ ([0, 0, 0]), high: /** @type {Vec3} */ ([0, 0, 0]) };
  for (const axis of [0, 1, 2]) {
    const ends = corners.map((corner) => at(corner, axis));
    let [low, high] = [Infinity, -Infinity];
    for (const point of body) [low, high] = [Math.min(low, point[axis]), Math.max(high, point[axis])];
    box.low[axis] = Math.max(Math.min(...ends), body.length ? low - MARGIN_MM : -Infinity);
    box.high[axis] = Math.min(Math.max(...ends), body.length ? high + MARGIN_MM : Infinity);
  }
  return box;
}

/**
 * Fit each plane to the body in it, as the report does. Going through the planes it grows and never shrinks, so that
 * nothing jumps and no part of the body is left out.
 * @param {import("./picture.js").Scene} scene
 * @param {Slab[][]} bodies
 */
export function fitToBody(scene, bodies) {
  for (const plane of /** @type {PlaneName[]} */ (["axial", "coronal", "sagittal"])) {
    const { normal, across, down } = PLANES[plane], position = scene.cross[normal];
    const held = scene.fields[plane];
    const low = held?.low ?? [Infinity, Infinity], high = held?.high ?? [-Infinity, -Infinity];
    for (const point of bodies.flatMap((body) => pointsIn(body, normal, position))) {
      for (const [place, axis] of [across, down].entries()) {
        low[place] = Math.min(low[place], Math.max(point[place] - MARGIN_MM, scene.low[axis]));
        high[place] = Math.max(high[place], Math.min(point[place] + MARGIN_MM, scene.high[axis]));
      }
    }
    if (low[0] < high[0] && low[1] < high[1]) scene.fields[plane] = { low, high };
  }
}

/**
 * Points of the body's outline in a plane, across and down.
 * @param {Slab[]} body
 * @param {number} normal
 * @param {number} position
 * @returns {number[][]}
 */
function pointsIn(body, normal, position) {
  if (normal === 2) return loopsAt(body, position).flat();
  const ends = uprightPieces(body, normal === 0 ? 0 : 1, position);
  return Array.from({ length: ends.length / 2 }, (_, end) => [ends[2 * end], ends[2 * end + 1]]);
}

/**
 * The middle of the hottest voxel.
 * @param {import("./volume.js").Volume} volume
 * @returns {Vec3}
 */
export function hottest({ grid, numbers }) {
  let place = 0;
  for (let voxel = 1; voxel < numbers.length; voxel++) if (numbers[voxel] > numbers[place]) place = voxel;
  const [, rows, columns] = grid.shape;
  return grid.pointOf([Math.floor(place / (rows * columns)), Math.floor(place / columns) % rows, place % columns]);
}
