"""The command that lays a report out for paper."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bridge.cli_shared import out

__all__ = ["pdf"]


def pdf(
    report: Annotated[Path, typer.Argument(help="A report of any command, as HTML.", exists=True, dir_okay=False)],
    file: Annotated[
        Path | None, typer.Option("--out", help="The PDF; without it beside the report.", dir_okay=False)
    ] = None,
) -> None:
    """Write a report as PDF; needs Pango."""
    from bridge.report.pdf import pdf_bytes
    from bridge.rt.errors import Refusal, StorageFailure
    from bridge.rt.whole_file import write_whole

    page = report.read_bytes().decode("utf-8", errors="replace")
    if "<html" not in page[:1000]:
        raise Refusal("report-not-html", f"{report.name} is no report: it does not begin as a page does.")
    written = file or report.with_suffix(".pdf")
    try:
        write_whole(written, pdf_bytes(page))
    except OSError as error:
        raise StorageFailure("file-unwritable", f"{written} cannot be written: {error.strerror}.") from error
    out.print(f"written: {written}")
