"""From a case in memory to results, and from results to files."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest

from bridge.dicom.assemble import read_case
from bridge.dicom.read_dose import read_dose
from bridge.rt.case import Anatomy, PatientCase
from bridge.rt.dvh_compute import compute_dvh
from bridge.rt.errors import Refusal, StorageFailure
from bridge.rt.findings import Finding
from bridge.workflow import export
from bridge.workflow.export import ARTIFACT_FILES, export_case, metrics_of
from bridge.workflow.pipeline import CaseResult, predict_case, prepare
from bridge.workflow.predict import (
    dvh_policy,
    extraction_settings,
    model_in,
    predict_files,
    preference_in,
    structure_names,
)
from config.load import load_settings
from models.predictor import DosePredictor, Prediction, PreparedPredictor
from models.preference import NEUTRAL, Preference
from models.registry import load_model
from objective_extraction.objective_json import read_objective_set
from tests.phantom import CORD_OUTSIDE_BODY, STRUCTURES, write_plan_for, write_small_phantom

SETTINGS = load_settings(None)


def prepared(paths: tuple[Path, ...]) -> PatientCase:
    return prepare(read_case(paths).case, (), 30, structure_names(SETTINGS), {})


def predicted(
    case: PatientCase, predictor: DosePredictor | None = None, preference: Preference = NEUTRAL
) -> CaseResult:
    return predict_case(
        case, predictor or load_model("geometric"), preference, dose_grid_mm=2.5, dvh_policy=dvh_policy(SETTINGS),
        extraction=extraction_settings(SETTINGS), config_sha256=SETTINGS.sha256,
    )  # fmt: skip


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ...]:
    return write_small_phantom(tmp_path_factory.mktemp("phantom")).paths


@pytest.fixture(scope="module")
def result(paths: tuple[Path, ...]) -> CaseResult:
    return predicted(prepared(paths))


@pytest.fixture
def out(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "cases" / "out"
    assert not list(tmp_path.glob("cases/.*")), "nothing half made is left behind"


def write(result: CaseResult, folder: Path) -> dict[str, str | None]:
    artifacts = export_case(result, load_model("geometric").card, "abc", folder, SETTINGS)
    for artifact in artifacts:
        assert artifact.sha256 == hashlib.sha256((folder / artifact.path).read_bytes()).hexdigest()
    return {artifact.kind: artifact.sop_instance_uid for artifact in artifacts}


def test_prepare_names_organs_and_finds_levels_and_keeps_the_rest(paths: tuple[Path, ...]) -> None:
    given, case = read_case(paths).case, prepared(paths)
    assert [s.standard_name for s in case.structures] == [None, None, None, "SpinalCord"]
    assert case.prescription is not None
    assert {level.roi_number: level.dose_gy for level in case.prescription.levels} == {2: 60.0, 3: 50.0}
    assert case.prescription.fractions == 30
    assert (case.identity, case.input_uids) == (given.identity, given.input_uids)
    assert np.array_equal(case.ct.values, given.ct.values)
    assert set(case.input_uids) == {str(pydicom.dcmread(path).SOPInstanceUID) for path in paths}


def test_dvhs_are_of_the_predicted_dose_in_structure_order(result: CaseResult) -> None:
    assert [dvh.roi_number for dvh in result.dvhs] == [s.number for s in result.case.structures]
    for structure, dvh in zip(result.case.structures, result.dvhs, strict=True):
        again = compute_dvh(structure, result.prediction.dose, dvh_policy(SETTINGS))
        assert dvh.mean_gy == pytest.approx(again.mean_gy, abs=1e-9)
        assert dvh.mean_gy <= result.prediction.dose.maximum_gy
    high, low = result.dvhs[1], result.dvhs[2]
    assert 57.0 < high.dose_at_percent(95) < 63.0
    assert 47.0 < low.dose_at_percent(95) < 60.0


def test_objectives_are_of_this_case_and_no_easier_than_the_prediction(result: CaseResult) -> None:
    objectives, identity = result.objectives, result.case.identity
    assert objectives.case.structure_set_uid == identity.structure_set_uid
    assert objectives.case.frame_of_reference_uid == result.prediction.dose.grid.frame_of_reference_uid
    assert objectives.prescription == result.case.prescription
    names = {structure.name for structure in STRUCTURES}
    assert {"PTV_6000", "PTV_5000", "SpinalCord"} <= {o.roi_name for o in objectives.objectives}
    rings = {o.roi_name for o in objectives.objectives} - names
    assert len(rings) <= 1
    (cord,) = [dvh for dvh in result.dvhs if dvh.roi_name == "SpinalCord"]
    for objective in objectives.objectives:
        if objective.roi_name == "SpinalCord" and objective.kind == "point" and objective.volume_percent:
            assert objective.operator == "upper"
            assert objective.dose_gy == pytest.approx(cord.dose_at_percent(objective.volume_percent), abs=0.5)


def test_the_objectives_carry_every_warning_about_case_and_dose(tmp_path: Path, out: Path) -> None:
    """What is approved and handed over is the objectives file: a warning that it lacks reaches nobody in Eclipse."""
    result = predicted(prepared(write_small_phantom(tmp_path / "dicom", CORD_OUTSIDE_BODY).paths))
    write(result, out)
    told = json.loads((out / "result.json").read_text())["findings"]
    warnings = [finding for finding in told if finding["severity"] == "warning"]
    assert "outside-body" in {finding["code"] for finding in warnings}
    carried = json.loads((out / "objectives.json").read_text())["findings"]
    assert all(warning in carried for warning in warnings)
    assert len({json.dumps(finding, sort_keys=True) for finding in told}) == len(told), "each is said once"


def test_provenance_says_what_made_it(result: CaseResult) -> None:
    predictor, provenance = load_model("geometric"), result.provenance
    assert (provenance.model_id, provenance.model_sha256) == (predictor.card.id, predictor.sha256)
    assert provenance.config_sha256 == SETTINGS.sha256
    assert provenance.input_uids == result.case.input_uids
    assert provenance.created_utc.utcoffset() is not None


class _Holding:
    """A model that says of two wishes that it held them, and of one that it could not ask for it."""

    card, sha256 = load_model("geometric").card, load_model("geometric").sha256

    def predict(self, anatomy: Anatomy, preference: Preference = NEUTRAL) -> Prediction:
        plain = load_model("geometric").predict(anatomy, NEUTRAL)
        held = {"hi": ("0.020", "0.105"), "oar_weight.Parotid_L": ("9.00", "1.45")}
        findings = [
            Finding("preference-limited", "warning", "Held.", {"wish": wish, "asked": asked, "used": used})
            for wish, (asked, used) in held.items()
        ]
        thin = Finding("preference-limited", "warning", "The highest target is thin.")
        return replace(plain, preference=preference, findings=(*findings, thin))

    def prepare(self, anatomy: Anatomy) -> PreparedPredictor:
        raise NotImplementedError


def test_provenance_says_what_was_asked_and_what_was_used(paths: tuple[Path, ...], out: Path) -> None:
    asked = Preference("test", hi=0.02, oar_weights={"Parotid_L": 9.0})
    result = predicted(prepared(paths), _Holding(), asked)
    used = {"hi": 0.105, "oar_weight.Parotid_L": 1.45}
    assert result.provenance.preference == asked.as_dict()
    assert result.provenance.preference_used == used
    write(result, out)
    for file in ("objectives.json", "dvh.json", "result.json"):
        assert json.loads((out / file).read_text())["provenance"]["preference_used"] == used
    assert read_objective_set(out / "objectives.json").provenance == result.provenance
    (equipment,) = pydicom.dcmread(out / ARTIFACT_FILES["predicted_dose"]).ContributingEquipmentSequence
    told = "preference hi=0.02 oar_weight.Parotid_L=9; of it used hi=0.105 oar_weight.Parotid_L=1.45"
    assert equipment.ContributionDescription.endswith(told)
    told = "hi = 0.02, oar_weight.Parotid_L = 9; used: hi = 0.105, oar_weight.Parotid_L = 1.45"
    assert told in (out / "report.html").read_text()


def test_what_was_used_as_asked_is_not_said_twice(result: CaseResult) -> None:
    """Nor does it change the hash of objectives that were written before provenance said it."""
    assert "preference_used" not in result.provenance.as_dict()


def test_a_case_without_prescription_is_refused(paths: tuple[Path, ...]) -> None:
    with pytest.raises(Refusal) as raised:
        predicted(replace(prepared(paths), prescription=None))
    assert raised.value.code == "prescription-missing"


def test_export_writes_everything_and_the_dose_reads_back(result: CaseResult, out: Path) -> None:
    uids = write(result, out)
    assert {path.name for path in out.iterdir()} == set(ARTIFACT_FILES.values())
    assert set(uids) == set(ARTIFACT_FILES)
    dose = read_dose(out / "rtdose.dcm")
    assert dose.grid.matches(result.prediction.dose.grid)
    assert np.abs(dose.values - result.prediction.dose.values).max() < 1e-4
    files = {kind: pydicom.dcmread(out / ARTIFACT_FILES[kind]) for kind in ("predicted_dose", "predicted_plan")}
    assert {kind: str(file.SOPInstanceUID) for kind, file in files.items()} == {
        kind: uid for kind, uid in uids.items() if uid
    }
    named = files["predicted_dose"].ReferencedRTPlanSequence[0].ReferencedSOPInstanceUID
    assert named == uids["predicted_plan"]
    summary = json.loads((out / "result.json").read_text())
    assert summary["files_sha256"] == {
        name: hashlib.sha256((out / name).read_bytes()).hexdigest()
        for kind, name in ARTIFACT_FILES.items()
        if kind != "result"
    }
    dvhs = json.loads((out / "dvh.json").read_text())["structures"]
    assert [row["roi_number"] for row in dvhs] == [1, 2, 3, 4]
    assert dvhs[3]["metrics"]["mean_gy"] == pytest.approx(result.dvhs[3].mean_gy)
    assert set(metrics_of(result)) == {1, 2, 3, 4}


def test_only_dicom_objects_and_the_report_name_the_patient(result: CaseResult, out: Path) -> None:
    secret = replace(result.case.identity, patient_name="Secret^Name", patient_id="SECRET-ID")
    write(replace(result, case=replace(result.case, identity=secret)), out)
    naming = {path.name for path in out.iterdir() if b"secret" in path.read_bytes().lower()}
    assert naming == {"rtdose.dcm", "rtplan.dcm", "report.html"}


def test_the_same_inputs_give_the_same_uids(result: CaseResult, paths: tuple[Path, ...], tmp_path: Path) -> None:
    first = write(result, tmp_path / "one")
    assert write(predicted(prepared(paths)), tmp_path / "two") == first
    for change in (
        {"config_sha256": "0" * 64},
        {"model_sha256": "0" * 64},
        {"input_uids": {**result.provenance.input_uids, "1.2.3": "0" * 64}},
        {"preference": {"SpinalCord": 2.0}},
        {"software_version": "9"},
    ):
        provenance = replace(result.provenance, **change)
        objectives = replace(result.objectives, provenance=provenance)
        other = write(replace(result, objectives=objectives, provenance=provenance), tmp_path / "other")
        assert not {uid for uid in other.values() if uid} & set(first.values()), change


@pytest.mark.parametrize("step", ["write_rtdose", "write_objective_set", "write_case_report", "_summary"])
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), RuntimeError("a bug")])
def test_a_failure_in_the_middle_leaves_no_half_folder(
    result: CaseResult, out: Path, monkeypatch: pytest.MonkeyPatch, step: str, error: Exception
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(export, step, fail)
        with pytest.raises(StorageFailure if isinstance(error, OSError) else RuntimeError, match=r"space|bug"):
            write(result, out)
    assert not out.exists()
    write(result, out)
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    monkeypatch.setattr(export, step, fail)
    with pytest.raises((StorageFailure, RuntimeError)):
        write(result, out)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before, "the earlier results are as they were"


def test_what_an_interrupted_attempt_left_is_replaced(result: CaseResult, out: Path) -> None:
    left = out.with_name(".out.part")
    left.mkdir(parents=True)
    (left / "rtdose.dcm").write_bytes(b"half")
    write(result, out)
    assert not left.exists()


def test_a_folder_with_other_things_in_it_is_left_alone(result: CaseResult, out: Path) -> None:
    out.mkdir(parents=True)
    (out / "patients.txt").write_text("precious")
    with pytest.raises(StorageFailure) as raised:
        write(result, out)
    assert raised.value.code == "folder-in-use"
    assert [path.read_text() for path in out.iterdir()] == ["precious"]


def test_a_plan_prescribes_before_the_names_do(tmp_path: Path) -> None:
    phantom = write_small_phantom(
        tmp_path / "dicom",
        [replace(s, name=s.name.split("_")[0] + str(i)) if "PTV" in s.name else s for i, s in enumerate(STRUCTURES)],
    )
    plan = tmp_path / "plan.dcm"
    write_plan_for(phantom, plan, {2: 66.0, 3: 54.0}, fractions=33)
    made = predict_files(
        (*phantom.paths, plan), load_model("geometric"), preference_in(SETTINGS), "abc", tmp_path / "out", SETTINGS
    )
    prescription = made.result.objectives.prescription
    assert [(level.roi_number, level.dose_gy) for level in prescription.levels] == [(2, 66.0), (3, 54.0)]
    assert prescription.fractions == 33


def test_targets_carry_their_conformity(result: CaseResult) -> None:
    """The same numbers as the index of the DVHs, and none for what is no target."""
    metrics = metrics_of(result)
    levels = {level.roi_number: level.dose_gy for level in result.objectives.prescription.levels}
    by_number = {dvh.roi_number: dvh for dvh in result.dvhs}
    body = next(dvh for dvh in result.dvhs if dvh.roi_name == "BODY")
    for number, found in metrics.items():
        if number not in levels:
            assert "ci_rtog" not in found
            continue
        target, isodose_cc = by_number[number], body.cc_at_dose(levels[number])
        assert found["ci_rtog"] == pytest.approx(isodose_cc / target.volume_cc)
        assert found["r50"] == pytest.approx(body.cc_at_dose(levels[number] / 2.0) / target.volume_cc)


@pytest.mark.parametrize("mirrored", [True, False])
def test_the_settings_decide_whether_the_mirror_image_is_predicted_as_well(mirrored: bool) -> None:
    predictor = model_in(load_settings(None, {"prediction": {"model": "fdp-openkbp-v1", "mirror_average": mirrored}}))
    assert predictor.model.mirror_average is mirrored  # type: ignore[attr-defined]
