"""The command that hands objectives over to Eclipse, and how a hand-over is shown."""

from __future__ import annotations

import logging
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bridge.cli_shared import RequiredConfigFile, out, shown_time, times
from bridge.rt.errors import ApprovalRefusal, DeliveryFailure
from config.load import load_settings

if TYPE_CHECKING:
    from bridge.workflow.worklist import HandOverLine

__all__ = ["hand_over", "show_hand_over"]


def hand_over(
    objectives: Annotated[
        Path,
        typer.Argument(
            help="The objectives.json that was reviewed; the approval binds its hash.", exists=True, dir_okay=False
        ),
    ],
    user: Annotated[str, typer.Option(help="Who approves.")],
    config: RequiredConfigFile,
) -> None:
    """Approve objectives and hand them over to the plug-in for Eclipse without the service; again, show its answer."""
    from bridge.app import hand_over_file
    from bridge.tps.eclipse import EclipseFolder

    logging.basicConfig(level=logging.ERROR, stream=sys.stderr)  # what is logged as a warning is shown below
    settings = load_settings(config)
    line = hand_over_file(settings, objectives, user)
    if line.state != "delivered":
        kind = ApprovalRefusal if line.state == "failed" else DeliveryFailure
        text, code = _without_code(line.message)
        raise kind(code or "not-handed-over", f"The objectives were not handed over: {text}")
    show_hand_over(line)
    if line.approved_by not in (None, user):
        out.print(f"    they were approved by {line.approved_by} before; the approval of {user} was not added")
    assert settings.eclipse.drop_folder is not None  # noqa: S101 - they were handed over
    folder = EclipseFolder(settings.eclipse.drop_folder).folder_named(line.objectives_sha256)
    if folder.exists():
        out.print(f"    folder: {folder}")
    if not line.answers:
        out.print("next: run the plug-in on the plan in Eclipse; this command once more shows its answer")


def show_hand_over(line: HandOverLine) -> None:
    """Show where a hand-over is, whose approval is in its file, and what Eclipse answered."""
    name = f"objectives-{line.objectives_sha256[:16]}"
    out.print(f"    to the folder for Eclipse as {name}: {line.state} after {times(line.attempts, 'attempt')}")
    if line.message:
        out.print(f"        {line.message}")
    if line.approved_by is not None and line.approved_utc is not None:
        out.print(f"        approved by {line.approved_by} on {shown_time(line.approved_utc)}")
    for answer in line.answers:
        out.print(f"        {shown_time(answer.taken_utc)}  {answer.file}: {answer.message}")


def _without_code(message: str) -> tuple[str, str]:
    """Split what an attempt left in the ledger into its text and its code, where it has one."""
    found = re.fullmatch(r"(.*) \[([a-z-]+)(?:: .*)?\]", message, re.DOTALL)
    return (found[1], found[2]) if found else (message, "")
