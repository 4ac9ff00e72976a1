// @ts-check
/** One picture on the page: its canvas, and what mouse and keyboard do in it. */

import { drawPicture, fieldOf } from "./picture.js";
import { PLANES } from "./plane.js";

/** @typedef {import("./types.js").Vec3} Vec3 */
/** @typedef {import("./types.js").PlaneName} PlaneName */
/** @typedef {import("./picture.js").Scene} Scene */
/** @typedef {import("./picture.js").Subject} Subject */
/**
 * What a pane tells: where the cross goes, what is under the pointer, how the window changes, how near one looks.
 * @typedef {{crossTo: (point: Vec3) => void, pointed: (point: Vec3 | null) => void,
 *   windowed: (level: number, width: number) => void, zoomed: (factor: number) => void}} PaneEvents
 */

const ZOOM = 1.25;
const KEYS = "Arrow keys move the cross, Page Up and Page Down go through the planes, plus and minus look nearer or farther.";

export class Pane {
  /**
   * @param {HTMLElement} place
   * @param {Scene} scene
   * @param {PaneEvents} on
   */
  constructor(place, scene, on) {
    this.place = place;
    this.scene = scene;
    this.on = on;
    /** @type {PlaneName} */
    this.plane = "axial";
    /** @type {Subject} */
    this.subject = "a";
    this.caption = "";
    /** @type {import("./plane.js").Field | null} */
    this.field = null;
    this.ratio = 1;
    this.canvas = document.createElement("canvas");
    this.canvas.tabIndex = 0;
    this.canvas.setAttribute("role", "application");
    this.title = document.createElement("p");
    this.title.className = "pane-title";
    place.replaceChildren(this.title, this.canvas);
    /** @type {{button: number, x: number, y: number} | null} */
    this.held = null;
    this.canvas.addEventListener("pointerdown", (event) => this.#pressed(event));
    this.canvas.addEventListener("pointermove", (event) => this.#moved(event));
    this.canvas.addEventListener("pointerup", () => (this.held = null));
    this.canvas.addEventListener("pointercancel", () => (this.held = null));
    this.canvas.addEventListener("pointerleave", () => on.pointed(null));
    this.canvas.addEventListener("contextmenu", (event) => event.preventDefault());
    this.canvas.addEventListener("wheel", (event) => this.#wheeled(event), { passive: false });
    this.canvas.addEventListener("keydown", (event) => this.#pressedKey(event));
  }

  /**
   * @param {PlaneName} plane
   * @param {Subject} subject
   * @param {string} caption
   */
  show(plane, subject, caption) {
    this.plane = plane;
    this.subject = subject;
    this.caption = caption;
    this.canvas.dataset.plane = plane;
    this.canvas.dataset.subject = subject;
  }

  draw() {
    const ratio = Math.min(devicePixelRatio || 1, 2), box = this.canvas.getBoundingClientRect();
    const width = Math.max(Math.round(box.width * ratio), 1), height = Math.max(Math.round(box.height * ratio), 1);
    if (this.canvas.width !== width || this.canvas.height !== height) Object.assign(this.canvas, { width, height });
    const context = this.canvas.getContext("2d", { alpha: false });
    if (!context) throw new Error("This browser draws no pictures.");
    const field = fieldOf(this.scene, this.plane, width, height), { normal } = PLANES[this.plane];
    drawPicture(context, this.scene, field, this.subject, ratio);
    const sides = field.labels();
    Object.assign(this.canvas.dataset, sides);
    const where = `${this.plane[0].toUpperCase()}${this.plane.slice(1)} ${"xyz"[normal]} ${this.scene.cross[normal].toFixed(1)} mm`;
    this.title.textContent = this.caption ? `${where} · ${this.caption}` : where;
    this.canvas.setAttribute("aria-label", `${where}. ${this.caption}. Left is ${sides.left}, top is ${sides.top}. ${KEYS}`);
    this.field = field;
    this.ratio = ratio;
  }

  /**
   * @param {PointerEvent} event
   * @returns {Vec3 | null} mm in the patient
   */
  #pointAt(event) {
    const box = this.canvas.getBoundingClientRect(), ratio = this.ratio;
    return this.field ? this.field.pointAt((event.clientX - box.left) * ratio, (event.clientY - box.top) * ratio) : null;
  }

  /** @param {PointerEvent} event */
  #pressed(event) {
    this.canvas.setPointerCapture(event.pointerId);
    const button = event.button === 0 && event.shiftKey ? 2 : event.button;
    this.held = { button, x: event.clientX, y: event.clientY };
    if (button === 0) this.#cross(this.#pointAt(event));
  }

  /** @param {PointerEvent} event */
  #moved(event) {
    const point = this.#pointAt(event);
    if (this.held?.button === 0) this.#cross(point);
    if (this.held?.button === 2) {
      const { level, width } = this.scene.window;
      this.on.windowed(level + (event.clientY - this.held.y), Math.max(width + 2 * (event.clientX - this.held.x), 10));
      this.held = { button: 2, x: event.clientX, y: event.clientY };
    }
    this.on.pointed(point);
  }

  /** @param {WheelEvent} event */
  #wheeled(event) {
    event.preventDefault();
    if (event.ctrlKey) this.on.zoomed(event.deltaY < 0 ? ZOOM : 1 / ZOOM);
    else if (event.deltaY) this.#step(PLANES[this.plane].normal, event.deltaY > 0 ? -1 : 1);
  }

  /** @param {KeyboardEvent} event */
  #pressedKey(event) {
    const { normal, across, down, turn } = PLANES[this.plane];
    /** @type {Record<string, () => void>} */
    const keys = {
      ArrowLeft: () => this.#step(across, -1), ArrowRight: () => this.#step(across, 1),
      ArrowUp: () => this.#step(down, -turn), ArrowDown: () => this.#step(down, turn),
      PageUp: () => this.#step(normal, 1), PageDown: () => this.#step(normal, -1),
      "+": () => this.on.zoomed(ZOOM), "-": () => this.on.zoomed(1 / ZOOM),
    };
    const key = keys[event.key];
    if (!key || event.altKey || event.metaKey || event.ctrlKey) return;
    event.preventDefault();
    key();
  }

  /**
   * Go to the next plane of the CT along a patient axis, or of the dose while there is no CT.
   * @param {number} axis
   * @param {number} sign
   */
  #step(axis, sign) {
    const volume = this.scene.ct ?? this.scene.a;
    if (!volume) return;
    const { grid } = volume, along = grid.axisAlong(axis);
    const index = grid.indexOf(this.scene.cross);
    const forward = Math.sign(grid.affine[axis][along]) * sign;
    index[along] = Math.min(Math.max(Math.round(index[along]) + forward, 0), grid.shape[along] - 1);
    const point = /** @type {Vec3} */ ([...this.scene.cross]);
    point[axis] = grid.pointOf(index)[axis];
    this.on.crossTo(point);
  }

  /** @param {Vec3 | null} point */
  #cross(point) {
    if (!point) return;
    const { low, high } = this.scene;
    this.on.crossTo(/** @type {Vec3} */ (point.map((mm, axis) => Math.min(Math.max(mm, low[axis]), high[axis]))));
  }
}
