"""A library from patients to files: what is in it, that nothing is done twice, and what becomes of a crash."""

from __future__ import annotations

import csv
import os
import shutil
import signal
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bridge.rt.dvh_compute import compute_dvh
from bridge.rt.errors import BridgeError, ModelRefusal, StorageFailure
from bridge.workflow.library.build import LibraryOptions, LibraryRun, build_library
from bridge.workflow.library.case import read_planning_case
from bridge.workflow.library.folder import PatientFolder
from bridge.workflow.library.planner import InfluenceOf
from bridge.workflow.library.record import read_left_out, read_work
from bridge.workflow.lock import data_folder_lock
from esapi_stub.engine.influence import DoseInfluence
from esapi_stub.engine.patient import PlanningPatient, patient_on_grid
from esapi_stub.engine.radplan import BeamDirection
from models.library.files import read_checked
from models.library.library import LibraryPatient, beamlets_file, open_library
from models.library.plan_file import dose_bytes
from tests.workflow.library.small import FEW, GRID_MM, OPTIONS, PLANS, Counted, gaussian_influence, write_patient

ROOT = Path(__file__).parents[3]


def build(
    data: Path, library: Path, options: LibraryOptions = OPTIONS, influence_of: InfluenceOf = gaussian_influence
) -> LibraryRun:
    with ThreadPoolExecutor(1) as executor:
        return build_library(data, library, options, executor, influence_of=influence_of)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("openkbp")
    write_patient(folder / "train")
    return folder


@pytest.fixture(scope="module")
def built(data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Counted]:
    library, influence_of = tmp_path_factory.mktemp("built") / "library", Counted()
    assert build(data, library, OPTIONS, influence_of) == LibraryRun(1, len(PLANS), ())
    return library, influence_of


@pytest.fixture
def copied(built: tuple[Path, Counted], tmp_path: Path) -> Path:
    """The library, to do things to."""
    return Path(shutil.copytree(built[0], tmp_path / "library"))


def the_patient(library: Path) -> LibraryPatient:
    (patient,) = open_library(library).patients
    return patient


def all_are_readable(library: Path) -> None:
    """Hold every file of the patient against the manifest."""
    patient = the_patient(library)
    for plan in patient.plans:
        plan.dose()
        assert plan.content().record == plan.entry.record
    for beams in patient.manifest.beam_sets:
        read_checked(library / "pt_1" / beamlets_file(beams.name), beams.file_sha256)


def archive(files: dict[str, bytes]) -> bytes:
    """Pack files as they are."""
    packed = BytesIO()
    with zipfile.ZipFile(packed, "w") as file:
        for name, content in files.items():
            file.writestr(name, content)
    return packed.getvalue()


def contents(library: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (library / "pt_1").iterdir()}


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


class TestGoingOn:
    def test_what_is_there_is_not_made_again(self, copied: Path, data: Path) -> None:
        before, influence_of = contents(copied), Counted()
        assert build(data, copied, OPTIONS, influence_of) == LibraryRun(1, 0, ())
        assert influence_of.beams == []
        assert contents(copied) == before

    def test_more_weightings_join_what_is_there(self, copied: Path, data: Path) -> None:
        before = contents(copied)
        more = replace(OPTIONS, choice=replace(OPTIONS.choice, drawn=3))
        assert build(data, copied, more).plans == 1
        after = contents(copied)
        changed = {name for name in after if before.get(name) != after[name]}
        assert changed == {"patient.json", "5-drawn-03.plan.npz", "5-drawn-03.dose.npz"}
        assert len(the_patient(copied).plans) == len(PLANS) + 1

    def test_fewer_weightings_take_nothing_away(self, copied: Path, data: Path) -> None:
        assert build(data, copied, FEW).plans == 0
        assert len(the_patient(copied).plans) == len(PLANS)

    def test_another_set_of_beams_has_a_reference_plan_of_its_own(self, copied: Path, data: Path) -> None:
        influence_of = Counted()
        assert build(data, copied, replace(FEW, beams=(5, 3)), influence_of).plans == 3
        assert influence_of.beams == [3]
        patient = the_patient(copied)
        assert [plan.name for plan in patient.with_beams("3")] == ["3-reference", "3-homogeneity", "3-sparing"]
        assert patient.with_beams("3")[0].label.oar_weight == 1.0
        assert set(patient.manifest.criteria_gy) == {"clinical", "5-reference", "3-reference"}

    def test_a_missing_dose_comes_back_from_the_fluence(self, copied: Path, data: Path) -> None:
        before = contents(copied)
        for path in (copied / "pt_1").glob("*.dose.npz"):
            path.unlink()
        assert build(data, copied) == LibraryRun(1, 0, (), doses=len(PLANS))
        after = contents(copied)
        assert {name: after[name] for name in after if "json" not in name} == {
            name: before[name] for name in before if "json" not in name
        }
        assert the_patient(copied).plans[0].dose().values.max() > 60.0

    def test_a_plan_that_was_deleted_is_made_again(self, copied: Path, data: Path) -> None:
        # as the message about a damaged plan says
        (copied / "pt_1" / "5-sparing.plan.npz").unlink()
        assert build(data, copied).plans == 1
        (plan,) = (plan for plan in the_patient(copied).plans if plan.name == "5-sparing")
        assert len(plan.content().fluence) > 0
        plan.dose()

    def test_beamlets_that_were_deleted_are_laid_out_again(self, copied: Path, data: Path) -> None:
        (copied / "pt_1" / "5.beamlets.npz").unlink()
        assert build(data, copied) == LibraryRun(1, 0, ())
        assert (copied / "pt_1" / "5.beamlets.npz").exists()

    @pytest.mark.parametrize("kind", ["dose", "plan"])
    def test_a_file_that_was_changed_gets_no_new_hash(self, copied: Path, data: Path, kind: str) -> None:
        home = copied / "pt_1"
        manifest = (home / "patient.json").read_bytes()
        changed = home / f"5-sparing.{kind}.npz"
        with zipfile.ZipFile(changed, "a") as file:
            file.writestr("more.npy", b"")
        more = replace(OPTIONS, choice=replace(OPTIONS.choice, drawn=3))
        (left_out,) = build(data, copied, more).left_out
        assert (left_out.error["code"], left_out.error["where"]) == (
            "library-file-changed", {"patient": "pt_1", "file": changed.name},
        )  # fmt: skip
        assert (home / "patient.json").read_bytes() == manifest

    def test_doses_of_beams_that_nobody_asks_for_now_come_back_too(self, copied: Path, data: Path) -> None:
        assert build(data, copied, replace(FEW, beams=(3,))).plans == 3
        (copied / "pt_1" / "3-sparing.dose.npz").unlink()
        assert build(data, copied, FEW).plans == 0
        assert len(the_patient(copied).with_beams("3")) == 3
        the_patient(copied).with_beams("3")[2].dose()

    def test_plans_that_nobody_asks_for_now_are_made_again_where_they_were_lost(self, copied: Path, data: Path) -> None:
        assert build(data, copied, replace(FEW, beams=(3,))).plans == 3
        names = [plan.name for plan in the_patient(copied).plans]
        for name in ("3-reference", "3-sparing", "5-drawn-02"):
            (copied / "pt_1" / f"{name}.plan.npz").unlink()
        assert build(data, copied, FEW) == LibraryRun(1, 3, ())
        assert [plan.name for plan in the_patient(copied).plans] == names
        all_are_readable(copied)

    def test_a_set_of_beams_of_which_all_plans_were_lost_is_made_again(self, copied: Path, data: Path) -> None:
        assert build(data, copied, replace(FEW, beams=(3,))).plans == 3
        for path in (copied / "pt_1").glob("3-*"):
            path.unlink()
        assert build(data, copied, FEW) == LibraryRun(1, 3, ())
        assert len(the_patient(copied).with_beams("3")) == 3

    def test_beamlets_that_were_changed_get_no_new_hash(self, copied: Path, data: Path) -> None:
        home = copied / "pt_1"
        manifest = (home / "patient.json").read_bytes()
        changed = home / "5.beamlets.npz"
        changed.write_bytes(changed.read_bytes()[:-30])
        (left_out,) = build(data, copied, replace(FEW, beams=(3,))).left_out
        assert (left_out.error["code"], left_out.error["where"]) == (
            "library-file-changed", {"patient": "pt_1", "file": changed.name},
        )  # fmt: skip
        assert (home / "patient.json").read_bytes() == manifest

    def test_no_dose_comes_back_from_a_fluence_that_was_changed(self, copied: Path, data: Path) -> None:
        home = copied / "pt_1"
        manifest = (home / "patient.json").read_bytes()
        (home / "5-sparing.dose.npz").unlink()
        with zipfile.ZipFile(home / "5-sparing.plan.npz", "a") as file:
            file.writestr("more.npy", b"")
        (left_out,) = build(data, copied).left_out
        assert left_out.error["code"] == "library-file-changed"
        assert not (home / "5-sparing.dose.npz").exists()
        assert (home / "patient.json").read_bytes() == manifest

    @pytest.mark.parametrize("name", ["copy of sparing", "5-copy"])
    def test_a_plan_that_was_copied_within_the_folder_is_named(self, copied: Path, data: Path, name: str) -> None:
        home = copied / "pt_1"
        shutil.copy(home / "5-sparing.plan.npz", home / f"{name}.plan.npz")
        (left_out,) = build(data, copied, replace(FEW, beams=(3,))).left_out
        assert left_out.error["code"] == "library-file-damaged"
        assert f"pt_1/{name}.plan.npz" in str(left_out.error["message"])

    def test_a_dose_that_does_not_come_back_as_it_was_is_refused(self, copied: Path, data: Path) -> None:
        (copied / "pt_1" / "5-sparing.dose.npz").unlink()

        def stronger(patient: Any, directions: Sequence[BeamDirection], width: float) -> DoseInfluence:
            influence = gaussian_influence(patient, directions, width)
            return replace(influence, matrix=influence.matrix * np.float32(1.01))

        run = build(data, copied, OPTIONS, stronger)
        assert [one.error["code"] for one in run.left_out] == ["library-dose-differs"]
        assert not (copied / "pt_1" / "5-sparing.dose.npz").exists()

    def test_a_dose_that_differs_in_an_organ_alone_is_refused_too(self, copied: Path, data: Path) -> None:
        (copied / "pt_1" / "5-sparing.dose.npz").unlink()
        case = read_planning_case(data / "train" / "pt_1.npz")

        def beside(patient: PlanningPatient, directions: Sequence[BeamDirection], width: float) -> DoseInfluence:
            influence = gaussian_influence(patient, directions, width)
            inside = case.patient.anatomy.masks["SpinalCord"].resampled(to=patient.ct.grid, outside=0.0).values
            factors = np.where(inside.ravel()[influence.voxels] > 0.5, 1.2, 1.0).astype(np.float32)
            return replace(influence, matrix=(influence.matrix.multiply(factors[:, None])).tocsr())

        (left_out,) = build(data, copied, OPTIONS, beside).left_out
        assert left_out.error["code"] == "library-dose-differs"


class TestCrashes:
    @pytest.mark.parametrize(("at", "there"), [(2, 0), (3, 0), (6, 1), (9, 3)])
    def test_after_a_stop_in_the_middle_of_a_write_only_the_rest_is_made(
        self, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int, there: int
    ) -> None:
        """Files are written in this order: recipe, beamlets, three times dose and plan, manifest."""
        library, synced = tmp_path / "library", os.fsync
        count = iter(range(1, 1000))

        def stop(descriptor: int) -> None:
            if next(count) == 2 * at - 1:  # each file is synced, and then its folder
                raise KeyboardInterrupt
            synced(descriptor)

        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", stop)
            with pytest.raises(KeyboardInterrupt):
                build(data, library, FEW)
        assert len(list((library / "pt_1").glob("*.plan.npz"))) == there
        assert open_library(library).patients == ()
        assert build(data, library, FEW).plans == 3 - there
        assert [plan.name for plan in the_patient(library).plans] == ["5-reference", "5-homogeneity", "5-sparing"]
        for plan in the_patient(library).plans:
            plan.dose()
            plan.content()

    def test_what_was_made_in_two_runs_is_what_one_makes(
        self, built: tuple[Path, Counted], data: Path, tmp_path: Path
    ) -> None:
        library = tmp_path / "library"
        assert build(data, library, FEW).plans == 3
        assert build(data, library).plans == len(PLANS) - 3
        for one, other in zip(the_patient(library).plans, the_patient(built[0]).plans, strict=True):
            assert one.name == other.name
            # plans that are optimized together share what is left out between two looks at the whole
            np.testing.assert_allclose(one.dose().values, other.dose().values, atol=0.1)

    def test_a_killed_process_leaves_whole_plans_and_the_next_one_goes_on(self, data: Path, tmp_path: Path) -> None:
        library = tmp_path / "library"
        program = f"""
import os, signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from bridge.workflow.library.build import build_library
from bridge.workflow.library.folder import PatientFolder
from tests.workflow.library.small import FEW, gaussian_influence

write = PatientFolder.write_dose

def killed(self, name, dose):
    if name == "5-sparing":
        (self.path / ".half.part").write_bytes(b"half a file")
        os.kill(os.getpid(), signal.SIGKILL)
    write(self, name, dose)

PatientFolder.write_dose = killed
with ThreadPoolExecutor(1) as executor:
    build_library(Path({str(data)!r}), Path({str(library)!r}), FEW, executor, influence_of=gaussian_influence)
"""
        done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, check=False)
        assert done.returncode == -signal.SIGKILL, done.stderr.decode()
        before = contents(library)
        assert sum(name.endswith(".plan.npz") for name in before) == 2
        assert build(data, library, FEW) == LibraryRun(1, 1, ())
        after = contents(library)
        assert before.keys() - after.keys() == {".half.part"}
        assert all(after[name] == content for name, content in before.items() if name in after)
        assert len(the_patient(library).plans) == 3

    def test_a_stop_while_doses_come_back_in_other_bytes_leaves_none_that_is_refused(
        self, copied: Path, data: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # another machine or another zlib packs the same dose otherwise
        for path in (copied / "pt_1").glob("*.dose.npz"):
            path.unlink()

        def unpacked(dose: NDArray[np.float32]) -> bytes:
            if len(list((copied / "pt_1").glob("*.dose.npz"))) == stop_at:
                raise KeyboardInterrupt
            with zipfile.ZipFile(BytesIO(dose_bytes(dose))) as file:
                return archive({name: file.read(name) for name in file.namelist()})

        monkeypatch.setattr("bridge.workflow.library.folder.dose_bytes", unpacked)
        stop_at = 3
        with pytest.raises(KeyboardInterrupt):
            build(data, copied)
        stop_at = len(PLANS)
        assert build(data, copied) == LibraryRun(1, 0, (), doses=len(PLANS) - 3)
        all_are_readable(copied)

    @pytest.mark.parametrize("lost", ["5-sparing", "5-reference"])
    def test_a_stop_after_a_lost_plan_was_made_again_leaves_it_readable(
        self, copied: Path, data: Path, monkeypatch: pytest.MonkeyPatch, lost: str
    ) -> None:
        (copied / "pt_1" / f"{lost}.plan.npz").unlink()

        def stop(*_: object) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(PatientFolder, "entries", stop)
            with pytest.raises(KeyboardInterrupt):
                build(data, copied)
        assert build(data, copied) == LibraryRun(1, 0, ())
        all_are_readable(copied)

    def test_a_damaged_plan_is_named_and_not_taken(self, copied: Path, data: Path) -> None:
        (copied / "pt_1" / "patient.json").unlink()
        (copied / "pt_1" / "5-sparing.plan.npz").write_bytes(b"")
        (left_out,) = build(data, copied).left_out
        assert (left_out.patient, left_out.error["code"]) == ("pt_1", "library-file-damaged")
        assert "5-sparing.plan.npz" in str(left_out.error["message"])


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
