"""What commands over many patients share: processes, and a bar or lines that say how far they are."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from bridge.cli_shared import out
from bridge.workflow.library.over_patients import Progress as Report
from bridge.workflow.library.over_patients import process_executor

__all__ = ["at_work"]


@contextmanager
def at_work(processes: int) -> Iterator[tuple[Executor, Report]]:
    """Give so many processes, and what is told after each patient: a bar in a terminal, else a line each."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    on_terminal = sys.stderr.isatty()
    with (
        Progress(*columns, console=Console(stderr=True), disable=not on_terminal) as progress,
        process_executor(processes) as executor,
    ):
        task = progress.add_task("patients", total=None)

        def show(done: int, total: int, line: str) -> None:
            progress.update(task, completed=done, total=total, description=line)
            if not on_terminal:
                out.print(f"{done} of {total}: {line}")

        yield executor, show
