"""The main job with real counterparts: DCMTK sends a real patient, the bridge answers, DCMTK and Orthanc receive."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pydicom
import pytest

from tests.e2e.bench import BRIDGE_AE, GEOMETRIC, TPS_AE, Bench, copy_into, free_port, openkbp_dicom, tps, until
from tests.phantom import write_small_phantom
from tests.programs import require_program

pytestmark = pytest.mark.timeout(180)


@pytest.fixture
def patient(tmp_path: Path) -> list[Path]:
    """A small closed-form patient; what is tested with it does not depend on whose body it is."""
    return sorted(write_small_phantom(tmp_path / "patient").paths)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path, {**GEOMETRIC})
    yield bench
    bench.stop()


@contextlib.contextmanager
def orthanc(folder: Path) -> Iterator[tuple[int, int]]:
    """Run an Orthanc that takes only what the bridge sends; give its DICOM and HTTP ports."""
    dicom_port, http_port = free_port(), free_port()
    configuration = {
        "StorageDirectory": str(folder / "orthanc"), "IndexDirectory": str(folder / "orthanc"),
        "DicomAet": "ORTHANC", "DicomPort": dicom_port, "HttpPort": http_port, "DicomCheckCalledAet": True,
        "DicomAlwaysAllowStore": False, "DicomAlwaysAllowEcho": False, "DicomCheckModalityHost": True,
        "DicomModalities": {"bridge": {"AET": BRIDGE_AE, "Host": "127.0.0.1", "Port": 1, "AllowStore": True}},
    }  # fmt: skip
    (folder / "orthanc.json").write_text(json.dumps(configuration))
    with (folder / "orthanc.log").open("wb") as log:
        process = subprocess.Popen([require_program("Orthanc"), str(folder / "orthanc.json")], stdout=log, stderr=log)
    try:
        until(lambda: _instances(http_port) is not None, 30, "Orthanc's start")
        yield dicom_port, http_port
    finally:
        process.kill()
        process.wait()


def _instances(http_port: int) -> list[str] | None:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{http_port}/instances", timeout=5) as answer:
            return list(json.load(answer))
    except (urllib.error.URLError, ConnectionError):
        return None


def _tags(http_port: int, instance: str) -> dict[str, object]:
    url = f"http://127.0.0.1:{http_port}/instances/{instance}/simplified-tags"
    with urllib.request.urlopen(url, timeout=5) as answer:
        return dict(json.load(answer))


def results_of(bench: Bench) -> Path:
    """Give the one results folder of the one case."""
    (folder,) = (bench.data / "cases" / bench.only_case().case_id).iterdir()
    return folder


def doses_in(folder: Path) -> list[pydicom.Dataset]:
    found = [pydicom.dcmread(path) for path in folder.iterdir()]
    return [dataset for dataset in found if dataset.Modality == "RTDOSE"]


def test_a_sent_patient_comes_back_as_dose_plan_objectives_and_report(
    bench: Bench, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    patient = openkbp_dicom(tmp_path / "openkbp", "pt_203")
    with orthanc(bench.folder) as (dicom_port, http_port), tps(bench) as arrived:
        bench.settings = {
            "destinations": [
                {"name": "tps", "ae_title": TPS_AE, "host": "127.0.0.1", "port": bench.tps_port},
                {"name": "archive", "ae_title": "ORTHANC", "host": "127.0.0.1", "port": dicom_port},
            ]
        }
        bench.start()
        assert bench.send(*patient).returncode == 0
        sent = time.monotonic()
        bench.wait_for("delivered", 60)
        record_property("seconds from the last C-STORE to delivery", round(time.monotonic() - sent, 1))
        (dose,) = doses_in(arrived)
        instances = _instances(http_port)
        assert instances is not None
        tags = [_tags(http_port, instance) for instance in instances]
    assert sorted(str(tag["Modality"]) for tag in tags) == ["RTDOSE", "RTPLAN"]
    ct = next(d for d in map(pydicom.dcmread, patient) if d.Modality == "CT")
    assert dose.FrameOfReferenceUID == ct.FrameOfReferenceUID
    assert dose.PatientID == ct.PatientID
    assert "NOT FOR CLINICAL USE" in dose.SeriesDescription
    highest_gy = float(dose.pixel_array.max()) * float(dose.DoseGridScaling)
    assert 70.0 <= highest_gy <= 80.5  # hot spots of up to 115 %, as the plans of the library have them
    plan = next(tag for tag in tags if tag["Modality"] == "RTPLAN")
    assert dose.ReferencedRTPlanSequence[0].ReferencedSOPInstanceUID == plan["SOPInstanceUID"]
    results = results_of(bench)
    objectives = json.loads((results / "objectives.json").read_text())
    assert {"PTV_7000", "Parotid_L", "Parotid_R", "SpinalCord"} <= {o["roi_name"] for o in objectives["objectives"]}
    report = (results / "report.html").read_text()
    assert "NOT FOR CLINICAL USE" in report
    assert ct.PatientID in report, "whoever approves must see whose case it is"
    for identity in (str(ct.PatientName), ct.PatientID):
        assert identity not in bench.log


def test_the_watched_folder_does_the_same(bench: Bench, patient: list[Path]) -> None:
    folder = bench.folder / "incoming"
    bench.settings |= {"watched_folder": {"path": str(folder), "stable_s": 0.5, "give_up_s": 3}}
    with tps(bench) as arrived:
        bench.start()
        (folder / "notes.txt").write_text("exported on Monday")
        copy_into(folder, patient)
        bench.wait_for("delivered", 60)
        assert len(doses_in(arrived)) == 1
        until(lambda: list((folder / "rejected").glob("*.reason.json")), 20, "the refusal of a file that is not DICOM")
    (reason,) = (folder / "rejected").glob("*.reason.json")
    assert json.loads(reason.read_text())["code"] == "not-dicom"
    kept = [path for path in (folder / "rejected").iterdir() if not path.name.endswith(".reason.json")]
    assert [path.read_text() for path in kept] == ["exported on Monday"]
    assert not list(folder.glob("*.dcm"))


def test_a_case_waits_for_the_slices_it_lacks_and_names_them(bench: Bench, patient: list[Path]) -> None:
    slices = [path for path in patient if path.name.startswith("CT")]
    withheld = slices[4:6]
    with tps(bench) as arrived:
        bench.start()
        assert bench.send(*[path for path in patient if path not in withheld]).returncode == 0
        time.sleep(3.0)
        case = bench.wait_for("waiting")
        for path in withheld:
            assert pydicom.dcmread(path).SOPInstanceUID in case.reason
        assert f"CT {len(slices) - 2} of {len(slices)}" in case.reason
        assert not list(arrived.iterdir())
        assert bench.send(*withheld).returncode == 0
        bench.wait_for("delivered", 60)
        assert len(doses_in(arrived)) == 1


def test_a_killed_bridge_takes_the_case_up_again_and_predicts_it_once(bench: Bench, patient: list[Path]) -> None:
    bench.settings = {**GEOMETRIC, "completeness": {"quiet_s": 2.0}}
    with tps(bench) as arrived:
        bench.start()
        assert bench.send(*patient).returncode == 0
        bench.kill()
        assert [case.state for case in bench.cases()] in ([], ["waiting"])
        bench.settings = {**GEOMETRIC}
        bench.start()
        bench.wait_for("delivered", 60)
        assert bench.send(*patient).returncode == 0
        time.sleep(4.0)
        assert bench.only_case().state == "delivered"
        assert len(list((bench.data / "cases" / bench.only_case().case_id).iterdir())) == 1
        assert len(doses_in(arrived)) == 1
        assert bench.audited("job-done") == 1


def test_nothing_is_sent_before_approval_unless_the_site_says_so(bench: Bench, patient: list[Path]) -> None:
    bench.settings |= {"release": {"predicted_dose": "after_approval"}}
    with tps(bench) as arrived:
        bench.start()
        assert bench.send(*patient).returncode == 0
        case = bench.wait_for("review", 60)
        time.sleep(1.0)
        assert not list(arrived.iterdir())
        objectives = results_of(bench) / "objectives.json"
        command = ["approve", case.case_id, "--user", "physicist", "--config", str(bench.config)]
        stale = shutil.copy(objectives, bench.folder / "stale.json")
        Path(stale).write_text(objectives.read_text().replace("70", "71", 1))
        refused = bench.run(*command, "--objectives", str(stale))
        assert refused.returncode == 3
        assert "other-objectives" in refused.stderr
        assert bench.run(*command, "--objectives", str(objectives)).returncode == 0
        bench.wait_for("delivered", 30)
        assert len(doses_in(arrived)) == 1


def test_delivery_waits_for_a_planning_system_that_is_down(bench: Bench, patient: list[Path]) -> None:
    bench.settings |= {"delivery": {"first_retry_s": 0.5, "longest_retry_s": 1.0}}
    bench.start()
    assert bench.send(*patient).returncode == 0
    until(lambda: any(one.attempts >= 2 for case in bench.cases() for one in case.deliveries), 60, "a second attempt")
    assert bench.only_case().state == "delivering"
    with tps(bench) as arrived:
        bench.wait_for("delivered", 30)
        (dose,) = doses_in(arrived)
    assert np.isfinite(float(dose.DoseGridScaling))
