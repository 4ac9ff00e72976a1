// @ts-check
/** One picture: a plane of the CT with a dose or a difference, isodoses, structures and the cross. */

import { CHANGE_COLOURS, changePlace } from "./colours.js";
import { loopsAt, uprightPieces } from "./contours.js";
import { pieces } from "./isodose.js";
import { paint, sampled } from "./paint.js";
import { Field, PLANES, cut } from "./plane.js";

/** @typedef {import("./types.js").Vec3} Vec3 */
/** @typedef {import("./types.js").PlaneName} PlaneName */
/** @typedef {import("./volume.js").Volume} Volume */
/** @typedef {import("./plane.js").Cut} Cut */
/** @typedef {"a" | "b" | "difference"} Subject */

/**
 * What all pictures show.
 * @typedef {{
 *   ct: Volume | null, a: Volume | null, b: Volume | null, window: {level: number, width: number}, cross: Vec3,
 *   low: Vec3, high: Vec3, fields: Partial<Record<PlaneName, {low: number[], high: number[]}>>, zoom: number, hasWash: boolean, hasIsodoses: boolean,
 *   isodoses: import("./types.js").Isodose[], doseWash: import("./colours.js").DoseWash, mostChange: number, shown: Set<number>,
 *   styles: Map<number, import("./colours.js").Style>, slabs: Map<number, import("./contours.js").Slab[]>,
 * }} Scene
 */

/** Differences closer to nothing than this are not coloured. */
export const LEAST_CHANGE_GY = 0.25;

/** A difference needs the CT under it to be found, but not to hide it. */
const EDGE_PX = 4;

/**
 * @param {Scene} scene
 * @param {PlaneName} plane
 * @param {number} width pixels
 * @param {number} height pixels
 * @returns {Field} the whole field in the middle, or, drawn nearer, the cross
 */
export function fieldOf(scene, plane, width, height) {
  const { across, down } = PLANES[plane];
  const fitted = scene.fields[plane] ?? {
    low: [across, down].map((axis) => scene.low[axis]), high: [across, down].map((axis) => scene.high[axis]),
  };
  const size = [0, 1].map((place) => fitted.high[place] - fitted.low[place]);
  const fitting = Math.min((width - 2 * EDGE_PX) / size[0], (height - 2 * EDGE_PX) / size[1]);
  const middle = /** @type {[number, number]} */ ([across, down].map((axis, place) => {
    const whole = (fitted.low[place] + fitted.high[place]) / 2;
    return scene.zoom > 1 ? scene.cross[axis] : whole;
  }));
  return new Field(plane, scene.cross, middle, Math.max(fitting, 1e-3) * scene.zoom, width, height);
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {Scene} scene
 * @param {Field} field
 * @param {Subject} subject
 * @param {number} ratio pixels of the canvas per pixel of the page
 */
export function drawPicture(context, scene, field, subject, ratio) {
  const image = context.createImageData(field.width, field.height);
  const of = (/** @type {Volume | null} */ volume, /** @type {boolean} */ toFaces) =>
    volume && cut(volume, field.plane, field.position, toFaces);
  const ct = of(scene.ct, true), a = of(scene.a, false), b = of(scene.b, false);
  const hounsfield = ct && sampled(ct, field, true);
  if (subject === "difference") {
    paint(image.data, hounsfield, scene.window, difference(a, b, field), changePlace(scene.mostChange, LEAST_CHANGE_GY), CHANGE_COLOURS);
  } else {
    const dose = subject === "a" ? a : b;
    const wash = scene.hasWash && dose ? sampled(dose, field, false) : null;
    paint(image.data, hounsfield, scene.window, wash, (gy) => scene.doseWash.place(gy), scene.doseWash.colours);
  }
  context.putImageData(image, 0, 0);
  structures(context, scene, field, ratio);
  const dose = subject === "b" ? b : subject === "a" ? a : null;
  if (dose && scene.hasIsodoses) isodoseLines(context, scene, field, dose, ratio);
  cross(context, scene, field, ratio);
  edges(context, field, ratio);
  scaleBar(context, field, ratio);
}

/**
 * The longest of 1, 2, 5 and 10 cm that takes no more than a quarter of the picture.
 * @param {CanvasRenderingContext2D} context
 * @param {Field} field
 * @param {number} ratio
 */
function scaleBar(context, field, ratio) {
  const mm = [100, 50, 20].find((one) => one * field.scale <= field.width / 4) ?? 10;
  const left = 8 * ratio, foot = field.height - 5 * ratio, right = left + mm * field.scale, tick = 4 * ratio;
  const line = () => {
    context.beginPath();
    context.moveTo(left, foot - tick);
    context.lineTo(left, foot);
    context.lineTo(right, foot);
    context.lineTo(right, foot - tick);
  };
  line();
  stroke(context, "#000000", 4 * ratio, []);
  line();
  stroke(context, "#ffffff", 1.5 * ratio, []);
  context.font = `600 ${11 * ratio}px system-ui, sans-serif`;
  context.textAlign = "left";
  context.textBaseline = "alphabetic";
  context.lineWidth = 3 * ratio;
  context.strokeStyle = "#000000";
  context.fillStyle = "#ffffff";
  context.strokeText(`${mm / 10} cm`, left + 3 * ratio, foot - 3 * ratio);
  context.fillText(`${mm / 10} cm`, left + 3 * ratio, foot - 3 * ratio);
}

/**
 * @param {Cut | null} a
 * @param {Cut | null} b
 * @param {Field} field
 * @returns {Float32Array | null} a less b
 */
function difference(a, b, field) {
  if (!a || !b) return null;
  const [one, other] = [sampled(a, field, false), sampled(b, field, false)];
  return one.map((value, place) => value - other[place]);
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {Scene} scene
 * @param {Field} field
 * @param {number} ratio
 */
function structures(context, scene, field, ratio) {
  const { normal } = PLANES[field.plane];
  for (const [number, slabs] of scene.slabs) {
    const style = scene.styles.get(number);
    if (!style || !scene.shown.has(number)) continue;
    context.beginPath();
    if (normal === 2) {
      for (const loop of loopsAt(slabs, field.position)) {
        loop.forEach(([x, y], index) => {
          const place = field.placeOf(x, y);
          if (index) context.lineTo(...place);
          else context.moveTo(...place);
        });
        context.closePath();
      }
    } else {
      const found = uprightPieces(slabs, normal === 0 ? 0 : 1, field.position);
      for (let piece = 0; piece < found.length; piece += 4) {
        context.moveTo(...field.placeOf(found[piece], found[piece + 1]));
        context.lineTo(...field.placeOf(found[piece + 2], found[piece + 3]));
      }
    }
    // stacks of short pieces would begin their dashes anew at each slab
    stroke(context, style.colour, style.width * 0.8 * ratio, normal === 2 ? style.dash.map((px) => px * ratio) : []);
  }
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {Scene} scene
 * @param {Field} field
 * @param {Cut} dose
 * @param {number} ratio
 */
function isodoseLines(context, scene, field, dose, ratio) {
  const across = (/** @type {number} */ column) => (column - dose.column[0]) / dose.column[1];
  const down = (/** @type {number} */ row) => (row - dose.row[0]) / dose.row[1];
  for (const { dose_gy, colour } of scene.isodoses) {
    const found = pieces(dose, dose_gy);
    context.beginPath();
    for (let piece = 0; piece < found.length; piece += 4) {
      context.moveTo(...field.placeOf(across(found[piece]), down(found[piece + 1])));
      context.lineTo(...field.placeOf(across(found[piece + 2]), down(found[piece + 3])));
    }
    stroke(context, colour, 1.4 * ratio, []);
  }
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {Scene} scene
 * @param {Field} field
 * @param {number} ratio
 */
function cross(context, scene, field, ratio) {
  const { across, down } = field.axes;
  const [x, y] = field.placeOf(scene.cross[across], scene.cross[down]);
  const gap = 7 * ratio;
  context.beginPath();
  for (const [from, to] of [[[0, y], [x - gap, y]], [[x + gap, y], [field.width, y]], [[x, 0], [x, y - gap]], [[x, y + gap], [x, field.height]]]) {
    context.moveTo(from[0], from[1]);
    context.lineTo(to[0], to[1]);
  }
  stroke(context, "rgb(255 255 255 / 45%)", ratio, []);
}

/**
 * Letters of the patient's directions.
 * @param {CanvasRenderingContext2D} context
 * @param {Field} field
 * @param {number} ratio
 */
function edges(context, field, ratio) {
  const { left, right, top, bottom } = field.labels(), inset = 10 * ratio;
  context.font = `600 ${13 * ratio}px system-ui, sans-serif`;
  context.textAlign = "center";
  context.textBaseline = "middle";
  context.lineWidth = 3 * ratio;
  context.lineJoin = "round";
  context.strokeStyle = "#000000";
  context.fillStyle = "#ffffff";
  for (const [letter, x, y] of /** @type {[string, number, number][]} */ ([
    [left, inset, field.height / 2], [right, field.width - inset, field.height / 2],
    [top, field.width / 2, inset], [bottom, field.width / 2, field.height - inset],
  ])) {
    context.strokeText(letter, x, y);
    context.fillText(letter, x, y);
  }
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {string} colour
 * @param {number} width
 * @param {number[]} dash
 */
function stroke(context, colour, width, dash) {
  context.strokeStyle = colour;
  context.lineWidth = width;
  context.setLineDash(dash);
  context.stroke();
  context.setLineDash([]);
}
