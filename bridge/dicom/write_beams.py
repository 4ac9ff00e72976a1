"""Beams of an RTPLAN out: angles, monitor units and outlines, and no word of leaves that nobody computed."""

from __future__ import annotations

from collections.abc import Sequence

from pydicom.dataset import Dataset

from bridge.dicom.common import bounded_text, decimal_string
from bridge.rt.provenance import NOT_FOR_CLINICAL_USE
from bridge.rt.treatment_beam import TreatmentBeam

__all__ = ["set_beams"]

_NO_MACHINE = "esapi_stub"
"""There is no machine of this name, and so nothing that could load the plan and deliver it."""

_SETUP_NUMBER = 1


def set_beams(dataset: Dataset, group: Dataset, beams: Sequence[TreatmentBeam], patient_position: str) -> None:
    """Put beams into an RTPLAN (PS3.3 C.8.8.12 to C.8.8.14).

    Each is called DYNAMIC, because its monitor units are those of leaves that move, and has the outline of its fluence
    as jaws. It cannot be delivered: it names no machine that exists, and has no leaf positions.

    Parameters
    ----------
    dataset
        The plan.
    group
        Its one fraction group.
    patient_position
        How the patient lies while the gantry angles are meant.
    """
    setup = Dataset()
    setup.PatientSetupNumber = _SETUP_NUMBER
    setup.PatientPosition = patient_position
    dataset.PatientSetupSequence = [setup]
    dataset.BeamSequence = [_beam(beam) for beam in beams]
    group.NumberOfBeams = len(beams)
    group.ReferencedBeamSequence = [_meterset(beam) for beam in beams]


def _meterset(beam: TreatmentBeam) -> Dataset:
    item = Dataset()
    item.BeamMeterset = decimal_string(beam.monitor_units)
    item.ReferencedBeamNumber = beam.number
    return item


def _beam(beam: TreatmentBeam) -> Dataset:
    item = Dataset()
    item.BeamNumber = beam.number
    item.BeamName = bounded_text(beam.name, 64, "A beam name")
    item.BeamDescription = f"Fluence without leaf motions, not deliverable - {NOT_FOR_CLINICAL_USE}"
    item.BeamType, item.RadiationType = "DYNAMIC", "PHOTON"
    item.TreatmentMachineName = _NO_MACHINE
    item.PrimaryDosimeterUnit = "MU"
    item.TreatmentDeliveryType = "TREATMENT"
    item.ReferencedPatientSetupNumber = _SETUP_NUMBER
    item.BeamLimitingDeviceSequence = [_jaws("ASYMX"), _jaws("ASYMY")]
    item.NumberOfWedges = item.NumberOfCompensators = item.NumberOfBoli = item.NumberOfBlocks = 0
    item.FinalCumulativeMetersetWeight = "1"
    item.NumberOfControlPoints = 2
    item.ControlPointSequence = [_first_control_point(beam), _control_point(1, "1")]
    return item


def _jaws(kind: str) -> Dataset:
    item = Dataset()
    item.RTBeamLimitingDeviceType = kind
    item.NumberOfLeafJawPairs = 1
    return item


def _control_point(index: int, weight: str) -> Dataset:
    point = Dataset()
    point.ControlPointIndex = index
    point.CumulativeMetersetWeight = weight
    return point


def _first_control_point(beam: TreatmentBeam) -> Dataset:
    point = _control_point(0, "0")
    x1, y1, x2, y2 = beam.outline_mm
    point.NominalBeamEnergy = decimal_string(beam.energy_mv)
    point.BeamLimitingDevicePositionSequence = []
    for kind, positions in (("ASYMX", (x1, x2)), ("ASYMY", (y1, y2))):
        device = Dataset()
        device.RTBeamLimitingDeviceType = kind
        device.LeafJawPositions = [decimal_string(position) for position in positions]
        point.BeamLimitingDevicePositionSequence.append(device)
    point.GantryAngle = decimal_string(beam.gantry_deg)
    point.BeamLimitingDeviceAngle = decimal_string(beam.collimator_deg)
    point.PatientSupportAngle = decimal_string(beam.couch_deg)
    point.TableTopEccentricAngle = "0"
    point.GantryRotationDirection = point.BeamLimitingDeviceRotationDirection = "NONE"
    point.PatientSupportRotationDirection = point.TableTopEccentricRotationDirection = "NONE"
    point.TableTopVerticalPosition = point.TableTopLongitudinalPosition = point.TableTopLateralPosition = None
    point.IsocenterPosition = [decimal_string(value) for value in beam.isocentre_mm]
    return point
