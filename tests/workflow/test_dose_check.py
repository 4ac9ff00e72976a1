"""DVHs and objectives of any dose. Cylinders in a linear dose have DVHs in closed form."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset

from bridge.dicom.phantom import PhantomCase
from bridge.dicom.uids import derived_uid
from bridge.dicom.write_dose import write_rtdose
from bridge.rt.errors import BridgeError
from bridge.workflow.dose_check import extract_files, measure_files
from config.load import load_settings
from tests.phantom import PROVENANCE, STRUCTURES, edit, linear_dose, linear_dose_gy, write_small_phantom

SETTINGS = load_settings(None, {"dvh": {"end_caps": "half_slice"}})
GRADIENT = np.array([0.21, -0.17, 0.34])


@pytest.fixture
def phantom(tmp_path: Path) -> PhantomCase:
    return write_small_phantom(tmp_path / "dicom")


@pytest.fixture
def dose(phantom: PhantomCase, tmp_path: Path) -> Path:
    return written(phantom, tmp_path / "dose.dcm")


def written(phantom: PhantomCase, path: Path, patient_id: str = "PHANTOM-1", engine: str = "") -> Path:
    write_rtdose(
        linear_dose(phantom.grid), replace(phantom.identity, patient_id=patient_id), PROVENANCE,
        plan_uid=derived_uid("plan"), bits=32, sop_instance_uid=derived_uid("dose"),
        series_instance_uid=derived_uid("doses"), path=path, engine=engine,
    )  # fmt: skip
    return path


def test_the_dvh_of_any_dose_equals_its_closed_form(phantom: PhantomCase, dose: Path) -> None:
    """In a linear dose the mean is that at the centroid, and the range is that of the cylinder's rim."""
    measured = measure_files(dose, phantom.structure_set_path, SETTINGS)
    assert [dvh.roi_name for dvh in measured.dvhs] == [structure.name for structure in STRUCTURES]
    for truth, dvh in zip(STRUCTURES[1:3], measured.dvhs[1:3], strict=True):
        a, b, half_length = truth.semi_axes_mm
        mean_gy = float(linear_dose_gy(np.array([truth.centre_mm]))[0])
        reach_gy = float(np.hypot(GRADIENT[0] * a, GRADIENT[1] * b) + GRADIENT[2] * half_length)
        assert dvh.volume_cc == pytest.approx(truth.volume_cc, rel=1e-3)
        assert dvh.coverage == pytest.approx(1.0)
        assert dvh.mean_gy == pytest.approx(mean_gy, abs=0.02)
        assert dvh.max_gy == pytest.approx(mean_gy + reach_gy, abs=0.1)
        # a symmetric distribution: the median is the mean, and D10 and D90 lie alike around it
        assert dvh.dose_at_percent(50) == pytest.approx(mean_gy, abs=0.05)
        assert dvh.dose_at_percent(10) + dvh.dose_at_percent(90) == pytest.approx(2 * mean_gy, abs=0.05)


def test_provenance_names_both_files_and_no_model(phantom: PhantomCase, dose: Path) -> None:
    content = measure_files(dose, phantom.structure_set_path, SETTINGS).as_json()
    text = json.dumps(content, allow_nan=False)
    assert phantom.identity.structure_set_uid in text
    assert derived_uid("dose") in text
    assert phantom.identity.patient_id not in text
    assert phantom.identity.patient_name not in text


def other_frame(dataset: Dataset) -> None:
    dataset.FrameOfReferenceUID = "1.2.3.4"


def other_structure_set(dataset: Dataset) -> None:
    reference = Dataset()
    reference.ReferencedSOPClassUID = "1.2.840.10008.5.1.4.1.1.481.3"
    reference.ReferencedSOPInstanceUID = "1.2.3.4"
    dataset.ReferencedStructureSetSequence = [reference]


def other_patient(dataset: Dataset) -> None:
    dataset.PatientID = "SOMEBODY-ELSE"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (other_patient, "two-patients"),
        (other_structure_set, "other-structure-set"),
        (other_frame, "frame-of-reference"),
    ],
)
def test_what_does_not_belong_together_is_refused(
    phantom: PhantomCase, dose: Path, tmp_path: Path, change: Callable[[Dataset], None], code: str
) -> None:
    edit(dose, change)
    for act in (
        lambda: measure_files(dose, phantom.structure_set_path, SETTINGS),
        lambda: extract_files(dose, phantom.structure_set_path, None, tmp_path / "o.json", SETTINGS),
    ):
        with pytest.raises(BridgeError) as raised:
            act()
        assert raised.value.code == code
        assert "SOMEBODY-ELSE" not in str(raised.value)
    assert not (tmp_path / "o.json").exists()


@pytest.mark.parametrize("with_ct", [True, False])
def test_objectives_are_extracted_from_the_dose_that_was_given(
    phantom: PhantomCase, dose: Path, tmp_path: Path, with_ct: bool
) -> None:
    ct = tmp_path / "dicom" if with_ct else None
    out = tmp_path / "objectives.json"
    objectives = extract_files(dose, phantom.structure_set_path, ct, out, SETTINGS)
    assert out.with_suffix(".xml").is_file()
    assert objectives.case.structure_set_uid == phantom.identity.structure_set_uid
    cord = measure_files(dose, phantom.structure_set_path, SETTINGS).dvhs[3]
    points = [
        o for o in objectives.objectives if o.roi_name == "SpinalCord" and o.kind == "point" and o.volume_percent > 0
    ]
    assert points
    for point in points:
        assert point.dose_gy == pytest.approx(cord.dose_at_percent(point.volume_percent), abs=0.3)


def by_a_planning_system(dataset: Dataset) -> None:
    del dataset.ContributingEquipmentSequence
    dataset.Manufacturer, dataset.ManufacturerModelName = "Varian Medical Systems", "ARIA RadOnc"


def sent_on_by_a_planning_system(dataset: Dataset) -> None:
    other = Dataset()
    other.ManufacturerModelName, other.ContributionDescription = "ARIA RadOnc", "model x"
    dataset.ContributingEquipmentSequence.insert(0, other)
    dataset.ManufacturerModelName = "ARIA RadOnc"


@pytest.mark.parametrize(
    ("engine", "change", "source", "model"),
    [
        ("", lambda _: None, "predicted", "test-model"),
        ("", sent_on_by_a_planning_system, "predicted", "test-model"),
        ("fdp-bridge pencil beam (research)", lambda _: None, "optimized", ""),
        ("", by_a_planning_system, "given", ""),
    ],
)
def test_objectives_say_whose_dose_they_are_of(
    phantom: PhantomCase, tmp_path: Path, engine: str, change: Callable[[Dataset], None], source: str, model: str
) -> None:
    """Only who gave a file knows that its dose is a clinical one: that is never said of it."""
    dose = written(phantom, tmp_path / "dose.dcm", engine=engine)
    edit(dose, change)
    objectives = extract_files(dose, phantom.structure_set_path, None, tmp_path / "o.json", SETTINGS)
    assert (objectives.dose_source, objectives.provenance.model_id) == (source, model)
    assert objectives.provenance.model_sha256 == (PROVENANCE.model_sha256 if model else "")


def test_structures_that_do_not_fit_the_ct_are_refused_when_the_ct_is_given(
    phantom: PhantomCase, dose: Path, tmp_path: Path
) -> None:
    phantom.ct_paths[4].unlink()
    extract_files(dose, phantom.structure_set_path, None, tmp_path / "o.json", SETTINGS)
    with pytest.raises(BridgeError):
        extract_files(dose, phantom.structure_set_path, tmp_path / "dicom", tmp_path / "p.json", SETTINGS)
    assert not (tmp_path / "p.json").exists()


def test_the_ct_folder_may_hold_the_structure_set_under_another_path(
    phantom: PhantomCase, dose: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    extract_files(dose, phantom.structure_set_path, Path("dicom"), tmp_path / "o.json", SETTINGS)
    assert (tmp_path / "o.json").is_file()
