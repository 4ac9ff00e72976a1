"""StructureSet, Structure and SegmentVolume over :class:`bridge.rt.structure.Structure`."""

# ruff: noqa: N802, N803 - the names are ESAPI's

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from bridge.rt.derive import ring, subtract, union
from bridge.rt.short_ids import LONGEST_STRUCTURE_ID, short_ids
from bridge.rt.structure import Plane, RoiKind
from bridge.rt.structure import Structure as RtStructure
from esapi_stub.image import Image
from esapi_stub.rules import ApplicationException, ArgumentException
from esapi_stub.values import VVector

if TYPE_CHECKING:
    from esapi_stub.application import Patient

__all__ = ["SegmentVolume", "Structure", "StructureSet"]

_DICOM_TYPES: dict[str, RoiKind] = {
    **dict.fromkeys(("AVOIDANCE", "ORGAN"), "organ"),
    **dict.fromkeys(("CTV", "GTV", "PTV"), "target"),
    **dict.fromkeys(("FIXATION", "SUPPORT"), "support"),
    **dict.fromkeys(("CAVITY", "CONTRAST_AGENT", "CONTROL", "DOSE_REGION", "IRRAD_VOLUME", "TREATED_VOLUME"), "other"),
    "EXTERNAL": "external",
}
_TYPE_OF_KIND: dict[RoiKind, str] = {
    "target": "PTV",
    "organ": "ORGAN",
    "external": "EXTERNAL",
    "support": "SUPPORT",
    "other": "CONTROL",
}
_LARGEST_MARGIN_MM = 50.0
_LONGEST_SET_ID = 16
"""A Structure Set Label is SH."""


class SegmentVolume:
    """The shape of a structure, with the operations on shapes. None of them changes its operands."""

    def __init__(self, shape: RtStructure) -> None:
        self.shape = shape

    def Or(self, other: SegmentVolume) -> SegmentVolume:
        """Give what is in either."""
        if self.shape.is_empty or other.shape.is_empty:
            return other if self.shape.is_empty else self
        return SegmentVolume(union([self.shape, other.shape], number=0, name="Or", kind=self.shape.kind))

    def Sub(self, other: SegmentVolume) -> SegmentVolume:
        """Give what is in this and not in the other."""
        return SegmentVolume(subtract(self.shape, [other.shape], margin_mm=0.0, number=0, name="Sub"))

    def And(self, other: SegmentVolume) -> SegmentVolume:
        """Give what is in both."""
        return self.Sub(self.Sub(other))

    def Margin(self, marginInMM: float) -> SegmentVolume:
        """Give the shape grown in all directions by 0 to 50 mm."""
        if not marginInMM <= _LARGEST_MARGIN_MM:
            raise ArgumentException("margin-range", f"got {marginInMM:g} mm")
        if marginInMM < 0:
            raise ArgumentException("margin-shrinks", f"got {marginInMM:g} mm")
        if marginInMM == 0 or self.shape.is_empty:
            return self
        box = _box_around(self.shape, marginInMM)
        shell = ring([self.shape], inner_mm=0.0, outer_mm=marginInMM, within=box, number=0, name="Margin")
        return self.Or(SegmentVolume(shell))


def _box_around(shape: RtStructure, margin_mm: float) -> RtStructure:
    """Give a box on the shape's planes, carried on at their spacing far enough to hold a margin."""
    low, high = shape.bounds_mm()
    z = shape.z_mm
    spacing = float(np.median(np.diff(z))) if len(z) > 1 else shape.slice_thickness_mm
    beyond = spacing * np.arange(1, int(np.ceil(margin_mm / spacing)) + 2)
    (x0, y0), (x1, y1) = low[:2] - margin_mm - 1.0, high[:2] + margin_mm + 1.0
    loop = np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)])
    heights = np.concatenate([z[0] - beyond[::-1], z, z[-1] + beyond])
    return replace(shape, planes=tuple(Plane(float(height), (loop,)) for height in heights))


class Structure:
    """One structure of a structure set."""

    def __init__(self, rt: RtStructure, identifier: str, dicom_type: str, structure_set: StructureSet) -> None:
        self._rt = rt
        self._id = identifier
        self._type = dicom_type
        self._set = structure_set

    @property
    def rt(self) -> RtStructure:
        """The bridge's structure behind it; not part of ESAPI."""
        return self._rt

    @property
    def Id(self) -> str:
        """Name that the user sees; setting it needs BeginModifications."""
        return self._id

    @Id.setter
    def Id(self, value: str) -> None:
        self._set.require_new_id(value, self)
        self._id = value

    @property
    def ROINumber(self) -> int:
        """ROI Number in the DICOM structure set."""
        return self._rt.number

    @property
    def DicomType(self) -> str:
        """RT ROI Interpreted Type."""
        return self._type

    @property
    def IsEmpty(self) -> bool:
        """Whether there is no contour."""
        return self._rt.is_empty

    @property
    def HasSegment(self) -> bool:
        """Whether there is a contour."""
        return not self._rt.is_empty

    @property
    def Volume(self) -> float:
        """Volume in cc, without end caps as in Eclipse."""
        return self._rt.volume_cc

    @property
    def CenterPoint(self) -> VVector:
        """Middle of the bounding box; how the host defines it is not known."""
        low, high = self._rt.bounds_mm()
        return VVector(*((low + high) / 2.0))

    def Or(self, other: SegmentVolume) -> SegmentVolume:
        """Give what is in either."""
        return self.SegmentVolume.Or(other)

    def Sub(self, other: SegmentVolume) -> SegmentVolume:
        """Give what is in this and not in the other."""
        return self.SegmentVolume.Sub(other)

    def And(self, other: SegmentVolume) -> SegmentVolume:
        """Give what is in both."""
        return self.SegmentVolume.And(other)

    def Margin(self, marginInMM: float) -> SegmentVolume:
        """Give the shape grown in all directions by 0 to 50 mm."""
        return self.SegmentVolume.Margin(marginInMM)

    # last in the class, whose other annotations mean the class of the same name
    @property
    def SegmentVolume(self) -> SegmentVolume:
        """The shape. It can be set after BeginModifications, while no plan has a dose on the structure set."""
        return SegmentVolume(self._rt)

    @SegmentVolume.setter
    def SegmentVolume(self, value: SegmentVolume) -> None:
        self._set.require_editable()
        self._rt = replace(value.shape, number=self._rt.number, name=self._rt.name, kind=self._rt.kind)


class StructureSet:
    """The structures of one image.

    Parameters
    ----------
    identifier, uid
        Label and SOP Instance UID.
    structures
        The bridge's structures; each is known by its ROI name, or by a short id where the name is too long.
    require_modifications
        Raises unless the patient may be changed.
    image
        What it was drawn on, where the world has it.
    patient
        Whose it is.
    """

    def __init__(
        self,
        identifier: str,
        uid: str,
        structures: Iterable[RtStructure],
        require_modifications: Callable[[], None],
        image: Image | None = None,
        patient: Patient | None = None,
    ) -> None:
        self._id = identifier
        self._uid = uid
        self.require_modifications = require_modifications
        drawn = list(structures)
        ids = short_ids(rt.name for rt in drawn)
        self._structures = [Structure(rt, ids[rt.name], _TYPE_OF_KIND[rt.kind], self) for rt in drawn]
        self._image = image
        self._patient = patient

    @property
    def Id(self) -> str:
        """Label; setting it needs BeginModifications."""
        return self._id

    @Id.setter
    def Id(self, value: str) -> None:
        self.require_modifications()
        if not 1 <= len(value) <= _LONGEST_SET_ID:
            raise ArgumentException("structure-set-id-length", f"got {value!r}")
        self._id = value

    @property
    def UID(self) -> str:
        """SOP Instance UID."""
        return self._uid

    @property
    def Image(self) -> Image | None:
        """What it was drawn on; None where the world has no CT."""
        return self._image

    @property
    def Patient(self) -> Patient | None:
        """Whose it is."""
        return self._patient

    @property
    def Structures(self) -> tuple[Structure, ...]:
        """All structures."""
        return tuple(self._structures)

    def CanAddStructure(self, dicomType: str, id: str) -> bool:  # noqa: A002 - ESAPI's name
        """Whether :meth:`AddStructure` would take these."""
        return dicomType in _DICOM_TYPES and 1 <= len(id) <= LONGEST_STRUCTURE_ID and not self._has(id)

    def AddStructure(self, dicomType: str, id: str) -> Structure:  # noqa: A002 - ESAPI's name
        """Add an empty structure."""
        if dicomType not in _DICOM_TYPES:
            raise ArgumentException("dicom-type", f"got {dicomType!r}")
        self.require_new_id(id)
        model = self._structures[0].rt
        number = max(structure.ROINumber for structure in self._structures) + 1
        empty = replace(model, number=number, name=id, kind=_DICOM_TYPES[dicomType], planes=(), standard_name=None)
        self._structures.append(Structure(empty, id, dicomType, self))
        return self._structures[-1]

    def RemoveStructure(self, structure: Structure) -> None:
        """Take a structure out."""
        self.require_modifications()
        if structure not in self._structures:
            raise ArgumentException("unknown-item", f"got structure {structure.Id!r}")
        self._structures.remove(structure)

    def CanRemoveStructure(self, structure: Structure) -> bool:
        """Whether it is one of this set's."""
        return structure in self._structures

    def require_editable(self) -> None:
        """Raise unless contours may be changed now; not part of ESAPI."""
        self.require_modifications()
        courses = () if self._patient is None else self._patient.Courses
        for plan in (plan for course in courses for plan in course.PlanSetups):
            if plan.StructureSet is self and plan.IsDoseValid:
                raise ApplicationException("structure-locked", f"plan {plan.Id!r} has one")

    def require_new_id(self, identifier: str, of: Structure | None = None) -> None:
        """Raise unless a structure, new or that one, may get this id now; not part of ESAPI."""
        self.require_modifications()
        if not 1 <= len(identifier) <= LONGEST_STRUCTURE_ID:
            raise ArgumentException("structure-id-length", f"got {identifier!r}")
        if self._has(identifier, of):
            raise ArgumentException("id-unique", f"there is a structure {identifier!r} already")

    def _has(self, identifier: str, besides: Structure | None = None) -> bool:
        others = [structure for structure in self._structures if structure is not besides]
        return any(structure.Id.casefold() == identifier.casefold() for structure in others)
