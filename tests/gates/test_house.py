"""The house files agree with each other and with the folders on disk."""

from __future__ import annotations

import os
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
GATES = {"lint": "ruff check .", "types": "mypy", "layers": "lint-imports", "pytest": "pytest"}


def read(path: str) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


def test_every_package_on_disk_is_installed() -> None:
    on_disk = {
        ".".join(path.parent.relative_to(ROOT).parts)
        for root in PYPROJECT["tool"]["importlinter"]["root_packages"]
        for path in (ROOT / root).rglob("*.py")
    }
    assert sorted(on_disk) == PYPROJECT["tool"]["setuptools"]["packages"]


def test_every_package_says_what_it_is_for() -> None:
    for package in PYPROJECT["tool"]["setuptools"]["packages"]:
        path = ROOT.joinpath(*package.split("."), "__init__.py")
        assert path.read_text(encoding="utf-8").startswith('"""'), package


def test_make_test_runs_every_gate() -> None:
    rules = dict(re.findall(r"^(\w+):(.*)$", MAKEFILE, re.MULTILINE))
    assert rules["test"].split() == list(GATES)
    for gate, command in GATES.items():
        recipe = re.search(rf"^{gate}:.*\n((?:\t.*\n)+)", MAKEFILE, re.MULTILINE)
        assert recipe is not None
        assert command in recipe[1]
        assert "-$(BIN)" not in recipe[1], "a leading dash would ignore the failure"
        assert "||" not in recipe[1]


def test_continuous_integration_runs_make_test_and_stops_at_the_first_failure() -> None:
    lines = read(".ci/run").splitlines()
    assert "set -euo pipefail" in lines
    assert "export CI=true" in lines
    assert lines[-1] == "make test"
    assert os.access(ROOT / ".ci" / "run", os.X_OK)


def test_contributing_names_every_gate() -> None:
    text = read("CONTRIBUTING.md")
    assert [gate for gate in GATES if f"`make {gate}`" not in text] == []


def test_make_and_bash_can_read_their_files() -> None:
    dry = subprocess.run(["make", "-n", "test", "demo"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert dry.returncode == 0, dry.stderr
    assert subprocess.run(["bash", "-n", ".ci/run"], cwd=ROOT, check=False).returncode == 0


def test_constraints_pin_what_the_project_asks_for() -> None:
    pins = read("constraints.txt").splitlines()
    assert [line for line in pins if not re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][A-Za-z0-9.]*", line)] == []
    pinned = {line.partition("==")[0].lower().replace("_", "-") for line in pins}
    wanted = [*PYPROJECT["project"]["dependencies"]]
    for extra in ("cpu", "report", "web", "dev"):
        wanted += PYPROJECT["project"]["optional-dependencies"][extra]
    names = {re.split(r"[^A-Za-z0-9_.-]", name)[0].lower().replace("_", "-") for name in wanted}
    assert names - pinned == set()


def test_the_changelog_starts_with_the_numbers_that_change() -> None:
    text = read("CHANGELOG.md")
    assert re.findall(r"^## (\S+)", text, re.MULTILINE)[0] == PYPROJECT["project"]["version"]
    for release in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        assert re.findall(r"^### (.+)$", release, re.MULTILINE)[0] == "Numbers that change"


def test_the_licence_is_apache_2() -> None:
    assert PYPROJECT["project"]["license"] == "Apache-2.0"
    assert read("LICENSE").split()[:4] == ["Apache", "License", "Version", "2.0,"]
    assert len(read("LICENSE")) > 11_000


@pytest.mark.parametrize("page", sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").rglob("*.md")))
def test_links_between_pages_lead_somewhere(page: str) -> None:
    text = re.sub(r"```.*?```", "", read(page), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", text):
        if "://" not in target:
            assert (ROOT / page).parent.joinpath(target).exists(), target


def test_every_page_is_in_the_index() -> None:
    pages = {path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")} - {"index.md"}
    assert {page for page in pages if f"({page})" not in read("docs/index.md")} == set()
