"""From objectives in a file to a plan in files; an engine in closed form stands behind it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest

from bridge import __version__
from bridge.dicom.phantom import PhantomCase
from bridge.dicom.read_dose import read_dose_object
from bridge.rt.errors import BridgeError, Failure
from bridge.tps.receipt import read_receipt
from bridge.workflow.dose_check import extract_files
from bridge.workflow.export import predicted_uid
from bridge.workflow.optimize import PLAN_FILES, Optimized, plan_files
from bridge.workflow.predict import predict_files, preference_in
from config.load import load_settings
from esapi_stub.planning import Watch
from models.registry import load_model
from objective_extraction.objective_json import read_objective_set
from tests.esapi_stub.fake_engine import FakeEngine
from tests.phantom import edit, write_small_phantom

SETTINGS = load_settings(None, {"prescription": {"fractions": 30}, "prediction": {"model": "geometric"}})


@pytest.fixture(scope="module")
def predicted(tmp_path_factory: pytest.TempPathFactory) -> tuple[PhantomCase, Path]:
    """A phantom and the folder of its prediction."""
    folder = tmp_path_factory.mktemp("predicted")
    phantom = write_small_phantom(folder / "dicom")
    predict_files(phantom.paths, load_model("geometric"), preference_in(SETTINGS), "abc", folder / "result", SETTINGS)
    return phantom, folder / "result"


def plan(predicted: tuple[PhantomCase, Path], out: Path, watch: Watch | None = None) -> Optimized:
    phantom, result = predicted
    watch = watch or Watch()
    return plan_files(phantom.paths, result / "objectives.json", FakeEngine(), out, SETTINGS, watch)


def test_the_files_say_what_was_planned(predicted: tuple[PhantomCase, Path], tmp_path: Path) -> None:
    done = plan(predicted, tmp_path / "plan")
    assert {path.name for path in (tmp_path / "plan").iterdir()} == set(PLAN_FILES.values())
    dose = read_dose_object(tmp_path / "plan" / "rtdose.dcm")
    assert np.abs(dose.dose.values - done.planned.dose.values).max() < 1e-4
    assert dose.summation_type == "PLAN"
    dvhs = json.loads((tmp_path / "plan" / "dvh.json").read_text())["structures"]
    assert [row["roi_number"] for row in dvhs] == [1, 2, 3, 4]
    assert dvhs[1]["metrics"]["mean_gy"] == pytest.approx(done.dvhs[1].mean_gy)
    assert dvhs[1]["metrics"]["ci_rtog"] > 0
    dataset = pydicom.dcmread(tmp_path / "plan" / "rtplan.dcm")
    assert [beam.ControlPointSequence[0].GantryAngle for beam in dataset.BeamSequence] == [40 * n for n in range(9)]
    assert dataset.FractionGroupSequence[0].NumberOfFractionsPlanned == 30
    assert {item.ReferencedROINumber for item in dataset.DoseReferenceSequence} >= {2, 3, 4}


def test_each_file_refers_to_what_it_comes_from(predicted: tuple[PhantomCase, Path], tmp_path: Path) -> None:
    phantom, result = predicted
    plan(predicted, tmp_path / "plan")
    dataset = pydicom.dcmread(tmp_path / "plan" / "rtplan.dcm")
    dose = pydicom.dcmread(tmp_path / "plan" / "rtdose.dcm")
    given = pydicom.dcmread(result / "rtplan.dcm")
    assert dose.ReferencedRTPlanSequence[0].ReferencedSOPInstanceUID == dataset.SOPInstanceUID
    assert dataset.ReferencedRTPlanSequence[0].ReferencedSOPInstanceUID == given.SOPInstanceUID
    assert dataset.ReferencedStructureSetSequence[0].ReferencedSOPInstanceUID == phantom.identity.structure_set_uid
    objectives = read_objective_set(result / "objectives.json")
    assert objectives.sha256 in dataset.RTPlanDescription
    receipt = read_receipt(tmp_path / "plan" / "receipt.json", objectives)
    assert (receipt.plan_uid, receipt.state) == (str(dataset.SOPInstanceUID), "applied")
    assert "Closed form" in " ".join(receipt.notes)


def test_plan_and_dose_name_the_engine_and_no_model_that_there_is_not(
    predicted: tuple[PhantomCase, Path], tmp_path: Path
) -> None:
    done = plan(predicted, tmp_path / "plan")
    dose, written = (pydicom.dcmread(tmp_path / "plan" / name) for name in ("rtdose.dcm", "rtplan.dcm"))
    assert dose.DoseComment == f"NOT FOR CLINICAL USE; {done.planned.engine} v{__version__}"
    equipment = dose.ContributingEquipmentSequence[0].ContributionDescription
    for text in (equipment, written.RTPlanDescription):
        assert f"engine {done.planned.engine}; config sha256" in text
        assert not any(absent in text for absent in ("none", "model", "preference"))


def test_objectives_of_a_doses_file_lead_to_no_exported_plan(
    predicted: tuple[PhantomCase, Path], tmp_path: Path
) -> None:
    phantom, result = predicted
    extract_files(result / "rtdose.dcm", phantom.structure_set_path, None, tmp_path / "objectives.json", SETTINGS)
    plan_files(phantom.paths, tmp_path / "objectives.json", FakeEngine(), tmp_path / "plan", SETTINGS)
    assert "ReferencedRTPlanSequence" not in pydicom.dcmread(tmp_path / "plan" / "rtplan.dcm")


def test_the_uid_of_a_prediction_outlives_its_file(predicted: tuple[PhantomCase, Path]) -> None:
    """Numbers change their spelling in JSON: 1.0 comes back as 1, and must still name the same plan."""
    _, result = predicted
    provenance = read_objective_set(result / "objectives.json").provenance
    assert predicted_uid(provenance, "predicted_plan") == pydicom.dcmread(result / "rtplan.dcm").SOPInstanceUID
    whole, parts = (predicted_uid(replace(provenance, preference={"hi": hi}), "predicted_plan") for hi in (1, 1.0))
    assert whole == parts


def test_two_optimizations_are_two_plans(predicted: tuple[PhantomCase, Path], tmp_path: Path) -> None:
    """Else the second would come to the bridge as other content under a known UID."""
    first, second = (plan(predicted, tmp_path / "plan") for _ in range(2))
    uids = [{a.sop_instance_uid for a in done.artifacts if a.sop_instance_uid} for done in (first, second)]
    assert [len(found) for found in uids] == [2, 2]
    assert not uids[0] & uids[1]


def changed_objectives(phantom: PhantomCase, objectives: Path) -> None:
    objectives.write_text(objectives.read_text().replace('"priority": 100', '"priority": 10'))


def changed_contours(phantom: PhantomCase, objectives: Path) -> None:
    def smaller(dataset: pydicom.Dataset) -> None:
        del dataset.ROIContourSequence[3].ContourSequence[0]

    edit(phantom.structure_set_path, smaller)


def another_patient(phantom: PhantomCase, objectives: Path) -> None:
    for path in phantom.paths:
        edit(path, lambda dataset: setattr(dataset, "PatientID", "SOMEBODY-ELSE"))


def another_structure_set(phantom: PhantomCase, objectives: Path) -> None:
    def other(dataset: pydicom.Dataset) -> None:
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = "1.2.3.4"

    edit(phantom.structure_set_path, other)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (changed_objectives, "objectives-changed"),
        (changed_contours, "input-changed"),
        (another_patient, "input-changed"),
        (another_structure_set, "objectives-of-other-case"),
    ],
)
def test_objectives_of_something_else_are_refused_and_nothing_is_written(
    predicted: tuple[PhantomCase, Path], tmp_path: Path, change: Callable[[PhantomCase, Path], None], code: str
) -> None:
    phantom = write_small_phantom(tmp_path / "dicom")
    objectives = Path(shutil.copy(predicted[1] / "objectives.json", tmp_path))
    change(phantom, objectives)
    with pytest.raises(BridgeError) as raised:
        plan_files(phantom.paths, objectives, FakeEngine(), tmp_path / "plan", SETTINGS)
    assert raised.value.code == code
    assert "SOMEBODY-ELSE" not in str(raised.value)
    assert not (tmp_path / "plan").exists()


def test_a_folder_with_other_things_is_left_alone_before_anything_is_computed(
    predicted: tuple[PhantomCase, Path], tmp_path: Path
) -> None:
    seen: list[int] = []
    (tmp_path / "plan").mkdir()
    (tmp_path / "plan" / "precious.txt").write_text("x")
    with pytest.raises(Failure) as raised:
        plan(predicted, tmp_path / "plan", Watch(lambda iteration, _: seen.append(iteration)))
    assert raised.value.code == "folder-in-use"
    assert [path.name for path in (tmp_path / "plan").iterdir()] == ["precious.txt"]
    assert not seen


def test_a_cancelled_plan_leaves_nothing(predicted: tuple[PhantomCase, Path], tmp_path: Path) -> None:
    with pytest.raises(Failure, match="cancelled"):
        plan(predicted, tmp_path / "plan", Watch(is_cancelled=lambda: True))
    assert list(tmp_path.iterdir()) == []
