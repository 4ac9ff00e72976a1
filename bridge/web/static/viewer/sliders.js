// @ts-check
/** The sliders: native range inputs, so that keyboard and screen reader work as everywhere. */

import { element } from "./dom.js";

/** @typedef {import("./types.js").SliderSpec} SliderSpec */
/** @typedef {import("./types.js").Wishes} Wishes */
/** @typedef {import("./types.js").Finding} Finding */
/** @typedef {{spec: SliderSpec, input: HTMLInputElement, output: HTMLOutputElement, clear: HTMLButtonElement,
 *   limit: HTMLDataListElement}} Row */

export class Sliders {
  /**
   * @param {HTMLElement} place
   * @param {SliderSpec[]} specs
   * @param {number} neutralHi homogeneity of the dose without a wish for it
   * @param {{moved: (wishes: Wishes) => void, settled: (wishes: Wishes) => void}} on while a slider moves, and when
   * it is let go
   */
  constructor(place, specs, neutralHi, on) {
    /** @type {Wishes} */
    this.wishes = {};
    this.neutralHi = neutralHi;
    this.rows = specs.map((spec) => this.#row(spec, on));
    /** @type {Finding[]} what was held within what the model was trained for */
    this.held = [];
    const ends = (/** @type {boolean} */ ofHi) => {
      const first = this.rows.find(({ spec }) => (spec.name === "hi") === ofHi);
      const [left, right] = ofHi ? ["more even", "less even"] : ["more dose", "less dose"];
      first?.line.before(element("p", { class: "ends small" }, element("span", {}, `← ${left}`), element("span", {}, `${right} →`)));
    };
    place.replaceChildren(...this.rows.map(({ line }) => line));
    ends(true);
    ends(false);
    this.set({});
  }

  /**
   * Where a slider stands without a wish.
   * @param {SliderSpec} spec
   */
  #neutral(spec) {
    return spec.neutral ?? Math.min(Math.max(this.neutralHi, spec.low), spec.high);
  }

  /**
   * @param {SliderSpec} spec
   * @param {{moved: (wishes: Wishes) => void, settled: (wishes: Wishes) => void}} on
   */
  #row(spec, on) {
    const id = `slider-${spec.name.replace(/[^A-Za-z0-9_]/g, "-")}`, title = titleOf(spec);
    const input = element("input", {
      type: "range", id, min: String(spec.low), max: String(spec.high), step: String(spec.step),
      "data-wish": spec.name,
      "aria-describedby": `${id}-value`,
    });
    const limit = element("datalist", { id: `${id}-limit` });
    input.setAttribute("list", limit.id);
    const output = element("output", { for: id, id: `${id}-value` });
    const clear = element("button", { type: "button", class: "plain", "aria-label": `No wish for ${title}`, title: "No wish" }, "×");
    const change = (/** @type {(wishes: Wishes) => void} */ tell) => {
      this.set({ ...this.wishes, [spec.name]: Number(input.value) });
      tell(this.wishes);
    };
    input.addEventListener("input", () => change(on.moved));
    input.addEventListener("change", () => change(on.settled));
    clear.addEventListener("click", () => {
      const { [spec.name]: _, ...others } = this.wishes;
      this.set(others);
      on.settled(this.wishes);
      input.focus();
    });
    const line = element("div", { class: "slider" }, element("label", { for: id, title }, title), input, output, clear, limit);
    return { spec, input, output, clear, limit, line };
  }

  /**
   * Mark how far the model goes, as far as it has said so.
   * @param {Finding[]} findings of the dose that is shown
   */
  limit(findings) {
    this.held = findings.filter(({ where }) => where?.used !== undefined);
    for (const { spec, limit } of this.rows) {
      const used = this.held.find((one) => one.where?.wish === spec.name)?.where?.used;
      if (used !== undefined) limit.replaceChildren(element("option", { value: used }));
    }
  }

  /**
   * Show wishes without telling anybody.
   * @param {Wishes} wishes
   */
  set(wishes) {
    this.wishes = { ...wishes };
    for (const { spec, input, output, clear } of this.rows) {
      const wished = this.wishes[spec.name], digits = spec.name === "hi" ? 3 : 2;
      const used = wished === undefined ? undefined : usedOf(this.held, spec.name, wished);
      input.value = String(wished ?? this.#neutral(spec));
      const text = wished === undefined ? "no wish" : wished.toFixed(digits) + (used === undefined ? "" : ` used ${used.toFixed(digits)}`);
      output.value = text;
      output.classList.toggle("warning", used !== undefined);
      input.setAttribute("aria-valuetext", text);
      clear.disabled = wished === undefined;
    }
  }
}

/**
 * What the model used in the place of a wish.
 * @param {Finding[]} findings
 * @param {string} name
 * @param {number} wished
 * @returns {number | undefined} nothing where it is the wish
 */
function usedOf(findings, name, wished) {
  const where = findings.find((one) => one.where?.wish === name)?.where;
  return where && Math.abs(Number(where.asked) - wished) < 0.0051 ? Number(where.used) : undefined;
}

/**
 * A setting in words, with what the model used and predicted where a wish was beyond its limits.
 * @param {Wishes} wishes
 * @param {Finding[]} findings
 * @param {number | null | undefined} predictedHi
 */
export function inWordsWithUsed(wishes, findings, predictedHi) {
  const held = findings.flatMap(({ where }) => {
    if (where?.used === undefined || !where.wish) return [];
    const name = where.wish === "hi" ? "HI" : where.wish.slice("oar_weight.".length);
    const predicted = where.wish === "hi" && typeof predictedHi === "number" ? `, predicted ${predictedHi.toFixed(3)}` : "";
    return [`${name} asked ${where.asked}, used ${where.used}${predicted}`];
  });
  return held.length ? `${inWords(wishes)} (${held.join("; ")})` : inWords(wishes);
}

/** @param {SliderSpec} spec */
function titleOf(spec) {
  if (spec.name === "hi") return spec.metric === "hi_d5_d95" ? "HI, D5/D95" : "HI, (D2−D98)/D50";
  return spec.roi_name === null ? "All organs" : spec.roi_name;
}

/**
 * A setting in words.
 * @param {Wishes} wishes
 */
export function inWords(wishes) {
  const words = Object.entries(wishes).sort(([one], [other]) => (one < other ? -1 : 1)).map(([name, value]) =>
    `${name === "hi" ? "HI" : name === "oar_weight" ? "organs" : name.slice("oar_weight.".length)} ${Number(value.toFixed(3))}`);
  return words.join(", ") || "no wish";
}
