"""`fdp-bridge pdf`: a report on paper shows what the page shows."""

from __future__ import annotations

import subprocess
from pathlib import Path
from shutil import which

import numpy as np
import pytest

from bridge.cli import main
from bridge.report.case_report import BANNER, write_case_report
from tests.report.synthetic_case import head_and_neck

pytest.importorskip("weasyprint", reason="weasyprint is not installed", exc_type=ImportError)


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    assert isinstance(ended.value.code, int)
    return ended.value.code


@pytest.mark.skipif(which("pdftoppm") is None, reason="poppler-utils is not installed")
def test_a_case_report_on_paper_shows_its_pictures_and_curves(tmp_path: Path) -> None:
    write_case_report(head_and_neck(), tmp_path / "report.html")
    assert run("pdf", tmp_path / "report.html") == 0
    text = subprocess.run(
        ["pdftotext", "-layout", tmp_path / "report.pdf", "-"], capture_output=True, text=True, check=True
    ).stdout
    pages = text.split("\f")[:-1]
    assert all(BANNER in page for page in pages)
    (curves,) = (number for number, page in enumerate(pages, start=1) if "Dose (Gy)" in page)
    subprocess.run(
        ["pdftoppm", "-r", "40", "-gray", "-f", str(curves), "-l", str(curves), tmp_path / "report.pdf",
         tmp_path / "page"], check=True,
    )  # fmt: skip
    (picture,) = tmp_path.glob("page*.pgm")
    header, _, grey = picture.read_bytes().partition(b"\n255\n")
    assert header.startswith(b"P5")
    # drawn without the style sheet the areas under the curves would be black: a fifth of the page
    assert np.mean(np.frombuffer(grey, np.uint8) < 40) < 0.05


def test_what_is_no_page_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "dose.dcm").write_bytes(bytes(range(256)))
    assert run("pdf", tmp_path / "dose.dcm") == 3
    assert "report-not-html" in capsys.readouterr().err
    assert not (tmp_path / "dose.pdf").exists()


def test_a_folder_that_is_not_there_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "report.html").write_text("<!DOCTYPE html><html lang='en'><title>t</title><p>text</p></html>")
    assert run("pdf", tmp_path / "report.html", "--out", tmp_path / "away" / "report.pdf") == 4
    assert "file-unwritable" in capsys.readouterr().err
