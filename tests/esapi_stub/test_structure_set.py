"""Structures, and the operations on their shapes, on boxes and cylinders of known volume."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from bridge.rt.derive import ring
from esapi_stub.structure_set import SegmentVolume, StructureSet
from tests.esapi_stub.worlds import PLANES_MM, SET_UID, World, box, structures, world
from tests.solids import circle, prism, rectangle


def volume_cc(shape: SegmentVolume, w: World, name: str) -> float:
    """Give a shape to a new structure and ask for its volume."""
    structure = w.structure_set.AddStructure("CONTROL", name)
    structure.SegmentVolume = shape
    return structure.Volume


def test_a_structure_is_what_was_drawn() -> None:
    with world() as w:
        organ, empty = w["Organ"], w["NotDrawn"]
        assert (organ.Id, organ.ROINumber, organ.DicomType) == ("Organ", 2, "ORGAN")
        assert organ.Volume == pytest.approx(20.0 * 20.0 * 60.0 / 1000.0, rel=1e-9)
        assert (organ.IsEmpty, organ.HasSegment) == (False, True)
        assert (empty.IsEmpty, empty.HasSegment, empty.Volume) == (True, False, 0.0)
        centre = organ.CenterPoint
        assert (centre.x, centre.y, centre.z) == (30.0, 0.0, 0.0)


def test_the_volume_of_a_tube_leaves_its_hole_out() -> None:
    tube = prism([circle(10.0), circle(5.0)], PLANES_MM, name="Tube")
    (structure,) = StructureSet("CT", SET_UID, [tube], lambda: None).Structures
    assert structure.Volume == pytest.approx(math.pi * (100.0 - 25.0) * 60.0 / 1000.0, rel=1e-6)


@pytest.mark.parametrize(
    ("kind", "dicom_type"),
    [("target", "PTV"), ("organ", "ORGAN"), ("external", "EXTERNAL"), ("support", "SUPPORT"), ("other", "CONTROL")],
)
def test_the_dicom_type_follows_the_kind(kind: str, dicom_type: str) -> None:
    drawn = replace(structures()[0], kind=kind)  # type: ignore[arg-type]
    assert StructureSet("CT", SET_UID, [drawn], lambda: None).Structures[0].DicomType == dicom_type


def test_union_difference_and_intersection_of_boxes() -> None:
    left, right = box(1, "L", (0.0, 20.0), (0.0, 10.0)), box(2, "R", (15.0, 40.0), (0.0, 10.0))
    a, b = SegmentVolume(left), SegmentVolume(right)
    with world() as w:
        assert volume_cc(a.Or(b), w, "Or") == pytest.approx(40.0 * 10.0 * 60.0 / 1000.0, rel=1e-6)
        assert volume_cc(a.Sub(b), w, "Sub") == pytest.approx(15.0 * 10.0 * 60.0 / 1000.0, rel=1e-6)
        assert volume_cc(a.And(b), w, "And") == pytest.approx(5.0 * 10.0 * 60.0 / 1000.0, rel=1e-6)
        nothing = w["NotDrawn"].SegmentVolume
        assert volume_cc(a.Or(nothing), w, "Or nothing") == pytest.approx(12.0, rel=1e-6)
        assert volume_cc(nothing.Or(a), w, "Nothing or") == pytest.approx(12.0, rel=1e-6)
        assert volume_cc(a.Sub(nothing), w, "Sub nothing") == pytest.approx(12.0, rel=1e-6)
        assert volume_cc(a.And(nothing), w, "And nothing") == 0.0


def test_a_margin_adds_the_volume_of_steiner() -> None:
    """Grown by r, a convex body has V + A r + M r² + 4/3 π r³; of a box M is π (a + b + c)."""
    low, high = -31.5, 31.5  # half a slice beyond the planes: where a margin starts from
    a, b, c = 20.0, 20.0, high - low
    r = 9.0
    exact = a * b * c + 2.0 * (a * b + b * c + c * a) * r + math.pi * (a + b + c) * r**2 + 4.0 / 3.0 * math.pi * r**3
    with world() as w:
        grown = w["PTV"].SegmentVolume.Margin(r)
        # the stub's volume has no end caps: one slice less, of a section that is next to nothing at the very ends
        assert volume_cc(grown, w, "Grown") == pytest.approx(exact / 1000.0, rel=0.02)
        assert volume_cc(w["PTV"].SegmentVolume.Margin(0.0), w, "Same") == w["PTV"].Volume


def test_a_ring_of_margins_is_the_ring_of_the_bridge() -> None:
    """Outer margin less inner margin, within the body: how the plug-in makes it, and how the bridge measures it."""
    body = prism([rectangle((-60.0, 60.0), (-60.0, 60.0))], PLANES_MM, number=9, name="Body")
    target = prism([circle(10.0)], [z for z in PLANES_MM if abs(z) < 13], number=1, name="PTV")
    shape = SegmentVolume(target)
    made = SegmentVolume(body).And(shape.Margin(15.0).Sub(shape.Margin(3.0)))
    asked = ring([target], inner_mm=3.0, outer_mm=15.0, within=body, number=0, name="Ring")
    with world() as w:
        assert volume_cc(made, w, "Made") == pytest.approx(volume_cc(SegmentVolume(asked), w, "Asked"), rel=0.01)


def test_structures_are_added_renamed_and_removed() -> None:
    with world() as w:
        assert w.structure_set.CanAddStructure("CONTROL", "Ring")
        ring_structure = w.structure_set.AddStructure("CONTROL", "Ring")
        assert not w.structure_set.CanAddStructure("CONTROL", "ring")
        assert not w.structure_set.CanAddStructure("BOLUSES", "New")
        assert (ring_structure.ROINumber, ring_structure.IsEmpty, ring_structure.DicomType) == (4, True, "CONTROL")
        ring_structure.Id = "Shell"
        assert w["Shell"] is ring_structure
        w.structure_set.RemoveStructure(ring_structure)
        assert [structure.Id for structure in w.structure_set.Structures] == ["PTV", "Organ", "NotDrawn"]
