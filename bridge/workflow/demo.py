"""The demonstration: the whole loop on a made-up patient, with files, objects and a network as in a clinic."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

from bridge.dicom.headers import read_header
from bridge.dicom.phantom import write_head_and_neck_phantom
from bridge.node.scp import StorageScp
from bridge.node.scu import Sender
from bridge.node.settings import Destination, Peer, QuietPolicy, ScpSettings, ScuSettings
from bridge.node.spool import Spool
from bridge.rt.dvh import Dvh
from bridge.rt.errors import DeliveryFailure, Failure, ModelRefusal
from bridge.workflow import jobs
from bridge.workflow.cases import CaseState, case_id_of, list_cases
from bridge.workflow.comparison import COMPARISON_FILES
from bridge.workflow.dose_lines import dose_lines, read_metrics
from bridge.workflow.export import ARTIFACT_FILES, sha256_of
from bridge.workflow.instances import SqlInstanceIndex, paths_of
from bridge.workflow.intake import Intake
from bridge.workflow.optimize import PLAN_FILES, Optimized, plan_files
from bridge.workflow.reimport import reimports_of
from bridge.workflow.release import approve
from bridge.workflow.store import Store
from bridge.workflow.whole_folder import whole_folder
from bridge.workflow.worker import Worker
from config.settings import Settings
from esapi_stub.planning import QUIET, PlanningEngine, Watch
from models.registry import load_card

__all__ = ["require_planning", "run_demo"]

_BRIDGE_AE, _TPS_AE = "FDP_BRIDGE", "TPS"
_LOOPBACK = "127.0.0.1"
_QUIET_S = 0.2
_LONGEST_WAIT_S = 600.0
_TICK_S = 0.02
_SAME_MEAN_GY = 0.05
"""Largest change of a mean dose by being written as RTDOSE, sent, and read again."""


def require_planning() -> None:
    """Refuse to begin what cannot come to its end.

    Raises
    ------
    Failure
        The dose engine is not installed (``planning-not-installed``).
    """
    missing = [package for package in ("pyRadPlan", "numba") if find_spec(package) is None]
    if missing:
        raise Failure(
            "planning-not-installed",
            f"The demonstration optimizes a plan, and {' and '.join(missing)} is not installed: run `make demo`, or "
            "pip install 'fdp-bridge[planning]'.",
        )


def run_demo(
    folder: Path, settings: Settings, engine: PlanningEngine, say: Callable[[str], None], watch: Watch = QUIET
) -> Path:
    """Send a phantom to a bridge; predict, extract, approve and plan it; send the plan's dose back, and compare.

    Parameters
    ----------
    folder
        Gets ``dicom/``, ``result/``, ``plan/`` and ``comparison/``.
    settings
        Model, rules, and the number of fractions.
    engine
        What optimizes.
    say
        Called with a line after each step.
    watch
        Of the optimization.

    Returns
    -------
    Path
        The report with the requested, predicted and optimized DVHs.

    Raises
    ------
    Failure
        A step did not come to its end.
    ModelRefusal
        The dose that came back is not the one that was planned (``round-trip``).
    """
    clock = _Clock(say)
    phantom = write_head_and_neck_phantom(folder / "dicom")
    clock.step(f"phantom: {len(phantom.ct_paths)} CT slices and an RTSTRUCT in {folder / 'dicom'}")
    with _running_bridge(folder, settings) as bridge:
        clock.step("bridge started: listener on loopback, database, worker with its model")
        bridge.receive(phantom.paths)
        clock.step(f"sent to the bridge by C-STORE: {len(phantom.paths)} objects")
        identity = phantom.identity
        case_id = case_id_of(identity.study_instance_uid, identity.structure_set_uid)
        bridge.until(lambda: bridge.state(case_id)[0] == CaseState.REVIEW, case_id)
        inputs, results = bridge.prediction(case_id)
        _copy(results, folder / "result", ARTIFACT_FILES.values())
        clock.step(f"predicted by {settings.prediction.model}, and objectives extracted: {folder / 'result'}")
        say(f"the model was trained for: {load_card(settings.prediction.model).trained_for}")
        objectives = results / ARTIFACT_FILES["objectives"]
        with bridge.store.transaction() as session:
            approve(session, case_id, bridge.cases, (), "demonstration", sha256_of(objectives))
        clock.step("approved: the hash of exactly these objectives")
        done = plan_files(inputs, objectives, engine, folder / "plan", settings, watch)
        clock.step(_planned_text(done))
        bridge.receive([folder / "plan" / PLAN_FILES[kind] for kind in ("optimized_plan", "optimized_dose")])
        clock.step("RTPLAN and RTDOSE sent back by C-STORE")
        bridge.until(lambda: bridge.comparison(case_id) is not None, case_id)
        comparison = bridge.comparison(case_id)
        assert comparison is not None  # noqa: S101 - waited for in the line above
        _copy(comparison, folder / "comparison", COMPARISON_FILES.values())
        _require_same_dose(folder / "comparison" / COMPARISON_FILES["dvh"], done.dvhs)
        clock.step("linked to its case by references, measured, and compared with the prediction")
    said = {
        "predicted": read_metrics(folder / "result" / ARTIFACT_FILES["dvh"]),
        "optimized": read_metrics(folder / "comparison" / COMPARISON_FILES["dvh"]),
    }
    for line in dose_lines(done.objectives, said):
        say(line)
    report = folder / "comparison" / COMPARISON_FILES["report"]
    say(f"done in {clock.total_s:.1f} s; report:")
    say(str(report.resolve()))
    return report


class _Clock:
    """Says each step with its seconds."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._begun = self._last = time.monotonic()

    @property
    def total_s(self) -> float:
        """Seconds since the beginning."""
        return time.monotonic() - self._begun

    def step(self, text: str) -> None:
        """Say what has been done since the last step."""
        now = time.monotonic()
        self._say(f"{now - self._last:6.1f} s  {text}")
        self._last = now


@dataclass
class _Bridge:
    """Node, database and worker of ``serve``, ticked from here."""

    store: Store
    intake: Intake
    worker: Worker
    cases: Path
    port: int

    def receive(self, paths: Sequence[Path]) -> None:
        """Send files to the bridge as a planning system does."""
        destination = Destination("the bridge", _BRIDGE_AE, _LOOPBACK, self.port)
        for result in Sender(ScuSettings(_TPS_AE)).send(destination, paths):
            if not result.outcome.delivered:
                raise DeliveryFailure(result.code, f"{result.path.name} was not received: {result.reason}")

    def until(self, is_reached: Callable[[], bool], case_id: str) -> None:
        """Work until something has happened."""
        deadline = time.monotonic() + _LONGEST_WAIT_S
        while not is_reached():
            self.intake.tick()
            self.worker.tick()
            state, reason = self.state(case_id)
            if state in (CaseState.REFUSED, CaseState.FAILED) or time.monotonic() > deadline:
                raise Failure("demonstration", f"The case is {state}: {reason}")
            time.sleep(_TICK_S)

    def state(self, case_id: str) -> tuple[str, str]:
        """Give the state of a case and its reason; one that has not been looked at is not there yet."""
        with self.store.transaction() as session:
            found = [case for case in list_cases(session) if case.id == case_id]
        return (found[0].state, found[0].reason) if found else ("unknown", "nothing was received")

    def prediction(self, case_id: str) -> tuple[tuple[Path, ...], Path]:
        """Give what the newest prediction read, and the folder of its results."""
        with self.store.transaction() as session:
            done = jobs.last_done(session, case_id)
            assert done is not None  # noqa: S101 - the case is in review
            return paths_of(session, done[0].inputs), jobs.result_folder(self.cases, done[0])

    def comparison(self, case_id: str) -> Path | None:
        """Give the folder of the comparison, None while there is none.

        Raises
        ------
        Failure
            It was refused or failed.
        """
        with self.store.transaction() as session:
            rows = reimports_of(session, case_id)
            if rows and rows[-1].state in ("refused", "failed"):
                raise Failure("demonstration", f"The comparison was {rows[-1].state}: {rows[-1].message}")
            return self.cases / case_id / rows[-1].message if rows and rows[-1].state == "done" else None


@contextmanager
def _running_bridge(folder: Path, settings: Settings) -> Iterator[_Bridge]:
    """Run a bridge whose data folder lives as long as the demonstration."""
    with TemporaryDirectory(prefix="bridge-", dir=folder) as data:
        store = Store.in_folder(Path(data))
        spool = Spool(Path(data) / "spool", SqlInstanceIndex(store), read_header)
        intake = Intake(store, QuietPolicy(complete_s=_QUIET_S), stuck_after_s=_LONGEST_WAIT_S)
        worker = Worker(store, settings, Path(data) / "cases", recipients=None)
        node = ScpSettings(_BRIDGE_AE, host=_LOOPBACK, port=0, peers=(Peer(_TPS_AE, (_LOOPBACK,)),))
        try:
            worker.start()
            with StorageScp(node, spool, intake.on_stored) as scp:
                yield _Bridge(store, intake, worker, Path(data) / "cases", scp.port)
        finally:
            worker.stop()
            store.close()


def _copy(source: Path, target: Path, names: Collection[str]) -> None:
    """Copy results out of the bridge's data folder."""
    with whole_folder(target, names, "the demonstration") as staging:
        for path in source.iterdir():
            shutil.copy(path, staging)


def _planned_text(done: Optimized) -> str:
    seconds = ", ".join(f"{step} {value:.1f} s" for step, value in done.planned.seconds.items())
    refused = "".join(f"; not taken: {one.structure} {one.what} ({one.reason})" for one in done.receipt.refused)
    ended = "converged" if done.planned.is_converged else "stopped there"
    return (
        f"planned in esapi_stub with {len(done.planned.beams)} beams by {done.planned.engine}: "
        f"{len(done.receipt.added)} objectives taken, {len(done.receipt.refused)} refused{refused}; "
        f"{done.planned.iterations} iterations, {ended}; {seconds}"
    )


def _require_same_dose(dvh_file: Path, planned: Sequence[Dvh]) -> None:
    """Hold the means of the dose that came back against those of the dose that was planned."""
    found = read_metrics(dvh_file)
    for dvh in planned:
        if not dvh.is_empty and not abs(found[dvh.roi_name]["mean_gy"] - dvh.mean_gy) <= _SAME_MEAN_GY:
            raise ModelRefusal(
                "round-trip",
                f"The dose that came back has a mean of {found[dvh.roi_name]['mean_gy']:.3f} Gy in {dvh.roi_name!r}, "
                f"the planned one {dvh.mean_gy:.3f} Gy.",
                roi=dvh.roi_name,
            )
