"""The peers of TpsPort, each with the means to look at what it holds and to let it answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bridge.tps.eclipse import EclipseFolder
from bridge.tps.esapi_port import EsapiPort, apply_to_esapi
from bridge.tps.port import TpsPort
from objective_extraction.objective_set import ObjectiveSet
from tests.tps.objective_sets import structures
from tests.tps.test_esapi_port import plan_on, row_in_plan

__all__ = ["PEERS", "Peer"]


@dataclass(frozen=True)
class Peer:
    """One planning system under test.

    Attributes
    ----------
    port
        What the bridge sees.
    holds
        Gives all that the system holds of hand-overs, in a form that can be compared.
    answer
        Lets the system apply a set that was handed over, where it does not do so at once.
    """

    port: TpsPort
    holds: Callable[[], object]
    answer: Callable[[ObjectiveSet], None]


@contextmanager
def eclipse_folder(folder: Path) -> Iterator[Peer]:
    """The drop folder, with esapi_stub in the place of the plug-in that reads it."""
    port = EclipseFolder(folder / "share")

    def holds() -> object:
        files = [path for path in port.root.rglob("*") if path.is_file()] if port.root.exists() else []
        return sorted((str(path.relative_to(port.root)), path.read_bytes(), path.stat().st_mtime_ns) for path in files)

    def answer(objectives: ObjectiveSet) -> None:
        receipt = apply_to_esapi(objectives, structures()).model_copy(update={"notes": ()})
        (port.folder_of(objectives) / "receipt.json").write_text(receipt.model_dump_json())

    yield Peer(port, holds, answer)


@contextmanager
def esapi_stub(folder: Path) -> Iterator[Peer]:
    """A plan in esapi_stub, which answers at once."""
    with plan_on(structures()) as plan:

        def holds() -> object:
            made = [(structure.Id, structure.Volume) for structure in plan.StructureSet.Structures]
            return [row_in_plan(objective) for objective in plan.OptimizationSetup.Objectives], made

        yield Peer(EsapiPort(plan), holds, lambda objectives: None)


PEERS = (eclipse_folder, esapi_stub)
