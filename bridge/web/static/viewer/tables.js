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
 * @returns {string} how many are met
 */
export function showGoals(body, now, before) {
  const earlier = new Map(before.map((goal) => [`${goal.roi_number} ${goal.what}`, goal.is_met]));
  body.replaceChildren(...now.map((goal) => {
    const was = earlier.get(`${goal.roi_number} ${goal.what}`);
    const turned = was === undefined || was === goal.is_met ? "" : was ? ", was met" : ", was missed";
    const verdict = goal.is_met ? "✓ met" : goal.is_hard ? "✗ missed" : "✗ wish missed";
    return element("tr", { class: goal.is_met ? "met" : "missed" },
      element("th", { scope: "row" }, goal.roi_name), element("td", {}, goal.what.replace(">=", "≥").replace("<=", "≤")),
      element("td", { class: "number" }, goal.reached_gy === null ? "no dose" : goal.reached_gy.toFixed(2)),
      element("td", {}, verdict + turned));
  }));
  const met = (/** @type {boolean} */ hard) => {
    const all = now.filter((goal) => goal.is_hard === hard);
    return `${all.filter((goal) => goal.is_met).length} of ${all.length}`;
  };
  return `${met(true)} goals met, ${met(false)} wishes`;
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
