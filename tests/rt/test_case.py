from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from bridge.rt.case import Anatomy, CaseIdentity, PatientCase
from bridge.rt.errors import GeometryRefusal, StructureRefusal
from bridge.rt.grid import Grid
from bridge.rt.structure import Structure
from bridge.rt.volume import CtVolume, Mask
from tests.solids import FRAME, OTHER_FRAME, circle, empty, grid_around, prism, structure

GRID = grid_around(20.0, (4.0, 4.0, 4.0))
IDENTITY = CaseIdentity(
    patient_id="P1", patient_name="", patient_birth_date="", patient_sex="", study_instance_uid="2.25.10",
    study_id="", study_date="", study_time="", accession_number="", referring_physician_name="",
    structure_set_uid="2.25.11", patient_position="HFS",
)  # fmt: skip


def case_of(*structures: Structure, grid: Grid = GRID) -> PatientCase:
    return PatientCase(identity=IDENTITY, ct=CtVolume(np.zeros(grid.shape), grid), structures=structures)


def drawn(number: int, name: str, standard_name: str | None = None) -> Structure:
    return structure({0.0: [circle(5.0)]}, number=number, name=name, standard_name=standard_name)


class TestPatientCase:
    def test_structures_are_found_by_either_name(self) -> None:
        cord, parotid = drawn(1, "Myelon", "SpinalCord"), drawn(2, "Parotis li", "Parotid_L")
        case = case_of(cord, parotid)
        assert case.structure("Myelon") is cord
        assert case.structure("SpinalCord") is cord
        assert case.structure("Parotid_L") is parotid

    @pytest.mark.parametrize("name", ["Heart", "spinalcord", "", "Empty"])
    def test_an_unknown_name_is_refused_and_so_is_an_empty_structures(self, name: str) -> None:
        with pytest.raises(StructureRefusal, match="No structure") as refused:
            case_of(drawn(1, "Myelon", "SpinalCord"), empty()).structure(name)
        assert refused.value.code == "roi-unknown"
        assert refused.value.where == {"roi": name}

    def test_a_name_of_two_structures_is_refused(self) -> None:
        case = case_of(drawn(1, "Cord", "SpinalCord"), drawn(2, "SpinalCord"))
        with pytest.raises(StructureRefusal, match="More than one structure") as refused:
            case.structure("SpinalCord")
        assert refused.value.code == "roi-unknown"

    def test_a_repeated_number_is_refused_even_of_an_empty_structure(self) -> None:
        with pytest.raises(StructureRefusal, match="ROI number 4") as refused:
            case_of(drawn(4, "A"), drawn(5, "B"), empty(4, "C"))
        assert refused.value.code == "roi-number-repeated"
        assert refused.value.where == {"roi": "4"}

    def test_a_repeated_name_is_refused(self) -> None:
        with pytest.raises(StructureRefusal, match="ROI name Cord") as refused:
            case_of(drawn(1, "Cord"), drawn(2, "Cord"))
        assert refused.value.code == "roi-name-repeated"

    def test_unless_one_of_them_is_empty(self) -> None:
        cord = drawn(1, "Cord")
        assert case_of(cord, empty(2, "Cord")).structure("Cord") is cord

    def test_a_structure_in_another_frame_than_the_ct_is_refused(self) -> None:
        stray = structure({0.0: [circle(5.0)]}, number=2, name="Stray", frame=OTHER_FRAME)
        with pytest.raises(GeometryRefusal, match=f"Stray.*{OTHER_FRAME}.*{FRAME}") as refused:
            case_of(drawn(1, "Cord"), stray)
        assert refused.value.code == "frame-of-reference"
        assert refused.value.where == {"roi": "Stray"}


def mask(grid: Grid = GRID) -> Mask:
    return Mask(np.ones(grid.shape), grid)


class TestAnatomy:
    other_grid = grid_around(20.0, (2.0, 4.0, 4.0))

    def test_one_grid_and_a_mask_for_every_target(self) -> None:
        anatomy = Anatomy(GRID, None, mask(), {"PTV": mask(), "Cord": mask()}, {"PTV": 60.0})
        assert anatomy.target_levels_gy == {"PTV": 60.0}
        assert anatomy.gantry_angles_deg is None

    @pytest.mark.parametrize("which", ["ct", "body", "mask"])
    def test_a_volume_on_another_grid_is_refused(self, which: str) -> None:
        grids = {name: self.other_grid if name == which else GRID for name in ("ct", "body", "mask")}
        ct = CtVolume(np.zeros(grids["ct"].shape), grids["ct"])
        with pytest.raises(GeometryRefusal) as refused:
            Anatomy(GRID, ct, mask(grids["body"]), {"PTV": mask(grids["mask"])}, {"PTV": 60.0})
        assert refused.value.code == "anatomy-grid"

    @pytest.mark.parametrize(("levels", "missing"), [({}, "all"), ({"PTV": 60.0, "PTV2": 50.0}, "PTV2")])
    def test_targets_without_masks_are_refused(self, levels: Mapping[str, float], missing: str) -> None:
        with pytest.raises(StructureRefusal, match=missing) as refused:
            Anatomy(GRID, None, mask(), {"PTV": mask()}, levels)
        assert refused.value.code == "no-target"


def test_prisms_of_a_case_are_what_they_were() -> None:
    cord = prism([circle(5.0)], [0.0, 3.0], number=7, name="Cord")
    assert case_of(cord).structures == (cord,)
