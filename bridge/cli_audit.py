"""The commands about the audit trail."""

from __future__ import annotations

import typer

from bridge.cli_shared import RequiredConfigFile, out
from config.load import load_settings

__all__ = ["audit_app"]

audit_app = typer.Typer(help="Who did what to which case, and when.", no_args_is_help=True)


@audit_app.callback()
def _group() -> None:
    """Keep `verify` a command of its own while it is the only one."""


@audit_app.command("verify")
def verify(config: RequiredConfigFile) -> None:
    """Check that no event of the audit trail was changed, removed or inserted."""
    from bridge.workflow import audit
    from bridge.workflow.store import Store

    with Store.in_folder(load_settings(config).data_dir).transaction() as session:
        count = audit.verify(session)
        newest = audit.newest_sha256(session)
    out.print(f"{count} events, none changed, removed or inserted before the last one; it has sha256 {newest}")
