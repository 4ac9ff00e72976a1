"""What the bridge writes, as independent programs and the standard's own tables see it."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pydicom
import pytest
from highdicom import _standard_utils as standard
from pydicom.dataset import Dataset

from bridge.dicom.phantom import PhantomCase
from bridge.dicom.plan import plan_prescriptions
from bridge.dicom.write_dose import write_rtdose
from bridge.dicom.write_plan import write_rtplan
from bridge.rt.dose_reference import DoseReference
from bridge.rt.errors import DicomRefusal
from tests.phantom import PATIENT_POSITIONS, PROVENANCE, linear_dose, write_small_phantom
from tests.programs import require_program

REFERENCES = (
    DoseReference(2, "PTV_6000 prescription", True, weight=100.0, target_minimum_gy=57.0, target_prescription_gy=60.0,
                  target_maximum_gy=64.2, target_underdose_percent=5.0),
    DoseReference(2, "PTV_6000 upper", True, target_maximum_gy=64.2),
    DoseReference(4, "SpinalCord max", False, weight=80.0, organ_limit_gy=45.0),
    DoseReference(4, "SpinalCord V30Gy", False, organ_full_volume_gy=20.0, organ_maximum_gy=30.0,
                  organ_overdose_percent=12.345678),
)  # fmt: skip


def write_all(phantom: PhantomCase, folder: Path, bits: Literal[16, 32] = 16) -> tuple[Path, Path]:
    frame = phantom.grid.frame_of_reference_uid
    write_rtplan(
        phantom.identity, REFERENCES, PROVENANCE, label="FDP TEST", fractions=30, frame_of_reference_uid=frame,
        sop_instance_uid="1.2.3.3", series_instance_uid="1.2.3.30", path=folder / "RP.dcm",
    )  # fmt: skip
    write_rtdose(
        linear_dose(phantom.grid), phantom.identity, PROVENANCE, plan_uid="1.2.3.3", bits=bits,
        sop_instance_uid="1.2.3.4", series_instance_uid="1.2.3.40", path=folder / "RD.dcm",
    )  # fmt: skip
    return folder / "RP.dcm", folder / "RD.dcm"


@pytest.fixture(scope="module")
def phantom(tmp_path_factory: pytest.TempPathFactory) -> PhantomCase:
    return write_small_phantom(tmp_path_factory.mktemp("written"))


@pytest.fixture
def objects(phantom: PhantomCase, tmp_path: Path) -> dict[str, Path]:
    plan, dose = write_all(phantom, tmp_path)
    return {"CT": phantom.ct_paths[0], "RTSTRUCT": phantom.structure_set_path, "RTPLAN": plan, "RTDOSE": dose}


def verdict(path: Path) -> tuple[int, list[str]]:
    """Give dciodvfy's exit status and its lines but for the name of the object."""
    done = subprocess.run([require_program("dciodvfy"), path], capture_output=True, text=True, timeout=30)
    return done.returncode, [line for line in done.stderr.splitlines() if line.startswith(("Error", "Warning"))]


@pytest.mark.parametrize("kind", ["CT", "RTSTRUCT", "RTPLAN", "RTDOSE"])
def test_dciodvfy_reports_nothing(objects: dict[str, Path], kind: str) -> None:
    assert verdict(objects[kind]) == (0, [])


@pytest.mark.parametrize("patient_position", PATIENT_POSITIONS)
def test_dciodvfy_reports_nothing_in_any_patient_position(tmp_path: Path, patient_position: str) -> None:
    phantom = write_small_phantom(tmp_path, patient_position=patient_position)
    for path in (phantom.ct_paths[3], *write_all(phantom, tmp_path)):
        assert verdict(path) == (0, [])


def test_dciodvfy_would_report_a_missing_attribute(objects: dict[str, Path]) -> None:
    dataset = pydicom.dcmread(objects["RTDOSE"])
    del dataset.DoseUnits
    dataset.save_as(objects["RTDOSE"], enforce_file_format=True)
    status, lines = verdict(objects["RTDOSE"])
    assert status == 1
    assert any("DoseUnits" in line for line in lines)


def test_dciodvfy_finds_no_fault_in_a_plan_without_constraints_or_fractions(
    phantom: PhantomCase, tmp_path: Path
) -> None:
    path = tmp_path / "RP.dcm"
    write_rtplan(
        phantom.identity, (), replace(PROVENANCE, model_id="", model_sha256="", preference={}), label="EMPTY",
        fractions=None, frame_of_reference_uid="1.2.3.9", sop_instance_uid="1.2.3.3", series_instance_uid="1.2.3.30",
        path=path,
    )  # fmt: skip
    assert verdict(path) == (0, [])
    assert plan_prescriptions(path).fractions is None


def test_dcentvfy_agrees_across_objects(phantom: PhantomCase, objects: dict[str, Path]) -> None:
    program = require_program("dcentvfy")
    paths = [*phantom.ct_paths, objects["RTSTRUCT"], objects["RTPLAN"], objects["RTDOSE"]]
    done = subprocess.run([program, *paths], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    # and it would not, if one object were of another patient
    dataset = pydicom.dcmread(objects["RTPLAN"])
    dataset.PatientSex = "F"
    dataset.save_as(objects["RTPLAN"], enforce_file_format=True)
    done = subprocess.run([program, *paths], capture_output=True, text=True, timeout=60)
    assert "PatientSex" in done.stdout + done.stderr or "Sex" in done.stdout + done.stderr


def missing_attributes(dataset: Dataset) -> list[str]:
    """List type 1 and 2 attributes of mandatory modules that a data set lacks, by the tables of the standard."""
    iod = standard.get_sop_class_iod_map()[dataset.SOPClassUID]
    found = []
    for module in standard.get_iod_module_map()[iod]:
        if module["usage"] != "M":
            continue
        for attribute in standard.get_module_attribute_map()[module["key"]]:
            for owner in owners(dataset, attribute["path"]):
                element = owner.get_item(attribute["keyword"]) if attribute["keyword"] in owner else None
                if attribute["type"] in ("1", "2") and element is None:
                    found.append(f"{module['key']}/{attribute['keyword']}")
                elif attribute["type"] == "1" and owner[attribute["keyword"]].is_empty:
                    found.append(f"{module['key']}/{attribute['keyword']} is empty")
    return found


def owners(dataset: Dataset, path: list[str]) -> list[Any]:
    if not path:
        return [dataset]
    return [owner for item in dataset.get(path[0]) or [] for owner in owners(item, path[1:])]


@pytest.mark.parametrize("bits", [16, 32])
def test_nothing_that_the_standard_requires_is_missing(
    phantom: PhantomCase, tmp_path: Path, bits: Literal[16, 32]
) -> None:
    paths = (*write_all(phantom, tmp_path, bits), phantom.ct_paths[0], phantom.structure_set_path)
    assert {path.name: missing_attributes(pydicom.dcmread(path)) for path in paths} == {path.name: [] for path in paths}
    dose = pydicom.dcmread(tmp_path / "RD.dcm")
    del dose.DoseUnits
    dose.SOPInstanceUID = ""
    assert missing_attributes(dose) == ["rt-dose/DoseUnits", "sop-common/SOPInstanceUID is empty"]


def test_the_plan_carries_every_constraint(objects: dict[str, Path]) -> None:
    dataset = pydicom.dcmread(objects["RTPLAN"])
    first, second, third, fourth = dataset.DoseReferenceSequence
    assert [item.DoseReferenceNumber for item in dataset.DoseReferenceSequence] == [1, 2, 3, 4]
    assert len({item.DoseReferenceUID for item in dataset.DoseReferenceSequence}) == 4
    assert [item.DoseReferenceType for item in dataset.DoseReferenceSequence] == [
        "TARGET", "TARGET", "ORGAN_AT_RISK", "ORGAN_AT_RISK",
    ]  # fmt: skip
    assert {item.DoseReferenceStructureType for item in dataset.DoseReferenceSequence} == {"VOLUME"}
    assert (first.ReferencedROINumber, first.ConstraintWeight) == (2, 100.0)
    assert (first.TargetMinimumDose, first.TargetPrescriptionDose, first.TargetMaximumDose) == (57.0, 60.0, 64.2)
    assert first.TargetUnderdoseVolumeFraction == 5.0
    assert "TargetPrescriptionDose" not in second
    assert (third.OrganAtRiskLimitDose, third.DoseReferenceDescription) == (45.0, "SpinalCord max")
    assert (fourth.OrganAtRiskFullVolumeDose, fourth.OrganAtRiskMaximumDose) == (20.0, 30.0)
    assert fourth.OrganAtRiskOverdoseVolumeFraction == pytest.approx(12.345678)
    found = plan_prescriptions(objects["RTPLAN"])
    assert (found.doses, found.fractions, found.gantry_angles_deg) == (((2, 60.0),), 30, ())


def test_the_plan_says_what_it_is(phantom: PhantomCase, objects: dict[str, Path]) -> None:
    dataset = pydicom.dcmread(objects["RTPLAN"])
    assert dataset.RTPlanLabel == "FDP TEST"
    assert "NOT FOR CLINICAL USE" in dataset.RTPlanName
    assert "NOT FOR CLINICAL USE" in dataset.RTPlanDescription
    assert (dataset.PlanIntent, dataset.ApprovalStatus, dataset.RTPlanGeometry) == ("RESEARCH", "UNAPPROVED", "PATIENT")
    assert dataset.ReferencedStructureSetSequence[0].ReferencedSOPInstanceUID == phantom.identity.structure_set_uid
    assert dataset.FractionGroupSequence[0].NumberOfBeams == 0
    assert "BeamSequence" not in dataset


@pytest.mark.parametrize(
    ("label", "description"), [("A LABEL TOO LONG!", "fine"), ("fine", "x" * 65), ("a\\b", "fine"), ("fine", "a\nb")]
)
def test_texts_that_do_not_fit_are_refused_not_cut(
    phantom: PhantomCase, tmp_path: Path, label: str, description: str
) -> None:
    with pytest.raises(DicomRefusal, match="text-too-long"):
        write_rtplan(
            phantom.identity, [DoseReference(1, description, False)], PROVENANCE, label=label, fractions=None,
            frame_of_reference_uid="1.2.3.9", sop_instance_uid="1.2.3.3", series_instance_uid="1.2.3.30",
            path=tmp_path / "RP.dcm",
        )  # fmt: skip
    assert list(tmp_path.iterdir()) == []


def test_plastimatch_reads_the_whole_case(phantom: PhantomCase, objects: dict[str, Path], tmp_path: Path) -> None:
    program = require_program("plastimatch")
    folder = tmp_path / "case"
    folder.mkdir()
    for path in (*phantom.ct_paths, objects["RTSTRUCT"], objects["RTPLAN"], objects["RTDOSE"]):
        (folder / path.name).write_bytes(path.read_bytes())
    subprocess.run(
        [program, "convert", "--input", folder, "--output-img", tmp_path / "ct.mha", "--output-dose-img",
         tmp_path / "dose.mha", "--output-prefix", tmp_path / "ss", "--prefix-format", "mha"],
        check=True, capture_output=True, timeout=60,
    )  # fmt: skip
    stats = subprocess.run(
        [program, "stats", tmp_path / "dose.mha"], check=True, capture_output=True, text=True, timeout=60
    ).stdout.split()
    dose = linear_dose(phantom.grid)
    assert float(stats[stats.index("MIN") + 1]) == pytest.approx(float(dose.values.min()), abs=0.002)
    assert float(stats[stats.index("MAX") + 1]) == pytest.approx(dose.maximum_gy, abs=0.002)
    assert {path.stem for path in (tmp_path / "ss").iterdir()} == {structure.name for structure in phantom.structures}
