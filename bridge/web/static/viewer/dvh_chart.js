// @ts-check
/** DVHs as curves. A point of a curve can be drawn elsewhere: what is wanted there is told, and nothing moves by itself. */

import { ofText } from "./colours.js";
import { drawn } from "./dom.js";
import { placedNames } from "./names.js";

/** @typedef {import("./types.js").StructureDvh} StructureDvh */
/** @typedef {import("./types.js").Level} Level */
/** @typedef {import("./colours.js").Style} Style */
/** @typedef {{roi_number: number, roi_name: string, volume_percent: number, dose_gy: number}} CurvePoint */
/** @typedef {{now: StructureDvh[], other: StructureDvh[] | null, levels: Level[], shown: Set<number>}} Shown */

const MARGIN = { left: 40, right: 10, top: 10, bottom: 32 };
const REACH_PX = 14;
const LEAST_MOVE_GY = 0.3;
const TICKS = [1, 2, 5, 10, 20];

export class DvhChart {
  /**
   * @param {SVGSVGElement} svg
   * @param {Map<number, Style>} styles
   * @param {{pointed: (point: CurvePoint | null) => void, desired: ((point: CurvePoint) => void) | null}} on
   */
  constructor(svg, styles, on) {
    this.svg = svg;
    this.styles = styles;
    this.on = on;
    /** @type {Shown} */
    this.content = { now: [], other: null, levels: [], shown: new Set() };
    /** @type {CurvePoint | null} */
    this.held = null;
    this.marks = drawn("g");
    this.width = this.height = this.most = 1;
    svg.addEventListener("pointermove", (event) => this.#moved(event));
    svg.addEventListener("pointerdown", (event) => this.#pressed(event));
    svg.addEventListener("pointerup", (event) => this.#released(event));
    svg.addEventListener("pointercancel", () => this.#let());
    svg.addEventListener("pointerleave", () => !this.held && this.#point(null));
    new ResizeObserver(() => this.#draw()).observe(svg);
  }

  /** @param {Shown} content */
  show(content) {
    this.content = content;
    this.#draw();
  }

  /** @param {number} gy */
  x(gy) {
    return MARGIN.left + (gy / this.most) * (this.width - MARGIN.left - MARGIN.right);
  }

  /** @param {number} percent */
  y(percent) {
    return MARGIN.top + (1 - percent / 100) * (this.height - MARGIN.top - MARGIN.bottom);
  }

  #draw() {
    const { now, other, levels, shown } = this.content;
    this.width = this.svg.clientWidth || 420;
    this.height = this.svg.clientHeight || 300;
    this.svg.setAttribute("viewBox", `0 0 ${this.width} ${this.height}`);
    const visible = (/** @type {StructureDvh[]} */ all) => all.filter((one) => one.curve && shown.has(one.roi_number));
    const hottest = Math.max(1, ...visible([...now, ...(other ?? [])]).map((one) => one.curve?.dose_gy[0] ?? 0));
    this.most = Math.ceil(Math.max(hottest, 1.08 * Math.max(...levels.map((level) => level.dose_gy), 0)) / 2) * 2;
    this.svg.replaceChildren(
      this.#axes(),
      ...levels.map((level) => drawn("line", {
        class: "level", x1: this.x(level.dose_gy), x2: this.x(level.dose_gy), y1: this.y(100), y2: this.y(0),
      })),
      ...visible(other ?? []).map((one) => this.#curve(one, true)),
      ...visible(now).map((one) => this.#curve(one, false)),
      ...this.#names(visible(now), visible(other ?? [])),
      this.marks,
    );
  }

  #axes() {
    const step = TICKS.find((tick) => this.most / tick <= 9) ?? 50;
    const axes = drawn("g", { class: "axes" });
    for (let gy = 0; gy <= this.most; gy += step) {
      axes.append(drawn("line", { x1: this.x(gy), x2: this.x(gy), y1: this.y(0), y2: this.y(100) }),
        drawn("text", { x: this.x(gy), y: this.y(0) + 13, "text-anchor": "middle" }, String(gy)));
    }
    for (let percent = 0; percent <= 100; percent += 20) {
      axes.append(drawn("line", { x1: this.x(0), x2: this.x(this.most), y1: this.y(percent), y2: this.y(percent) }),
        drawn("text", { x: MARGIN.left - 5, y: this.y(percent) + 4, "text-anchor": "end" }, String(percent)));
    }
    axes.append(drawn("text", { x: this.x(this.most / 2), y: this.height - 4, "text-anchor": "middle" }, "Dose, Gy"),
      drawn("text", { x: 10, y: this.y(50), "text-anchor": "middle", transform: `rotate(-90 10 ${this.y(50)})` }, "Volume, %"));
    return axes;
  }

  /**
   * @param {StructureDvh} one
   * @param {boolean} isOther
   */
  #curve(one, isOther) {
    const style = this.#style(one), { dose_gy, volume_percent } = /** @type {NonNullable<StructureDvh["curve"]>} */ (one.curve);
    const points = [...dose_gy.map((gy, index) => [gy, volume_percent[index]]), [0, 100]];
    const path = points.map(([gy, percent]) => `${this.x(gy).toFixed(2)},${this.y(percent).toFixed(2)}`).join(" ");
    const group = drawn("g", { class: isOther ? "other" : "now", "data-roi": one.roi_number },
      drawn("polyline", {
        points: path, fill: "none", stroke: style.colour, "stroke-width": isOther ? 1 : style.width + 0.4,
        "stroke-dasharray": style.dash.join(" "),
      }));
    if (isOther) {
      for (const percent of [15, 35, 55, 75, 95]) {
        group.append(drawn("circle", { cx: this.x(doseAt(one, percent)), cy: this.y(percent), r: 2.6, fill: "none", stroke: style.colour }));
      }
    }
    return group;
  }

  /**
   * A name stands at its own curve, where no other runs through it; where there is no such place the list below says it.
   * @param {StructureDvh[]} now
   * @param {StructureDvh[]} other
   */
  #names(now, other) {
    const line = (/** @type {StructureDvh} */ one) => (/** @type {number} */ y) =>
      this.x(doseAt(one, Math.min(Math.max(100 * (1 - (y - MARGIN.top) / (this.height - MARGIN.top - MARGIN.bottom)), 0), 100)));
    const plot = { left: this.x(0), right: this.x(this.most), top: this.y(97), bottom: this.y(4) };
    const lines = now.map((one) => ({ name: one.roi_name, x: line(one) }));
    return placedNames(lines, other.map(line), plot).map(({ index, x, y, anchor }) => drawn("text", {
      class: "name", x, y, fill: ofText(this.#style(now[index]).colour), "text-anchor": anchor,
    }, now[index].roi_name));
  }

  /** @param {StructureDvh} one */
  #style(one) {
    return this.styles.get(one.roi_number) ?? { colour: "#cccccc", dash: [], width: 1.4 };
  }

  /**
   * @param {PointerEvent} event
   * @returns {[number, number]} dose and volume under the pointer
   */
  #under(event) {
    const box = this.svg.getBoundingClientRect();
    const plot = { w: this.width - MARGIN.left - MARGIN.right, h: this.height - MARGIN.top - MARGIN.bottom };
    const gy = ((event.clientX - box.left - MARGIN.left) / plot.w) * this.most;
    const percent = 100 * (1 - (event.clientY - box.top - MARGIN.top) / plot.h);
    return [Math.min(Math.max(gy, 0), this.most), Math.min(Math.max(Math.round(percent), 0), 100)];
  }

  /**
   * @param {PointerEvent} event
   * @returns {CurvePoint | null} point of the nearest curve at the pointer's volume
   */
  #nearest(event) {
    const [gy, percent] = this.#under(event), pxPerGy = this.x(1) - this.x(0);
    let nearest = null, least = REACH_PX;
    for (const one of this.content.now) {
      if (!one.curve || !this.content.shown.has(one.roi_number)) continue;
      const dose_gy = doseAt(one, percent), far = Math.abs(dose_gy - gy) * pxPerGy;
      if (far < least) {
        least = far;
        nearest = { roi_number: one.roi_number, roi_name: one.roi_name, volume_percent: percent, dose_gy };
      }
    }
    return nearest;
  }

  /** @param {PointerEvent} event */
  #moved(event) {
    if (this.held) this.#mark(this.held, this.#under(event)[0]);
    else this.#point(this.#nearest(event));
  }

  /** @param {PointerEvent} event */
  #pressed(event) {
    if (!this.on.desired || event.button !== 0) return;
    this.held = this.#nearest(event);
    if (!this.held) return;
    event.preventDefault();
    this.svg.setPointerCapture(event.pointerId);
  }

  /** @param {PointerEvent} event */
  #released(event) {
    const held = this.held, gy = this.#under(event)[0];
    this.#let();
    if (held && Math.abs(gy - held.dose_gy) >= LEAST_MOVE_GY) this.on.desired?.({ ...held, dose_gy: Number(gy.toFixed(1)) });
  }

  #let() {
    this.held = null;
    this.marks.replaceChildren();
  }

  /** @param {CurvePoint | null} point */
  #point(point) {
    this.on.pointed(point);
    this.marks.replaceChildren(...(point ? [this.#dot(point.dose_gy, point.volume_percent)] : []));
    this.svg.classList.toggle("holdable", Boolean(point && this.on.desired));
  }

  /**
   * Show where a point is being drawn to.
   * @param {CurvePoint} from
   * @param {number} gy
   */
  #mark(from, gy) {
    const y = this.y(from.volume_percent), isRight = this.x(gy) > this.width - 150;
    this.marks.replaceChildren(
      drawn("line", { class: "way", x1: this.x(from.dose_gy), x2: this.x(gy), y1: y, y2: y }),
      this.#dot(gy, from.volume_percent),
      drawn("text", { class: "wanted", x: this.x(gy) + (isRight ? -8 : 8), y: y - 6, "text-anchor": isRight ? "end" : "start" },
        `${from.roi_name} D${from.volume_percent}%: ${from.dose_gy.toFixed(1)} → ${gy.toFixed(1)} Gy`),
    );
  }

  /**
   * @param {number} gy
   * @param {number} percent
   */
  #dot(gy, percent) {
    return drawn("circle", { class: "dot", cx: this.x(gy), cy: this.y(percent), r: 5 });
  }
}

/**
 * The least dose of the hottest part.
 * @param {StructureDvh} one
 * @param {number} percent 0 to 100
 * @returns {number} Gy
 */
export function doseAt(one, percent) {
  if (!one.curve) return NaN;
  const { volume_percent, dose_gy } = one.curve;
  const after = volume_percent.findIndex((value) => value >= percent);
  if (after <= 0) return dose_gy[Math.max(after, 0)];
  const part = (percent - volume_percent[after - 1]) / (volume_percent[after] - volume_percent[after - 1]);
  return dose_gy[after - 1] + part * (dose_gy[after] - dose_gy[after - 1]);
}
