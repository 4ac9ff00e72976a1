from __future__ import annotations

import base64
import hashlib
import json
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from bridge.report.case_report import BANNER, CaseReportData, ObjectiveRow, render_case_report, write_case_report
from bridge.rt.errors import Failure, GeometryRefusal, StorageFailure, StructureRefusal
from bridge.rt.findings import Finding
from bridge.rt.structure import Structure
from tests.report.synthetic_case import ellipse, head_and_neck

VOID = {"meta", "br", "hr", "img", "input", "link"}
HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>"


class Page(HTMLParser):
    """Reads a page, insists that every element is closed in turn, and keeps elements, tables and text."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.tables: list[list[list[str]]] = []
        self.texts: dict[str, list[str]] = {}
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "table":
            self.tables.append([])
        if tag == "tr":
            self.tables[-1].append([])
        if tag in ("th", "td"):
            self.tables[-1][-1].append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open:
            self.texts.setdefault(self.open[-1], []).append(data)
        if "td" in self.open or "th" in self.open:
            self.tables[-1][-1][-1] += data

    def all(self, tag: str) -> Iterator[dict[str, str | None]]:
        return (attributes for name, attributes in self.elements if name == tag)

    def table(self, first_heading: str) -> dict[str, list[str]]:
        """Give the rows by their heading."""
        found = [table for table in self.tables if table[0][0] == first_heading]
        return {row[0]: [cell.strip() for cell in row[1:]] for row in found[-1]}


@pytest.fixture(scope="module")
def data() -> CaseReportData:
    return head_and_neck()


@pytest.fixture(scope="module")
def html(data: CaseReportData) -> str:
    return render_case_report(data)


@pytest.fixture(scope="module")
def page(html: str) -> Page:
    return Page(html)


def test_the_file_holds_the_page_and_nothing_is_left_beside_it(tmp_path: Path, data: CaseReportData, html: str) -> None:
    path = write_case_report(data, tmp_path / "report.html")
    assert path.read_text(encoding="utf-8") == html
    assert [file.name for file in tmp_path.iterdir()] == ["report.html"]


def test_the_same_data_give_the_same_bytes(data: CaseReportData, html: str) -> None:
    assert render_case_report(head_and_neck()) == html


def test_says_on_screen_and_on_paper_that_it_is_a_prediction(page: Page, html: str) -> None:
    assert BANNER == "PREDICTED DOSE - NOT FOR CLINICAL USE"
    assert {"class": "banner", "role": "note"} in page.all("p")
    assert BANNER in page.texts["p"]
    assert f'@top-center {{ content: "{BANNER}"' in html


def test_sections_come_in_order(page: Page) -> None:
    assert page.texts["h2"] == [
        "Dose", "Dose-volume histograms", "Prescription and plan metrics", "Objectives", "Findings", "Provenance"
    ]  # fmt: skip


def test_figures_are_inside_and_have_words(page: Page) -> None:
    images = list(page.all("image"))
    assert len(images) == 3
    for image in images:
        assert base64.b64decode((image["href"] or "").removeprefix("data:image/png;base64,")).startswith(b"\x89PNG")
    described = [svg["aria-label"] for svg in page.all("svg") if svg.get("role") == "img"]
    assert [(text or "").partition(" at ")[0] for text in described[:3]] == [
        "Axial plane", "Coronal plane", "Sagittal plane"
    ]  # fmt: skip
    assert (described[3] or "").startswith("Cumulative dose-volume histograms: volume in percent over dose in Gy")
    assert all(svg.get("role") == "img" or svg.get("aria-hidden") == "true" for svg in page.all("svg"))
    assert {"Dose (Gy)", "Volume (%)", "70 Gy PTV70", "56 Gy PTV56", "50 mm"} <= set(page.texts["text"])


def test_dvh_curves_are_those_of_the_structures_with_dose(html: str) -> None:
    curves = html.partition('<g class="curves"')[2].partition("</g>")[0]
    titles = re.findall("<title>(.*?)</title>", curves)
    assert sorted(titles) == ["BODY", "PTV56", "PTV70", "Parotid li", "Parotid re", "Spinal cord"]


def test_every_table_has_a_caption_and_headings_with_scope(page: Page) -> None:
    assert len(page.texts["caption"]) == len(page.tables) == 6
    assert {heading.get("scope") for heading in page.all("th")} == {"col", "row"}


def test_nothing_is_fetched_and_only_the_known_script_may_run(page: Page, html: str) -> None:
    without_pictures = re.sub(r"(base64,|sha256-)[\w+/=]+", "", html)
    assert not re.search(r"(https?:)?//[a-z0-9]", without_pictures, re.IGNORECASE)
    assert "@import" not in html
    assert "url(" not in html
    for _, attributes in page.elements:
        assert "src" not in attributes
        assert (attributes.get("href") or "#").startswith(("#", "data:image/png;base64,"))
    policy = next(meta["content"] for meta in page.all("meta") if meta.get("http-equiv") == "Content-Security-Policy")
    script = html.rpartition("<script>")[2].partition("</script>")[0]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert policy == f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"


def test_the_cursor_reads_the_curves_of_the_dvhs(data: CaseReportData, html: str) -> None:
    plot = json.loads(html.partition('id="dvh-data">')[2].partition("</script>")[0])
    cord = next(dvh for dvh in data.dvhs if dvh.roi_name == "Spinal cord")
    assert sorted(plot["dose_gy"]) == ["1", "2", "3", "4", "5", "6"]
    assert plot["dose_gy"]["4"][50] == round(cord.dose_at_percent(50), 2)
    assert plot["dose_gy"]["4"][0] == round(cord.max_gy, 2)


def test_structures_without_dose_say_why(page: Page) -> None:
    organs = page.table("Structure")
    legend = next(table for table in page.tables if table[0][0] == "Structure")
    assert ["Larynx", "0.00", "no contours"] in legend
    assert ["Lung apex", "12.72", "outside the dose grid"] in legend
    assert organs["PTV70"][0] == "point"
    rows = {row[0]: row[1:] for table in page.tables for row in table if len(row) == 3}
    assert rows["Larynx"] == ["0.00", "empty: no contours"]
    assert rows["Lung apex"] == ["12.72", "outside the dose grid: no dose known"]


def test_objectives_are_shown_as_given(page: Page) -> None:
    rows = page.tables[3]
    assert rows[0] == ["Structure", "Kind", "Operator", "Dose Gy", "Volume %", "Priority", "Origin"]
    assert rows[1] == ["PTV70", "point", "lower", "68.60", "98.0", "120", "protocol"]
    assert rows[-1] == ["Parotid li", "mean", "upper", "21.36", "\u2013", "12.5", "predicted mean"]
    assert len(rows) == 9


def test_warnings_come_first_with_their_codes(page: Page) -> None:
    rows = page.tables[4]
    assert [row[:2] for row in rows[1:]] == [["warning", "outside-dose-grid"], ["info", "duplicate-loop"]]
    assert rows[1][3] == "roi: Lung apex"


def test_provenance_is_complete(page: Page, html: str) -> None:
    said = set(page.texts["dd"]) | set(page.texts["code"])
    assert {"fdp-bridge 0.1.0", "geometric-1", "ab" * 32, "cd" * 32, "hi = 1.05", "12 DICOM objects"} <= said
    assert "none (structures end at their first and last plane)" in said
    assert page.tables[5][1:] == [[uid, f"{int(uid[5:]):064x}"] for uid in sorted(f"2.25.{n}" for n in range(1, 13))]
    assert "Knows distances to the targets only: no beams, no tissue." in page.texts["li"]
    assert "2026-01-30" in said
    assert "2026-01-31 12:30 UTC" in said


def test_hostile_names_stay_text(data: CaseReportData) -> None:
    def renamed(structure: Structure) -> Structure:
        return replace(structure, name=HOSTILE, standard_name=HOSTILE + "2") if structure.number == 4 else structure

    levels = tuple(replace(level, roi_name=HOSTILE) for level in data.prescription.levels)
    hostile = replace(
        data,
        case_id=HOSTILE,
        study_date=HOSTILE,
        structures=tuple(renamed(structure) for structure in data.structures),
        dvhs=tuple(replace(dvh, roi_name=HOSTILE) for dvh in data.dvhs),
        prescription=replace(data.prescription, levels=levels),
        objectives=(ObjectiveRow(HOSTILE, HOSTILE, HOSTILE, 1.0, 2.0, 3.0, HOSTILE),),
        findings=(Finding(HOSTILE, "warning", HOSTILE, {HOSTILE: HOSTILE}),),
        model=replace(data.model, title=HOSTILE, training=HOSTILE, limits=(HOSTILE,)),
        provenance=replace(
            data.provenance, software_version=HOSTILE, model_id=HOSTILE, model_sha256=HOSTILE, config_sha256=HOSTILE,
            input_uids={HOSTILE: HOSTILE}, preference={HOSTILE: 1.0},
        ),
    )  # fmt: skip
    page = Page(render_case_report(hostile))
    assert len(list(page.all("script"))) == 2
    assert list(page.all("img")) == []
    assert not any(name.startswith("on") for _, attributes in page.elements for name in attributes)
    assert page.tables[3][1][0] == HOSTILE
    assert f"{HOSTILE} ({HOSTILE}2)" in {row[0] for row in page.tables[2]}


def test_a_bare_case_can_be_shown(data: CaseReportData) -> None:
    bare = replace(
        data,
        dvhs=(),
        metrics={},
        study_date="",
        provenance=replace(data.provenance, input_uids={}, preference={}, model_id="", model_sha256=""),
    )
    page = Page(render_case_report(replace(bare, objectives=(), findings=())))
    assert "No objectives were extracted." in page.texts["p"]
    assert "Nothing was found that a person should know." in page.texts["p"]
    assert len(page.tables) == 1


@pytest.mark.parametrize("package", ["jinja2", "matplotlib", "contourpy"])
def test_a_missing_package_names_the_extra(
    data: CaseReportData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(Failure, match=re.escape("pip install 'fdp-bridge[report]'")) as caught:
        write_case_report(data, tmp_path / "report.html")
    assert caught.value.where == {"package": package}
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_missing_is_a_storage_failure(data: CaseReportData, tmp_path: Path) -> None:
    with pytest.raises(StorageFailure, match="No such file"):
        write_case_report(data, tmp_path / "missing" / "report.html")


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda d: replace(d, structures=d.structures[1:]), "dvh-structure"),
        (lambda d: replace(d, dvhs=(*d.dvhs, d.dvhs[0])), "dvh-structure"),
        (lambda d: replace(d, structures=(*d.structures, d.structures[0])), "roi-number-repeated"),
        (lambda d: replace(d, colours={2: "red;background:url(x)"}), "colour"),
    ],
)
def test_data_that_do_not_belong_together_are_refused(
    data: CaseReportData, change: Callable[[CaseReportData], CaseReportData], code: str
) -> None:
    with pytest.raises(StructureRefusal) as caught:
        change(data)
    assert caught.value.code == code


def test_structures_of_another_frame_are_refused(data: CaseReportData) -> None:
    stranger = replace(ellipse(99, "Stranger", "organ", (0, 0), (5, 5), [0.0]), frame_of_reference_uid="2.25.7")
    with pytest.raises(GeometryRefusal, match="Stranger"):
        replace(data, structures=(*data.structures, stranger))


def test_the_planning_systems_colours_are_kept(data: CaseReportData) -> None:
    page = Page(render_case_report(replace(data, colours={4: "#12ab34"})))
    assert any(path.get("stroke") == "#12ab34" for path in page.all("path"))
