"""An optimized plan as independent programs and a reader see it: beams, monitor units, references, and no leaves."""

from __future__ import annotations

from pathlib import Path

import pydicom
import pytest

from bridge.dicom.headers import read_header
from bridge.dicom.phantom import PhantomCase
from bridge.dicom.plan import plan_prescriptions
from bridge.dicom.write_dose import write_rtdose
from bridge.dicom.write_plan import write_rtplan
from bridge.rt.dose_reference import DoseReference
from bridge.rt.errors import DicomRefusal
from bridge.rt.treatment_beam import TreatmentBeam
from tests.dicom.test_written_objects import missing_attributes, verdict
from tests.phantom import PATIENT_POSITIONS, PROVENANCE, linear_dose, write_small_phantom

BEAMS = (
    TreatmentBeam(1, "G0", 0.0, 0.0, 0.0, (37.0, -126.5, 412.25), 6.0, (-14.0, -10.5, 10.5, 14.0), 123.456789),
    TreatmentBeam(2, "G40.5", 40.5, 90.0, 0.0, (37.0, -126.5, 412.25), 6.0, (-7.0, -7.0, 7.0, 7.0), 0.0),
)
PREDICTED_PLAN, PLAN, DOSE = "1.2.3.3", "1.2.3.5", "1.2.3.6"


def write_optimized(phantom: PhantomCase, folder: Path, beams: tuple[TreatmentBeam, ...] = BEAMS) -> tuple[Path, Path]:
    write_rtplan(
        phantom.identity,
        [DoseReference(2, "PTV_6000 prescription", True, target_prescription_gy=60.0)],
        PROVENANCE,
        label="OPTIMIZED",
        fractions=30,
        frame_of_reference_uid=phantom.grid.frame_of_reference_uid,
        sop_instance_uid=PLAN,
        series_instance_uid="1.2.3.50",
        path=folder / "RP.dcm",
        beams=beams,
        predecessor_uid=PREDICTED_PLAN,
        remark="an engine",
    )
    write_rtdose(
        linear_dose(phantom.grid), phantom.identity, PROVENANCE, plan_uid=PLAN, bits=16, sop_instance_uid=DOSE,
        series_instance_uid="1.2.3.60", path=folder / "RD.dcm", label="Optimized dose",
    )  # fmt: skip
    return folder / "RP.dcm", folder / "RD.dcm"


@pytest.mark.parametrize("patient_position", PATIENT_POSITIONS)
def test_dciodvfy_reports_nothing(tmp_path: Path, patient_position: str) -> None:
    phantom = write_small_phantom(tmp_path, patient_position=patient_position)
    for path in write_optimized(phantom, tmp_path):
        assert verdict(path) == (0, [])
        assert missing_attributes(pydicom.dcmread(path)) == []


def test_dciodvfy_would_report_a_beam_without_angle(tmp_path: Path) -> None:
    path, _ = write_optimized(write_small_phantom(tmp_path), tmp_path)
    dataset = pydicom.dcmread(path)
    del dataset.BeamSequence[0].NumberOfControlPoints
    dataset.save_as(path, enforce_file_format=True)
    status, lines = verdict(path)
    assert status == 1
    assert any("NumberOfControlPoints" in line for line in lines)


def test_the_beams_are_written_as_they_are(tmp_path: Path) -> None:
    path, _ = write_optimized(write_small_phantom(tmp_path, patient_position="FFP"), tmp_path)
    dataset = pydicom.dcmread(path)
    assert len(dataset.BeamSequence) == dataset.FractionGroupSequence[0].NumberOfBeams == 2
    for beam, written in zip(BEAMS, dataset.BeamSequence, strict=True):
        first, last = written.ControlPointSequence
        assert (written.BeamNumber, written.BeamName) == (beam.number, beam.name)
        assert (first.GantryAngle, first.BeamLimitingDeviceAngle) == (beam.gantry_deg, beam.collimator_deg)
        assert [float(value) for value in first.IsocenterPosition] == list(beam.isocentre_mm)
        jaws = {
            item.RTBeamLimitingDeviceType: item.LeafJawPositions for item in first.BeamLimitingDevicePositionSequence
        }
        x1, y1, x2, y2 = beam.outline_mm
        assert jaws == {"ASYMX": [x1, x2], "ASYMY": [y1, y2]}
        assert (first.CumulativeMetersetWeight, last.CumulativeMetersetWeight) == (0, 1)
    units = {
        item.ReferencedBeamNumber: item.BeamMeterset for item in dataset.FractionGroupSequence[0].ReferencedBeamSequence
    }
    assert units == {1: pytest.approx(123.456789), 2: 0.0}
    assert dataset.PatientSetupSequence[0].PatientPosition == "FFP"
    found = plan_prescriptions(path)
    assert (found.doses, found.fractions, found.gantry_angles_deg) == (((2, 60.0),), 30, (0.0, 40.5))


def test_nothing_takes_it_for_a_plan_that_can_be_delivered(tmp_path: Path) -> None:
    path, dose = write_optimized(write_small_phantom(tmp_path), tmp_path)
    dataset = pydicom.dcmread(path)
    assert (dataset.PlanIntent, dataset.ApprovalStatus) == ("RESEARCH", "UNAPPROVED")
    for text in (dataset.RTPlanName, dataset.RTPlanDescription, dataset.SeriesDescription,
                 pydicom.dcmread(dose).SeriesDescription):  # fmt: skip
        assert "NOT FOR CLINICAL USE" in text
    assert "not deliverable; an engine" in dataset.RTPlanDescription
    assert "no beams" not in dataset.RTPlanDescription
    for beam in dataset.BeamSequence:
        assert (beam.BeamType, beam.TreatmentMachineName) == ("DYNAMIC", "esapi_stub")
        assert "NOT FOR CLINICAL USE" in beam.BeamDescription
        assert not any("MLC" in item.RTBeamLimitingDeviceType for item in beam.BeamLimitingDeviceSequence)


def test_each_object_says_where_it_comes_from(tmp_path: Path) -> None:
    phantom = write_small_phantom(tmp_path)
    path, dose = write_optimized(phantom, tmp_path)
    (predecessor,) = pydicom.dcmread(path).ReferencedRTPlanSequence
    assert (predecessor.ReferencedSOPInstanceUID, predecessor.RTPlanRelationship) == (PREDICTED_PLAN, "PREDECESSOR")
    assert read_header(path).referenced_sop_instance_uids == {phantom.identity.structure_set_uid, PREDICTED_PLAN}
    assert read_header(dose).referenced_sop_instance_uids == {PLAN}


def test_a_beam_name_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    phantom = write_small_phantom(tmp_path / "dicom")
    long = TreatmentBeam(1, "x" * 65, 0.0, 0.0, 0.0, (0.0, 0.0, 0.0), 6.0, (-1.0, -1.0, 1.0, 1.0), 1.0)
    with pytest.raises(DicomRefusal, match="text-too-long"):
        write_optimized(phantom, tmp_path, (long,))
    assert not (tmp_path / "RP.dcm").exists()
