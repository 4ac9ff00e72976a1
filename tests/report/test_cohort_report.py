"""Reports of a study as a reader meets them: complete, self-contained, the same again, for eye and screen reader."""

from __future__ import annotations

import re
import subprocess
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from shutil import which
from typing import Any

import pytest
from matplotlib.lines import Line2D

from bridge.report import patient_figure
from bridge.report.cohort_report import COHORT_BANNER, render_cohort_report, render_patient_report, verdict
from bridge.report.vector_figures import BASELINE_INK, FIRST_INK
from bridge.rt.errors import Failure
from bridge.workflow.cohort.patient_summary import patient_report_data
from bridge.workflow.cohort.quality import TOLERANCE_GY
from bridge.workflow.cohort.summary import cohort_report_data
from bridge.workflow.library.record import LeftOut
from tests.workflow.cohort.made import STUDY, patient, run, uncompared

LEFT_OUT = (LeftOut("pt_9", {"message": "There is no target <of> it.", "code": "no-target"}),)


@pytest.fixture(scope="module")
def cohort_page() -> str:
    return render_cohort_report(cohort_report_data(run(6, LEFT_OUT), "validation"), TOLERANCE_GY)


@pytest.fixture(scope="module")
def patient_page() -> str:
    return render_patient_report(patient_report_data(patient(1), STUDY, "validation", "../report.html"))


class Read(HTMLParser):
    """What stands on a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.headers: list[dict[str, str | None]] = []
        self.figures: list[str] = []
        self.links: list[str] = []
        self.captions = self.tables = 0
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "th":
            self.headers.append(given)
        self.tables += tag == "table"
        self.captions += tag == "caption"
        if tag == "svg" and given.get("role") == "img":
            self.figures.append(given.get("aria-label") or "")
        if tag == "a":
            self.links.append(given.get("href") or "")


def test_tables_have_captions_and_headers_and_figures_say_what_they_show(cohort_page: str, patient_page: str) -> None:
    for page, figures in ((cohort_page, 3), (patient_page, 3)):
        read = Read(page)
        assert read.tables == read.captions > 0
        assert all(header.get("scope") in ("col", "row") for header in read.headers)
        assert len(read.figures) == figures
        assert all(len(label) > 40 for label in read.figures)
        assert page.startswith('<!DOCTYPE html>\n<html lang="en">')


def test_nothing_is_fetched_and_nothing_runs(cohort_page: str, patient_page: str) -> None:
    for page in (cohort_page, patient_page):
        assert "default-src 'none'" in page
        assert "<script" not in page
        assert re.findall(r'(?:src|xlink:href|href)="(?!#|patients/|\.\./report\.html)[^"]*"', page) == []
        assert "url(http" not in page


def test_the_report_says_what_it_is_and_whom_it_left_out(cohort_page: str) -> None:
    assert COHORT_BANNER in cohort_page
    assert "pt_9: There is no target &lt;of&gt; it." in cohort_page
    for what in ("Methods", "Provenance", "Better count", "half slice", STUDY.sha256, "a" * 64):
        assert what in cohort_page
    assert {"patients/pt_6.html", "#quality"} <= set(Read(cohort_page).links)


def test_the_same_study_gives_the_same_page(cohort_page: str) -> None:
    assert render_cohort_report(cohort_report_data(run(6, LEFT_OUT), "validation"), TOLERANCE_GY) == cohort_page


def test_the_verdict_counts_organs_and_says_what_so_few_patients_cannot_say() -> None:
    eight = verdict(cohort_report_data(run(8), "cohort"))
    assert "nearer to what was promised than those made from the baseline in 2 of 2 organs" in eight[0]
    assert "2 of the differences for it and 0 of those against it" in eight[0]
    assert eight[-1] == (
        "Of the protocol's hard goals, the plans made from the model (balanced) meet 100 %, those made from the "
        "baseline 0 %."
    )
    five = verdict(cohort_report_data(run(5), "cohort"))
    assert five[2] == (
        "Too few patients have SpinalCord (5), Parotid_L (5) for any difference to be significant: the smallest p that "
        "5 can give is 0.062."
    )
    assert verdict(cohort_report_data(run(1), "cohort")) == [
        "There are too few patients to say who keeps the promise better."
    ]


def test_what_the_tables_leave_out_or_cannot_say_is_written_beside_them(cohort_page: str) -> None:
    quality = cohort_page[cohort_page.index('<h2 id="quality">') : cohort_page.index('<h2 id="along">')]
    assert "where it lies in a target of another level, or next to one" in quality
    worst = cohort_page[cohort_page.index('<h2 id="worst">') : cohort_page.index('<h2 id="methods">')]
    assert "<caption>Organs farthest from the promise</caption>" in worst
    assert "Organs alone: the baseline promises nothing of targets." in worst


def test_worse_plans_are_named_beside_the_table() -> None:
    page = render_cohort_report(cohort_report_data(run(6, organ_gy=(31.0, 27.0)), "cohort"), TOLERANCE_GY)
    notice = page[page.index('class="notice warn"') : page.index("Intra-patient DVH variability")]
    assert "Mean dose of the organs, mean" in notice
    better = render_cohort_report(cohort_report_data(run(6), "cohort"), TOLERANCE_GY)
    assert 'class="notice warn"' not in better


def test_a_study_of_one_patient_has_a_report_too() -> None:
    page = render_cohort_report(cohort_report_data(run(1), "cohort"), TOLERANCE_GY)
    assert "Too few patients for a comparison." in page
    assert Read(page).figures == []


def test_the_patients_page_tells_both_differences_in_words(patient_page: str) -> None:
    assert "Model (balanced): achieved less predicted +1.10 Gy on average, 1.10 Gy in absolute terms." in patient_page
    assert "Baseline: achieved less predicted +2.10 Gy on average" in patient_page
    assert "Model (balanced): nothing was predicted." in patient_page  # of the target, by hand
    assert "69.00 MISSED" in patient_page


def test_a_prediction_that_is_drawn_and_not_compared_is_said_with_the_reason() -> None:
    page = render_patient_report(patient_report_data(uncompared(patient(1)), STUDY, "validation", "../report.html"))
    assert (
        "Model (balanced): achieved and predicted are not compared. The predicted dose covers 98 % of "
        "&#39;SpinalCord&#39;, the achieved dose 100 %; both must cover the same. Baseline: achieved less"
    ) in page
    assert page.count("nothing was predicted.") == 2  # of the target, by hand
    label = next(label for label in Read(page).figures if label.startswith("SpinalCord"))
    assert "Model (balanced) predicts a curve that cannot be compared with what it achieved" in label


def test_patients_who_are_not_compared_are_counted_with_the_reasons() -> None:
    results = (*run(6).results, uncompared(patient(7)), patient(8, without=("SpinalCord",)))
    page = render_cohort_report(cohort_report_data(replace(run(6), results=results), "cohort"), TOLERANCE_GY)
    assert (
        "Patients who are not compared: SpinalCord 2 (1 with a predicted dose that covers another part of it than the "
        "plan&#39;s, 1 without an estimate)."
    ) in page


def test_a_line_looks_alike_in_panels_and_legend_and_lines_are_told_apart_without_colour(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    drawn: list[Any] = []
    monkeypatch.setattr(patient_figure, "svg", lambda figure, _: drawn.append(figure) or "")
    data = patient_report_data(patient(1), STUDY, "validation", "../report.html")
    patient_figure.structure_figure(data.panels[1], data.first, data.baseline)
    (figure,) = drawn
    (legend,) = figure.legends
    named = dict(zip([text.get_text() for text in legend.get_texts()], legend.legend_handles, strict=True))
    for axes in figure.axes:
        lines = [line for line in axes.lines if not line.get_label().startswith("_")]
        for line in lines:
            assert look(line) == look(named[line.get_label()]), (axes.get_title(loc="left"), line.get_label())
        without_colour = [look(line)[1:] for line in lines]
        assert len(set(without_colour)) == len(lines) >= 2
    dashed = {text for text, handle in named.items() if isinstance(handle, Line2D) and handle.get_linestyle() == "--"}
    assert dashed == {"predicted, Model (balanced)", "predicted, Baseline (middle)"}


def look(line: Any) -> tuple[str, str, str]:
    """Ink, line and marker."""
    return line.get_color(), line.get_linestyle(), str(line.get_marker())


def brightness(ink: str) -> float:
    """Luma of Rec. 601, 0 to 1: what a grey print makes of a colour."""
    red, green, blue = (int(ink[at : at + 2], 16) / 255.0 for at in (1, 3, 5))
    return 0.299 * red + 0.587 * green + 0.114 * blue


def contrast(ink: str) -> float:
    """Contrast with white paper (WCAG 2.1)."""
    parts = [int(ink[at : at + 2], 16) / 255.0 for at in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 1.05 / (0.2126 * red + 0.7152 * green + 0.0722 * blue + 0.05)


def test_the_two_inks_stay_apart_in_grey_and_off_the_paper() -> None:
    assert brightness(BASELINE_INK) - brightness(FIRST_INK) > 0.3
    assert min(contrast(FIRST_INK), contrast(BASELINE_INK)) >= 3.0  # WCAG 1.4.11, graphics


@pytest.mark.skipif(which("pdftotext") is None, reason="poppler-utils is not installed")
def test_as_pdf_it_says_the_same_on_numbered_pages(cohort_page: str, tmp_path: Path) -> None:
    from bridge.report.pdf import pdf_bytes

    try:
        (tmp_path / "report.pdf").write_bytes(pdf_bytes(cohort_page))
    except Failure as failure:
        pytest.skip(str(failure))
    shown = subprocess.run(
        ["pdftotext", "-layout", tmp_path / "report.pdf", "-"], capture_output=True, text=True, check=True
    ).stdout
    pages = shown.split("\f")[:-1]
    assert len(pages) >= 4
    assert all("NOT FOR CLINICAL USE" in page for page in pages)
    assert re.search(rf"{len(pages)} ?/ ?{len(pages)}\s*$", pages[-1])
    for what in ("Did the plan keep the promise?", "Better count", "Hard goals met", "Methods", STUDY.sha256):
        assert what in shown
    facts = subprocess.run(["pdfinfo", tmp_path / "report.pdf"], capture_output=True, text=True, check=True).stdout
    assert re.search(r"Tagged:\s+yes", facts)
    images = subprocess.run(
        ["pdfimages", "-list", tmp_path / "report.pdf"], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert len(images) == 2  # the heading alone: all figures are vectors
