"""The way back from Eclipse: receipts that its plug-in wrote, each judged once and kept in the audit trail."""

from __future__ import annotations

import hashlib
import logging
import re
import stat
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from bridge.rt.errors import ApprovalRefusal, Refusal, StorageFailure
from bridge.tps.eclipse import ANSWER_FILES, EclipseFolder
from bridge.tps.receipt import Receipt, receipt_bytes, receipt_from_json
from bridge.workflow import audit, hand_overs
from bridge.workflow.hand_overs import HandOver
from bridge.workflow.schema import AnswerRow, AuditRow, HandOverRow
from bridge.workflow.settle import settle_case
from bridge.workflow.store import Store

__all__ = ["EclipseAnswers"]

logger = logging.getLogger(__name__)

_ROUND_S = 2.0
_REST = 20.0
"""A round is followed by so many times its own duration of rest: a slow share is not asked all the time."""

_LONGEST_MESSAGE = 1000
_STRANGE = "receipt-of-unknown-hand-over"
_Signature = tuple[int, int, int]


class EclipseAnswers:
    """Takes receipts in. What was judged stands in the database, so a restart judges nothing twice.

    Parameters
    ----------
    store
        With the ledger of hand-overs and the audit trail.
    folder
        That the plug-in answers in.
    clock
        Monotonic seconds.
    """

    def __init__(self, store: Store, folder: EclipseFolder, clock: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._folder = folder
        self._clock = clock
        self._next_round_s = clock()
        self._looked_at: dict[Path, _Signature] = {}
        self._strangers: set[str] = set()
        self._trouble = ""

    def run_once(self) -> None:
        """Look for new receipts, if it is time to. Called again and again from one thread."""
        begun = self._clock()
        if begun >= self._next_round_s:
            try:
                self.take_in()
            finally:
                ended = self._clock()
                self._next_round_s = ended + max(_ROUND_S, _REST * (ended - begun))

    def take_in(self) -> None:
        """Judge every receipt that is new or was changed since it was last looked at, and miss what was removed."""
        with self._store.transaction() as session:
            sent, known = hand_overs.answerable(session), hand_overs.known_objectives(session)
            applied = hand_overs.applied(session)
        trouble = ""
        try:
            there = {path.name for path in self._folder.root.iterdir()}
            for hand_over in sent:
                folder = self._folder.folder_named(hand_over.objectives_sha256)
                if folder.name in there:
                    trouble = self._look_into(folder, hand_over) or trouble
                elif hand_over.state == "delivered" and hand_over.id not in applied and not folder.exists():
                    self._miss(hand_over, folder.name)
            for name in sorted(there - {self._folder.folder_named(sha256).name for sha256 in known}):
                self._look_at_stranger(name)
        except OSError as error:
            trouble = f"the drop folder for Eclipse cannot be read: {error.strerror}"
        if trouble != self._trouble:
            logger.warning("%s", trouble or "the drop folder for Eclipse can be read again")
            self._trouble = trouble

    def _look_into(self, folder: Path, hand_over: HandOver) -> str:
        """Take in what is new in one folder; say what could not be read, which is tried again."""
        for name in ANSWER_FILES:
            path = folder / name
            signature = _signature(path)
            if signature is None or self._looked_at.get(path) == signature:
                continue
            try:
                self._take(hand_over, name, receipt_bytes(path))
            except StorageFailure as failure:
                return f"{folder.name}: {failure}"
            except Exception:
                # a bug with one receipt must not hold up the others, nor fill the log
                logger.exception("%s of %s met a bug", name, folder.name)
            self._looked_at[path] = signature
        return ""

    def _miss(self, hand_over: HandOver, folder: str) -> None:
        """Say once that a folder was removed before a receipt of a plan that got its objectives was taken in.

        It is not written again by itself: somebody may have meant to withdraw them.
        """
        with self._store.transaction() as session:
            row = session.get_one(HandOverRow, hand_over.id)
            if row.state != "delivered":
                return
            row.state, row.finished_utc = "failed", datetime.now(UTC)
            row.message = (
                f"{folder} was removed from the drop folder, and no receipt says that a plan got them; "
                f"{'`retry`' if row.case_id else 'the same hand-over once more'} writes it again"
            )
            session.flush()
            logger.warning("case %s: %s", row.case_id or "-", row.message)
            audit.append(
                session,
                audit.SYSTEM,
                "hand-over-removed",
                hand_over.audited_case_id,
                objectives_sha256=row.objectives_sha256,
                folder=folder,
            )
            if row.case_id is not None:
                settle_case(session, row.case_id)

    def _take(self, hand_over: HandOver, file: str, data: bytes) -> None:
        sha256 = hashlib.sha256(data).hexdigest()
        with self._store.transaction() as session:
            earlier = hand_overs.answers_of(session, hand_over.id)
            if (file, sha256) in {(answer.file, answer.sha256) for answer in earlier}:
                return
            row = AnswerRow(hand_over_id=hand_over.id, file=file, sha256=sha256, taken_utc=datetime.now(UTC))
            try:
                receipt = _judged(hand_over, file, data, [answer for answer in earlier if answer.file == file])
            except Refusal as refusal:
                row.state, row.message, action = "rejected", f"{file} was not accepted: {refusal}", "receipt-refused"
            else:
                row.state, row.message, action = receipt.state, _words(receipt), f"eclipse-{receipt.state}"
                row.receipt, row.created_utc = receipt.model_dump(mode="json"), receipt.created_utc
                answered = session.get_one(HandOverRow, hand_over.id)
                if answered.state in ("withdrawing", "withdrawn"):
                    row.message = f"{row.message}; their approval is void"
                elif hand_overs.is_superseded(session, answered):
                    row.message = f"{row.message}; the case has newer objectives than these"
            row.message = _on_one_line(row.message)
            session.add(row)
            session.flush()
            _record(session, action, hand_over, row)

    def _look_at_stranger(self, name: str) -> None:
        """Say once that somebody answered what this bridge did not hand over."""
        if name in self._strangers or not re.fullmatch("objectives-[0-9a-f]{16}", name):
            return
        files = [file for file in ANSWER_FILES if _signature(self._folder.root / name / file) is not None]
        if not files:
            return
        with self._store.transaction() as session:
            known = session.scalars(select(AuditRow).where(AuditRow.action == _STRANGE))
            if name not in {event.detail["folder"] for event in known}:
                logger.warning("%s holds an answer of Eclipse to what this bridge did not hand over", name)
                audit.append(session, audit.SYSTEM, _STRANGE, None, folder=name, files=files)
        self._strangers.add(name)


def _signature(path: Path) -> _Signature | None:
    """Give what changes with a file's content; None where there is no regular file."""
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return (found.st_mtime_ns, found.st_size, found.st_ino) if stat.S_ISREG(found.st_mode) else None


def _judged(hand_over: HandOver, file: str, data: bytes, earlier: Sequence[AnswerRow]) -> Receipt:
    """Give a receipt that answers this hand-over and takes nothing back that was said before.

    Raises
    ------
    Refusal, ApprovalRefusal
        It is no receipt, or one of other objectives, or it was changed after it was taken in (``receipt-changed``).
    """
    receipt = receipt_from_json(data, hand_over.objectives(), file)
    if receipt.state == "waiting":
        raise Refusal("receipt-invalid", "A receipt says what was applied or why nothing was.", file=file)
    last = next((answer for answer in reversed(earlier) if answer.created_utc is not None), None)
    if last is None or last.created_utc is None:
        return receipt
    if receipt.created_utc <= last.created_utc or (last.state == "applied" and receipt.state != "applied"):
        raise ApprovalRefusal(
            "receipt-changed",
            f"It was changed after it was taken in: the receipt of {last.created_utc:%Y-%m-%d %H:%M:%S} UTC "
            f"({last.state}) cannot become one of {receipt.created_utc.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC "
            f"({receipt.state}). Compare the plan with the objectives, and run the plug-in again.",
            file=file,
        )
    return receipt


def _words(receipt: Receipt) -> str:
    if receipt.state == "refused":
        return f"refused: {receipt.reason}"
    positions = [outcome.objective for outcome in (*receipt.added, *receipt.refused) if outcome.objective is not None]
    taken = [outcome for outcome in receipt.added if outcome.objective is not None]
    plan = f"plan {receipt.plan_uid}" if receipt.plan_uid else "a plan without UID"
    refused = [f"{one.structure or 'plan'}: {one.what} ({one.reason})" for one in receipt.refused]
    text = f"applied {len(taken)} of {len(positions)} objectives to {plan}"
    return f"{text}; not taken: {', '.join(refused)}" if refused else text


def _on_one_line(text: str) -> str:
    """Give text from outside in a form that can stand in a log and on a terminal."""
    printable = "".join(character if character.isprintable() else " " for character in text)
    return " ".join(printable.split())[:_LONGEST_MESSAGE]


def _record(session: Session, action: str, hand_over: HandOver, row: AnswerRow) -> None:
    detail: dict[str, Any] = {"file": row.file, "file_sha256": row.sha256, "message": row.message}
    if row.receipt is not None:
        detail |= {key: row.receipt[key] for key in ("plan_uid", "taken_by", "created_utc")}
    level = logging.INFO if action == "eclipse-applied" else logging.WARNING
    logger.log(level, "case %s: Eclipse: %s", hand_over.case_id or "-", row.message)
    audit.append(
        session,
        audit.SYSTEM,
        action,
        hand_over.audited_case_id,
        objectives_sha256=hand_over.objectives_sha256,
        **detail,
    )
    if hand_over.case_id is not None:
        settle_case(session, hand_over.case_id)
