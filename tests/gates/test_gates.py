"""Every gate is shown to go red: a small tree with the project's own configuration, and one planted breach."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
ROOTS: list[str] = PYPROJECT["tool"]["importlinter"]["root_packages"]

RUFF = ["-m", "ruff", "check", "--no-cache", "."]
FORMAT = ["-m", "ruff", "format", "--check", "--no-cache", "."]
MYPY = ["-m", "mypy", "--no-incremental"]
LAYERS = ["-c", "from importlinter.cli import lint_imports_command as run; run()", "--no-cache"]
PYTEST = ["-m", "pytest", "-p", "no:cacheprovider"]


def run(arguments: list[str], folder: Path) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, *arguments], cwd=folder, capture_output=True, text=True, timeout=120, check=False
    )
    return done.returncode, done.stdout + done.stderr


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A tree with every package of the project, all empty, and its configuration."""
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    packages = {*PYPROJECT["tool"]["setuptools"]["packages"], *ROOTS}
    for contract in PYPROJECT["tool"]["importlinter"]["contracts"]:
        layers = [name.strip(" ()") for layer in contract.get("layers", []) for name in layer.split("|")]
        packages |= {*layers, *contract.get("source_modules", [])}
    for package in packages:
        path = tmp_path.joinpath(*package.split("."))
        path.mkdir(parents=True, exist_ok=True)
        (path / "__init__.py").write_text(f'"""{package}."""\n', encoding="utf-8")
    return tmp_path


def plant(tree: Path, path: str, text: str) -> None:
    (tree / path).parent.mkdir(parents=True, exist_ok=True)
    (tree / path).write_text(f'"""Planted."""\n\n{text}', encoding="utf-8")


@pytest.mark.parametrize("gate", [RUFF, FORMAT, MYPY, LAYERS], ids=["ruff", "format", "mypy", "layers"])
def test_an_honest_tree_is_green(tree: Path, gate: list[str]) -> None:
    code, output = run(gate, tree)
    assert code == 0, output


@pytest.mark.parametrize(
    ("breach", "rule"),
    [
        ('print("dose")\n', "T201"),
        ("import os\n", "F401"),
        ("def dose() -> float:\n    return 1.0\n", "D103"),
        ("import subprocess\n\nsubprocess.run('ls', shell=True)\n", "S602"),
    ],
)
def test_ruff_goes_red(tree: Path, breach: str, rule: str) -> None:
    plant(tree, "bridge/rt/breach.py", breach)
    code, output = run(RUFF, tree)
    assert code == 1
    assert rule in output


def test_the_formatter_goes_red(tree: Path) -> None:
    plant(tree, "bridge/rt/breach.py", "a = {  'b':1}\n")
    code, output = run(FORMAT, tree)
    assert code == 1
    assert "breach.py" in output


def test_mypy_goes_red(tree: Path) -> None:
    plant(tree, "bridge/rt/wrong.py", 'def dose_gy() -> float:\n    return "70"\n')
    plant(tree, "models/untyped.py", "def dose_gy(fractions):\n    return 2.0 * fractions\n")
    code, output = run(MYPY, tree)
    assert code == 1
    assert "bridge/rt/wrong.py:4: error: Incompatible return value" in output
    assert "models/untyped.py:3: error: Function is missing a type annotation" in output


@pytest.mark.parametrize(
    ("path", "breach"),
    [
        ("bridge/rt/_breach.py", "import bridge.dicom"),
        ("bridge/dicom/_breach.py", "import models"),
        ("bridge/node/_breach.py", "import bridge.report"),
        ("bridge/workflow/_breach.py", "import bridge.app"),
        ("config/_breach.py", "import bridge.rt"),
        ("models/_breach.py", "import config"),
        ("bridge/dicom/_breach.py", "import pynetdicom"),
    ],
)
def test_import_linter_goes_red(tree: Path, path: str, breach: str) -> None:
    plant(tree, path, f"{breach}\n")
    code, output = run(LAYERS, tree)
    assert code == 1
    assert "BROKEN" in output
    assert path.replace("/", ".").removesuffix(".py") in output


@pytest.mark.parametrize(
    ("breach", "code", "said"),
    [
        ("def test_honest():\n    assert True\n", 0, "1 passed"),
        ("def test_wrong():\n    assert 70 == 7000\n", 1, "1 failed"),
        ("import pytest\n\n@pytest.mark.slwo\ndef test_typing_mistake():\n    pass\n", 2, "not found in `markers`"),
        ("import warnings\n\ndef test_warns():\n    warnings.warn('overflow', RuntimeWarning)\n", 1, "RuntimeWarning"),
        ("import pytest\n\n@pytest.mark.xfail\ndef test_passes():\n    pass\n", 1, "XPASS(strict)"),
    ],
    ids=["honest", "assertion", "marker", "warning", "xpass"],
)
def test_pytest_goes_red(tree: Path, breach: str, code: int, said: str) -> None:
    plant(tree, "tests/test_planted.py", breach)
    actual, output = run(PYTEST, tree)
    assert actual == code, output
    assert said in output


def test_a_missing_program_fails_in_continuous_integration(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tests = tree / "tests"
    tests.mkdir()
    for name in ("programs.py", "shared_data.py"):
        shutil.copy(ROOT / "tests" / name, tests)
    plant(tree, "tests/test_planted.py", "from tests.programs import require_program\n\n"
          "def test_needs():\n    require_program('no-such-program')\n")  # fmt: skip
    monkeypatch.delenv("CI", raising=False)
    assert run(PYTEST, tree)[0] == 0
    monkeypatch.setenv("CI", "true")
    code, output = run(PYTEST, tree)
    assert code == 1
    assert "no-such-program is missing" in output
