// @ts-check
/** The doses of a case that can be chosen for A and B: what the sliders give, the exported one, kept ones, returned ones. */

import { element } from "./dom.js";

/** @typedef {import("./types.js").DoseResult} DoseResult */
/** @typedef {import("./types.js").DescribedDose} DescribedDose */
/** @typedef {import("./api.js").CaseApi} CaseApi */

export const SLIDERS = "sliders", EXPORTED = "dose";

/** A dose takes some 8 MB. */
const MOST_KEPT = 4;

export class Doses {
  /**
   * @param {CaseApi} api
   * @param {DescribedDose[]} described
   */
  constructor(api, described) {
    this.api = api;
    this.described = new Map(described.map((one) => [one.name, one]));
    /** @type {Map<string, DoseResult>} */
    this.loaded = new Map();
    /** @type {Map<string, string>} */
    this.titles = new Map([
      [SLIDERS, "Sliders as they stand"],
      ...described.map((one) => /** @type {[string, string]} */ ([one.name, titleOf(one)])),
    ]);
    this.kept = 0;
  }

  /**
   * @param {string} name
   * @returns {Promise<DoseResult>}
   */
  async get(name) {
    const there = this.loaded.get(name);
    if (there) return there;
    const described = this.described.get(name);
    if (!described) throw new Error(`There is no dose ${name}.`);
    const [volume, measured] = await Promise.all([this.api.volume(name, described), this.api.dvh(name)]);
    const result = { title: titleOf(described), volume, ...measured, findings: [], isPreview: false };
    this.loaded.set(name, result);
    return result;
  }

  /**
   * What the sliders give now.
   * @param {DoseResult} result
   */
  steer(result) {
    this.loaded.set(SLIDERS, result);
    this.titles.set(SLIDERS, `Sliders: ${result.title}`);
  }

  /**
   * Keep a dose to compare others with.
   * @param {DoseResult} result
   * @returns {string} its name
   */
  keep(result) {
    this.kept++;
    const name = `kept-${this.kept}`;
    this.loaded.set(name, result);
    this.titles.set(name, `Kept ${this.kept}: ${result.title}`);
    const oldest = `kept-${this.kept - MOST_KEPT}`;
    this.loaded.delete(oldest);
    this.titles.delete(oldest);
    return name;
  }

  /**
   * @param {HTMLSelectElement} select
   * @param {string} chosen
   */
  offer(select, chosen) {
    select.replaceChildren(...[...this.titles].map(([name, title]) => element("option", { value: name }, title)));
    select.value = this.titles.has(chosen) ? chosen : EXPORTED;
    select.title = this.titles.get(select.value) ?? "";
  }
}

/** @param {DescribedDose} described */
function titleOf({ came_utc }) {
  return came_utc === null ? "Predicted, as exported" : `Optimized, came back ${came_utc.slice(0, 16).replace("T", " ")} UTC`;
}
