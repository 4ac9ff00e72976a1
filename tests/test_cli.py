"""The command line as a program sees it: exit codes, files, and errors in one shape."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pydicom
import pytest

from bridge.cli import main
from bridge.dicom.phantom import PhantomCase, PhantomStructure
from bridge.dicom.uids import derived_uid
from bridge.dicom.write_dose import write_rtdose
from bridge.workflow.export import ARTIFACT_FILES
from tests.node.objects import ct, written
from tests.phantom import PROVENANCE, STRUCTURES, linear_dose, write_small_phantom
from tests.shared_data import shared_dir
from tests.stores import new_store
from tests.workflow.records import instance, record


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    assert isinstance(ended.value.code, int)
    return ended.value.code


def write_dose(phantom: PhantomCase, path: Path) -> Path:
    write_rtdose(
        linear_dose(phantom.grid), phantom.identity, PROVENANCE, plan_uid=derived_uid("plan"), bits=32,
        sop_instance_uid=derived_uid("dose"), series_instance_uid=derived_uid("doses"), path=path,
    )  # fmt: skip
    return path


@pytest.fixture
def phantom(tmp_path: Path) -> PhantomCase:
    return write_small_phantom(tmp_path / "dicom")


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("arguments", [[], ["nonsense"], ["doctor", "--nonsense"], ["predict"], ["check-config"]])
def test_wrong_use_is_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*arguments) == 2
    assert "Traceback" not in capsys.readouterr().err


def test_a_weight_that_is_no_number_is_wrong_use(phantom: PhantomCase, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("predict", "dicom", "--out", "out", "--oar-weight", "SpinalCord=much") == 2
    assert "NAME=NUMBER" in capsys.readouterr().err


def test_version_and_help_are_0(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--version") == 0
    assert capsys.readouterr().out.strip() == "0.1.0"
    assert run("--help") == 0


def test_errors_have_one_shape(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "bad.yaml").write_text("node: {port: -1}\n")
    (tmp_path / "empty").mkdir()
    reports = []
    for code, *arguments in (
        (3, "models", "show", "nothing"),
        (4, "predict", "missing", "--out", "out"),
        (3, "check-config", "bad.yaml"),
        (3, "predict", "empty", "--out", "out"),
    ):
        assert run("--json-errors", *arguments) == code
        (line,) = capsys.readouterr().err.splitlines()
        report = json.loads(line)
        assert isinstance(report["message"], str)
        assert all(isinstance(value, str) for value in report["where"].values())
        assert report["kind"] == ("refused" if code == 3 else "failed")
        reports.append(report)
    assert [report["code"] for report in reports] == [
        "model-unknown",
        "folder-unreadable",
        "settings",
        "structure-set-count",
    ]
    assert reports[2].pop("problems")[0]["path"] == "node.port"
    assert {tuple(report) for report in reports} == {("kind", "code", "message", "where")}


def test_without_the_option_errors_are_a_line_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("models", "show", "nothing") == 3
    assert capsys.readouterr().err.startswith("refused: There is no model 'nothing'")


def test_every_problem_of_a_settings_file_is_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "bad [bold].yaml"
    file.write_text("node: {port: 70000, ae_titel: X}\nprediction: {dose_grid_mm: -1}\n")
    assert run("check-config", file) == 3
    shown = capsys.readouterr().err
    assert all(place in shown for place in ("node.port", "node.ae_titel", "prediction.dose_grid_mm"))
    file.write_text("node: {port: 104}\n")
    assert run("check-config", file) == 0
    assert "bad [bold].yaml: settings are valid" in capsys.readouterr().out


def test_predict_writes_everything_whatever_the_folders_are_called(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = "a b; rm -rf $HOME [/red] :smile: '\"ö"
    write_small_phantom(tmp_path / f"in {name}")
    assert run("predict", f"in {name}", "--out", f"out {name}") == 0
    assert {path.name for path in (tmp_path / f"out {name}").iterdir()} == set(ARTIFACT_FILES.values())
    shown = capsys.readouterr().out
    for kind, file in ARTIFACT_FILES.items():
        assert f"{kind}: out {name}/{file}" in shown
    assert run("predict", f"in {name}", "--out", f"out {name}", "--model", "geometric") == 0
    dvhs = json.loads((tmp_path / f"out {name}" / "dvh.json").read_text())
    assert dvhs["provenance"]["model_id"] == "geometric", "earlier results are replaced"


@pytest.mark.parametrize("out", ["dicom", ".", "..", "dicom/../dicom"])
def test_predict_never_removes_what_is_not_its_own(phantom: PhantomCase, tmp_path: Path, out: str) -> None:
    before = {path for path in tmp_path.rglob("*") if path.is_file()}
    assert run("predict", "dicom", "--out", out) == 4
    assert set(tmp_path.rglob("*")) - {tmp_path / "dicom"} == before


def test_predict_passes_on_what_is_wanted(
    phantom: PhantomCase, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for wanted, shown in (
        (["--hi", "1.04"], "preference=hi"),
        (["--oar-weight", "SpinalCord=2.5"], "oar"),
        (["--model", "nothing"], "model=nothing"),
        (["--preference", "nothing"], "nothing"),
    ):
        assert run("predict", "dicom", "--out", "other", *wanted) == 3
        assert shown in capsys.readouterr().err
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("predict", "dicom", "--out", "other", "--hi", "5"), ("--hi", "less than or equal to 2")),
        (("predict", "dicom", "--out", "other", "--oar-weight", "all=-1"), ("--oar-weight", "0 or more")),
        (("predict", "dicom/RS.dcm", "--out", "other"), ("dicom_dir", "is a file")),
        (("plan", "dicom", "--objectives", "dicom", "--out", "other"), ("--objectives", "is a directory")),
        (("dvh", "--dose", "dicom", "--structures", "dicom/RS.dcm"), ("--dose", "is a directory")),
        (("doctor", "--config", "dicom"), ("--config", "is a directory")),
    ],
)
def test_wrong_use_names_the_option(
    phantom: PhantomCase,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    said: tuple[str, ...],
) -> None:
    assert run(*arguments) == 2
    shown = capsys.readouterr().err
    assert all(text in shown for text in said)
    assert not (tmp_path / "other").exists()


def test_dvh_of_empty_and_partly_covered_structures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    odd = (
        PhantomStructure("[/b] empty", "ORGAN", "cylinder", (31.5, -120.25, 900.0), (4, 4, 6)),
        # half of it lies beyond the first column's centre, where the dose grid ends
        PhantomStructure("half", "ORGAN", "cylinder", (31.5 - 17.5 * 1.7, -120.25, 415.0), (6.0, 6.0, 9.0)),
    )
    phantom = write_small_phantom(tmp_path / "dicom", (*STRUCTURES, *odd))
    dose = write_dose(phantom, tmp_path / "dose.dcm")
    assert run("dvh", "--dose", dose, "--structures", phantom.structure_set_path, "--json", "dvh.json") == 0
    shown = capsys.readouterr().out
    assert "[/b] empty" in shown
    assert "dvh-coverage" in shown
    content = json.loads((tmp_path / "dvh.json").read_text())
    by_name = {structure["roi_name"]: structure for structure in content["structures"]}
    assert len(by_name) == len(STRUCTURES) + 2
    assert by_name["half"]["coverage_fraction"] == pytest.approx(0.5, abs=0.03)
    assert by_name["SpinalCord"]["coverage_fraction"] == pytest.approx(1.0)
    assert (by_name["[/b] empty"]["volume_cc"], by_name["[/b] empty"]["curve"]) == (0.0, None)
    (finding,) = [f for f in content["findings"] if f["code"] == "dvh-coverage" and f["where"]["roi"] == "half"]
    assert "half" in finding["message"]


def test_a_result_that_cannot_be_written_is_4(phantom: PhantomCase, capsys: pytest.CaptureFixture[str]) -> None:
    dose = write_dose(phantom, phantom.structure_set_path.with_name("dose.dcm"))
    pair = ["--dose", dose, "--structures", phantom.structure_set_path]
    assert run("dvh", *pair, "--json", "missing/dvh.json") == 4
    assert run("extract", *pair, "--out", "missing/objectives.json") == 4
    assert "Traceback" not in capsys.readouterr().err


def test_extract_writes_json_and_template(phantom: PhantomCase, tmp_path: Path) -> None:
    dose = write_dose(phantom, tmp_path / "dose.dcm")
    pair = ["--dose", dose, "--structures", phantom.structure_set_path]
    assert run("extract", *pair, "--ct", "dicom", "--out", "objectives.json") == 0
    assert (tmp_path / "objectives.xml").is_file()
    names = {o["roi_name"] for o in json.loads((tmp_path / "objectives.json").read_text())["objectives"]}
    assert {"PTV_6000", "PTV_5000", "SpinalCord"} <= names


def test_models_can_be_listed_shown_and_exported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("models", "list") == 0
    assert "geometric" in capsys.readouterr().out
    assert run("models", "show", "geometric") == 0
    assert "OpenKBP" in capsys.readouterr().out
    assert run("models", "export", "geometric", "--out", "zoo") == 0
    assert [path.name for path in (tmp_path / "zoo").iterdir()] == ["geometric"]
    assert run("models", "export", "geometric", "--out", "zoo") == 3
    assert run("models", "export", "../geometric", "--out", "zoo") == 3


def test_evaluate_scores_a_patient(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = tmp_path / "validation"
    data.mkdir()
    shutil.copy(shared_dir() / "openkbp" / "validation" / "pt_201.npz", data)
    assert run("evaluate", "--data", data, "--model", "geometric", "--json", "score.json") == 0
    assert "on 1 validation patients" in capsys.readouterr().out
    score = json.loads((tmp_path / "score.json").read_text())
    assert 1.0 < score["dose_score_gy"] < 8.0
    assert run("evaluate", "--data", "missing", "--model", "geometric") in (3, 4)


def test_cases_of_an_empty_bridge(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "bridge.yaml").write_text("data_dir: data\n")
    assert run("cases", "--config", "bridge.yaml", "--json", "cases.json") == 0
    assert "no cases" in capsys.readouterr().out
    assert json.loads((tmp_path / "cases.json").read_text()) == []


def test_approving_what_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "bridge.yaml").write_text("data_dir: data\n")
    who = ("--user", "physicist", "--config", "bridge.yaml")
    assert run("approve", "0" * 12, "--objectives", "missing.json", *who) == 2
    assert "'missing.json'" in capsys.readouterr().err
    (tmp_path / "objectives.json").write_text("{}")
    assert run("approve", "0" * 12, "--objectives", "objectives.json", *who) == 3
    assert "[case-unknown: " in capsys.readouterr().err


def test_contents_under_one_uid_are_listed_with_what_tells_them_apart(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bridge.yaml").write_text("data_dir: data\n")
    first, second = ct(1), ct(1)
    second.PatientName, second.RescaleIntercept = "OTHER^NAME", -1000
    store = new_store(tmp_path / "data")
    found = [
        replace(instance(first.SOPInstanceUID, content=name), path=written(one, tmp_path / f"{name}.dcm"))
        for name, one in (("first", first), ("second", second))
    ]
    record(store, *found)
    store.close()
    assert run("keep", first.SOPInstanceUID, "--user", "a.physicist", "--config", "bridge.yaml") == 0
    one, other, difference = capsys.readouterr().out.splitlines()
    for line, expected in ((one, found[0]), (other, found[1])):
        assert line.startswith(expected.sha256)
        assert line.endswith("from TPS at 127.0.0.1  in use")
    assert difference == "they differ in PatientName, RescaleIntercept"


def test_doctor_names_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "bridge.yaml").write_text(
        "node: {port: 0}\ndestinations: [{name: nobody, ae_title: NOBODY, host: 127.0.0.1, port: 1}]\n"
        "eclipse: {drop_folder: share}\n"
    )
    assert run("doctor", "--config", "bridge.yaml") == 4
    lines = {line[5:].partition(":")[0]: line[:4].strip() for line in capsys.readouterr().out.splitlines() if line}
    assert (lines["destination nobody"], lines["drop folder for Eclipse"]) == ("FAIL", "FAIL")
    assert not (tmp_path / "share").exists(), "a share that is away must not be made up"
    assert (lines["models"], lines["data folder"], lines["DICOM port"]) == ("ok", "ok", "ok")


def test_echo_and_send_to_somebody_unknown_or_absent(
    phantom: PhantomCase, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bridge.yaml").write_text(
        "destinations: [{name: nobody, ae_title: NOBODY, host: 127.0.0.1, port: 1}]\n"
    )
    for arguments in (["echo", "who"], ["echo", "nobody"], ["send", "dicom/RS.dcm", "--to", "nobody"]):
        assert run(*arguments, "--config", "bridge.yaml") == 4
    assert "Traceback" not in capsys.readouterr().err


def test_the_composition_loads_without_what_only_some_sites_install() -> None:
    """A node that only receives and delivers must not need what predicts by network or draws reports."""
    program = """
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"torch", "matplotlib", "jinja2", "onnxruntime", "contourpy"}:
            raise ModuleNotFoundError(f"{name} is blocked", name=name)

sys.meta_path.insert(0, Blocked())
import bridge.app, bridge.cli
from bridge.cli import main
main(["models", "list"])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "geometric" in done.stdout


def test_the_dose_is_not_for_clinical_use_and_belongs_to_the_patient(phantom: PhantomCase, tmp_path: Path) -> None:
    assert run("predict", "dicom", "--out", "out") == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == set(ARTIFACT_FILES.values())
    dose = pydicom.dcmread(tmp_path / "out" / "rtdose.dcm")
    assert dose.PatientID == phantom.identity.patient_id
    assert dose.FrameOfReferenceUID == phantom.grid.frame_of_reference_uid
    assert "NOT FOR CLINICAL USE" in dose.SeriesDescription


def test_settings_that_no_case_could_be_predicted_with_are_refused_before_the_first_case(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for text, code in (("{model: unet}", "model-unknown"), ("{hi: 1.05}", "preference-range")):
        (tmp_path / "bridge.yaml").write_text(f"prediction: {text}\n")
        for command in (["check-config", "bridge.yaml"], ["serve", "--config", "bridge.yaml"]):
            assert run(*command) == 3
            assert f"[{code}" in capsys.readouterr().err


def test_a_port_that_is_taken_is_said_in_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        (tmp_path / "bridge.yaml").write_text(f"data_dir: data\nnode: {{port: {taken.getsockname()[1]}}}\n")
        assert run("serve", "--config", "bridge.yaml") == 4
    assert "is another bridge running there?" in capsys.readouterr().err


def test_objectives_are_not_written_over_by_their_template(
    phantom: PhantomCase, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dose = write_dose(phantom, tmp_path / "RD.dcm")
    assert run("extract", "--dose", dose, "--structures", phantom.structure_set_path, "--out", "objectives.xml") == 2
    assert not (tmp_path / "objectives.xml").exists()
