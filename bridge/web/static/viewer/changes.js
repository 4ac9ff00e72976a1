// @ts-check
/** What changed from one dose to another, in numbers: coverage and homogeneity of targets, mean and maximum of organs. */

/** @typedef {import("./types.js").DvhDocument} DvhDocument */
/** @typedef {import("./types.js").GoalOutcome} GoalOutcome */
/** @typedef {{roi_number: number, roi_name: string, metric: string, unit: string, before: number, now: number}} Change */

const OF_TARGETS = ["D95%_gy", "D2%_gy", "hi_icru83"];
/** Less is not worth a word: DVHs of the sliders are not more exact. */
const LEAST_COST_GY = 0.1;

const OF_ORGANS = ["mean_gy", "D0.03cc_gy"];

/**
 * @param {DvhDocument} before
 * @param {DvhDocument} now
 * @returns {Change[]} in the order of the structures
 */
export function changes(before, now) {
  const earlier = new Map(before.structures.map((one) => [one.roi_number, one.metrics]));
  return now.structures.flatMap(({ roi_number, roi_name, metrics }) => {
    const then = earlier.get(roi_number);
    if (!metrics || !then) return [];
    const names = "hi_icru83" in metrics ? OF_TARGETS : OF_ORGANS;
    return names.flatMap((name) => {
      const [was, is] = [then[name], metrics[name]];
      if (was === null || was === undefined || is === null || is === undefined) return [];
      const metric = name === "hi_icru83" ? "HI (D2−D98)/D50" : name.replace("_gy", "");
      return [{ roi_number, roi_name, metric, unit: name.endsWith("_gy") ? "Gy" : "", before: was, now: is }];
    });
  });
}

/**
 * What got worse, most first: coverage that a target lost, and dose that a target or organ gained.
 * @param {DvhDocument} before
 * @param {DvhDocument} now
 * @param {number} beside ROI number that does not count
 * @returns {Change[]}
 */
export function costs(before, now, beside) {
  const loss = (/** @type {Change} */ { metric, before: was, now: is }) => (metric === "D95%" ? was - is : is - was);
  return changes(before, now)
    .filter((change) => change.unit === "Gy" && change.roi_number !== beside && loss(change) >= LEAST_COST_GY)
    .sort((a, b) => loss(b) - loss(a));
}

/**
 * Goals that were met and are not any longer: a hundredth of a Gy may cost one, which no other figure tells.
 * @param {GoalOutcome[]} before
 * @param {GoalOutcome[]} now
 * @returns {string[]}
 */
export function lostGoals(before, now) {
  const earlier = new Map(before.map((goal) => [`${goal.roi_number} ${goal.what}`, goal]));
  return now.flatMap((goal) => {
    const was = earlier.get(`${goal.roi_number} ${goal.what}`);
    if (goal.is_met || !was?.is_met) return [];
    const moved = was.reached_gy === null || goal.reached_gy === null ? "" : `: ${was.reached_gy.toFixed(2)} to ${goal.reached_gy.toFixed(2)} Gy`;
    return [`${goal.roi_name} ${goal.what.replace(">=", "≥").replace("<=", "≤")}${goal.is_hard ? "" : ", a wish"}${moved}`];
  });
}

/**
 * @param {Change} change
 * @returns {string} a value as it is shown
 */
export function shown(change, /** @type {number} */ value) {
  return value.toFixed(change.unit ? 2 : 3);
}

/**
 * @param {Change} change
 * @returns {string} the change with its sign, between the values as they are shown
 */
export function difference(change) {
  const digits = change.unit ? 2 : 3;
  const by = (Number(shown(change, change.now)) - Number(shown(change, change.before))).toFixed(digits);
  return Number(by) === 0 ? "0" : (Number(by) > 0 ? "+" : "−") + by.replace("-", "");
}
