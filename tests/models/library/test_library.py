"""A library as training reads it, and everything that it must not swallow."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bridge.rt.errors import BridgeError, GeometryRefusal, ModelRefusal, StorageFailure
from bridge.rt.grid import Grid
from models.library.files import write_whole
from models.library.labels import label_of
from models.library.library import criteria_table, open_library
from tests.models.library import libraries
from tests.models.library.libraries import FRAME, measures, write_library


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_library(tmp_path / "library")


def code_of(raised: pytest.ExceptionInfo[BridgeError]) -> str:
    return raised.value.code


class TestReading:
    def test_it_gives_patients_and_plans(self, folder: Path) -> None:
        library = open_library(folder)
        (patient,) = library.patients
        assert (patient.id, patient.manifest.set_name, library.recipe) == ("pt_7", "train", libraries.RECIPE)
        assert [plan.name for plan in patient.plans] == ["9-reference", "9-organ-Parotid_L", "9-homogeneity"]
        assert [plan.is_reference for plan in patient.plans] == [True, False, False]
        assert [plan.is_dominated for plan in patient.plans] == [False, True, False]
        assert patient.plans[0].beams.gantry_deg == tuple(40.0 * n for n in range(9))
        assert patient.with_beams("9") == patient.plans
        assert patient.with_beams("7") == ()

    def test_each_plan_has_its_own_dose_fluence_and_curves(self, folder: Path) -> None:
        (patient,) = open_library(folder).patients
        for number, plan in enumerate(patient.plans):
            dose = plan.dose()
            np.testing.assert_allclose(dose.values, libraries.dose_of(number), atol=1e-5)
            assert dose.grid.matches(patient.grid)
            content = plan.content()
            assert content.fluence.tolist() == [0.5, 2.0, number]
            np.testing.assert_allclose(content.curves_gy, libraries.curves_of(number))

    def test_on_another_grid_a_dose_is_interpolated_and_zero_beyond(self, folder: Path) -> None:
        (patient,) = open_library(folder).patients
        # half a voxel of the library's grid further along x; the last one lies beyond it
        to = Grid.axial((3, 4, 5), (5.0, 5.0, 5.0), (-7.5, -7.5, -5.0), FRAME)
        there = patient.plans[0].dose(to).values
        np.testing.assert_allclose(there[..., :-1], libraries.dose_of(0)[..., :-1] + 0.125, atol=1e-5)
        assert not there[..., -1].any()

    def test_a_grid_of_another_frame_is_refused(self, folder: Path) -> None:
        (patient,) = open_library(folder).patients
        with pytest.raises(GeometryRefusal):
            patient.plans[0].dose(Grid.axial((3, 4, 5), (5.0, 5.0, 5.0), (0.0, 0.0, 0.0), "1.2.3"))

    def test_patients_are_in_the_order_of_their_numbers_and_known_by_their_set(self, folder: Path) -> None:
        write_library(folder, "pt_10")
        write_library(folder, "pt_2", "validation")
        library = open_library(folder)
        assert [patient.id for patient in library.patients] == ["pt_2", "pt_7", "pt_10"]
        assert [patient.id for patient in library.of_set("train")] == ["pt_7", "pt_10"]

    def test_a_patient_who_is_not_whole_yet_is_not_there(self, folder: Path) -> None:
        write_library(folder, "pt_8")
        (folder / "pt_8" / "patient.json").unlink()
        (folder / ".lock").touch()
        assert [patient.id for patient in open_library(folder).patients] == ["pt_7"]

    def test_the_criteria_are_a_table_of_what_all_plans_have(self, folder: Path) -> None:
        names, table = criteria_table(open_library(folder).patients[0].plans)
        assert names == ("PTV70 D95% deficit (Gy)", "HI (%)", "Parotid_L mean (Gy)", "SpinalCord mean (Gy)")
        np.testing.assert_allclose(table, [[0, 5, 20, 10], [1, 8, 10, 12.5], [0, 3, 25, 10]])


class TestProjection:
    def test_the_nearest_plan_is_found_by_the_wished_structures_alone(self, folder: Path) -> None:
        patient = open_library(folder).patients[0]
        plan, found = patient.nearest({"Parotid_L": np.full(99, 12.0), "PTV70": np.full(99, 9.0)}, "9")
        assert (plan.name, found.distance_gy, found.mean_gy) == ("9-organ-Parotid_L", pytest.approx(297.0), 1.5)

    @pytest.mark.parametrize(("roi", "beams"), [("Chin", "9"), ("Parotid_L", "5")])
    def test_an_unknown_structure_or_beam_set_is_refused(self, folder: Path, roi: str, beams: str) -> None:
        with pytest.raises(ModelRefusal) as raised:
            open_library(folder).patients[0].nearest({roi: np.zeros(99)}, beams)
        assert code_of(raised) == "library-curve"

    @pytest.mark.parametrize("wished", [{}, {"Parotid_L": np.zeros(99), "PTV70": np.zeros(98)}])
    def test_wishes_that_are_no_curves_are_refused(self, folder: Path, wished: dict[str, Any]) -> None:
        with pytest.raises(GeometryRefusal) as raised:
            open_library(folder).patients[0].nearest(wished, "9")
        assert code_of(raised) == "pareto-shape"


class TestLabels:
    def test_the_reference_plan_differs_in_nothing_from_itself(self, folder: Path) -> None:
        label = open_library(folder).patients[0].plans[0].label
        assert (label.hi, label.hi_difference, label.oar_weight) == (0.05, 0.0, 1.0)
        assert label.oar_weights == {"Parotid_L": 1.0, "SpinalCord": 1.0}

    def test_an_organ_at_half_the_dose_has_twice_the_weight(self, folder: Path) -> None:
        label = open_library(folder).patients[0].plans[1].label
        assert label.hi_difference == pytest.approx(0.03)
        assert label.oar_weights == pytest.approx({"Parotid_L": 2.0, "SpinalCord": 0.8})
        assert label.oar_weight == pytest.approx((2.0 * 0.8) ** 0.5)

    def test_an_organ_out_of_the_beams_has_no_weight(self) -> None:
        label = label_of(measures(cord_gy=0.4), measures(cord_gy=3.0))
        assert set(label.oar_weights) == {"Parotid_L"}

    def test_without_organs_the_common_weight_is_one(self) -> None:
        bare = measures().model_copy(update={"organs": {}})
        assert (label_of(bare, bare).oar_weight, label_of(bare, bare).oar_weights) == (1.0, {})

    def test_as_a_preference_it_asks_for_each_organ_once(self, folder: Path) -> None:
        wish = open_library(folder).patients[0].plans[1].label.preference("library")
        assert (wish.name, wish.hi, wish.oar_weight) == ("library", 0.08, None)
        assert wish.oar_weights == {"Parotid_L": 2.0, "SpinalCord": 0.8}


class TestHostile:
    @pytest.mark.parametrize("file", ["9-reference.dose.npz", "9-reference.plan.npz"])
    def test_a_changed_file_is_refused(self, folder: Path, file: str) -> None:
        plan = open_library(folder).patients[0].plans[0]
        path = folder / "pt_7" / file
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
        with pytest.raises(ModelRefusal) as raised:
            plan.dose() if "dose" in file else plan.content()
        assert code_of(raised) == "library-file-changed"
        assert raised.value.where == {"patient": "pt_7", "file": file}

    def test_the_dose_of_another_plan_in_its_place_is_refused(self, folder: Path) -> None:
        home = folder / "pt_7"
        plan = open_library(folder).patients[0].plans[0]
        (home / "9-reference.dose.npz").write_bytes((home / "9-homogeneity.dose.npz").read_bytes())
        with pytest.raises(ModelRefusal, match="not the file that was written"):
            plan.dose()

    def test_a_missing_dose_is_refused_and_says_how_to_make_it(self, folder: Path) -> None:
        (folder / "pt_7" / "9-reference.dose.npz").unlink()
        with pytest.raises(ModelRefusal, match="library build") as raised:
            open_library(folder).patients[0].plans[0].dose()
        assert code_of(raised) == "library-file-missing"

    def test_a_folder_without_a_library_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(ModelRefusal, match=f"{tmp_path.name} holds no library") as raised:
            open_library(tmp_path)
        assert code_of(raised) == "library-file-missing"
        assert raised.value.where == {"file": "library.json"}  # and no patient

    @pytest.mark.parametrize(
        ("path", "value", "code"),
        [
            (("version",), 2, "library-manifest"),
            (("format",), "other", "library-manifest"),
            (("id",), "pt_9", "library-recipe"),
            (("id",), "../pt_7", "library-manifest"),
            (("recipe_sha256",), "c" * 64, "library-manifest"),  # of the patient, not of its plans
            (("plans", 1, "record", "source_sha256"), "c" * 64, "library-manifest"),
            (("plans", 1, "record", "weighting", "name"), "reference", "library-manifest"),
            (("plans", 1, "record", "weighting", "name"), "../../x", "library-manifest"),
            (("plans", 0, "record", "weighting", "name"), "other", "library-manifest"),  # no reference plan is left
            (("plans", 1, "record", "beam_set"), "7", "library-manifest"),
            (("plans", 0, "dose_sha256"), "short", "library-manifest"),
            (("plans", 0, "record", "measures", "hottest_gy"), "NaN", "library-manifest"),
            (("surprise",), 1, "library-manifest"),
        ],
    )
    def test_a_manifest_that_does_not_hold_together_is_refused(
        self, folder: Path, path: tuple[str | int, ...], value: object, code: str
    ) -> None:
        file = folder / "pt_7" / "patient.json"
        content: Any = json.loads(file.read_text())
        part = content
        for key in path[:-1]:
            part = part[key]
        part[path[-1]] = value
        file.write_text(json.dumps(content))
        with pytest.raises(ModelRefusal) as raised:
            open_library(folder)
        assert code_of(raised) == code

    def test_a_patient_of_another_recipe_is_refused(self, folder: Path) -> None:
        file = folder / "library.json"
        file.write_text(file.read_text().replace('"seed": 1', '"seed": 2'))
        with pytest.raises(ModelRefusal) as raised:
            open_library(folder)
        assert code_of(raised) == "library-recipe"


class TestWriting:
    def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = tmp_path / "x.json"
        write_whole(path, b"old")

        def full(_: int) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(StorageFailure, match="No space left"):
            write_whole(path, b"new")
        assert path.read_bytes() == b"old"
        assert [file.name for file in tmp_path.iterdir()] == ["x.json"]

    def test_a_folder_that_is_not_there_is_a_failure(self, tmp_path: Path) -> None:
        with pytest.raises(StorageFailure) as raised:
            write_whole(tmp_path / "missing" / "x", b"")
        assert code_of(raised) == "library-unwritable"


def test_an_empty_library_has_no_patients(tmp_path: Path) -> None:
    folder = write_library(tmp_path / "library")
    (folder / "pt_7" / "patient.json").unlink()
    assert open_library(folder).patients == ()
