"""A library from patients to files: what is in it, who is left out and why, and what is refused."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bridge.rt.dvh_compute import compute_dvh
from bridge.rt.errors import BridgeError, ModelRefusal, StorageFailure
from bridge.workflow.library.build import LibraryOptions
from bridge.workflow.library.case import read_planning_case
from bridge.workflow.library.record import read_left_out, read_work
from bridge.workflow.lock import data_folder_lock
from esapi_stub.engine.influence import DoseInfluence
from esapi_stub.engine.patient import patient_on_grid
from esapi_stub.engine.radplan import BeamDirection
from models.library.library import open_library
from tests.workflow.library.small import (
    FEW,
    GRID_MM,
    OPTIONS,
    PLANS,
    Counted,
    build,
    contents,
    gaussian_influence,
    the_patient,
    write_patient,
)


class TestWhatIsMade:
    def test_all_plans_are_there_from_one_influence(self, built: tuple[Path, Counted]) -> None:
        patient = the_patient(built[0])
        assert tuple(plan.name for plan in patient.plans) == PLANS
        assert built[1].beams == [5]
        assert patient.plans[0].beams.gantry_deg == (0.0, 72.0, 144.0, 216.0, 288.0)
        assert (patient.manifest.set_name, patient.manifest.levels_gy) == ("train", {"PTV70": 70.0, "PTV56": 56.0})
        assert {path.suffix for path in (built[0] / "pt_1").iterdir()} == {".npz", ".json"}

    def test_a_stored_dose_is_that_of_the_stored_fluence(self, built: tuple[Path, Counted], data: Path) -> None:
        case = read_planning_case(data / "train" / "pt_1.npz")
        on_grid = patient_on_grid(case.ct, case.planned_structures(), GRID_MM)
        plans = the_patient(built[0]).plans
        directions = [BeamDirection(angle, case.isocentre_mm) for angle in plans[0].beams.gantry_deg]
        influence = gaussian_influence(on_grid, directions, 7.0)
        for plan in plans:
            again = influence.dose(plan.content().fluence.astype(np.float64))
            assert again.grid.matches(plan.dose().grid)
            assert np.abs(again.values - plan.dose().values).max() <= 0.0051

    def test_measures_are_those_of_the_stored_dose(self, built: tuple[Path, Counted], data: Path) -> None:
        case = read_planning_case(data / "train" / "pt_1.npz")
        structures = {structure.name: structure for structure in (*case.structures, *case.outside.values())}
        for plan in the_patient(built[0]).plans[:3]:
            dvhs = {name: compute_dvh(structures[name], plan.dose()) for name in structures if name != "BODY"}
            target, organ = plan.measures.targets["PTV70"], plan.measures.organs["Parotid_L"]
            assert target.d95_gy == pytest.approx(dvhs["PTV70"].dose_at_percent(95), abs=0.1)
            assert target.hi_icru83 == pytest.approx(
                (dvhs["PTV70"].dose_at_percent(2) - dvhs["PTV70"].dose_at_percent(98))
                / dvhs["PTV70"].dose_at_percent(50),
                abs=0.002,
            )
            assert organ.mean_gy == pytest.approx(dvhs["Parotid_L"].mean_gy, abs=0.05)
            assert organ.outside_gy == pytest.approx(dvhs["Parotid_L-targets"].mean_gy, abs=0.05)
            assert plan.measures.hottest_gy == pytest.approx(float(plan.dose().values.max()), abs=1e-3)
            names = the_patient(built[0]).manifest.curves
            curve = plan.content().curves_gy[names.index("SpinalCord")]
            np.testing.assert_allclose(curve, dvhs["SpinalCord"].curve(np.arange(1.0, 100.0)), atol=0.1)

    def test_weightings_do_what_they_are_named_after(self, built: tuple[Path, Counted]) -> None:
        plans = {plan.entry.record.weighting.name: plan for plan in the_patient(built[0]).plans}
        assert plans["reference"].label.oar_weights == {"SpinalCord": 1.0, "Parotid_L": 1.0}
        for organ in ("SpinalCord", "Parotid_L"):
            assert plans[f"organ-{organ}"].label.oar_weights[organ] > 1.05
        assert plans["homogeneity"].measures.hi < plans["reference"].measures.hi
        assert plans["sparing"].label.oar_weight > 1.05

    def test_the_targets_get_their_prescription(self, built: tuple[Path, Counted]) -> None:
        for target in the_patient(built[0]).plans[0].measures.targets.values():
            assert target.d95_gy > 0.9 * target.prescribed_gy

    def test_a_parotid_that_lies_in_a_target_costs_neither_coverage_nor_a_hot_spot(self, tmp_path: Path) -> None:
        # three tenths of it lie in PTV70; with a mean of 26 Gy asked of all of it, a voxel beside had 99 Gy
        write_patient(tmp_path / "data" / "train", parotid=np.s_[56:66, 64:75, 60:68])
        build(tmp_path / "data", tmp_path / "library", replace(FEW, rounds=5))
        reference = the_patient(tmp_path / "library").plans[0]
        assert reference.entry.flags == ()
        missed = {f"{goal.roi} {goal.what}": goal.excess_gy for goal in reference.measures.goals if goal.hard}
        # beamlets that are 10 mm apart come no nearer, with or without a parotid
        assert max(missed.values()) < 1.0

    def test_openkbps_criteria_are_measured_of_both_plans(self, built: tuple[Path, Counted]) -> None:
        criteria = the_patient(built[0]).manifest.criteria_gy
        assert set(criteria) == {"clinical", "5-reference"}
        assert criteria["clinical"]["PTV70 D99"] == pytest.approx(71.0)
        assert set(criteria["clinical"]) == set(criteria["5-reference"])

    def test_the_work_is_on_record(self, built: tuple[Path, Counted]) -> None:
        (work,) = read_work(built[0])
        assert (work.patient, work.plans, work.processes) == ("pt_1", len(PLANS), 1)
        assert work.seconds > 0
        with (built[0] / "record.csv").open() as stream:
            assert next(csv.reader(stream)) == ["finished_utc", "patient", "plans", "seconds", "processes"]


class TestLeavingOut:
    def test_a_patient_who_cannot_be_planned_is_reported_and_the_others_are_done(self, tmp_path: Path) -> None:
        write_patient(tmp_path / "data" / "train", "pt_1", "PTV70", "PTV56")
        write_patient(tmp_path / "data" / "train", "pt_2")
        write_patient(tmp_path / "data" / "train", "pt_3")
        (tmp_path / "data" / "train" / "pt_3.npz").write_bytes(b"no archive")
        library = tmp_path / "library"
        run = build(tmp_path / "data", library, FEW)
        assert (run.patients, run.plans) == (1, 3)
        assert read_left_out(library) == run.left_out
        reasons = {one.patient: (one.error["kind"], one.error["code"]) for one in run.left_out}
        assert reasons == {"pt_1": ("refused", "openkbp-file"), "pt_3": ("refused", "openkbp-file")}
        assert "no target" in str(run.left_out[0].error["message"])
        assert [patient.id for patient in open_library(library).patients] == ["pt_2"]

    def test_a_run_over_other_patients_forgets_nobody_who_was_left_out(self, tmp_path: Path) -> None:
        data, library = tmp_path / "data", tmp_path / "library"
        (data / "train").mkdir(parents=True)
        (data / "train" / "pt_1.npz").write_bytes(b"no archive")
        (data / "validation").mkdir()
        (data / "validation" / "pt_9.npz").write_bytes(b"no archive")
        build(data, library, FEW)
        assert [one.patient for one in build(data, library, replace(FEW, sets=("validation",))).left_out] == ["pt_9"]
        assert [one.patient for one in read_left_out(library)] == ["pt_1", "pt_9"]
        write_patient(data / "train", "pt_1")
        assert build(data, library, FEW).left_out == ()
        assert [one.patient for one in read_left_out(library)] == ["pt_9"]

    def test_a_bug_in_one_patient_does_not_stop_the_night(self, data: Path, tmp_path: Path) -> None:
        def broken(*_: Any) -> DoseInfluence:
            raise ZeroDivisionError("a secret")

        (left_out,) = build(data, tmp_path / "library", OPTIONS, broken).left_out
        assert left_out.error["code"] == "internal-error"
        assert "ZeroDivisionError" in str(left_out.error["message"])
        assert open_library(tmp_path / "library").patients == ()

    def test_an_optimization_without_fluence_leaves_the_patient_out(self, data: Path, tmp_path: Path) -> None:
        def nothing(patient: Any, directions: Sequence[BeamDirection], width: float) -> DoseInfluence:
            influence = gaussian_influence(patient, directions, width)
            return replace(influence, matrix=influence.matrix * np.float32(1e30))

        with np.errstate(all="ignore"):
            (left_out,) = build(data, tmp_path / "library", OPTIONS, nothing).left_out
        assert left_out.error["code"] == "library-optimization"

    def test_a_patient_whose_files_changed_is_left_out(self, copied: Path, tmp_path: Path) -> None:
        write_patient(tmp_path / "data" / "train", "pt_1", "Larynx")
        (left_out,) = build(tmp_path / "data", copied).left_out
        assert left_out.error["code"] == "library-source"


class TestSets:
    @pytest.mark.parametrize("name", ["validation", "validation-pats"])
    def test_a_folder_that_is_named_after_a_set_is_that_set(self, tmp_path: Path, name: str) -> None:
        # taken for the first set, patients to measure a model by would be among those that it learns from
        write_patient(tmp_path / name, "pt_201")
        build(tmp_path / name, tmp_path / "library", replace(FEW, sets=("train", "validation")))
        assert the_patient(tmp_path / "library").manifest.set_name == "validation"

    def test_any_other_folder_of_patients_is_the_first_set(self, tmp_path: Path) -> None:
        write_patient(tmp_path / "patients")
        build(tmp_path / "patients", tmp_path / "library", replace(FEW, sets=("train", "validation")))
        assert the_patient(tmp_path / "library").manifest.set_name == "train"

    def test_a_patient_who_is_in_the_library_as_one_of_another_set_is_left_out(
        self, copied: Path, tmp_path: Path, data: Path
    ) -> None:
        shutil.copytree(data / "train", tmp_path / "data" / "validation")
        before = contents(copied)
        (left_out,) = build(tmp_path / "data", copied, replace(OPTIONS, sets=("validation",))).left_out
        assert left_out.error["code"] == "library-set"
        assert "'train'" in str(left_out.error["message"])
        assert "'validation'" in str(left_out.error["message"])
        assert contents(copied) == before


class TestRefusals:
    @pytest.mark.parametrize(
        ("options", "named"),
        [
            (replace(OPTIONS, choice=replace(OPTIONS.choice, seed=2)), "seed 1, now 2"),
            (replace(OPTIONS, settings=replace(OPTIONS.settings, beamlet_mm=5.0)), "beamlet_mm 7.0, now 5.0"),
            (replace(OPTIONS, rounds=3), "rounds 2, now 3"),
        ],
    )
    def test_a_library_of_another_recipe_is_left_alone(
        self, copied: Path, data: Path, options: LibraryOptions, named: str
    ) -> None:
        before = contents(copied)
        with pytest.raises(ModelRefusal, match=named) as raised:
            build(data, copied, options)
        assert raised.value.code == "library-recipe"
        assert contents(copied) == before

    def test_two_runs_in_one_folder_are_refused(self, copied: Path, data: Path) -> None:
        with data_folder_lock(copied), pytest.raises(StorageFailure) as raised:
            build(data, copied)
        assert raised.value.code == "data-folder-in-use"

    def test_a_data_folder_without_the_set_is_refused(self, data: Path, tmp_path: Path) -> None:
        with pytest.raises(BridgeError) as raised:
            build(data, tmp_path / "library", replace(OPTIONS, sets=("validation",)))
        assert raised.value.code == "openkbp-no-patients"
        assert not (tmp_path / "library").exists()
