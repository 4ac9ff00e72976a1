"""The command that hands objectives over to Eclipse, and how a hand-over is shown."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bridge.cli_shared import RequiredConfigFile, out
from bridge.rt.errors import ApprovalRefusal, DeliveryFailure
from config.load import load_settings

if TYPE_CHECKING:
    from bridge.workflow.worklist import HandOverLine

__all__ = ["hand_over", "show_hand_over"]


def hand_over(
    objectives: Annotated[
        Path, typer.Argument(help="The objectives.json that was reviewed; the approval binds its hash.")
    ],
    user: Annotated[str, typer.Option(help="Who approves.")],
    config: RequiredConfigFile,
) -> None:
    """Approve objectives and hand them over to the plug-in for Eclipse without the service; again, show its answer."""
    from bridge.app import hand_over_file

    line = hand_over_file(load_settings(config), objectives, user)
    show_hand_over(line)
    if line.state != "delivered":
        kind = ApprovalRefusal if line.state == "failed" else DeliveryFailure
        raise kind("not-handed-over", f"The objectives were not handed over: {line.message}")


def show_hand_over(line: HandOverLine) -> None:
    """Show where a hand-over is and what Eclipse answered."""
    name = f"objectives-{line.objectives_sha256[:16]}"
    out.print(f"    to Eclipse as {name}: {line.state} after {line.attempts} attempts {line.message}".rstrip())
    for answer in line.answers:
        out.print(f"        {answer.file}: {answer.message}")
