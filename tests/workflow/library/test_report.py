"""The report of a library whose plans are known."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bridge.rt.errors import ModelRefusal
from bridge.workflow.library.record import LeftOut, Work, add_work, read_left_out, read_work, write_left_out
from bridge.workflow.library.report import library_report, patient_fronts, trade_offs
from models.library.library import open_library
from tests.models.library import libraries
from tests.models.library.libraries import write_library


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_library(tmp_path / "library")


def report_of(folder: Path) -> dict:
    return json.loads(json.dumps(library_report(folder, open_library(folder)), allow_nan=False))


class TestReport:
    def test_it_counts_what_there_is(self, folder: Path) -> None:
        write_library(folder, "pt_9", "validation")
        write_left_out(folder, (LeftOut("pt_3", {"code": "no-target"}),))
        found = report_of(folder)
        assert (found["patients"], found["plans"]) == ({"train": 1, "validation": 1}, 6)
        assert found["plans_per_patient"]["min"] == 3
        assert found["plans_by_beams"] == {"9": 6}
        assert found["left_out"] == {"pt_3": {"code": "no-target"}}
        assert found["flags"] == {"dominated": 2}

    def test_plans_per_hour_are_over_the_hours_of_all_processes(self, folder: Path) -> None:
        assert report_of(folder)["speed"]["plans_per_hour"] is None
        add_work(folder, Work("2026-01-01T00:00:00+00:00", "pt_7", 3, 600.0, 2))
        add_work(folder, Work("2026-01-01T00:00:00+00:00", "pt_8", 7, 1200.0, 2))
        speed = report_of(folder)["speed"]
        assert speed["plans_per_hour"] == pytest.approx(10 / (1800.0 / 2 / 3600.0))
        assert (speed["plans_recorded"], speed["processes"]) == (10, [2])

    def test_goals_are_counted_in_reference_plans_alone(self, folder: Path) -> None:
        goals = report_of(folder)["goals_of_reference_plans"]
        assert goals["share_of_goals_met"] == 1.0  # the anchor's 69 Gy is not counted
        assert goals["share_of_plans_that_meet_all"] == 1.0
        assert goals["share_of_hard_goals_met"] == goals["share_of_plans_that_meet_all_hard"] == 1.0
        assert goals["by_goal"] == {"PTV70 D95% >= 70.00 Gy": {"share": 1.0, "n": 1}}

    def test_openkbps_criteria_stand_side_by_side(self, folder: Path) -> None:
        criteria = report_of(folder)["openkbp_criteria"]
        # D99 of PTV70 has to be 66.5 Gy, the mean of a parotid 26 Gy at most
        met = {
            plan: {name: row["share"] for name, row in found["by_criterion"].items()}
            for plan, found in criteria.items()
        }
        assert met == {
            "clinical": {"PTV70 D99": 0.0, "LeftParotid mean": 1.0},
            "9-reference": {"PTV70 D99": 1.0, "LeftParotid mean": 0.0},
        }
        assert criteria["clinical"]["share"] == 0.5

    def test_the_spread_is_over_the_plans_of_a_patient(self, folder: Path) -> None:
        spread = report_of(folder)["spread"]
        assert spread["Parotid_L mean (Gy)"]["range_in_a_patient"]["mean"] == pytest.approx(15.0)
        assert spread["HI (%)"]["range_in_a_patient"]["max"] == pytest.approx(5.0)
        assert spread["HI (%)"]["reference"]["mean"] == pytest.approx(5.0)

    def test_the_gap_is_to_the_nearest_plan(self, folder: Path) -> None:
        # reference and homogeneity are 5 Gy of parotid apart, the anchor 10 Gy from the reference
        gap = report_of(folder)["gap"]
        assert (gap["min"], gap["max"], gap["n"]) == (pytest.approx(5.0), pytest.approx(10.0), 3)

    def test_sizes_are_those_on_disk(self, folder: Path) -> None:
        sizes = report_of(folder)["megabytes"]
        doses = sum(path.stat().st_size for path in folder.rglob("*.dose.npz"))
        assert sizes["all"] - sizes["without_doses"] == pytest.approx(doses / 1e6)

    def test_an_empty_library_is_refused(self, folder: Path) -> None:
        (folder / "pt_7" / "patient.json").unlink()
        with pytest.raises(ModelRefusal) as raised:
            report_of(folder)
        assert raised.value.code == "library-empty"

    def test_a_protocol_that_changed_since_is_refused(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        library = open_library(folder)
        monkeypatch.setattr("bridge.workflow.library.report.protocol_sha256", lambda _: "f" * 64)
        with pytest.raises(ModelRefusal) as raised:
            library_report(folder, library)
        assert raised.value.code == "library-protocol"


def test_a_trade_is_told_at_the_reference_plan(folder: Path) -> None:
    # to the anchor: 10 Gy for 1 Gy of D95%; from the homogeneous plan to the anchor: 15 Gy for 0.05 of HI
    assert trade_offs(open_library(folder).patients[0], "9") == {
        "Parotid_L": "1 Gy off Parotid_L costs 0.10 Gy of PTV70 D95%, 0.0033 of HI"
    }


def test_what_costs_neither_homogeneity_nor_coverage_is_said_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A plan that is better in both spares the organ, at the cost of another organ."""
    plans = (
        (libraries.weighting("reference"), libraries.measures(0.05, 20.0, 10.0)),
        (libraries.weighting("organ-Parotid_L", Parotid_L=16.0), libraries.measures(0.04, 12.0, 15.0)),
        (libraries.weighting("homogeneity", 16.0), libraries.measures(0.03, 19.95, 9.95)),
    )
    monkeypatch.setattr(libraries, "PLANS", plans)
    assert trade_offs(open_library(write_library(tmp_path / "library")).patients[0], "9") == {
        "Parotid_L": "1 Gy off Parotid_L costs neither homogeneity nor coverage"
        # 0.05 Gy off either organ are what two optimizations of one plan differ by
    }


@pytest.mark.parametrize("content", [b"{", b"[]", b"\xff", b'{"pt_1": 3}'])
def test_a_damaged_list_of_those_left_out_is_named(folder: Path, content: bytes) -> None:
    (folder / "left_out.json").write_bytes(content)
    with pytest.raises(ModelRefusal, match=r"left_out\.json") as raised:
        read_left_out(folder)
    assert raised.value.code == "library-file-damaged"


def test_a_line_of_the_record_without_processes_is_passed_over(folder: Path) -> None:
    for processes in (0, 2):
        add_work(folder, Work("2026-01-01T00:00:00+00:00", "pt_7", 3, 600.0, processes))
    assert [work.processes for work in read_work(folder)] == [2]


def test_a_front_has_a_point_for_each_plan(folder: Path) -> None:
    front = patient_fronts(open_library(folder).patients[0], "9")
    assert front.title == "pt_7"
    assert [point.name for point in front.points] == ["reference", "organ-Parotid_L", "homogeneity"]
    points = [(point.organs_gy, point.hi, point.deficit_gy) for point in front.points]
    assert [value for point in points for value in point] == pytest.approx(
        [15.0, 0.05, 0.0, 11.25, 0.08, 1.0, 17.5, 0.03, 0.0]
    )
    assert [point.is_reference for point in front.points] == [True, False, False]
    assert [point.is_dominated for point in front.points] == [False, True, False]


def test_a_line_of_the_record_that_a_crash_cut_is_passed_over(folder: Path) -> None:
    add_work(folder, Work("2026-01-01T00:00:00+00:00", "pt_7", 3, 600.0, 2))
    with (folder / "record.csv").open("a") as stream:
        stream.write("2026-01-01T00:00:00+00:00,pt_8,7,12")
    assert [work.patient for work in read_work(folder)] == ["pt_7"]
    add_work(folder, Work("2026-01-01T00:00:00+00:00", "pt_9", 3, 600.0, 2))
    assert [work.patient for work in read_work(folder)] == ["pt_7", "pt_9"]
