"""The commands that plan: one case, or the demonstration; and how they show their progress."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from bridge.cli_shared import ConfigFile, out
from bridge.rt.errors import Failure
from config.load import load_settings

if TYPE_CHECKING:
    from esapi_stub.planning import Watch

__all__ = ["demo", "plan"]

_DEMO_FRACTIONS = 35
_LINE_EVERY = 25
"""Least iterations between two lines, where there is no terminal."""


def demo(
    folder: Annotated[Path, typer.Option("--out", help="Folder for everything that is made.")] = Path("demo-out"),
) -> None:
    """Run the whole loop on a built-in phantom: predict, extract, approve, plan, send the dose back, compare."""
    from bridge.workflow.demo import require_planning, run_demo
    from esapi_stub.engine.engine import EngineSettings, PencilBeamEngine

    require_planning()
    settings = load_settings(None, {"prescription": {"fractions": _DEMO_FRACTIONS}})
    engine = EngineSettings()
    out.print(f"engine: {engine.beamlet_mm:g} mm beamlets, {engine.dose_grid_mm:g} mm dose grid, nine beams")
    with _cancellable(), _shown_progress() as watch:
        run_demo(folder, settings, PencilBeamEngine(engine), lambda line: out.print(line), watch)
    out.print("\nto review this case in a browser, change its objectives and approve them:")
    out.print(f"  {sys.argv[0]} review {folder / 'dicom'}")


def plan(
    dicom_dir: Annotated[
        Path, typer.Argument(help="Folder with the CT and RTSTRUCT that the objectives are for.", file_okay=False)
    ],
    objectives: Annotated[
        Path,
        typer.Option(help="Objectives as JSON, as `predict` and `extract` write them.", exists=True, dir_okay=False),
    ],
    folder: Annotated[
        Path,
        typer.Option(
            "--out", help="Folder for the results: a new one, or one with an earlier plan, which is replaced."
        ),
    ],
    config: ConfigFile = None,
) -> None:
    """Plan a case in esapi_stub for given objectives; writes RTPLAN, RTDOSE, DVHs and a receipt."""
    from bridge.app import plan_directory
    from bridge.dicom.assemble import collect
    from bridge.workflow.dose_lines import dose_lines, predicted_beside, prescription_line, read_metrics
    from bridge.workflow.export import plan_partial
    from bridge.workflow.optimize import PLAN_FILES

    settings = load_settings(config)
    if not sys.stderr.isatty():
        out.print("reading the case, then the dose influence of every beam")
    with _cancellable(), _shown_progress() as watch:
        done = plan_directory(collect(dicom_dir), objectives, folder, settings, watch)
    for outcome in done.receipt.refused:
        out.print(f"warning: not taken: {outcome.structure or 'plan'}: {outcome.what} ({outcome.reason})")
    for finding in plan_partial(done.objectives):
        out.print(f"{finding.severity}: {finding.message} [{finding.code}]")
    out.print(prescription_line(done.objectives.prescription))
    out.print(f"model: {done.objectives.provenance.model_id or 'none'} (of the dose that the objectives are from)")
    asked = len(done.receipt.added) + len(done.receipt.refused)
    out.print(f"objectives: {len(done.receipt.added)} of {asked} taken")
    units = sum(beam.monitor_units for beam in done.planned.beams)
    out.print(f"beams: {len(done.planned.beams)}, {units:.0f} MU in each of {done.planned.fractions} fractions (guess)")
    for note in done.receipt.notes:
        out.print(note)
    predicted = predicted_beside(done.objectives, objectives)
    optimized = {"optimized": read_metrics(folder / PLAN_FILES["dvh"])}
    for line in dose_lines(done.objectives, {**({"predicted": predicted} if predicted else {}), **optimized}):
        out.print(line)
    for artifact in done.artifacts:
        out.print(f"{artifact.kind}: {folder / artifact.path}")


@contextmanager
def _cancellable() -> Iterator[None]:
    """Say what Ctrl-C did: results appear whole or not at all, so it may come at any time."""
    try:
        yield
    except KeyboardInterrupt:
        raise Failure("cancelled", "Cancelled. Nothing was written.") from None


@contextmanager
def _shown_progress() -> Iterator[Watch]:
    """Show iterations and objective value: on a terminal as they come, elsewhere as lines now and then."""
    from esapi_stub.planning import Watch

    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    on_terminal = sys.stderr.isatty()
    with Progress(*columns, console=Console(stderr=True), disable=not on_terminal) as progress:
        task = progress.add_task("dose influence", total=None)

        next_line = 0

        def show(iteration: int, objective_value: float) -> None:
            nonlocal next_line
            text = f"optimization: iteration {iteration}, objective value {objective_value:.5g}"
            progress.update(task, description=text)
            if not on_terminal and iteration >= next_line:
                out.print(text)
                next_line = iteration + _LINE_EVERY

        yield Watch(show)
