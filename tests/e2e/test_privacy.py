"""Who the patient is stays in the DICOM objects and the report: not in database, log, other results or file names."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydicom.dataset import Dataset

from tests.e2e.bench import GEOMETRIC, Bench, copy_into, tps, until
from tests.phantom import edit, write_small_phantom

SECRETS = (b"secretname", b"secret-id", b"19501231", b"secretdoctor", b"secretaccession")


def identify(dataset: Dataset) -> None:
    dataset.PatientName, dataset.PatientID, dataset.PatientBirthDate = "SecretName^Given", "SECRET-ID", "19501231"
    dataset.ReferringPhysicianName, dataset.AccessionNumber = "SecretDoctor^X", "SECRETACCESSION"[:16]


@pytest.mark.timeout(120)
def test_no_patient_data_in_database_log_or_names(tmp_path: Path) -> None:
    phantom = write_small_phantom(tmp_path / "patient")
    for path in phantom.paths:
        edit(path, identify)
    other = write_small_phantom(tmp_path / "other", patient_id="SECRET-ID-2")
    broken = tmp_path / "SecretName broken.dcm"
    broken.write_bytes(phantom.ct_paths[0].read_bytes()[:-999])
    bench = Bench(tmp_path)
    folder = tmp_path / "incoming"
    bench.settings = {
        **GEOMETRIC,
        "watched_folder": {"path": str(folder), "stable_s": 0.3, "give_up_s": 1},
        "logging": {"level": "debug"},
    }
    try:
        with tps(bench):
            bench.start()
            assert bench.send(*phantom.paths).returncode == 0
            bench.wait_for("delivered", 60)
            assert bench.send(*other.paths, calling="STRANGER").returncode != 0, "an AE title that is not known"
            assert bench.send(broken).returncode != 0
            (folder / "SecretName.dcm").write_bytes(broken.read_bytes())
            copy_into(folder, [phantom.ct_paths[0]])
            until(lambda: list(folder.glob("rejected/*.reason.json")), 20, "a rejection")
    finally:
        bench.stop()
    kept = [path for path in bench.data.rglob("*") if path.is_file()]
    names = "\n".join(str(path.relative_to(bench.data)) for path in kept).encode().lower()
    texts = {"names": names, "log": bench.log.encode().lower()}
    # the report is what a person approves by, and must say whose case it is; it lies beside the DICOM objects
    named_for_people = (".dcm", ".html")
    texts |= {path.name: path.read_bytes().lower() for path in kept if path.suffix not in named_for_people}
    assert "bridge.sqlite3" in texts
    assert "result.json" in texts
    leaks = [(where, secret) for where, text in texts.items() for secret in SECRETS if secret in text]
    assert leaks == []
