// @ts-check
/**
 * Colours of structures and doses, which are the report's own and come with the case; and those of differences. All are
 * seen on the dark ground of pictures and DVHs.
 */

/** @typedef {import("./types.js").Roi} Roi */
/** @typedef {import("./types.js").DoseColours} DoseColours */
/** @typedef {{colour: string, dash: number[], width: number}} Style */

/**
 * @param {Roi[]} structures
 * @returns {Map<number, Style>} by ROI number
 */
export function structureStyles(structures) {
  return new Map(structures.map(({ roi_number, style: { colour, dash, width } }) =>
    [roi_number, { colour, dash: dash ? dash.split(" ").map(Number) : [], width }]));
}

/**
 * A colour as text needs it: lines are seen with less contrast than letters are read with.
 * @param {string} colour `#rrggbb`
 */
export function ofText(colour) {
  const channels = [1, 3, 5].map((place) => parseInt(colour.slice(place, place + 2), 16));
  return `#${channels.map((value) => Math.round(value + 0.45 * (255 - value)).toString(16).padStart(2, "0")).join("")}`;
}

/** The dose wash, from the lowest isodose upwards; between two isodoses the tone goes evenly from one to the next. */
export class DoseWash {
  /** @param {DoseColours} served */
  constructor({ isodoses, tones, wash_opacity }) {
    const rising = [...isodoses].reverse(), last = tones.length - 1;
    this.colours = Uint8Array.from(tones.flatMap((rgb) => [...rgb, Math.round(255 * wash_opacity)]));
    this.low = rising[0].dose_gy;
    const high = rising[rising.length - 1].dose_gy;
    this.places = Int16Array.from({ length: Math.ceil(high * PER_GY) + 1 }, (_, step) => {
      const gy = Math.min(Math.max(step / PER_GY, this.low), high);
      const after = Math.max(rising.findIndex((level) => level.dose_gy >= gy), 1);
      const [one, other] = [rising[after - 1], rising[after]];
      const part = (gy - one.dose_gy) / (other.dose_gy - one.dose_gy);
      return Math.round((one.tone + part * (other.tone - one.tone)) * last);
    });
  }

  /**
   * @param {number} gy
   * @returns {number} index of its colour, or -1 for none
   */
  place(gy) {
    return gy < this.low ? -1 : this.places[Math.min(Math.round(gy * PER_GY), this.places.length - 1)];
  }
}

/** Steps of the wash. */
const PER_GY = 20;

/** From less to more: blue, dark, orange. */
const CHANGE_STOPS = [[96, 176, 255], [40, 96, 190], [40, 40, 40], [190, 96, 20], [255, 176, 80]];

const COUNT = 256;

/**
 * @param {number} part 0 to 1
 * @param {number[][]} stops
 */
function mixed(part, stops) {
  const place = part * (stops.length - 1), first = Math.min(Math.floor(place), stops.length - 2);
  return stops[first].map((value, channel) => value + (place - first) * (stops[first + 1][channel] - value));
}

/**
 * @param {number[][]} stops
 * @param {(part: number) => number} opacity
 */
function table(stops, opacity) {
  const colours = new Uint8Array(4 * COUNT);
  for (let index = 0; index < COUNT; index++) {
    const part = index / (COUNT - 1);
    colours.set([...mixed(part, stops), 255 * opacity(part)], 4 * index);
  }
  return colours;
}

export const CHANGE_COLOURS = table(CHANGE_STOPS, (part) => Math.min(0.85, 2.4 * Math.abs(part - 0.5)));

/**
 * @param {number} most Gy of difference at which the colours end
 * @param {number} least no colour nearer to 0
 * @returns {(gy: number) => number}
 */
export function changePlace(most, least) {
  return (gy) => (Math.abs(gy) < least ? -1 : Math.min(Math.max(Math.floor((0.5 + gy / most / 2) * COUNT), 0), COUNT - 1));
}

/**
 * @param {number} gy
 * @param {number} most Gy
 * @returns {string}
 */
export function changeColour(gy, most) {
  return rgb(mixed(Math.min(Math.max(0.5 + gy / most / 2, 0), 1), CHANGE_STOPS));
}

/** @param {number[]} channels */
function rgb(channels) {
  return `rgb(${channels.map(Math.round).join(" ")})`;
}
