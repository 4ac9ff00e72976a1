"""A study from patients to files: what is in it, that it is the same however it is run, and what becomes of a crash."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numba
import numpy as np
import pytest

from bridge.rt.dvh_prepared import prepare_dvhs
from bridge.rt.errors import BridgeError, ModelRefusal, Refusal, StorageFailure
from bridge.workflow.cohort.planner import CohortPlanner, one_thread
from bridge.workflow.cohort.promise import band_promise, dose_promise
from bridge.workflow.cohort.result import PatientResult, as_bytes, patient_file, read_patient_result
from bridge.workflow.cohort.run import STUDY_FILE, CohortRun
from bridge.workflow.cohort.study import BASELINE, POLICY
from bridge.workflow.library.case import read_planning_case
from bridge.workflow.lock import data_folder_lock
from esapi_stub.engine.radplan import equispaced_deg
from models.registry import load_estimator, load_model
from tests.workflow.cohort.studies import OPTIONS, study, write_cohort
from tests.workflow.library.small import Counted, gaussian_influence, write_patient

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_cohort(tmp_path_factory.mktemp("cohort"))


@pytest.fixture(scope="module")
def studied(cohort: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, CohortRun]:
    folder = tmp_path_factory.mktemp("studied") / "study"
    return folder, study(cohort, folder)


@pytest.fixture
def copied(studied: tuple[Path, CohortRun], tmp_path: Path) -> Path:
    """The study, to do things to."""
    return Path(shutil.copytree(studied[0], tmp_path / "study"))


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((folder / "patients").glob("*.json"))}


class TestWhatIsMeasured:
    def test_every_method_has_its_curves_and_plans(self, studied: tuple[Path, CohortRun]) -> None:
        run = studied[1]
        assert (run.made, run.left_out, [one.id for one in run.results]) == (2, (), ["pt_1", "pt_2"])
        first = run.results[0]
        assert [method.name for method in first.methods] == ["balanced", BASELINE]
        assert set(first.method("balanced").deviations) == {"prediction"}
        assert set(first.method(BASELINE).deviations) == {"band_middle", "line_objective"}
        assert [s.name for s in first.structures if s.kind == "target"] == ["PTV70", "PTV56"]
        # the larynx lies in the target: nothing of it is outside
        assert {s.organ for s in first.structures if s.kind == "outside"} == {"SpinalCord", "Parotid_L"}
        assert first.method(BASELINE).promised is None
        assert first.method("balanced").promised is not None

    def test_volumes_are_those_of_the_voxels(self, studied: tuple[Path, CohortRun]) -> None:
        """Half-slice end caps: 3 x 3 x 16 voxels of 5 mm are 18 cc."""
        volumes = {s.name: s.volume_cc for s in studied[1].results[0].structures}
        assert volumes["SpinalCord"] == pytest.approx(18.0, abs=1e-3)
        assert volumes["PTV70"] == pytest.approx(8 * 10 * 8 * 0.125, abs=1e-3)

    def test_an_organ_that_goes_on_where_the_scan_ends_is_compared_too(self, cohort: Path, tmp_path: Path) -> None:
        """The cord has all slices of the body, and half a slice beyond them; a grid of 5 mm ends with the planes."""
        finer = replace(OPTIONS, settings=replace(OPTIONS.settings, dose_grid_mm=5.0))
        for method in study(cohort, tmp_path / "study", finer, patients=1).results[0].methods:
            assert method.not_compared == {}
            assert all("SpinalCord" in found for found in method.deviations.values())

    @pytest.mark.parametrize(("method", "curve"), [("balanced", "prediction"), (BASELINE, "band_middle")])
    def test_deviations_are_those_of_the_stored_curves(
        self, studied: tuple[Path, CohortRun], method: str, curve: str
    ) -> None:
        for result in studied[1].results:
            found = result.method(method)
            for name, one in found.deviations[curve].items():  # type: ignore[index]
                e = np.subtract(found.achieved[name], found.predicted[curve][name])[1:100]  # type: ignore[index]
                assert one.abs_mean_gy == pytest.approx(np.abs(e).mean(), abs=2e-3)
                assert one.signed_mean_gy == pytest.approx(e.mean(), abs=2e-3)
                assert one.std_over_curve_gy == pytest.approx(e.std(), abs=2e-3)

    def test_the_line_lies_below_the_middle_and_the_edge_above(self, studied: tuple[Path, CohortRun]) -> None:
        found = studied[1].results[0].method(BASELINE)
        for name, middle in found.predicted["band_middle"].items():
            assert (np.array(found.predicted["line_objective"][name]) <= np.array(middle) + 2e-3).all()
            assert (np.array(found.upper[name]) >= np.array(middle) - 2e-3).all()

    def test_slack_is_read_off_the_achieved_curves(self, studied: tuple[Path, CohortRun]) -> None:
        found = studied[1].results[0].method("balanced")
        points = [one for one in found.slack if one.roi in found.achieved and one.volume_percent in (5, 20, 40, 60, 95)]
        assert len(points) >= 5
        for one in points:
            assert one.volume_percent is not None
            reached = found.achieved[one.roi][int(one.volume_percent)]
            assert one.reached_gy == pytest.approx(reached, abs=2e-3)

    def test_both_methods_ask_the_same_of_the_targets(self, studied: tuple[Path, CohortRun]) -> None:
        for result in studied[1].results:
            asked = [
                [
                    (s.roi, s.volume_percent, s.operator, s.requested_gy, s.priority)
                    for s in m.slack
                    if "target" in s.rule
                ]
                for m in result.methods
            ]
            assert asked[0] == asked[1] != []

    def test_normalised_plans_all_have_the_same_coverage(self, cohort: Path, tmp_path: Path) -> None:
        run = study(cohort, tmp_path / "study", replace(OPTIONS, normalisation="d95"), patients=1)
        for method in run.results[0].methods:
            assert method.planned.measures.targets["PTV70"].d95_gy == pytest.approx(70.0, abs=0.02)
            assert method.factor > 1.02
        assert run.study.normalised == "D95% of the highest target is its prescription"


class TestTheSameAgain:
    def test_the_same_study_gives_the_same_bytes_on_any_number_of_threads(
        self, cohort: Path, studied: tuple[Path, CohortRun], tmp_path: Path
    ) -> None:
        before = numba.get_num_threads()
        for number in {1, numba.config.NUMBA_NUM_THREADS}:  # type: ignore[attr-defined]
            numba.set_num_threads(number)
            try:
                with ThreadPoolExecutor(2) as executor:
                    study(cohort, tmp_path / f"on-{number}", executor=executor)
            finally:
                numba.set_num_threads(before)
            assert contents(tmp_path / f"on-{number}") == contents(studied[0])

    def test_a_plan_does_not_hang_on_what_it_is_compared_with(self, cohort: Path) -> None:
        """The baseline's plan alone, and beside a model that needs other structures."""
        case = read_planning_case(cohort / "pt_1.npz")
        anatomy = replace(case.patient.anatomy, gantry_angles_deg=equispaced_deg(OPTIONS.beams))
        prepared = prepare_dvhs((*case.structures, *case.outside.values()), anatomy.grid, POLICY)
        model = dose_promise(case, load_model("geometric").predict(anatomy), prepared).objectives
        baseline = band_promise(case, load_estimator("kbp-openkbp-v1").estimate(anatomy)).objectives
        alone, beside = (
            CohortPlanner(case, asked, OPTIONS.beams, OPTIONS.settings, "none", gaussian_influence)
            for asked in ([baseline], [model, baseline])
        )
        with one_thread():
            one, other = alone.optimize(baseline), beside.optimize(baseline)
        assert np.array_equal(one.dose.values, other.dose.values)
        assert one.dvhs.keys() == other.dvhs.keys()

    def test_what_is_there_is_not_made_again(self, cohort: Path, copied: Path) -> None:
        counted = Counted()
        before = contents(copied)
        run = study(cohort, copied, influence_of=counted)
        assert (run.made, len(run.results), counted.beams) == (0, 2, [])
        assert contents(copied) == before

    def test_more_patients_join(self, cohort: Path, copied: Path) -> None:
        before, counted = contents(copied), Counted()
        patient_file(copied, "pt_2").unlink()
        run = study(cohort, copied, patients=1, influence_of=counted)
        assert (run.made, [one.id for one in run.results]) == (0, ["pt_1"])
        run = study(cohort, copied, influence_of=counted)
        assert (run.made, [one.id for one in run.results]) == (1, ["pt_1", "pt_2"])
        assert counted.beams == [5]
        assert contents(copied) == before

    def test_patients_of_earlier_runs_stay_in_the_study(self, cohort: Path, copied: Path, tmp_path: Path) -> None:
        """One patient at a time makes the study that both at once make, in whatever order."""
        (tmp_path / "pt_4.npz").write_bytes(b"not a patient")
        run = study(tmp_path / "pt_4.npz", copied)
        assert (run.made, run.earlier, [one.id for one in run.results]) == (0, 2, ["pt_1", "pt_2"])
        for name in ("pt_2", "pt_1"):
            run = study(cohort / f"{name}.npz", copied)
            assert (run.made, run.earlier, [one.id for one in run.results]) == (0, 1, ["pt_1", "pt_2"])
            assert [one.patient for one in run.left_out] == ["pt_4"]
        assert study(cohort, copied).earlier == 0

    def test_what_an_earlier_run_left_under_other_conditions_is_not_taken(self, cohort: Path, copied: Path) -> None:
        file = patient_file(copied, "pt_2")
        result = read_patient_result(file).model_copy(update={"study_sha256": "0" * 64})
        file.write_bytes(as_bytes(result))
        with pytest.raises(ModelRefusal, match=r"pt_2\.json") as refused:
            study(cohort / "pt_1.npz", copied)
        assert refused.value.code == "cohort-source"

    def test_a_kill_loses_the_patient_in_work_alone(
        self, cohort: Path, studied: tuple[Path, CohortRun], tmp_path: Path
    ) -> None:
        """SIGKILL as soon as the first patient is whole; what is left is whole, and the rest is made."""
        folder = tmp_path / "study"
        program = (
            "from pathlib import Path; from tests.workflow.cohort.studies import study; "
            f"study(Path({str(cohort)!r}), Path({str(folder)!r}))"
        )
        process = subprocess.Popen(
            [sys.executable, "-c", program], cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}
        )
        deadline = time.monotonic() + 120
        while not patient_file(folder, "pt_1").exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert isinstance(read_patient_result(patient_file(folder, "pt_1")), PatientResult)
        counted = Counted()
        run = study(cohort, folder, influence_of=counted)
        assert counted.beams == [5]  # the second one alone
        assert contents(folder) == contents(studied[0])
        assert not list(folder.rglob("*pt_*.part"))  # of the list of those left out, the kill may leave one
        assert len(run.results) == 2


class TestRefusals:
    def test_another_study_does_not_mix_with_this_one(self, cohort: Path, copied: Path) -> None:
        for options in (
            replace(OPTIONS, beams=7),
            replace(OPTIONS, normalisation="d95"),
            replace(OPTIONS, settings=replace(OPTIONS.settings, dose_grid_mm=6.0)),
        ):
            with pytest.raises(ModelRefusal) as refused:
                study(cohort, copied, options)
            assert refused.value.code == "study-differs"

    def test_the_methods_have_to_be_of_their_kinds(self, cohort: Path, tmp_path: Path) -> None:
        for options, code in (
            (replace(OPTIONS, model="kbp-openkbp-v1"), "model-no-dose"),
            (replace(OPTIONS, baseline="geometric"), "model-kind"),
            (replace(OPTIONS, model="nothing"), "model-unknown"),
            (replace(OPTIONS, preferences=("balanced", "balanced")), "preference-twice"),
            (replace(OPTIONS, preferences=("gentle",)), "preference-unknown"),
        ):
            with pytest.raises(ModelRefusal) as refused:
                study(cohort, tmp_path / "study", options)
            assert refused.value.code == code
        assert not (tmp_path / "study").exists()

    def test_a_patient_that_cannot_be_studied_is_left_out_and_named(
        self, cohort: Path, copied: Path, tmp_path: Path
    ) -> None:
        mixed = Path(shutil.copytree(cohort, tmp_path / "mixed"))
        write_patient(mixed, "pt_3", "PTV70", "PTV56")
        (mixed / "pt_4.npz").write_bytes(b"not a patient")
        patient_file(copied, "pt_2").unlink()
        run = study(mixed, copied)
        assert [one.id for one in run.results] == ["pt_1", "pt_2"]
        assert [(one.patient, one.error["code"]) for one in sorted(run.left_out, key=lambda o: o.patient)] == [
            ("pt_3", "openkbp-file"),
            ("pt_4", "openkbp-file"),
        ]

    def test_results_of_other_files_of_a_patient_are_not_taken(
        self, cohort: Path, copied: Path, tmp_path: Path
    ) -> None:
        changed = Path(shutil.copytree(cohort, tmp_path / "changed"))
        write_patient(changed, "pt_1", "SpinalCord")
        run = study(changed, copied)
        assert [(one.patient, one.error["code"]) for one in run.left_out] == [("pt_1", "cohort-source")]
        assert [one.id for one in run.results] == ["pt_2"]

    @pytest.mark.parametrize("other", ["pt_2", "../../outside"])
    def test_the_results_of_a_patient_under_the_name_of_another_are_not_taken(
        self, cohort: Path, copied: Path, other: str
    ) -> None:
        """His report would go to the page of the other, or out of the folder."""
        file = patient_file(copied, "pt_1")
        file.write_text(file.read_text().replace('"id": "pt_1"', f'"id": "{other}"'))
        run = study(cohort, copied)
        assert [(one.patient, one.error["code"]) for one in run.left_out] == [("pt_1", "cohort-file")]
        assert [one.id for one in run.results] == ["pt_2"]

    def test_one_run_at_a_time(self, cohort: Path, copied: Path) -> None:
        with data_folder_lock(copied), pytest.raises(StorageFailure) as refused:
            study(cohort, copied)
        assert refused.value.code == "data-folder-in-use"

    @pytest.mark.parametrize("content", [b"", b"{}", b"[1, 2"])
    def test_damaged_files_are_named(self, cohort: Path, copied: Path, content: bytes) -> None:
        (copied / STUDY_FILE).write_bytes(content)
        with pytest.raises(BridgeError, match=STUDY_FILE) as refused:
            study(cohort, copied)
        assert refused.value.code == "cohort-file"

    def test_no_patient_is_no_study(self, tmp_path: Path) -> None:
        with pytest.raises(Refusal) as refused:
            study(tmp_path, tmp_path / "study")
        assert refused.value.code == "openkbp-no-patients"
