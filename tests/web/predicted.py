"""A case as a running bridge has it after a prediction: received files, results on disk, rows in the database."""

from __future__ import annotations

import hashlib
import shutil
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

from bridge.dicom.headers import read_header
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


@cache
def _results(position: str) -> tuple[Path, Path, tuple[Artifact, ...]]:
    """Predict once for all tests."""
    folder = Path(mkdtemp(prefix="fdp-review-"))
    paths = write_small_phantom(folder / "sent", patient_position=position, patient_id="PHANTOM-7").paths
    predicted = predict_files(
        paths, load_model("geometric"), preference_in(SETTINGS), "phantom", folder / "results", SETTINGS
    )
    return folder / "sent", folder / "results", predicted.artifacts


def receive_and_predict(store: Store, cases_folder: Path, spool: Path, position: str = "HFS") -> Job:
    """Put the phantom into a bridge, predicted and in review."""
    sent, results, artifacts = _results(position)
    shutil.copytree(sent, spool)
    index, hashes = SqlInstanceIndex(store), []
    for path in sorted(spool.iterdir()):
        data, header = path.read_bytes(), read_header(path)
        sha256 = hashlib.sha256(data).hexdigest()
        source = Source("network", "TPS", "BRIDGE", "127.0.0.1", "a1")
        index.record(StoredInstance(header, path, sha256, len(data), datetime.now(UTC), source))
        hashes.append(sha256)
        if header.modality == "RTSTRUCT":
            case_id = case_id_of(header.study_instance_uid, header.sop_instance_uid)
            study, structures = header.study_instance_uid, header.sop_instance_uid
    with store.transaction() as session:
        ensure_case(session, study, structures)
        jobs.queue(session, case_id, hashes)
        job = jobs.claim_next(session)
        assert job is not None
        shutil.copytree(results, result_folder(cases_folder, job))
        jobs.finish(session, job, "done", "", artifacts)
        set_state(session, case_id, CaseState.REVIEW, "predicted; waits for approval")
    return job
