// @ts-check
/** Pixels of a picture: CT in grey, and over it a dose or the difference of two doses in colour. */

/** @typedef {import("./plane.js").Cut} Cut */
/** @typedef {import("./plane.js").Field} Field */

/**
 * For each pixel along one side of the canvas: the voxel before it and the weight of the next one; -1 beyond.
 * @param {[number, number]} line index as a function of mm
 * @param {number} count voxels
 * @param {number} pixels
 * @param {(pixel: number) => number} mm
 * @param {boolean} toFaces
 */
function steps(line, count, pixels, mm, toFaces) {
  const first = new Int32Array(pixels), part = new Float32Array(pixels), edge = toFaces ? 0.5 : 1e-6;
  for (let pixel = 0; pixel < pixels; pixel++) {
    const index = line[0] + line[1] * mm(pixel + 0.5);
    const inside = Math.min(Math.max(index, 0), count - 1);
    first[pixel] = index >= -edge && index <= count - 1 + edge ? Math.min(Math.floor(inside), Math.max(count - 2, 0)) : -1;
    part[pixel] = inside - Math.max(first[pixel], 0);
  }
  return { first, part };
}

/**
 * Values of a cut at the middles of all pixels of a field; NaN beyond the cut.
 * @param {Cut} cut
 * @param {Field} field
 * @param {boolean} toFaces
 * @returns {Float32Array}
 */
export function sampled(cut, field, toFaces) {
  const { width, height } = field;
  const across = steps(cut.column, cut.width, width, (x) => field.mmAt(x, 0)[0], toFaces);
  const down = steps(cut.row, cut.height, height, (y) => field.mmAt(0, y)[1], toFaces);
  const result = new Float32Array(width * height).fill(NaN);
  const nextColumn = cut.width > 1 ? 1 : 0, nextRow = cut.height > 1 ? cut.width : 0;
  for (let y = 0; y < height; y++) {
    if (down.first[y] < 0) continue;
    const above = down.first[y] * cut.width, below = above + nextRow, v = down.part[y];
    for (let x = 0, place = y * width; x < width; x++, place++) {
      const i = across.first[x];
      if (i < 0) continue;
      const u = across.part[x];
      const upper = cut.values[above + i] * (1 - u) + cut.values[above + i + nextColumn] * u;
      const lower = cut.values[below + i] * (1 - u) + cut.values[below + i + nextColumn] * u;
      result[place] = upper * (1 - v) + lower * v;
    }
  }
  return result;
}

/**
 * @param {Uint8ClampedArray} pixels red, green, blue, opacity; written
 * @param {Float32Array | null} hounsfield
 * @param {{level: number, width: number}} window
 * @param {Float32Array | null} values dose or difference, Gy
 * @param {(gy: number) => number} place index of a colour, or -1 for none
 * @param {Uint8Array} colours red, green, blue, opacity of each
 */
export function paint(pixels, hounsfield, window, values, place, colours) {
  const black = window.level - window.width / 2, perHu = 255 / window.width;
  for (let pixel = 0, byte = 0; byte < pixels.length; pixel++, byte += 4) {
    const hu = hounsfield ? hounsfield[pixel] : NaN;
    const grey = hu === hu ? Math.min(Math.max((hu - black) * perHu, 0), 255) : 0;
    const colour = values && values[pixel] === values[pixel] ? place(values[pixel]) : -1;
    if (colour < 0) {
      pixels[byte] = pixels[byte + 1] = pixels[byte + 2] = grey;
    } else {
      const opacity = colours[4 * colour + 3] / 255, under = grey * (1 - opacity);
      pixels[byte] = under + opacity * colours[4 * colour];
      pixels[byte + 1] = under + opacity * colours[4 * colour + 1];
      pixels[byte + 2] = under + opacity * colours[4 * colour + 2];
    }
    pixels[byte + 3] = 255;
  }
}
