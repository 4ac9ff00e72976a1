// @ts-check
/** The viewer of one case: puts pictures, DVHs, doses and steering together. */

import { CaseApi } from "./api.js";
import { DoseWash, changeColour, structureStyles } from "./colours.js";
import { slabs } from "./contours.js";
import { drawn, element, part } from "./dom.js";
import { Doses, EXPORTED, SLIDERS } from "./doses.js";
import { DvhChart, doseAt } from "./dvh_chart.js";
import { bodyBox, fitToBody, hottest } from "./fit.js";
import { Pane } from "./pane.js";
import { LEAST_CHANGE_GY } from "./picture.js";
import { Steering } from "./steering.js";
import { showChanges, showGoals } from "./tables.js";

/** @typedef {import("./types.js").Vec3} Vec3 */
/** @typedef {import("./types.js").PlaneName} PlaneName */
/** @typedef {import("./types.js").Geometry} Geometry */
/** @typedef {import("./types.js").DoseResult} DoseResult */
/** @typedef {import("./picture.js").Scene} Scene */
/** @typedef {import("./picture.js").Subject} Subject */

/** CT windows, level and width in HU. */
/** @type {Record<string, [number, number]>} */
const WINDOWS = { soft: [40, 400], bone: [400, 1800], lung: [-600, 1500], wide: [0, 2000] };

class Viewer {
  /**
   * @param {HTMLElement} root
   * @param {CaseApi} api
   * @param {Geometry} geometry
   */
  constructor(root, api, geometry) {
    this.root = root;
    this.api = api;
    this.geometry = geometry;
    this.doses = new Doses(api, geometry.doses);
    this.chosen = { a: EXPORTED, b: EXPORTED };
    /** What was shown last. */
    this.had = this.chosen;
    this.layout = "one";
    /** @type {PlaneName} */
    this.sidePlane = "axial";
    /** @type {DoseResult | null} */
    this.one = null;
    /** @type {DoseResult | null} */
    this.other = null;
    /** @type {DoseResult | null} */
    this.before = null;
    this.waiting = false;
    this.choosing = 0;
    this.rois = geometry.structures.filter((one) => !one.is_empty);
    /** @type {Scene} */
    this.scene = {
      ct: null, a: null, b: null, window: { level: 40, width: 400 }, cross: [0, 0, 0], low: [0, 0, 0], high: [1, 1, 1],
      fields: {}, zoom: 1, hasWash: true, hasIsodoses: true, isodoses: geometry.dose_colours.isodoses,
      doseWash: new DoseWash(geometry.dose_colours), mostChange: 10, shown: new Set(this.rois.map((one) => one.roi_number)),
      styles: structureStyles(geometry.structures), slabs: new Map(),
    };
    this.panes = ["one", "two", "three"].map((name) => new Pane(part(root, `pane-${name}`, HTMLElement), this.scene, {
      crossTo: (point) => { this.scene.cross = point; this.draw(); },
      pointed: (point) => this.#under(point ?? this.scene.cross),
      windowed: (level, width) => this.#window(level, width),
      zoomed: (factor) => { this.scene.zoom = Math.min(Math.max(this.scene.zoom * factor, 1), 8); this.draw(); },
    }));
    this.chart = new DvhChart(part(root, "dvh", SVGSVGElement), this.scene.styles, {
      pointed: (point) => {
        this.#said("dvh-point", point ? `${point.roi_name} D${point.volume_percent}% = ${point.dose_gy.toFixed(2)} Gy` : "");
      },
      desired: root.dataset.canEdit === "true" && geometry.sliders.length ? (point) => this.#want(point) : null,
    });
  }

  async open() {
    const { geometry, scene, root } = this;
    this.#prescription();
    const external = this.rois.filter((one) => one.kind === "external");
    const [exported] = await Promise.all([
      this.doses.get(EXPORTED), ...external.map((one) => this.#contours(one.roi_number)),
    ]);
    scene.a = scene.b = exported.volume;
    Object.assign(scene, bodyBox(geometry.ct, this.#bodies()), { cross: hottest(exported.volume) });
    this.doses.steer(exported);
    this.#controls();
    this.steering = new Steering(root, this.api, geometry, exported, (now, before) => {
      this.doses.steer(now);
      this.before = before;
      if (this.chosen.a !== SLIDERS && this.chosen.b !== SLIDERS) this.chosen.a = SLIDERS;
      this.#choose();
    });
    this.chosen.a = SLIDERS;
    this.before = exported;
    await this.#choose();
    root.dataset.state = "ready";
    new ResizeObserver(() => this.draw()).observe(part(root, "stage", HTMLElement));
    await Promise.all([
      this.api.volume("ct", geometry.ct).then((ct) => { scene.ct = ct; root.dataset.ct = "shown"; this.draw(); }),
      ...this.rois.filter((one) => one.kind !== "external").map((one) => this.#contours(one.roi_number).then(() => this.draw())),
    ]);
    root.dataset.loaded = "true";
    if (root.dataset.canEdit === "true" && geometry.sliders.length) this.steering.warm();
    else this.#said("status", "Shown as exported. Sliders are for planners and physicists, while the case waits for review.");
  }

  draw() {
    if (this.waiting) return;
    this.waiting = true;
    requestAnimationFrame(() => {
      this.waiting = false;
      fitToBody(this.scene, this.#bodies());
      for (const pane of this.panes) pane.draw();
      this.#under(this.scene.cross);
    });
  }

  /** Whose case it is stands at the top of the page in any case. */
  #prescription() {
    const { patient, prescription } = this.geometry;
    const levels = prescription.levels.map((level) => `${level.roi_name} ${level.dose_gy} Gy`).join(", ");
    const fractions = prescription.fractions ? ` in ${prescription.fractions} fractions` : "";
    this.#said("prescription", `${levels}${fractions} · ${patient.position}`);
  }

  /** The contours of the body. */
  #bodies() {
    return this.rois.filter((one) => one.kind === "external").map((one) => this.scene.slabs.get(one.roi_number) ?? []);
  }

  /** @param {number} roiNumber */
  async #contours(roiNumber) {
    const { planes } = await this.api.contours(roiNumber);
    this.scene.slabs.set(roiNumber, slabs(planes, this.geometry.ct.spacing_mm[0]));
  }

  #controls() {
    const { root, scene } = this;
    const choice = (/** @type {string} */ name, /** @type {(value: string) => void} */ change) => {
      const select = part(root, name, HTMLSelectElement);
      select.addEventListener("change", () => change(select.value));
    };
    choice("layout", (value) => { this.layout = value; this.#choose(); });
    choice("side-plane", (value) => { this.sidePlane = /** @type {PlaneName} */ (value); this.#choose(); });
    choice("dose-a", (value) => { this.chosen.a = value; this.#choose(); });
    choice("dose-b", (value) => { this.chosen.b = value; this.#choose(); });
    choice("window", (value) => { if (WINDOWS[value]) this.#window(...WINDOWS[value]); });
    for (const [name, key] of /** @type {["wash" | "isodoses", "hasWash" | "hasIsodoses"][]} */ ([["wash", "hasWash"], ["isodoses", "hasIsodoses"]])) {
      const box = part(root, name, HTMLInputElement);
      box.addEventListener("change", () => { scene[key] = box.checked; this.draw(); });
    }
    part(root, "keep", HTMLButtonElement).addEventListener("click", () => {
      const now = this.doses.loaded.get(SLIDERS);
      if (now) this.chosen.b = this.doses.keep(now);
      this.#choose();
    });
    part(root, "against", HTMLSelectElement).addEventListener("change", () => this.#tables());
    const zoom = (/** @type {string} */ name, /** @type {() => void} */ change) =>
      part(root, name, HTMLButtonElement).addEventListener("click", () => { change(); this.draw(); });
    zoom("nearer", () => { scene.zoom = Math.min(1.25 * scene.zoom, 8); });
    zoom("farther", () => { scene.zoom = Math.max(scene.zoom / 1.25, 1); });
    zoom("fit", () => { scene.zoom = 1; scene.fields = {}; });
    this.#structures();
    this.#wishForm();
  }

  #structures() {
    const list = part(this.root, "structures", HTMLElement);
    list.replaceChildren(...this.rois.map(({ roi_number, roi_name }) => {
      const box = element("input", { type: "checkbox", checked: "" });
      box.addEventListener("change", () => {
        if (box.checked) this.scene.shown.add(roi_number);
        else this.scene.shown.delete(roi_number);
        this.draw();
        this.#curves();
      });
      const style = this.scene.styles.get(roi_number);
      const sample = drawn("svg", { width: 26, height: 10, "aria-hidden": "true" }, drawn("line", {
        x1: 0, x2: 26, y1: 5, y2: 5, stroke: style?.colour ?? "#ccc", "stroke-width": (style?.width ?? 1) + 0.6,
        "stroke-dasharray": style?.dash.join(" ") ?? "",
      }));
      return element("label", { class: "structure" }, box, sample, roi_name);
    }));
  }

  /** What can be drawn with the mouse in the DVHs can be typed as well. */
  #wishForm() {
    const form = part(this.root, "wish", HTMLFormElement), roi = part(form, "wish-roi", HTMLSelectElement);
    const volume = part(form, "wish-volume", HTMLInputElement), dose = part(form, "wish-dose", HTMLInputElement);
    const movable = new Set(this.rois.filter(({ kind }) => kind === "target" || kind === "organ").map((one) => one.roi_number));
    const curves = () => this.doses.loaded.get(SLIDERS)?.dvh.structures.filter((one) => one.curve && movable.has(one.roi_number)) ?? [];
    roi.replaceChildren(...curves().map((one) => element("option", { value: String(one.roi_number) }, one.roi_name)));
    const fill = () => {
      const one = curves().find(({ roi_number }) => String(roi_number) === roi.value);
      if (one) dose.value = doseAt(one, Number(volume.value)).toFixed(1);
    };
    roi.addEventListener("change", fill);
    volume.addEventListener("change", fill);
    fill();
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const one = curves().find(({ roi_number }) => String(roi_number) === roi.value);
      if (one) this.#want({ ...one, volume_percent: Number(volume.value), dose_gy: Number(dose.value) });
    });
  }

  /** @param {import("./dvh_chart.js").CurvePoint} point */
  #want(point) {
    const form = part(this.root, "wish", HTMLFormElement);
    part(form, "wish-roi", HTMLSelectElement).value = String(point.roi_number);
    part(form, "wish-volume", HTMLInputElement).value = String(point.volume_percent);
    part(form, "wish-dose", HTMLInputElement).value = point.dose_gy.toFixed(1);
    this.steering?.want(point);
  }

  /** Show the chosen doses everywhere at once: pictures, DVHs, goals and changes are never of different ones. */
  async #choose() {
    const number = ++this.choosing;
    const { a, b } = this.chosen;
    try {
      const [one, other] = await Promise.all([this.doses.get(a), this.doses.get(b)]);
      if (number !== this.choosing) return;
      this.one = one;
      this.other = other;
    } catch (error) {
      if (number !== this.choosing) return;
      // what cannot be had is not chosen any longer: or nothing that the sliders give would be shown beside it either
      const had = (/** @type {string[]} */ ...names) => names.find((name) => this.doses.loaded.has(name)) ?? SLIDERS;
      this.chosen = { a: had(a, this.had.a), b: had(b, this.had.b) };
      await this.#choose();
      this.#said("status", error instanceof Error ? error.message : String(error));
      return;
    }
    this.had = { a, b };
    this.doses.offer(part(this.root, "dose-a", HTMLSelectElement), a);
    this.doses.offer(part(this.root, "dose-b", HTMLSelectElement), b);
    this.scene.a = this.one?.volume ?? null;
    this.scene.b = this.other?.volume ?? null;
    this.scene.mostChange = mostChange(this.scene.a, this.scene.b);
    this.#arrange();
    this.#legend();
    this.#curves();
    this.#tables();
    this.draw();
  }

  #arrange() {
    const captions = { a: `A: ${this.one?.title}`, b: `B: ${this.other?.title}`, difference: "A − B" };
    const isSide = this.layout === "side", subject = this.layout === "difference" ? "difference" : "a";
    /** @type {[PlaneName, Subject][]} */
    const shown = isSide
      ? [[this.sidePlane, "a"], [this.sidePlane, "b"], [this.sidePlane, "difference"]]
      : [["axial", subject], ["coronal", subject], ["sagittal", subject]];
    this.panes.forEach((pane, index) => pane.show(...shown[index], captions[shown[index][1]]));
    part(this.root, "side-plane", HTMLSelectElement).disabled = !isSide;
  }

  #legend() {
    const { isodoses: lines, mostChange } = this.scene, place = part(this.root, "legend", HTMLElement);
    const line = (/** @type {string} */ colour, /** @type {string} */ text) => element("span", { class: "key" },
      drawn("svg", { width: 16, height: 10, "aria-hidden": "true" }, drawn("rect", { width: 16, height: 10, fill: colour })), text);
    const ofDose = lines.map(({ dose_gy, colour, percent, note }) =>
      line(colour, `${dose_gy.toFixed(1)} Gy ${percent.toFixed(0)} %${note && percent < 94 ? ` (${note})` : ""}`));
    const ofChange = [-mostChange, -mostChange / 2, mostChange / 2, mostChange].map((gy) =>
      line(changeColour(gy, mostChange), `${gy > 0 ? "+" : "−"}${Math.abs(gy)} Gy`));
    const words = { one: ofDose, side: [...ofDose, "A − B:", ...ofChange], difference: ["A − B:", ...ofChange, `nothing within ±${LEAST_CHANGE_GY} Gy`] };
    place.replaceChildren(...words[/** @type {"one" | "side" | "difference"} */ (this.layout)]);
  }

  #curves() {
    const isTwo = this.one !== this.other;
    this.chart.show({
      now: this.one?.dvh.structures ?? [], other: isTwo ? this.other?.dvh.structures ?? null : null,
      levels: this.geometry.prescription.levels, shown: this.scene.shown,
    });
    const caption = isTwo ? `Thick: A, ${this.one?.title}. Thin with rings: B, ${this.other?.title}.` : this.one?.title ?? "";
    this.#said("dvh-caption", caption);
    part(this.root, "dvh-caption", HTMLElement).title = caption; // long titles do not fit
  }

  #tables() {
    const now = this.doses.loaded.get(this.chosen.a), other = this.doses.loaded.get(this.chosen.b);
    if (!now || !other || !this.before) return;
    const against = part(this.root, "against", HTMLSelectElement).value;
    const exported = this.doses.loaded.get(EXPORTED) ?? this.before;
    const since = against === "b" ? other : against === "exported" ? exported : this.before;
    const before = this.steering?.alike(since, now) ?? since, after = this.steering?.alike(now, since) ?? now;
    this.#said("goals-summary", showGoals(part(this.root, "goals", HTMLTableSectionElement), now.goals, before.goals));
    showChanges(part(this.root, "changes", HTMLTableSectionElement), before, after);
    part(this.root, "findings", HTMLElement).replaceChildren(
      ...now.findings.filter(({ severity }) => severity === "warning").map(({ message }) => element("li", { class: "warning" }, message)));
  }

  /**
   * @param {number} level
   * @param {number} width
   */
  #window(level, width) {
    Object.assign(this.scene.window, { level, width });
    this.#said("window-values", `L ${level.toFixed(0)} W ${width.toFixed(0)}`);
    this.draw();
  }

  /**
   * Say what is at a point: dose in Gy and in percent of the highest prescription, and the CT number.
   * @param {Vec3} point
   */
  #under(point) {
    const { scene } = this, highest = Math.max(...this.geometry.prescription.levels.map((level) => level.dose_gy));
    const a = scene.a?.at(point) ?? null, b = scene.b?.at(point) ?? null, hu = scene.ct?.at(point) ?? null;
    const dose = (/** @type {number | null} */ gy) => gy === null ? "no dose known" : `${gy.toFixed(2)} Gy (${((100 * gy) / highest).toFixed(1)} %)`;
    const place = part(this.root, "under", HTMLElement);
    place.dataset.point = point.join(",");
    place.dataset.a = a === null ? "" : String(a);
    place.dataset.b = b === null ? "" : String(b);
    place.dataset.hu = hu === null ? "" : String(hu);
    const doses = this.one === this.other ? dose(a)
      : `A ${dose(a)} · B ${dose(b)}${a === null || b === null ? "" : ` · A − B ${(a - b).toFixed(2).replace("-", "−")} Gy`}`;
    const where = ["x", "y", "z"].map((name, axis) => `${name} ${point[axis].toFixed(1)}`).join(" ");
    place.textContent = `${doses} · ${hu === null ? "no CT" : `${hu.toFixed(0)} HU`} · ${where} mm`;
  }

  /**
   * @param {string} name
   * @param {string} text
   */
  #said(name, text) {
    part(this.root, name, Element).textContent = text;
  }
}

/** Where the colours of a difference may end, Gy. */
const ENDS_GY = [1, 2, 5, 10, 20];

/**
 * Where the colours of a difference end: beyond all but a thousandth of the voxels that differ.
 * @param {import("./volume.js").Volume | null} a
 * @param {import("./volume.js").Volume | null} b
 */
export function mostChange(a, b) {
  const isAlike = a && b && a.step === b.step && JSON.stringify([a.grid.shape, a.grid.affine]) === JSON.stringify([b.grid.shape, b.grid.affine]);
  if (!isAlike) return 10;
  const beyond = ENDS_GY.map(() => 0), ends = ENDS_GY.map((gy) => gy / a.step), least = LEAST_CHANGE_GY / a.step;
  let differing = 0;
  for (let voxel = 0; voxel < a.numbers.length; voxel++) {
    const by = Math.abs(a.numbers[voxel] - b.numbers[voxel]);
    if (by < least) continue;
    differing++;
    for (let place = 0; place < ends.length && by > ends[place]; place++) beyond[place]++;
  }
  const found = ENDS_GY.find((_, place) => beyond[place] <= 0.001 * differing);
  return differing ? found ?? 20 : 10;
}

const root = document.getElementById("viewer");
if (root) {
  const api = new CaseApi(root.dataset.caseId ?? "", root.dataset.result ?? "", root.dataset.csrf ?? "");
  try {
    await new Viewer(root, api, await api.geometry()).open();
  } catch (error) {
    root.dataset.state = "failed";
    part(root, "status", Element).textContent = `The viewer cannot show this case: ${error instanceof Error ? error.message : error}`;
    throw error;
  }
}
