"""A library that is built again: nothing is done twice, lost files come back, and a crash leaves nothing half made."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bridge.workflow.library.build import LibraryRun
from bridge.workflow.library.case import read_planning_case
from bridge.workflow.library.folder import PatientFolder
from esapi_stub.engine.influence import DoseInfluence
from esapi_stub.engine.patient import PlanningPatient
from esapi_stub.engine.radplan import BeamDirection
from models.library.files import read_checked
from models.library.library import beamlets_file, open_library
from models.library.plan_file import dose_bytes
from tests.workflow.library.small import (
    FEW,
    OPTIONS,
    PLANS,
    Counted,
    build,
    contents,
    gaussian_influence,
    the_patient,
)

ROOT = Path(__file__).parents[3]


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
