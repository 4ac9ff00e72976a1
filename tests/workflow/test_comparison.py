"""Predicted and optimized held against each other: the differences of two doses that differ by a known factor."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest

from bridge.dicom.phantom import PhantomCase
from bridge.dicom.read_dose import read_dose
from bridge.dicom.write_dose import write_rtdose
from bridge.rt.errors import Refusal
from bridge.rt.grid import Grid
from bridge.rt.volume import Dose
from bridge.workflow.comparison import compare_files, comparison_folder
from bridge.workflow.jobs import Artifact, Job
from bridge.workflow.predict import predict_files, preference_in, prepared_case
from bridge.workflow.reimport import Reimport
from config.load import load_settings
from models.registry import load_model
from tests.phantom import CORD_OUTSIDE_BODY, PROVENANCE, edit, write_plan_for, write_small_phantom

SETTINGS = load_settings(None, {"prescription": {"fractions": 30}})
PLAN_UID, DOSE_UID = "1.2.3.7", "1.2.3.8"
FACTOR = 0.9


@pytest.fixture(scope="module")
def predicted(tmp_path_factory: pytest.TempPathFactory) -> tuple[PhantomCase, Path, tuple[Artifact, ...]]:
    folder = tmp_path_factory.mktemp("predicted")
    phantom = write_small_phantom(folder / "dicom")
    made = predict_files(
        phantom.paths, load_model("geometric"), preference_in(SETTINGS), "abc", folder / "result", SETTINGS
    )
    return phantom, folder / "result", made.artifacts


@pytest.fixture
def dose(predicted: tuple[PhantomCase, Path, tuple[Artifact, ...]], tmp_path: Path) -> Path:
    phantom, results, _ = predicted
    return dose_of(phantom, results, tmp_path / "RD.dcm")


def dose_of(phantom: PhantomCase, results: Path, path: Path) -> Path:
    """Write the predicted dose times a factor, as if a planning system had made it."""
    before = read_dose(results / "rtdose.dcm")
    maker = replace(PROVENANCE, model_id="", model_sha256="")
    write_rtdose(
        Dose(before.values * FACTOR, before.grid), phantom.identity, maker, plan_uid=PLAN_UID, bits=32,
        sop_instance_uid=DOSE_UID, series_instance_uid="1.2.3.80", path=path, engine="pencil beam (research)",
    )  # fmt: skip
    return path


def plan_of(phantom: PhantomCase, dose: Path) -> Path:
    """Write a plan beside a dose."""
    path = dose.parent / "RP.dcm"
    write_plan_for(phantom, path, {2: 60.0})
    edit(path, lambda dataset: setattr(dataset, "RTPlanLabel", "NeckBoost2"))
    return path


def work(artifacts: tuple[Artifact, ...], follows: bool = True) -> Reimport:
    return Reimport(1, Job(1, "abc", "1" * 64, ()), artifacts, "2" * 64, "3" * 64, follows)


def compare(
    predicted: tuple[PhantomCase, Path, tuple[Artifact, ...]], dose: Path, follows: bool = True
) -> tuple[str, dict[str, object]]:
    phantom, results, artifacts = predicted
    out = dose.parent / "comparison"
    made = compare_files(phantom.paths, results, work(artifacts, follows), dose, plan_of(phantom, dose), out, SETTINGS)
    assert {artifact.path for artifact in made} == {path.name for path in out.iterdir()} == {"report.html", "dvh.json"}
    return (out / "report.html").read_text(), json.loads((out / "dvh.json").read_text())


def test_a_dose_scaled_by_a_factor_differs_by_just_that(
    predicted: tuple[PhantomCase, Path, tuple[Artifact, ...]], dose: Path
) -> None:
    _, content = compare(predicted, dose)
    before = json.loads((predicted[1] / "dvh.json").read_text())["structures"]
    rows = {row["roi_number"]: row for row in content["optimized_less_predicted"]}  # type: ignore[attr-defined]
    assert set(rows) == {1, 2, 3, 4}
    for row, after in zip(before, content["structures"], strict=True):  # type: ignore[call-overload]
        mean_gy = row["metrics"]["mean_gy"]
        assert after["metrics"]["mean_gy"] == pytest.approx(FACTOR * mean_gy, rel=1e-4)
        found = rows[row["roi_number"]]
        assert found["mean_dose_gy"] == pytest.approx((FACTOR - 1.0) * mean_gy, rel=1e-3)
        assert found["mean_signed_gy"] == pytest.approx(-found["mean_abs_gy"])


def test_the_report_shows_what_was_asked_predicted_and_optimized(
    predicted: tuple[PhantomCase, Path, tuple[Artifact, ...]], dose: Path
) -> None:
    html, _ = compare(predicted, dose)
    assert html.count(", optimized</title>") == 4
    assert html.count('<g class="asked">') == 1
    assert "SpinalCord upper" in html
    assert DOSE_UID in html
    assert PLAN_UID in html
    assert "NOT FOR CLINICAL USE" in html
    assert "plan-not-linked" not in html
    assert "dvh-coverage" not in html


def by_a_planning_system(dataset: pydicom.Dataset) -> None:
    del dataset.ContributingEquipmentSequence
    dataset.Manufacturer, dataset.ManufacturerModelName = "Varian Medical Systems", "ARIA RadOnc"


def test_the_head_of_the_report_names_what_optimized_the_plan(
    predicted: tuple[PhantomCase, Path, tuple[Artifact, ...]], dose: Path
) -> None:
    html, _ = compare(predicted, dose)
    assert "<dt>Optimized by</dt><dd>pencil beam (research)</dd>" in html
    assert "<dt>Plan</dt><dd>NeckBoost2</dd>" in html
    highest_gy = read_dose(predicted[1] / "rtdose.dcm").maximum_gy
    assert f"<dd>{highest_gy:.2f} Gy predicted, {FACTOR * highest_gy:.2f} Gy optimized</dd>" in html
    edit(dose, by_a_planning_system)
    assert "<dt>Optimized by</dt><dd>Varian Medical Systems ARIA RadOnc</dd>" in compare(predicted, dose)[0]


def test_what_the_prediction_warned_of_is_said_again(tmp_path: Path) -> None:
    """That half of the cord lies outside the body was found on the way to the prediction, not on reading the files."""
    phantom = write_small_phantom(tmp_path / "dicom", CORD_OUTSIDE_BODY)
    results = tmp_path / "result"
    made = predict_files(phantom.paths, load_model("geometric"), preference_in(SETTINGS), "abc", results, SETTINGS)
    html, _ = compare((phantom, results, made.artifacts), dose_of(phantom, results, tmp_path / "RD.dcm"))
    assert html.count("<code>outside-body</code>") == 1
    assert "no warning" not in html


def test_a_plan_that_does_not_follow_ours_is_a_warning(
    predicted: tuple[PhantomCase, Path, tuple[Artifact, ...]], dose: Path
) -> None:
    html, _ = compare(predicted, dose, follows=False)
    assert "plan-not-linked" in html


def test_a_dose_that_does_not_reach_all_of_a_structure_says_so(
    predicted: tuple[PhantomCase, Path, tuple[Artifact, ...]], tmp_path: Path
) -> None:
    """A planning system calculates where it is told to; the DVH of half a cord is not that of the cord."""
    phantom, results, _ = predicted
    before = read_dose(results / "rtdose.dcm")
    planes, *plane = before.grid.shape
    half = Grid((planes // 2, plane[0], plane[1]), before.grid.affine, before.grid.frame_of_reference_uid)
    write_rtdose(
        Dose(before.values[: planes // 2], half), phantom.identity, PROVENANCE, plan_uid=PLAN_UID, bits=32,
        sop_instance_uid=DOSE_UID, series_instance_uid="1.2.3.80", path=tmp_path / "RD.dcm",
    )  # fmt: skip
    html, _ = compare(predicted, tmp_path / "RD.dcm")
    assert "dvh-coverage" in html
    assert "lies inside the grid of the dose that came back" in html


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_a_dose_that_covers_half_of_a_target_is_flagged_by_its_name(
    predicted: tuple[PhantomCase, Path, tuple[Artifact, ...]], tmp_path: Path
) -> None:
    phantom, results, _ = predicted
    whole = read_dose(results / "rtdose.dcm")
    objectives = json.loads((results / "objectives.json").read_text())
    target = max(objectives["prescription"]["levels"], key=lambda level: level["dose_gy"])["roi_name"]
    structure = next(one for one in prepared_case(phantom.paths, SETTINGS).structures if one.name == target)
    heights = [plane.z_mm for plane in structure.planes]
    middle_mm = (min(heights) + max(heights)) / 2.0
    last = int(whole.grid.indices(np.array([[0.0, 0.0, middle_mm]]))[0, 0].round())
    half = Grid((last + 1, *whole.grid.shape[1:]), whole.grid.affine, whole.grid.frame_of_reference_uid)
    write_rtdose(
        Dose(whole.values[: last + 1], half), phantom.identity, PROVENANCE, plan_uid=PLAN_UID, bits=32,
        sop_instance_uid=DOSE_UID, series_instance_uid="1.2.3.80", path=tmp_path / "RD.dcm",
    )  # fmt: skip
    before = contents(results)
    html, dvhs = compare(predicted, tmp_path / "RD.dcm")
    (row,) = (one for one in dvhs["structures"] if one["roi_name"] == target)  # type: ignore[attr-defined]
    assert row["status"] == "partly_outside_dose_grid"
    assert row["coverage_fraction"] == pytest.approx(0.5, abs=0.1)
    assert re.search(rf"{target}.{{0,80}}lies inside the grid of the dose that came back", html)
    assert contents(results) == before


def another_patient(dataset: pydicom.Dataset) -> None:
    dataset.PatientID = "SOMEBODY-ELSE"


def another_study(dataset: pydicom.Dataset) -> None:
    dataset.StudyInstanceUID = "1.2.3.4"


def another_frame(dataset: pydicom.Dataset) -> None:
    dataset.FrameOfReferenceUID = "1.2.3.4"


def in_relative_units(dataset: pydicom.Dataset) -> None:
    dataset.DoseUnits = "RELATIVE"


def one_beam(dataset: pydicom.Dataset) -> None:
    dataset.DoseSummationType = "BEAM"


def another_structure_set(dataset: pydicom.Dataset) -> None:
    reference = pydicom.Dataset()
    reference.ReferencedSOPClassUID = "1.2.840.10008.5.1.4.1.1.481.3"
    reference.ReferencedSOPInstanceUID = "1.2.3.4"
    dataset.ReferencedStructureSetSequence = [reference]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (another_patient, "two-patients"),
        (another_study, "two-patients"),
        (another_frame, "frame-of-reference"),
        (another_structure_set, "other-structure-set"),
        (one_beam, "dose-summation"),
        (in_relative_units, "dose-units"),
    ],
)
def test_what_does_not_belong_to_the_prediction_is_refused(
    predicted: tuple[PhantomCase, Path, tuple[Artifact, ...]],
    dose: Path,
    change: Callable[[pydicom.Dataset], None],
    code: str,
) -> None:
    edit(dose, change)
    before = contents(predicted[1])
    with pytest.raises(Refusal) as raised:
        compare(predicted, dose)
    assert raised.value.code == code
    assert contents(predicted[1]) == before
    assert "SOMEBODY-ELSE" not in str(raised.value)
    assert not (dose.parent / "comparison").exists()


def test_a_prediction_that_was_changed_is_not_compared_with(
    predicted: tuple[PhantomCase, Path, tuple[Artifact, ...]], dose: Path
) -> None:
    phantom, results, artifacts = predicted
    changed = (*artifacts[1:], replace(artifacts[0], sha256="0" * 64))
    with pytest.raises(Refusal) as raised:
        compare_files(
            phantom.paths, results, work(changed), dose, plan_of(phantom, dose), dose.parent / "comparison", SETTINGS
        )
    assert raised.value.code == "artifact-changed"


def test_two_doses_of_one_case_lie_apart(tmp_path: Path) -> None:
    one, other = work(()), replace(work(()), dose_sha256="4" * 64)
    folders = [comparison_folder(tmp_path, item) for item in (one, other)]
    assert folders[0] != folders[1]
    assert {folder.parent for folder in folders} == {tmp_path / "abc"}
