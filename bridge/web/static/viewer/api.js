// @ts-check
/** What is asked of the server. Every refusal comes as an error that says why; nothing is guessed or tried again. */

import { unpacked } from "./volume.js";

/** @typedef {import("./types.js").Described} Described */
/** @typedef {import("./types.js").Wishes} Wishes */

export class Refused extends Error {
  /** @param {{code: string, message: string}} said */
  constructor(said) {
    super(said.message);
    this.code = said.code;
  }
}

/** Only the newest question counts: one that is asked before the answer came lets go of the one before it. */
export class Newest {
  #number = 0;
  /** @type {AbortController | null} */
  #controller = null;

  /**
   * @template T
   * @param {(signal: AbortSignal) => Promise<T>} work
   * @returns {Promise<T | null>} null where something newer was asked, whatever became of this
   */
  async ask(work) {
    this.cancel();
    const number = this.#number, controller = new AbortController();
    this.#controller = controller;
    try {
      const answer = await work(controller.signal);
      return number === this.#number ? answer : null;
    } catch (error) {
      if (number !== this.#number) return null;
      throw error;
    }
  }

  cancel() {
    this.#number++;
    this.#controller?.abort();
    this.#controller = null;
  }
}

export class CaseApi {
  /**
   * @param {string} caseId
   * @param {string} result of which the tables and forms of the page are
   * @param {string} csrf
   */
  constructor(caseId, result, csrf) {
    this.caseId = caseId;
    this.csrf = csrf;
    this.result = result;
    this.frame = "";
    this.view = crypto.getRandomValues(new Uint32Array(2)).join("-");
    this.number = 0;
  }

  /** @returns {Promise<import("./types.js").Geometry>} */
  async geometry() {
    const geometry = await this.#json(`/cases/${this.caseId}/geometry`);
    if (geometry.result !== this.result) {
      throw new Error("The case was predicted again since this page was loaded. Load it again.");
    }
    this.frame = geometry.ct.frame_of_reference_uid;
    return geometry;
  }

  /**
   * @param {string} name
   * @param {Described} described
   * @param {AbortSignal} [signal]
   */
  async volume(name, described, signal) {
    if (described.frame_of_reference_uid !== this.frame) {
      throw new Error("A dose is in another frame of reference than the CT: their positions cannot be compared.");
    }
    const answer = await this.#get(this.#path(`volumes/${name}`), signal);
    return unpacked(await answer.arrayBuffer(), described);
  }

  /**
   * @param {number} roiNumber
   * @returns {Promise<{planes: import("./types.js").ContourPlane[]}>}
   */
  contours(roiNumber) {
    return this.#json(this.#path(`contours/${roiNumber}`));
  }

  /**
   * @param {string} dose
   * @returns {Promise<{dvh: import("./types.js").DvhDocument, goals: import("./types.js").GoalOutcome[]}>}
   */
  dvh(dose) {
    return this.#json(this.#path(`dvh/${dose}`));
  }

  /**
   * @param {Wishes} wishes
   * @param {AbortSignal} signal
   * @returns {Promise<import("./types.js").PreviewAnswer>}
   */
  async preview(wishes, signal) {
    return (await this.#send("POST", this.#path("previews"), this.#asked(wishes), signal)).json();
  }

  /**
   * Look for the wishes that bring a curve through a point.
   * @param {Wishes} wishes where the sliders stand
   * @param {{roi_number: number, volume_percent: number, dose_gy: number, neutral_hi: number}} desired
   * @param {AbortSignal} signal
   * @returns {AsyncGenerator<any>} one message for each prediction, and the preview that came nearest
   */
  async *desired(wishes, desired, signal) {
    const answer = await this.#send("POST", this.#path("desired-dvh"), { ...this.#asked(wishes), ...desired }, signal);
    if (!answer.body) return;
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      const lines = (rest + value).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) {
        const message = JSON.parse(line);
        if (message.error) throw new Refused(message.error);
        yield message;
      }
    }
  }

  /** @returns {Promise<import("./types.js").Preset[]>} */
  async presets() {
    return (await this.#json("/presets")).presets;
  }

  /**
   * @param {string} name
   * @param {Wishes} wishes
   */
  async savePreset(name, wishes) {
    await this.#send("POST", "/presets", { name, preference: preferenceOf(wishes) });
  }

  /** @param {string} name */
  async deletePreset(name) {
    await this.#send("DELETE", `/presets/${encodeURIComponent(name)}`);
  }

  /**
   * Have the case predicted and exported again, with another setting.
   * @param {string} version that of the objectives which the page shows
   * @param {string} reason
   * @param {Wishes} wishes
   * @param {boolean} leavesEdits whether edits of the objectives may be left behind
   */
  async predictAgain(version, reason, wishes, leavesEdits) {
    const preference = preferenceOf(wishes);
    await this.#send("POST", `/cases/${this.caseId}/prediction.json`, { version, reason, preference, leave_edits: leavesEdits });
  }

  /**
   * The form of a question; its number tells the server which is newer where one overtakes another on the way.
   * @param {Wishes} wishes
   */
  #asked(wishes) {
    return { view: this.view, number: ++this.number, ...preferenceOf(wishes) };
  }

  /** @param {string} rest */
  #path(rest) {
    return `/cases/${this.caseId}/results/${this.result}/${rest}`;
  }

  /**
   * @param {string} path
   * @returns {Promise<any>}
   */
  async #json(path) {
    return (await this.#get(path)).json();
  }

  /**
   * @param {string} path
   * @param {AbortSignal} [signal]
   */
  async #get(path, signal) {
    return checked(await fetch(path, { headers: { Accept: "application/json" }, signal }));
  }

  /**
   * @param {"POST" | "DELETE"} method
   * @param {string} path
   * @param {unknown} [content]
   * @param {AbortSignal} [signal]
   */
  async #send(method, path, content = null, signal) {
    const headers = { Accept: "application/json", "Content-Type": "application/json", "X-CSRF-Token": this.csrf };
    return checked(await fetch(path, { method, headers, body: JSON.stringify(content), signal }));
  }
}

/**
 * Wishes as the server takes them. They begin at none, so that nothing is wished that no slider shows.
 * @param {Wishes} wishes
 */
function preferenceOf(wishes) {
  const organs = Object.entries(wishes).filter(([name]) => name.startsWith("oar_weight."));
  return {
    preference: "balanced",
    hi: wishes.hi ?? null,
    oar_weight: wishes.oar_weight ?? null,
    oar_weights: Object.fromEntries(organs.map(([name, value]) => [name.slice("oar_weight.".length), value])),
  };
}

/** @param {Response} answer */
async function checked(answer) {
  if (answer.ok) return answer;
  const said = await answer.json().catch(() => null);
  throw new Refused(said ?? { code: "unreadable", message: `The server answered ${answer.status}.` });
}
