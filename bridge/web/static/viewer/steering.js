// @ts-check
/** Steering: sliders, presets, undo and redo, and the search for a desired DVH. One question at a time is open. */

import { Newest } from "./api.js";
import { Adoption } from "./adoption.js";
import { costs, difference, lostGoals } from "./changes.js";
import { part } from "./dom.js";
import { History, same } from "./history.js";
import { Presets } from "./presets.js";
import { Sliders, inWords, inWordsWithUsed } from "./sliders.js";

/** @typedef {import("./types.js").Wishes} Wishes */
/** @typedef {import("./types.js").DoseResult} DoseResult */
/** @typedef {import("./types.js").PreviewAnswer} PreviewAnswer */
/** @typedef {import("./types.js").Geometry} Geometry */
/** @typedef {import("./dvh_chart.js").CurvePoint} CurvePoint */

/** Moves within this time are one: a slider that is dragged tells of itself at every pixel. */
const REST_MS = 40;

export class Steering {
  /**
   * @param {HTMLElement} root
   * @param {import("./api.js").CaseApi} api
   * @param {Geometry} geometry
   * @param {DoseResult} exported
   * @param {(now: DoseResult, before: DoseResult) => void} show
   */
  constructor(root, api, geometry, exported, show) {
    this.root = root;
    this.api = api;
    this.exported = exported;
    this.show = show;
    this.newest = new Newest();
    /** @type {{wishes: Wishes, arrived: (result: DoseResult) => void} | null} */
    this.pending = null;
    /** @type {{wishes: Wishes, result: DoseResult}} */
    this.shown = { wishes: geometry.predicted_with, result: exported };
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.timer = undefined;
    this.history = new History({ wishes: geometry.predicted_with, result: exported });
    this.neutralHi = neutralHi(geometry, exported);
    this.highest = [...geometry.prescription.levels].sort((a, b) => b.dose_gy - a.dose_gy)[0];
    this.hiMetric = geometry.sliders.find(({ name }) => name === "hi")?.metric ?? "hi_icru83";
    /** @type {Pick<DoseResult, "dvh" | "goals"> | null} the exported setting as a preview measures it */
    this.base = null;
    this.predictedWith = geometry.predicted_with;
    this.say = part(root, "status", HTMLElement);
    this.undo = part(root, "undo", HTMLButtonElement);
    this.redo = part(root, "redo", HTMLButtonElement);
    this.stop = part(root, "stop", HTMLButtonElement);
    this.progress = part(root, "progress", HTMLProgressElement);
    this.asked = 0;
    this.sliders = new Sliders(part(root, "sliders", HTMLElement), geometry.sliders, this.neutralHi, {
      moved: (wishes) => this.#later(wishes),
      settled: (wishes) => this.#step(wishes),
    });
    this.sliders.set(geometry.predicted_with);
    this.undo.addEventListener("click", () => this.#go(this.history.before));
    this.redo.addEventListener("click", () => this.#go(this.history.after));
    this.stop.addEventListener("click", () => this.#stopped());
    const say = (/** @type {string} */ text, isWarning = false) => this.#said(text, isWarning);
    this.presets = new Presets(root, api, { use: (wishes) => this.#step(wishes), say });
    this.adoption = new Adoption(root, api, geometry.predicted_with, say);
    this.#buttons();
    root.addEventListener("keydown", (event) => {
      if (event.key === "Escape") this.#stopped();
      if (!(event.ctrlKey || event.metaKey) || event.target instanceof HTMLInputElement && event.target.type !== "range") return;
      if (event.key === "z") this.#go(event.shiftKey ? this.history.after : this.history.before);
      else if (event.key === "y") this.#go(this.history.after);
      else return;
      event.preventDefault();
    });
  }

  /** Fetch the presets, and make the model ready while nobody waits: reading a case takes it some seconds. */
  async warm() {
    this.#busy("The model is being made ready. Sliders can be moved already.");
    await this.#asking(async (signal) => {
      await this.presets.load();
      const { dvh, goals } = await this.api.preview(this.predictedWith, signal);
      this.base = { dvh, goals };
      return "Ready.";
    });
  }

  /**
   * Look for the setting that brings a curve through a point.
   * @param {CurvePoint} wanted
   */
  async want(wanted) {
    clearTimeout(this.timer);
    const { roi_number, roi_name, volume_percent, dose_gy } = wanted;
    this.pending = null;
    const what = `${roi_name} D${volume_percent}%`, start = this.shown;
    this.#busy(`Looking for ${what} = ${dose_gy.toFixed(1)} Gy …`);
    this.stop.hidden = false;
    await this.#asking(async (signal) => {
      const desired = { roi_number, volume_percent, dose_gy, neutral_hi: this.neutralHi };
      for await (const message of this.api.desired(start.wishes, desired, signal)) {
        if (!message.preview) {
          this.progress.hidden = false;
          this.progress.max = message.most;
          this.progress.value = message.number + 1;
          this.say.textContent = `Looking for ${what} = ${dose_gy.toFixed(1)} Gy: ${message.number + 1} predictions, ` +
            `nearest ${message.nearest_gy.toFixed(1)} Gy`;
          continue;
        }
        const result = await this.#received(message.preview, signal);
        return () => {
          this.#arrived(message.preview.preference, result, true);
          const from = this.alike(start.result, result);
          const lost = costs(from.dvh, result.dvh, roi_number).slice(0, 3)
            .map((change) => `${change.roi_name} ${change.metric} ${difference(change)} Gy`);
          const missed = lostGoals(from.goals, result.goals);
          return `${what} = ${message.reached_gy.toFixed(2)} Gy is the nearest to ${dose_gy.toFixed(1)} Gy. ` +
            `Cost: ${lost.join(", ") || "less than 0.1 Gy anywhere"}.` +
            (missed.length ? ` No longer met: ${missed.join("; ")}.` : "");
        };
      }
      throw new Error("The search ended without an answer.");
    });
  }

  /**
   * While a slider is dragged: show what it gives, and leave the history alone.
   * @param {Wishes} wishes
   */
  #later(wishes) {
    clearTimeout(this.timer);
    this.#buttons();
    this.timer = setTimeout(() => this.#ask({ ...wishes }, (result) => this.#arrived(wishes, result, false)), REST_MS);
  }

  /**
   * Show what wishes give, as a new step of the history.
   * @param {Wishes} wishes
   */
  #step(wishes) {
    this.#ask({ ...wishes }, (result) => this.#arrived(wishes, result, true));
  }

  /**
   * Undo or redo.
   * @param {import("./history.js").Setting | null} setting
   */
  #go(setting) {
    if (!setting) return;
    this.#ask(setting.wishes, (result) => {
      this.history.goTo(setting);
      setting.result = result;
      this.#arrived(setting.wishes, result, true);
    });
  }

  /**
   * @param {Wishes} wishes
   * @param {(result: DoseResult) => void} arrived called where nothing newer was asked
   */
  async #ask(wishes, arrived) {
    clearTimeout(this.timer);
    this.sliders.set(wishes);
    if (this.pending && same(this.pending.wishes, wishes)) {
      this.pending.arrived = arrived;  // a slider that is let go asks again what it asked last: the answer is on its way
      return;
    }
    const pending = (this.pending = { wishes, arrived });
    const kept = same(this.shown.wishes, wishes) ? this.shown.result : this.history.kept(wishes);
    this.#busy("Predicting …");
    await this.#asking(async (signal) => {
      const result = kept ?? await this.#received(await this.api.preview(wishes, signal), signal);
      return () => {
        pending.arrived(result);
        return `Shown: ${inWords(wishes)}.`;
      };
    });
  }

  /** @param {import("./types.js").DvhDocument} dvh */
  #highestHi({ structures }) {
    return structures.find((one) => one.roi_number === this.highest?.roi_number)?.metrics?.[this.hiMetric];
  }

  /**
   * Previews are measured at fewer points than what is exported: beside one, the exported dose counts as a preview has it.
   * @param {DoseResult} one
   * @param {DoseResult} beside
   * @returns {DoseResult}
   */
  alike(one, beside) {
    return one === this.exported && beside.isPreview && this.base ? { ...one, ...this.base } : one;
  }

  /**
   * @param {PreviewAnswer} answer
   * @param {AbortSignal} signal
   * @returns {Promise<DoseResult>}
   */
  async #received(answer, signal) {
    const volume = await this.api.volume(answer.volume, answer.dose, signal);
    const title = inWordsWithUsed(answer.preference, answer.findings, this.#highestHi(answer.dvh));
    return { title, volume, dvh: answer.dvh, goals: answer.goals, findings: answer.findings, isPreview: true };
  }

  /**
   * @param {Wishes} wishes
   * @param {DoseResult} result
   * @param {boolean} isStep whether it is one of the history
   */
  #arrived(wishes, result, isStep) {
    if (isStep) this.history.push(wishes, result);
    this.sliders.limit(result.findings);
    const before = isStep ? this.history.before : this.history.now;
    this.sliders.set(wishes);
    this.shown = { wishes, result };
    this.show(result, before?.result ?? this.exported);
  }

  /**
   * @param {(signal: AbortSignal) => Promise<string | (() => string)>} work gives what is to be said, or what is to be
   * done where nothing newer was asked
   */
  async #asking(work) {
    const number = ++this.asked, pending = this.pending;
    this.root.dataset.asked = String(number);
    try {
      const done = await this.newest.ask(work);
      if (done === null) return;  // the newer question says how it stands
      this.#quiet(typeof done === "string" ? done : done());
    } catch (error) {
      this.sliders.set(this.shown.wishes);  // they never stand for another dose than the one that is shown
      this.#quiet(error instanceof Error ? error.message : String(error), true);
    }
    if (this.pending === pending) this.pending = null;
    this.root.dataset.answered = String(number);
  }

  #stopped() {
    if (this.root.dataset.state !== "busy") return;
    clearTimeout(this.timer);
    this.newest.cancel();
    this.pending = null;
    this.sliders.set(this.shown.wishes);
    this.#quiet("Stopped.");
  }

  /** @param {string} text */
  #busy(text) {
    this.root.dataset.state = "busy";
    this.root.setAttribute("aria-busy", "true");
    this.stop.hidden = true;
    this.progress.hidden = true;
    this.#said(text, false);
    this.#buttons();
  }

  /**
   * @param {string} text
   * @param {boolean} [isWarning]
   */
  #quiet(text, isWarning = false) {
    this.root.dataset.state = "ready";
    this.root.setAttribute("aria-busy", "false");
    this.stop.hidden = true;
    this.progress.hidden = true;
    this.#said(text, isWarning);
    this.#buttons();
  }

  /**
   * @param {string} text
   * @param {boolean} isWarning
   */
  #said(text, isWarning) {
    this.say.classList.toggle("warning", isWarning);
    this.say.textContent = text;
  }

  #buttons() {
    this.undo.disabled = !this.history.before;
    this.redo.disabled = !this.history.after;
    this.presets.stand(this.sliders.wishes);
    this.adoption.stand(this.sliders.wishes, same(this.sliders.wishes, this.shown.wishes));
  }
}

/**
 * Homogeneity of the highest target in the exported dose.
 * @param {Geometry} geometry
 * @param {DoseResult} exported
 */
function neutralHi(geometry, exported) {
  const spec = geometry.sliders.find(({ name }) => name === "hi");
  const highest = [...geometry.prescription.levels].sort((a, b) => b.dose_gy - a.dose_gy)[0];
  const metrics = exported.dvh.structures.find((one) => one.roi_number === highest?.roi_number)?.metrics;
  return metrics?.[spec?.metric ?? "hi_icru83"] ?? 0.1;
}
