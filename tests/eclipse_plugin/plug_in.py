"""The C# plug-in, compiled against the C# stub and run without Eclipse."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bridge.rt.arrays import FloatArray
from bridge.rt.structure import Structure
from tests.solids import FRAME
from tests.tps.objective_sets import SET_UID, structures

SOURCES = Path(__file__).parents[2] / "esapi_stub" / "eclipse_plugin"
TYPES, API = "VMS.TPS.Common.Model.Types.dll", "VMS.TPS.Common.Model.API.dll"
PLUG_IN, HEADLESS = "FdpBridgeObjectives.esapi.dll", "headless.exe"
DICOM_TYPES = {"target": "PTV", "organ": "ORGAN", "external": "EXTERNAL"}


def compile_all(mcs: str, into: Path) -> None:
    """Compile the stub's two assemblies, the plug-in, and the host that runs it; a warning is an error."""
    stub = sorted((SOURCES / "stub").glob("*.cs"))
    parts: list[tuple[str, Iterable[Path], tuple[str, ...]]] = [
        (TYPES, [path for path in stub if path.name == "Types.cs"], ()),
        (API, [path for path in stub if path.name != "Types.cs"], (TYPES,)),
        (PLUG_IN, sorted((SOURCES / "plugin").glob("*.cs")), (TYPES, API)),
        (HEADLESS, sorted((SOURCES / "headless").glob("*.cs")), (TYPES, API, PLUG_IN)),
    ]
    for name, sources, references in parts:
        kind = "exe" if name.endswith(".exe") else "library"
        options = ["-langversion:5", "-warnaserror", f"-target:{kind}", f"-out:{into / name}", "-r:System.Core"]
        options += [f"-r:{into / reference}" for reference in references]
        done = subprocess.run([mcs, *options, *map(str, sources)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


@dataclass(frozen=True)
class PlugIn:
    """The compiled plug-in.

    Attributes
    ----------
    mono
        The program that runs it.
    folder
        Where the assemblies lie.
    """

    mono: str
    folder: Path

    def _headless(self, *arguments: str) -> str:
        done = subprocess.run(
            [self.mono, str(self.folder / HEADLESS), *arguments], capture_output=True, encoding="utf-8", check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def members(self, assembly: str) -> dict[str, Any]:
        """Give the public members of an assembly by type."""
        members: dict[str, Any] = json.loads(self._headless("members", str(self.folder / assembly)))
        return members

    def run(self, share: Path, /, **changes: Any) -> dict[str, Any]:
        """Run the plug-in on a share in a world that fits the test objectives, but for the changes.

        The settings ``drop_folder``, ``require_approval``, ``optimize`` and ``calculate_dose`` are written where the
        plug-in looks for them; here it takes objectives that nobody approved, unless it is told otherwise.
        """
        beside = share.parent
        settings = {"drop_folder": str(share), "require_approval": False, "optimize": False, "calculate_dose": False}
        settings |= {key: changes.pop(key) for key in settings if key in changes}
        beside.joinpath(PLUG_IN).with_suffix(".json").write_text(json.dumps(settings), encoding="utf-8")
        asked, answered = beside / "request.json", beside / "result.json"
        asked.write_text(json.dumps(world() | {"assembly": str(beside / PLUG_IN)} | changes), encoding="utf-8")
        self._headless("run", str(asked), str(answered))
        result: dict[str, Any] = json.loads(answered.read_text(encoding="utf-8"))
        return result


def world() -> dict[str, Any]:
    """The request for a Gy system with an unapproved, prescribed plan, and a planner who says yes once."""
    return {
        "culture": "",
        "unit": "Gy",
        "structure_sets": [structure_set(structures())],
        "plan": plan(),
        "writable": True,
        "folder": None,
        "removed_while_asked": [],
        "runs": [["Yes"]],
    }


def plan(**changes: Any) -> dict[str, Any]:
    return {
        "structure_set": SET_UID,
        "fractions": 35,
        "dose_per_fraction": 2.0,
        "objectives_present": 0,
        "grid_cm": None,
        "has_dose": False,
        "dose_beside": False,
        "beams": [],
        "approval": "UnApproved",
    } | changes


def structure_set(drawn: Sequence[Structure], uid: str = SET_UID, frame: str = FRAME) -> dict[str, Any]:
    """The same structures as the bridge has, as boxes."""
    return {"id": "CT", "uid": uid, "frame_of_reference": frame, "structures": [_box(one) for one in drawn]}


def _box(drawn: Structure) -> dict[str, Any]:
    """A box around the same middle and of the same volume: that of a box is the box itself."""
    low, high = (None, None) if drawn.is_empty else (corner.tolist() for corner in _corners_mm(drawn))
    return {"number": drawn.number, "id": drawn.name, "type": DICOM_TYPES[drawn.kind], "low": low, "high": high}


def _corners_mm(drawn: Structure) -> tuple[FloatArray, FloatArray]:
    low, high = drawn.bounds_mm()
    part = 1000.0 * drawn.volume_cc / float(np.prod(high - low))
    half = (high - low) / 2.0 * round(part ** (1.0 / 3.0), 9)
    return (low + high) / 2.0 - half, (low + high) / 2.0 + half
