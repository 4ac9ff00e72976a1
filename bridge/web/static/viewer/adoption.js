// @ts-check
/**
 * What is signed is the exported prediction, and not what the sliders give: the page says so wherever one could take the
 * one for the other, and has the case predicted and exported with the setting that the sliders show.
 */

import { part } from "./dom.js";
import { same } from "./history.js";
import { inWords } from "./sliders.js";

/** @typedef {import("./types.js").Wishes} Wishes */

export class Adoption {
  /**
   * @param {HTMLElement} root
   * @param {import("./api.js").CaseApi} api
   * @param {Wishes} exported the setting that the exported prediction was made with
   * @param {(text: string, isWarning?: boolean) => void} say
   */
  constructor(root, api, exported, say) {
    this.exported = exported;
    /** @type {Wishes} */
    this.wishes = exported;
    this.form = part(root, "adopt", HTMLFormElement);
    this.reason = part(this.form, "adopt-reason", HTMLInputElement);
    this.button = part(this.form, "adopt-button", HTMLButtonElement);
    /** @type {NodeListOf<HTMLElement>} */
    this.notices = document.querySelectorAll("[data-of-exported]");
    for (const notice of this.notices) {
      part(notice, "to-adopt", HTMLButtonElement).addEventListener("click", () => this.reason.focus());
    }
    this.mayAdopt = this.isAsking = false;
    this.form.addEventListener("submit", async (event) => {
      event.preventDefault();
      this.#ask(true);
      try {
        const leavesEdits = new FormData(this.form).has("leave_edits");
        await api.predictAgain(root.dataset.version ?? "", this.reason.value, this.wishes, leavesEdits);
        location.reload();
      } catch (error) {
        say(error instanceof Error ? error.message : String(error), true);
        this.#ask(false);
      }
    });
  }

  /** @param {boolean} isAsking whether an answer is waited for; sliders may be moved meanwhile */
  #ask(isAsking) {
    this.isAsking = isAsking;
    this.button.disabled = isAsking || !this.mayAdopt;
  }

  /**
   * @param {Wishes} wishes where the sliders stand
   * @param {boolean} isShown whether their dose is shown
   */
  stand(wishes, isShown) {
    this.wishes = wishes;
    const differs = !same(wishes, this.exported);
    this.mayAdopt = differs && isShown;
    this.#ask(this.isAsking);
    const text = `Objectives and files below are of the exported prediction (${inWords(this.exported)}), ` +
      `not of the setting that the viewer shows (${inWords(wishes)}).`;
    for (const notice of this.notices) {
      part(notice, "what", HTMLElement).textContent = differs ? text : "";
      notice.hidden = !differs;
    }
  }
}
