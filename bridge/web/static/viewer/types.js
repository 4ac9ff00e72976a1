// @ts-check
/**
 * What the server answers, as far as the viewer reads it. Doses in Gy, positions in mm of the patient (LPS).
 *
 * @typedef {[number, number, number]} Vec3
 * @typedef {"axial" | "coronal" | "sagittal"} PlaneName
 * @typedef {{dtype: string, shape: Vec3, affine: number[][], spacing_mm: Vec3, unit: string, step: number,
 *   frame_of_reference_uid: string}} Described
 * @typedef {Described & {name: string, came_utc: string | null}} DescribedDose
 * @typedef {{roi_number: number, roi_name: string, standard_name: string | null, kind: string, is_empty: boolean,
 *   style: {colour: string, dash: string, width: number}}} Roi
 * @typedef {{dose_gy: number, percent: number, tone: number, colour: string, note: string}} Isodose
 * @typedef {{isodoses: Isodose[], tones: number[][], wash_opacity: number}} DoseColours
 * @typedef {{roi_number: number, roi_name: string, dose_gy: number}} Level
 * @typedef {{name: string, roi_number: number | null, roi_name: string | null, low: number, high: number,
 *   step: number, neutral: number | null, metric: string | null}} SliderSpec
 * @typedef {{name: string, wishes: Record<string, number>, refusal: string | null, read_only: boolean,
 *   author: string | null}} Preset
 * @typedef {{id: string, name: string, birth_date: string, sex: string, study_date: string, position: string}} Person
 * @typedef {{case_id: string, result: string, patient: Person, prescription: {fractions: number | null,
 *   levels: Level[]}, structures: Roi[], dose_colours: DoseColours, ct: Described, doses: DescribedDose[], sliders: SliderSpec[],
 *   predicted_with: Record<string, number>}} Geometry
 * @typedef {{z_mm: number, loops_mm: [number, number][][]}} ContourPlane
 * @typedef {{roi_number: number, roi_name: string, volume_cc: number, metrics: Record<string, number | null> | null,
 *   curve: {volume_percent: number[], dose_gy: number[]} | null}} StructureDvh
 * @typedef {{roi_number: number, roi_name: string, what: string, is_hard: boolean, reached_gy: number | null,
 *   excess_gy: number | null, is_met: boolean}} GoalOutcome
 * @typedef {{code?: string, severity: string, message: string, where?: Record<string, string>}} Finding
 * @typedef {{structures: StructureDvh[]}} DvhDocument
 * @typedef {{volume: string, dose: Described, preference: Record<string, number>, dvh: DvhDocument,
 *   goals: GoalOutcome[], findings: Finding[]}} PreviewAnswer
 *
 * One dose with all that is shown of it.
 * @typedef {{title: string, volume: import("./volume.js").Volume, dvh: DvhDocument, goals: GoalOutcome[],
 *   findings: Finding[], isPreview: boolean}} DoseResult
 *
 * Values of the sliders by the name of the wish; what is not there is not wished.
 * @typedef {Record<string, number>} Wishes
 */
export {};
