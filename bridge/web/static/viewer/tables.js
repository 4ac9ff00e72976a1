// @ts-check
/** The tables beside the pictures: clinical goals, and what changed. */

import { changes, difference, shown } from "./changes.js";
import { element } from "./dom.js";

/** @typedef {import("./types.js").GoalOutcome} GoalOutcome */
/** @typedef {import("./types.js").DoseResult} DoseResult */

/** More than this is marked. */
const NOTABLE_GY = 0.5;
const NOTABLE = 0.01;

/**
 * @param {HTMLTableSectionElement} body
 * @param {GoalOutcome[]} now
 * @param {GoalOutcome[]} before
 * @returns {string} how many are met of those that can be evaluated, and how many cannot
 */
export function showGoals(body, now, before) {
  const earlier = new Map(before.map((goal) => [`${goal.roi_number} ${goal.what}`, goal]));
  body.replaceChildren(...now.map((goal) => {
    const was = earlier.get(`${goal.roi_number} ${goal.what}`);
    const isSame = was === undefined || was.reached_gy === null || was.is_met === goal.is_met;
    const turned = isSame ? "" : was.is_met ? ", was met" : ", was missed";
    const isKnown = goal.reached_gy !== null;
    const missed = goal.is_hard ? "✗ missed" : "✗ wish missed";
    const verdict = !isKnown ? "not evaluable" : goal.is_met ? "✓ met" : missed;
    return element("tr", { class: !isKnown ? "unknown" : goal.is_met ? "met" : "missed" },
      element("th", { scope: "row" }, goal.roi_name), element("td", {}, goal.what.replace(">=", "≥").replace("<=", "≤")),
      element("td", { class: "number" }, goal.reached_gy === null ? "no dose" : goal.reached_gy.toFixed(2)),
      element("td", {}, verdict + turned));
  }));
  const met = (/** @type {boolean} */ hard) => {
    const all = now.filter((goal) => goal.is_hard === hard && goal.reached_gy !== null);
    return `${all.filter((goal) => goal.is_met).length} of ${all.length}`;
  };
  const unknown = now.filter((goal) => goal.reached_gy === null).length;
  return `${met(true)} goals met, ${met(false)} wishes${unknown ? `, ${unknown} not evaluable` : ""}`;
}

/**
 * @param {HTMLTableSectionElement} body
 * @param {DoseResult} before
 * @param {DoseResult} now
 */
export function showChanges(body, before, now) {
  body.replaceChildren(...changes(before.dvh, now.dvh).map((change) => {
    const by = Math.abs(change.now - change.before);
    const isNotable = by >= (change.unit ? NOTABLE_GY : NOTABLE);
    return element("tr", isNotable ? { class: "notable" } : {},
      element("th", { scope: "row" }, change.roi_name), element("td", {}, change.unit ? `${change.metric}, ${change.unit}` : change.metric),
      element("td", { class: "number" }, shown(change, change.before)),
      element("td", { class: "number" }, shown(change, change.now)),
      element("td", { class: "number" }, difference(change)));
  }));
}
