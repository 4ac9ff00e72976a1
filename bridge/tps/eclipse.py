"""The hand-over to Eclipse: a folder with data, which an approved script or the template import picks up.

A script in a clinical Eclipse must be compiled and approved there, so the bridge hands over data and nothing that
runs: ``objectives.json`` for the plug-in, ``objectives.xml`` for the import of objective templates. The plug-in
answers with ``receipt.json`` in the same folder.
"""

from __future__ import annotations

import os
import shutil
from datetime import UTC, datetime
from pathlib import Path

from bridge.rt.errors import ApprovalRefusal, StorageFailure
from bridge.tps.receipt import Receipt, read_receipt
from objective_extraction.eclipse_template import write_template
from objective_extraction.objective_json import read_objective_set, write_objective_set
from objective_extraction.objective_set import ObjectiveSet

__all__ = ["OBJECTIVES_FILE", "RECEIPT_FILE", "TEMPLATE_FILE", "EclipseFolder"]

OBJECTIVES_FILE = "objectives.json"
TEMPLATE_FILE = "objectives.xml"
RECEIPT_FILE = "receipt.json"


class EclipseFolder:
    """Hand-overs below one folder, each in a folder named by the hash of its objectives.

    Parameters
    ----------
    root
        Usually a share that the Eclipse workstations see.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def folder_of(self, objectives: ObjectiveSet) -> Path:
        """Give the folder of a hand-over; its name holds nothing that was received."""
        return self.root / f"objectives-{objectives.sha256[:16]}"

    def hand_over(self, objectives: ObjectiveSet) -> Receipt:
        """Write the folder, whole or not at all, and read back what was written.

        Returns
        -------
        Receipt
            The plug-in's where it has answered, else one that waits.

        Raises
        ------
        Refusal
            The set does not fit a template (a name too long), or what lies in the folder is something else.
        StorageFailure
            The folder cannot be written.
        """
        folder = self.folder_of(objectives)
        if not folder.exists():
            self._write(objectives, folder)
        if read_objective_set(folder / OBJECTIVES_FILE).sha256 != objectives.sha256:
            raise ApprovalRefusal(
                "objectives-changed",
                "The hand-over folder holds other objectives than its name says.",
                folder=folder.name,
            )
        return self.receipt(objectives) or Receipt(
            objectives_sha256=objectives.sha256, state="waiting", taken_by="eclipse", created_utc=datetime.now(UTC)
        )

    def receipt(self, objectives: ObjectiveSet) -> Receipt | None:
        """Give the plug-in's answer, None while there is none; raises as :func:`bridge.tps.receipt.read_receipt`."""
        path = self.folder_of(objectives) / RECEIPT_FILE
        return read_receipt(path, objectives) if path.exists() else None

    def _write(self, objectives: ObjectiveSet, folder: Path) -> None:
        part = folder.with_name(f".{folder.name}.part")
        try:
            shutil.rmtree(part, ignore_errors=True)
            part.mkdir(parents=True)
            write_objective_set(objectives, part / OBJECTIVES_FILE)
            write_template(objectives, part / TEMPLATE_FILE)
            os.replace(part, folder)
        except OSError as error:
            raise StorageFailure(
                "hand-over", f"The hand-over cannot be written: {error.strerror}.", folder=folder.name
            ) from error
