"""The report of a training: every flagged plan by name, and plots of the regressions that have a feature."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from bridge.report.regression_figure import regression_figure
from bridge.report.training_report import TRAINING_BANNER, TrainingReportData, render_training_report
from models.kbp.fit import PlanInfluence
from models.kbp.regions import Region

PLANS = 21
ODD = "pt_4"


def regression(
    organ: str, component: int, region: Region = "in_field", feature: str = "expected 1"
) -> list[PlanInfluence]:
    """Plans on a line with a slope of 2, and residuals of 1 and -1 in turn, which explain 1 - 1 / (4 var(x) + 1)."""
    rows = []
    for place in range(PLANS):
        x = (place - PLANS // 2) / 4.0
        off = 0.0 if place == PLANS // 2 else (1.0 if place % 2 else -1.0)
        rows.append(
            PlanInfluence(
                organ=organ, region=region, component=component, plan=f"pt_{place}", feature=feature,
                feature_value=x if feature else 0.0, observed=2.0 * x + off, fitted=2.0 * x, leverage=0.1,
                studentized=off, cooks_distance=0.05, flagged=False,
            )
        )  # fmt: skip
    return rows


def data(rows: list[PlanInfluence]) -> TrainingReportData:
    organs = dict.fromkeys((row.organ for row in rows), PLANS)
    return TrainingReportData(
        "kbp-own", "Plans of <nobody>", "fdp-bridge 0", "train", PLANS, organs, {"Larynx": 7}, tuple(rows)
    )


def label_of(figure: str) -> str:
    found = re.search('aria-label="([^"]*)"', figure)
    assert found is not None
    return found[1]


def test_a_figure_says_what_the_regression_explains() -> None:
    rows = regression("Parotid_L", 1)
    observed = np.array([row.observed for row in rows])
    explained = 1.0 - (PLANS - 1) / PLANS / observed.var()
    said = label_of(regression_figure(rows))
    assert said == (
        f"Parotid_L, in-field, component 1: {PLANS} plans, {100 * explained:.0f} % of the variance explained, most "
        "of it by expected 1; no plan is flagged."
    )


def test_a_flagged_plan_is_named_in_figure_and_table() -> None:
    rows = regression("Parotid_L", 1)
    rows[4] = replace(rows[4], studentized=-4.25, leverage=0.4, cooks_distance=1.2, flagged=True)
    assert label_of(regression_figure(rows)).endswith(f"flagged: {ODD}.")
    html = render_training_report(data(rows + regression("SpinalCord", 1)))
    cells = re.findall(r"<t[hd][^>]*>([^<]*)</t[hd]>", html[html.index("flagged most often first") :])
    start = cells.index(ODD)
    mean = (0.1 * (PLANS - 1) + 0.4) / PLANS
    assert cells[start : start + 7] == [ODD, "Parotid_L", "in-field", "1", "-4.2", f"{0.4 / mean:.1f}", "1.20"]


def test_organs_have_a_plot_for_each_component_with_a_feature_and_none_else() -> None:
    rows = [
        *regression("Parotid_L", 1), *regression("Parotid_L", 2), *regression("Parotid_L", 3, feature=""),
        *regression("Parotid_L", 1, region="overlap", feature=""), *regression("SpinalCord", 1),
    ]  # fmt: skip
    html = render_training_report(data(rows))
    assert html.count("<figure") == html.count('<svg role="img"') == 3
    assert "No plan is flagged." in html
    assert TRAINING_BANNER in html
    assert "Plans of &lt;nobody&gt;" in html
    assert re.search(r">Larynx</th>\s*<td[^>]*>7</td>\s*<td[^>]*>too few plans<", html)


@pytest.mark.parametrize("distance", [0.0, 0.05, 3.0])
def test_a_figure_is_the_same_each_time_and_needs_nothing_from_elsewhere(distance: float) -> None:
    rows = [replace(row, cooks_distance=distance) for row in regression("Parotid_L", 1)]
    one, other = regression_figure(rows), regression_figure(rows)
    assert one == other
    assert "http://www.w3.org" in one
    assert not re.search(r'(href|src)="http', one)
