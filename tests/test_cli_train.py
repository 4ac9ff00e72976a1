"""From patients to a model by commands: Stage I, Stage II, export, and a prediction with what came out."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from bridge.cli import main
from models.fdp import frame, model
from models.fdp.model import FdpModel
from models.fdp.network import NetworkSettings
from models.fdp.parameters import FdpParameters
from models.openkbp.reader import read_patient
from models.preference import Preference
from models.registry import load_model
from models.training import export, fdp, prepare, vqvae
from tests.models import openkbp_patients
from tests.models.training import plan_libraries, small
from tests.models.training.plan_libraries import KnownPatient

pytestmark = [
    pytest.mark.filterwarnings(small.NO_CUDA),
    pytest.mark.filterwarnings("ignore:`isinstance.treespec, LeafSpec.` is deprecated:FutureWarning"),
]
STEPS = 2
BOX = (64, 40, 56)
"""Just large enough for the targets of the patients here; the network's own has five times as many voxels."""


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    assert isinstance(ended.value.code, int)
    return ended.value.code


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder as OpenKBP's, with two training patients."""
    folder = tmp_path_factory.mktemp("openkbp") / "train"
    folder.mkdir()
    labels = openkbp_patients.arrays()["labels"]
    labels[40:48, 60:68, 60:70] |= np.uint16(1 << openkbp_patients.BITS["Larynx"])
    for name in ("pt_1", "pt_2"):
        openkbp_patients.write_packed(folder, name, labels=labels)
    return folder.parent


@pytest.fixture(scope="module", autouse=True)
def steps() -> Iterator[small.Steps]:
    """Networks and boxes of the smallest size, and a clock that runs by steps."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(NetworkSettings.__init__, "__defaults__", tuple(small.NETWORK.as_dict().values()))
        small.shrink(patch, BOX)
        for module in (frame, model, prepare):
            patch.setattr(module, "BOX", BOX)
        yield small.Steps(patch)


@pytest.fixture(scope="module")
def out(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which both stages have been trained and the result was exported."""
    folder = tmp_path_factory.mktemp("out")
    minutes = small.Steps.minutes(STEPS)
    common = ("--data", data, "--out", folder, "--minutes", minutes)
    assert run("train", "vqvae", *common, "--batch", 2) == 0
    assert run("train", "fdp", *common, "--batch", 1, "--stage1", folder / "vqvae.pt") == 0
    checkpoint = ("--checkpoint", folder / "fdp.pt", "--data", data)
    assert run("models", "export", "mine", "--out", folder / "zoo", *checkpoint) == 0
    return folder


def test_training_leaves_checkpoints_records_and_prepared_patients(out: Path) -> None:
    assert {path.name for path in out.iterdir()} == {
        "vqvae.pt", "vqvae.csv", "fdp.pt", "fdp.csv", "patients", "zoo",
    }  # fmt: skip
    for name in ("vqvae", "fdp"):
        content = torch.load(out / f"{name}.pt", weights_only=True)
        assert content["step"] == STEPS
        assert len((out / f"{name}.csv").read_text().splitlines()) == 1 + STEPS


def test_the_exported_model_is_known_by_its_id_and_predicts(out: Path, data: Path) -> None:
    predictor = load_model("mine", out / "zoo")
    assert (predictor.card.id, predictor.card.kind) == ("mine", "fdp")
    patient = read_patient(data / "train" / "pt_1.npz")
    estimate = FdpModel.from_folder(out / "zoo" / "mine").prepare(patient.anatomy).estimate(Preference("neutral"))
    assert estimate.dose_gy.shape == patient.anatomy.grid.shape
    assert bool(np.isfinite(estimate.dose_gy).all())
    assert not estimate.dose_gy[patient.anatomy.body.values == 0].any()


def test_training_goes_on_where_it_stopped(
    out: Path, data: Path, steps: small.Steps, capsys: pytest.CaptureFixture[str]
) -> None:
    before = steps.taken
    minutes = small.Steps.minutes(STEPS + 1)
    assert run("train", "fdp", "--data", data, "--out", out, "--minutes", minutes, "--batch", 1, "--resume") == 0
    assert steps.taken - before == 1
    assert torch.load(out / "fdp.pt", weights_only=True)["step"] == STEPS + 1
    assert "written: " in capsys.readouterr().out


def test_what_is_asked_for_reaches_the_training(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[object, ...]] = []

    def listen(patients: list[object], folder: Path, settings: object, resume: bool, progress: object) -> Path:
        asked.append((len(patients), folder, settings, resume))
        return folder / "x.pt"

    monkeypatch.setattr(vqvae, "train_vqvae", listen)
    monkeypatch.setattr(fdp, "train_fdp", listen)
    common = ("--data", data, "--out", tmp_path)
    assert run("train", "vqvae", *common, "--minutes", 3, "--seed", 7, "--batch", 6) == 0
    assert run(
        "train", "fdp", *common, "--minutes", 4, "--seed", 8, "--batch", 3, "--rate", 1e-3, "--backbone", "mednext",
        "--rotate", 0.25, "--start", "a.pt", "--stage1", "b.pt", "--resume",
    ) == 0  # fmt: skip
    (_, _, one, resumed), (n, folder, two, resumed_too) = asked
    assert isinstance(one, vqvae.VqVaeSettings)
    assert (one.minutes, one.seed, one.batch, resumed) == (3.0, 7, 6, False)
    assert isinstance(two, fdp.FdpSettings)
    assert (two.minutes, two.seed, two.batch, two.rate, resumed_too) == (4.0, 8, 3, 1e-3, True)
    assert (two.network.backbone, two.augmentation.rotate) == ("mednext", 0.25)
    assert (two.start, two.stage1, n, folder) == (Path("a.pt"), Path("b.pt"), 2, tmp_path)


def test_a_training_on_a_library_makes_a_model_of_its_plans(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # its graphs are made as those of any other model
    monkeypatch.setattr(export, "_to_onnx", lambda part, inputs, path, *names: path.write_bytes(b"a graph"))
    sources = sorted((data / "train").iterdir())
    library = plan_libraries.write_library(tmp_path / "library", [KnownPatient(source) for source in sources])
    common = ("--data", data, "--library", library)
    minutes = small.Steps.minutes(1)
    assert run("train", "fdp", *common, "--out", tmp_path / "out", "--minutes", minutes, "--batch", 1) == 0
    made = ("--out", tmp_path / "zoo", "--checkpoint", tmp_path / "out" / "fdp.pt", *common)
    assert run("models", "export", "engine", *made) == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"fdp.pt", "fdp.csv", "plans"}
    capsys.readouterr()
    assert run("models", "show", "engine", "--zoo", tmp_path / "zoo") == 0
    assert "Trained for: the dose engine closed form, protocol head_and_neck" in capsys.readouterr().out
    parameters = FdpParameters.read(tmp_path / "zoo" / "engine")
    assert parameters.weight_limits["Parotid_R"] == (1.0, 1.25)


def test_a_model_is_measured_by_the_plans_of_a_library(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "validation"
    folder.mkdir()
    source = openkbp_patients.write_packed(folder, "pt_201")
    library = plan_libraries.write_library(tmp_path / "library", [KnownPatient(source, "validation")])
    common = ("evaluate", "--data", tmp_path, "--model", "geometric", "--library", library)
    assert run(*common, "--setting", "reference", "--json", tmp_path / "scores.json") == 0
    content = json.loads((tmp_path / "scores.json").read_text())
    assert (content["model_id"], content["patients"]) == ("geometric", 1)
    (row,) = content["settings"]
    assert (row["setting"], row["n"], row["dose_score_gy"]) == ("reference", 1, row["unasked_dose_score_gy"])
    shown = capsys.readouterr().out
    assert "trained for: no planning system named; see its training" in shown
    assert f"{row['dose_score_gy']:.3f}" in shown
    assert refusal(capsys, *common, "--setting", "homogeneity") == "library-no-plans"


@pytest.mark.parametrize(
    "arguments",
    [
        ("train",),
        ("train", "vqvae", "--data", "data"),
        ("train", "vqvae", "--data", "data", "--out", "out", "--minutes", "0"),
        ("train", "vqvae", "--data", "data", "--out", "out", "--batch", "1"),  # one dose has no pair
        ("train", "fdp", "--data", "data", "--out", "out", "--backbone", "unet"),
        ("train", "fdp", "--data", "data", "--out", "out", "--rotate", "1.5"),
        ("models", "export", "mine", "--out", "zoo", "--checkpoint", "fdp.pt"),  # nothing to calibrate on
        ("evaluate", "--data", "data", "--model", "geometric", "--setting", "sparing"),  # of which library?
        ("evaluate", "--data", "data", "--model", "geometric", "--library", "library", "--sliders", "3"),
    ],
)
def test_wrong_use_is_2(arguments: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(*arguments) == 2
    assert list(tmp_path.iterdir()) == []


def refusal(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    assert run("--json-errors", *arguments) == 3
    code = json.loads(capsys.readouterr().err.splitlines()[-1])["code"]
    assert isinstance(code, str)
    return code


def test_a_folder_without_patients_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for stage in ("vqvae", "fdp"):
        assert refusal(capsys, "train", stage, "--data", tmp_path, "--out", tmp_path / "o") == "openkbp-no-patients"


def test_checkpoints_that_cannot_be_used_are_refused(
    out: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bad.pt").write_bytes(b"no checkpoint")
    (tmp_path / "patients").symlink_to(out / "patients")
    common = ("--data", data, "--out", tmp_path)
    for arguments in (
        ("train", "vqvae", *common, "--resume"),
        ("train", "fdp", *common, "--resume"),
        ("train", "fdp", *common, "--stage1", tmp_path / "bad.pt"),
        ("train", "fdp", *common, "--start", tmp_path / "missing.pt"),
        ("models", "export", "x", "--out", tmp_path / "z", "--checkpoint", tmp_path / "bad.pt", "--data", data),
    ):
        assert refusal(capsys, *arguments) == "checkpoint-unreadable"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.pt", "patients"]


def test_a_model_is_not_exported_over_another(out: Path, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    checkpoint = ("--checkpoint", out / "fdp.pt", "--data", data)
    assert refusal(capsys, "models", "export", "mine", "--out", out / "zoo", *checkpoint) == "export-exists"
