// @ts-check
/** Where the names of curves stand in a chart: beside their own curve, and never across another. */

/** @typedef {(y: number) => number} Line where a curve is at a height, px */
/** @typedef {{left: number, right: number, top: number, bottom: number}} Box */
/** @typedef {{index: number, x: number, y: number, anchor: "start" | "end"}} PlacedName */

const CHARACTER_PX = 6.4;
const ABOVE_PX = 9;
const BELOW_PX = 3;
const GAP_PX = 5;
const STEP_PX = 6;
/** A name nearer than this to another curve could be taken for that one's. */
const CLEAR_PX = 9;

/**
 * @param {{name: string, x: Line}[]} curves
 * @param {Line[]} others curves without names
 * @param {Box} plot
 * @returns {PlacedName[]} of those for which there is room, each where it is farthest from all other curves
 */
export function placedNames(curves, others, plot) {
  /** @type {Box[]} */
  const taken = [];
  return curves.flatMap(({ name, x: own }, index) => {
    const rest = [...curves.filter((_, place) => place !== index).map((one) => one.x), ...others];
    /** @type {{y: number, box: Box, isRight: boolean} | null} */
    let best = null;
    let farthest = CLEAR_PX;
    for (let y = plot.top + ABOVE_PX; y <= plot.bottom - BELOW_PX; y += STEP_PX) {
      for (const isRight of [true, false]) {
        const box = boxAt(own, y, name.length * CHARACTER_PX, isRight);
        if (box.left < plot.left || box.right > plot.right || taken.some((one) => overlap(one, box))) continue;
        const far = Math.min(60, ...rest.map((line) => distance(line, box)));
        if (far > farthest) {
          farthest = far;
          best = { y, box, isRight };
        }
      }
    }
    if (!best) return [];
    taken.push(best.box);
    const { y, box, isRight } = best;
    return [{ index, x: isRight ? box.left : box.right, y, anchor: isRight ? "start" : "end" }];
  });
}

/**
 * @param {Line} own
 * @param {number} y of the foot of the letters
 * @param {number} width
 * @param {boolean} isRight whether it stands to the right of the curve
 * @returns {Box}
 */
function boxAt(own, y, width, isRight) {
  const at = [own(y - ABOVE_PX), own(y), own(y + BELOW_PX)];
  const edge = isRight ? Math.max(...at) + GAP_PX : Math.min(...at) - GAP_PX;
  const [left, right] = isRight ? [edge, edge + width] : [edge - width, edge];
  return { left, right, top: y - ABOVE_PX, bottom: y + BELOW_PX };
}

/**
 * Along the dose, how far a curve is from a box that stands beside it; 0 where it runs through.
 * @param {Line} line
 * @param {Box} box
 */
function distance(line, box) {
  const heights = [0, 0.25, 0.5, 0.75, 1].map((part) => line(box.top + part * (box.bottom - box.top)));
  const low = Math.min(...heights), high = Math.max(...heights);
  return Math.max(low - box.right, box.left - high, 0);
}

/**
 * @param {Box} one
 * @param {Box} other
 */
function overlap(one, other) {
  return one.left < other.right && other.left < one.right && one.top < other.bottom && other.top < one.bottom;
}
