"""The commands about the audit trail."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from bridge.cli_shared import ConfigFile, out, shown_time
from config.load import load_settings

__all__ = ["audit_app"]

DataFolder = Annotated[
    Path | None,
    typer.Option("--data-dir", exists=True, file_okay=False, help="The bridge's data folder; in place of --config."),
]

audit_app = typer.Typer(help="Who did what to which case, and when.", no_args_is_help=True)


@audit_app.command("show")
def show(
    config: ConfigFile = None,
    data_dir: DataFolder = None,
    case: Annotated[str | None, typer.Option(help="Show what was done to this case alone.")] = None,
    last: Annotated[int, typer.Option(help="Show so many events, the newest.", min=1)] = 50,
) -> None:
    """Show events of the audit trail, the newest last: when, what, who, to which case, and the details."""
    from bridge.workflow import audit
    from bridge.workflow.store import Store

    with Store.of_bridge(_data_dir(config, data_dir)).transaction() as session:
        events = audit.newest(session, last, case)
    for event in events:
        details = " ".join(f"{key}={_plain(value)}" for key, value in event.detail.items())
        about = f"{event.actor}  {event.case_id or '-'}"
        out.print(f"{event.number}  {shown_time(event.utc)}  {event.action}  {about}  {details}".rstrip())
    if not events:
        out.print("no events")


@audit_app.command("verify")
def verify(config: ConfigFile = None, data_dir: DataFolder = None) -> None:
    """Check that no event of the audit trail was changed, removed or inserted."""
    from bridge.workflow import audit
    from bridge.workflow.store import Store

    with Store.of_bridge(_data_dir(config, data_dir)).transaction() as session:
        count = audit.verify(session)
        newest = audit.newest_sha256(session)
    out.print(f"{count} events, none changed, removed or inserted before the last one; it has sha256 {newest}")


def _data_dir(config: Path | None, data_dir: Path | None) -> Path:
    """Give the bridge's data folder."""
    if (config is None) == (data_dir is None):
        raise typer.BadParameter("Say where the bridge's data are: either --config FILE or --data-dir FOLDER.")
    if config is not None:
        return load_settings(config).data_dir
    assert data_dir is not None  # noqa: S101 - see above
    return data_dir


def _plain(value: object) -> str:
    """Give text as it is and everything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
