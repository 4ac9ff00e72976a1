// @ts-check
/** Presets: settings of the sliders with a name, to use, to save and to delete. The server keeps the one list of them. */

import { element, part } from "./dom.js";
import { same } from "./history.js";

/** @typedef {import("./types.js").Wishes} Wishes */
/** @typedef {import("./types.js").Preset} Preset */

export class Presets {
  /**
   * @param {HTMLElement} root
   * @param {import("./api.js").CaseApi} api
   * @param {{use: (wishes: Wishes) => void, say: (text: string, isWarning?: boolean) => void}} on
   */
  constructor(root, api, on) {
    this.api = api;
    this.on = on;
    this.place = part(root, "presets", HTMLElement);
    /** @type {{button: HTMLButtonElement, wishes: Wishes}[]} */
    this.known = [];
    /** @type {Wishes} */
    this.wishes = {};
    const form = part(root, "save-preset", HTMLFormElement), name = part(form, "preset-name", HTMLInputElement);
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#change(async () => {
        await api.savePreset(name.value.trim(), this.wishes);
        on.say(`Saved as ${name.value.trim()}, for everybody.`);
        form.reset();
      });
    });
  }

  async load() {
    const presets = await this.api.presets();
    this.known = [];
    this.place.replaceChildren(...presets.flatMap((preset) => this.#buttons(preset)));
    this.stand(this.wishes);
  }

  /**
   * Mark the presets that are the present setting.
   * @param {Wishes} wishes
   */
  stand(wishes) {
    this.wishes = wishes;
    for (const { button, wishes: its } of this.known) button.setAttribute("aria-pressed", String(same(its, wishes)));
  }

  /** @param {Preset} preset */
  #buttons({ name, wishes, refusal, read_only, author }) {
    const title = refusal ?? (author ? `Saved by ${author}` : "");
    const button = element("button", { type: "button", title, ...(refusal ? { disabled: "" } : {}) }, name);
    button.addEventListener("click", () => this.on.use(wishes));
    this.known.push({ button, wishes });
    if (read_only) return [button];
    const remove = element("button", { type: "button", class: "plain remove", "aria-label": `Delete preset ${name}` }, "×");
    remove.addEventListener("click", () => {
      if (confirm(`Delete preset ${name} for everybody?`)) this.#change(() => this.api.deletePreset(name));
    });
    return [element("span", { class: "own" }, button, remove)];
  }

  /** @param {() => Promise<void>} work */
  async #change(work) {
    try {
      await work();
      await this.load();
    } catch (error) {
      this.on.say(error instanceof Error ? error.message : String(error), true);
    }
  }
}
