"""The command that reviews one case on one's own computer."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Annotated

import typer

from bridge.cli_shared import ConfigFile, out

__all__ = ["review"]


def review(
    dicom_dir: Annotated[Path, typer.Argument(help="Folder with one CT, its RTSTRUCT, and perhaps an RTPLAN.")],
    folder: Annotated[
        Path | None, typer.Option("--out", help="Folder for everything that is made; default: DICOM_DIR-review.")
    ] = None,
    user: Annotated[str | None, typer.Option(help="Who reviews; default: who is logged in to this computer.")] = None,
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="TCP port; default: any that is free.")] = None,
    config: ConfigFile = None,
) -> None:
    """Predict one case and open it in a review room on this computer, until interrupted."""
    from bridge.laptop import login_name, open_laptop_room

    target = folder or dicom_dir.resolve().with_name(f"{dicom_dir.resolve().name}-review")
    room = open_laptop_room(dicom_dir, target, config, login_name(user), port, out.print)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: room.service.stop())
    room.service.run()
    if room.announcer.error is not None:
        raise room.announcer.error
