"""A script that plans from nothing runs against the C# stub as it would be written for Eclipse."""

from __future__ import annotations

from pathlib import Path

from tests.eclipse_plugin.plug_in import PlugIn
from tests.tps.objective_sets import structures


def test_a_script_creates_a_plan_asks_for_every_kind_optimizes_and_reads_dvhs(plug_in: PlugIn, tmp_path: Path) -> None:
    """The stub's dose is the prescription everywhere: it shows that calls go through, and nothing about doses."""
    result = plug_in.run(tmp_path / "share", plan=None, runs=[])
    asked = [(o["structure"], o["kind"], o["operator"], o["dose"], o["number"]) for o in result["objectives"]]
    assert asked == [
        ("PTV70", "point", "Lower", 69, 98),
        ("PTV70", "point", "Upper", 75, 0),
        ("Parotid links", "mean", "None", 26, None),
        ("Parotid links", "geud", "Upper", 30, 1.5),
    ]
    assert [one["automatic"] for one in result["normal_tissue"]] == [False]
    assert (result["calls"], result["has_dose"]) == (["OptimizeVMAT", "CalculateDose"], True)
    assert result["dvh"] == {
        structure.name: {"mean_gy": 70, "first_percent": 100, "last_percent": 0} for structure in structures()
    }
