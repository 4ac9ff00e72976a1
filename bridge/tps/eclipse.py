"""The hand-over to Eclipse: a folder with data, which an approved script or the template import picks up.

A script in a clinical Eclipse must be compiled and approved there, so the bridge hands over data and nothing that
runs: ``objectives.json`` for the plug-in, ``objectives.xml`` for the import of objective templates. The plug-in
answers with ``receipt.json`` in the same folder, and with ``refusal.json`` where it refuses after it had applied them.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from pydantic import ValidationError

from bridge.rt.errors import ApprovalRefusal, StorageFailure
from bridge.rt.whole_file import sync_folder, write_whole
from bridge.tps.receipt import Receipt, read_receipt
from objective_extraction.approval import Approval
from objective_extraction.eclipse_template import template_findings, template_xml, write_template
from objective_extraction.objective_json import read_approved, write_objective_set
from objective_extraction.objective_set import ObjectiveSet

__all__ = [
    "ANSWER_FILES",
    "OBJECTIVES_FILE",
    "RECEIPT_FILE",
    "REFUSAL_FILE",
    "TEMPLATE_FILE",
    "EclipseFolder",
    "answer",
]

OBJECTIVES_FILE = "objectives.json"
TEMPLATE_FILE = "objectives.xml"
RECEIPT_FILE = "receipt.json"
REFUSAL_FILE = "refusal.json"
ANSWER_FILES = (RECEIPT_FILE, REFUSAL_FILE)


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
        return self.folder_named(objectives.sha256)

    def folder_named(self, objectives_sha256: str) -> Path:
        """Give the folder of a hand-over by the hash of its objectives."""
        return self.root / f"objectives-{objectives_sha256[:16]}"

    def require_there(self) -> None:
        """Raise a failure where the folder is away, or cannot be looked into (``drop-folder-missing``)."""
        if not os.path.isdir(self.root):
            raise StorageFailure(
                "drop-folder-missing",
                f"The drop folder for Eclipse is not there: {self.root} (eclipse.drop_folder). Make it, or mount its "
                "share.",
            )

    def hand_over(self, objectives: ObjectiveSet, approval: Approval | None = None) -> Receipt:
        """Write the folder, as :meth:`put` does, and say what became of the objectives.

        Returns
        -------
        Receipt
            The plug-in's where it has answered, else one that waits.

        Raises
        ------
        ApprovalRefusal, Refusal, StorageFailure
            As :meth:`put` and :meth:`receipt`.
        """
        notes = self.put(objectives, approval)
        return self.receipt(objectives) or Receipt(
            objectives_sha256=objectives.sha256,
            state="waiting",
            taken_by="eclipse",
            created_utc=datetime.now(UTC),
            notes=tuple(notes),
            short_ids=objectives.shortened_names,
        )

    def put(self, objectives: ObjectiveSet, approval: Approval | None = None) -> Sequence[str]:
        """Write the folder, whole or not at all, and read back what was written.

        Two processes may hand the same over at once: the folder of the first one stays, and both read it back. One that
        holds no objectives, but an answer to what was withdrawn from it, gets them again.

        Parameters
        ----------
        approval
            Who approved these objectives; the plug-in shows it. None where the site lets them go without: a plug-in
            that was not told so refuses them. An approval that comes later is added to the folder; the first one stays.

        Returns
        -------
        sequence of str
            What a planner should know beforehand.

        Raises
        ------
        ApprovalRefusal
            What lies in the folder is something else, or the approval is for other objectives.
        StorageFailure
            The folder cannot be written; the one that it lies in is never made.
        """
        if approval is not None:
            approval.require_for(objectives.sha256)
        folder = self.folder_of(objectives)
        try:
            if not folder.exists():
                self._write(objectives, approval, folder)
            elif not (folder / OBJECTIVES_FILE).exists():
                _fill(objectives, approval, folder)
            sync_folder(self.root)  # also where a process died between the folder and this
        except OSError as error:
            raise StorageFailure(
                "hand-over", f"The hand-over cannot be written: {error.strerror}.", folder=folder.name
            ) from error
        found, approved = read_approved(folder / OBJECTIVES_FILE)
        if found.sha256 != objectives.sha256 or _template_in(folder) != template_xml(objectives):
            raise ApprovalRefusal(
                "objectives-changed",
                "The hand-over folder holds other objectives, or another template, than its name says.",
                folder=folder.name,
            )
        if approval is not None and approved is None:
            write_objective_set(objectives, folder / OBJECTIVES_FILE, approval)
        return (*_first_approval(approved, approval), *(finding.message for finding in template_findings(objectives)))

    def withdraw(self, objectives_sha256: str, approval: Approval | None = None) -> bool:
        """Remove what :meth:`put` wrote, where no plan got it; what others put into the folder stays there.

        Parameters
        ----------
        approval
            What the folder's file may hold as its approval.

        Returns
        -------
        bool
            Whether anything of it was there.

        Raises
        ------
        ApprovalRefusal
            A plan got the objectives (``objectives-used``), or what lies there is not what was written.
        Refusal
            What lies there cannot be understood.
        StorageFailure
            It cannot be read or removed.
        """
        folder = self.folder_named(objectives_sha256)
        paths = folder / TEMPLATE_FILE, folder / OBJECTIVES_FILE  # the one that tells whose both are goes last
        if not any(path.exists() for path in paths):
            return False
        found, approved = read_approved(folder / OBJECTIVES_FILE)
        is_own = found.sha256 == objectives_sha256 and approved in (None, approval)
        if not is_own or _template_in(folder) not in (b"", template_xml(found)):
            raise ApprovalRefusal(
                "objectives-changed", "The hand-over folder holds something else than was written.", folder=folder.name
            )
        receipt = self.receipt(found)
        if receipt is not None and receipt.state == "applied":
            raise ApprovalRefusal("objectives-used", f"A plan in Eclipse got them ({receipt.plan_uid or 'no UID'}).")
        try:
            for path in paths:
                path.unlink(missing_ok=True)
            if not any(folder.iterdir()):
                folder.rmdir()
            sync_folder(self.root)
        except OSError as error:
            raise StorageFailure(
                "withdrawal", f"The hand-over cannot be removed: {error.strerror}.", folder=folder.name
            ) from error
        return True

    def receipt(self, objectives: ObjectiveSet) -> Receipt | None:
        """Give the plug-in's answer, None while there is none.

        What a plan holds stays said where a later run was refused; the refusal is then one of the notes.

        Raises
        ------
        Refusal, StorageFailure
            As :func:`bridge.tps.receipt.read_receipt`.
        """
        folder = self.folder_of(objectives)
        paths = [path for path in (folder / RECEIPT_FILE, folder / REFUSAL_FILE) if path.exists()]
        answers = [read_receipt(path, objectives) for path in paths]
        if len(answers) < 2 or answers[1].created_utc < answers[0].created_utc:
            return answers[0] if answers else None
        applied, refusal = answers
        note = f"A later run was refused at {refusal.created_utc:%Y-%m-%d %H:%M} UTC: {refusal.reason}"
        return applied.model_copy(update={"notes": (*applied.notes, note)})

    def _write(self, objectives: ObjectiveSet, approval: Approval | None, folder: Path) -> None:
        part = folder.with_name(f".{folder.name}.{os.urandom(4).hex()}.part")
        try:
            part.mkdir()
            _fill(objectives, approval, part)
            os.replace(part, folder)
        except (OSError, StorageFailure):
            if not folder.exists():
                raise
            # another process was first, and its folder is what is read back
        finally:
            shutil.rmtree(part, ignore_errors=True)
        # of a process that was killed, or of one that comes too late and will find the folder
        for left in self.root.glob(f".{folder.name}*.part"):
            shutil.rmtree(left, ignore_errors=True)


def _fill(objectives: ObjectiveSet, approval: Approval | None, folder: Path) -> None:
    """Write into a folder that is there; the file that tells whose both are comes last."""
    write_template(objectives, folder / TEMPLATE_FILE)
    write_objective_set(objectives, folder / OBJECTIVES_FILE, approval)


def answer(folder: Path, receipt: Receipt) -> None:
    """Write a receipt into a hand-over folder in one step, as the plug-in does.

    A refusal after the objectives were applied goes into a file of its own: what a plan holds stays said.

    Raises
    ------
    StorageFailure
        It cannot be written.
    """
    target = folder / (REFUSAL_FILE if receipt.state == "refused" and _is_applied(folder) else RECEIPT_FILE)
    try:
        write_whole(target, f"{receipt.model_dump_json()}\n".encode())
    except OSError as error:
        raise StorageFailure(
            "receipt-write", f"The receipt cannot be written: {error.strerror}.", folder=folder.name
        ) from error


def _is_applied(folder: Path) -> bool:
    try:
        return Receipt.model_validate_json((folder / RECEIPT_FILE).read_bytes()).state == "applied"
    except (OSError, ValidationError):
        return False  # what is no receipt says nothing that a new one would hide


def _template_in(folder: Path) -> bytes:
    """Give the template of a hand-over; nothing where it was removed."""
    try:
        return (folder / TEMPLATE_FILE).read_bytes()
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise StorageFailure(
            "hand-over", f"The hand-over cannot be read: {error.strerror}.", folder=folder.name
        ) from error


def _first_approval(first: Approval | None, later: Approval | None) -> Sequence[str]:
    if first is None or later is None or first == later:
        return ()
    when = f"{first.approved_utc.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
    return (f"Already handed over as approved by {first.approved_by} at {when}; that stays.",)
