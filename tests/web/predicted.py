"""A case as a running bridge has it after a prediction: received files, results on disk, rows in the database."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

from bridge.dicom.headers import InstanceHeader, read_header
from bridge.node.instances import Source, StoredInstance
from bridge.workflow import jobs
from bridge.workflow.cases import CaseState, case_id_of, ensure_case, set_state
from bridge.workflow.instances import SqlInstanceIndex
from bridge.workflow.jobs import Artifact, Job, result_folder
from bridge.workflow.predict import predict_files, preference_in
from bridge.workflow.store import Store
from config.load import load_settings
from models.registry import load_model
from tests.phantom import write_small_phantom

SETTINGS = load_settings(None, {"prediction": {"model": "geometric"}})


@dataclass(frozen=True)
class _Sent:
    """A file as it was sent, and what the spool would find out about it."""

    name: str
    header: InstanceHeader
    sha256: str
    size_bytes: int


@dataclass(frozen=True)
class _Results:
    sent: Path
    files: tuple[_Sent, ...]
    results: Path
    artifacts: tuple[Artifact, ...]


@cache
def _results(position: str) -> _Results:
    """Predict once for all tests."""
    folder = Path(mkdtemp(prefix="fdp-review-"))
    paths = write_small_phantom(folder / "sent", patient_position=position, patient_id="PHANTOM-7").paths
    predicted = predict_files(
        paths, load_model("geometric"), preference_in(SETTINGS), "phantom", folder / "results", SETTINGS
    )
    files = tuple(_sent(path) for path in sorted((folder / "sent").iterdir()))
    return _Results(folder / "sent", files, folder / "results", predicted.artifacts)


def _sent(path: Path) -> _Sent:
    data = path.read_bytes()
    return _Sent(path.name, read_header(path), hashlib.sha256(data).hexdigest(), len(data))


def receive_and_predict(store: Store, cases_folder: Path, spool: Path, position: str = "HFS") -> Job:
    """Put the phantom into a bridge, predicted and in review."""
    made = _results(position)
    shutil.copytree(made.sent, spool)
    index, source = SqlInstanceIndex(store), Source("network", "TPS", "BRIDGE", "127.0.0.1", "a1")
    for file in made.files:
        header, path = file.header, spool / file.name
        index.record(StoredInstance(header, path, file.sha256, file.size_bytes, datetime.now(UTC), source))
        if header.modality == "RTSTRUCT":
            case_id = case_id_of(header.study_instance_uid, header.sop_instance_uid)
            study, structures = header.study_instance_uid, header.sop_instance_uid
    with store.transaction() as session:
        ensure_case(session, study, structures)
        jobs.queue(session, case_id, [file.sha256 for file in made.files])
        job = jobs.claim_next(session)
        assert job is not None
        shutil.copytree(made.results, result_folder(cases_folder, job))
        jobs.finish(session, job, "done", "", made.artifacts)
        set_state(session, case_id, CaseState.REVIEW, "predicted; waits for approval")
    return job
