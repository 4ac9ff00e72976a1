// @ts-check
/** Undo and redo of slider settings. What was answered for a setting is kept with the newest few of them. */

/** @typedef {import("./types.js").Wishes} Wishes */
/** @typedef {import("./types.js").DoseResult} DoseResult */
/** @typedef {{wishes: Wishes, result: DoseResult | null}} Setting */

/** A dose takes some 8 MB. */
const MOST_RESULTS = 8;

export class History {
  /** @param {Setting} first */
  constructor(first) {
    /** @type {Setting[]} */
    this.settings = [first];
    this.place = 0;
  }

  get now() {
    return this.settings[this.place];
  }

  /** The setting before, or null. */
  get before() {
    return this.settings[this.place - 1] ?? null;
  }

  /** The setting that was undone last, or null. */
  get after() {
    return this.settings[this.place + 1] ?? null;
  }

  /**
   * Go on from here; what was undone is let go.
   * @param {Wishes} wishes
   * @param {DoseResult} result
   */
  push(wishes, result) {
    if (same(wishes, this.now.wishes)) return;
    this.settings = [...this.settings.slice(0, this.place + 1), { wishes, result }];
    this.place++;
    this.#forget();
  }

  /**
   * Go to a setting that is known.
   * @param {Setting} setting
   */
  goTo(setting) {
    this.place = Math.max(this.settings.indexOf(setting), 0);
    this.#forget();
  }

  /**
   * What was answered for wishes, as far as it is kept.
   * @param {Wishes} wishes
   */
  kept(wishes) {
    return this.settings.find((setting) => setting.result && same(setting.wishes, wishes))?.result ?? null;
  }

  #forget() {
    const nearest = this.settings
      .map((setting, index) => ({ setting, far: Math.abs(index - this.place) }))
      .filter(({ setting }) => setting.result && setting !== this.settings[0])  // the exported one is there in any case
      .sort((a, b) => a.far - b.far);
    for (const { setting } of nearest.slice(MOST_RESULTS)) setting.result = null;
  }
}

/**
 * @param {Wishes} one
 * @param {Wishes} other
 */
export function same(one, other) {
  const names = new Set([...Object.keys(one), ...Object.keys(other)]);
  return [...names].every((name) => one[name] === other[name]);
}
