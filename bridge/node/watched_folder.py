"""The other door: a folder that people and programs copy files into.

The folder is the state. Each walk looks at every file again, so a restart, a missed notification, or files that were
there before the start change nothing; the operating system's notifications only make the next walk come sooner.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import stat
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from threading import Event, Thread
from types import TracebackType

from watchdog.events import FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer

from bridge.node.events import EventReporter, EventSink
from bridge.node.instances import Receipt, Source
from bridge.node.settings import WatchSettings
from bridge.node.spool import Spool
from bridge.rt.errors import BridgeError, DicomRefusal, Refusal
from bridge.rt.whole_file import write_whole

logger = logging.getLogger(__name__)

__all__ = ["REJECTED_FOLDER", "WatchedFolder"]

REJECTED_FOLDER = "rejected"
_TEMPORARY_SUFFIXES = (".part", ".partial", ".tmp", ".temp", ".crdownload", "~")
_DIGEST_BYTES = 1 << 20


@dataclass
class _Seen:
    """What is known of one file: how it looks, since when, and what is wrong with it, if it was tried."""

    size: int
    modified_ns: int
    since_s: float
    refusal: Refusal | None = None
    taken: bool = False


class WatchedFolder:
    """Takes files from a folder into the spool; use it as a context manager, or call :meth:`walk` yourself.

    A file is tried once its size and time of change have been stable, and removed once it is durably in the spool. One
    that cannot be read may still be on its way; only when it has not changed for a long time is it moved to
    ``rejected/``, next to a ``.reason.json``. Symbolic links are not followed.

    Parameters
    ----------
    folder
        Made if absent. Folders within it are walked too.
    spool
        Keeps what is taken.
    settings
        Times and limits.
    on_stored, on_event
        As for :class:`bridge.node.scp.StorageScp`.
    clock
        Monotonic seconds.
    """

    def __init__(
        self,
        folder: Path,
        spool: Spool,
        settings: WatchSettings,
        on_stored: Callable[[Receipt], None],
        on_event: EventSink | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._folder = folder
        self._rejected = folder / REJECTED_FOLDER
        self._spool = spool
        self._settings = settings
        self._on_stored = on_stored
        self.events = EventReporter(on_event)
        self._clock = clock
        self._seen: dict[Path, _Seen] = {}
        self._wake = Event()
        self._stopping = False
        self._thread: Thread | None = None
        self._observer = Observer()
        self._rejected.mkdir(parents=True, exist_ok=True)

    def __str__(self) -> str:
        """Name the door for people."""
        return f"the watched folder {self._folder}"

    def start(self) -> None:
        """Watch, on a thread of its own."""
        self._observer.schedule(_Waker(self._wake), str(self._folder), recursive=True)
        self._observer.start()
        self._thread = Thread(target=self._run, name="watched-folder", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop watching; a file in hand is finished first."""
        self._stopping = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join()
            self._observer.stop()
            self._observer.join()
            self._thread = None

    def __enter__(self) -> WatchedFolder:
        """Start."""
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop."""
        self.stop()

    def walk(self) -> float:
        """Look at every file once, and take, reject or leave it.

        Returns
        -------
        float
            Seconds until the next walk can change anything.
        """
        wait_s = self._settings.rescan_s
        present: set[Path] = set()
        for path, status in self._files():
            present.add(path)
            wait_s = min(wait_s, self._look_at(path, status))
        for gone in self._seen.keys() - present:
            del self._seen[gone]
        return wait_s

    def _run(self) -> None:
        while not self._stopping:
            self._wake.clear()
            try:
                wait_s = self.walk()
            except Exception:
                # a share that is away comes back: keep walking
                logger.exception("Walking the watched folder failed")
                self.events.report("folder-unreadable", "warning", "The watched folder cannot be read.")
                wait_s = self._settings.rescan_s
            self._wake.wait(wait_s)
            # A copy of many files wakes us for each; let some gather.
            if not self._stopping:
                time.sleep(min(0.05, self._settings.stable_s / 4))

    def _files(self) -> Iterator[tuple[Path, os.stat_result]]:
        """Give the regular files below the folder, without following links and without those already rejected."""
        for name, folders, files in os.walk(self._folder, followlinks=False):
            here = Path(name)
            if here == self._folder:
                folders[:] = [folder for folder in folders if folder != REJECTED_FOLDER]
            for file in files:
                path = here / file
                try:
                    status = path.lstat()
                except OSError:
                    continue  # taken away since it was listed
                if stat.S_ISREG(status.st_mode):
                    yield path, status

    def _look_at(self, path: Path, status: os.stat_result) -> float:
        """Decide on one file; gives the seconds until it must be looked at again."""
        now_s, settings = self._clock(), self._settings
        seen = self._seen.get(path)
        if seen is None or (seen.size, seen.modified_ns) != (status.st_size, status.st_mtime_ns):
            self._seen[path] = _Seen(status.st_size, status.st_mtime_ns, now_s)
            return settings.stable_s
        stable_s = now_s - seen.since_s
        # A temporary name says that the file is not finished; only when nobody renames it is it like any other.
        due_s = settings.give_up_s if _is_temporary(path.name) else settings.stable_s
        if stable_s < due_s:
            return due_s - stable_s
        if seen.refusal is None:
            self._take(path, status, seen)
        if seen.refusal is None:
            return settings.rescan_s
        if stable_s < settings.give_up_s:
            return settings.give_up_s - stable_s
        self._reject(path, seen.refusal)
        return settings.rescan_s

    def _take(self, path: Path, status: os.stat_result, seen: _Seen) -> None:
        """Bring one file into the spool and remove it here, or note why it is not acceptable as it is now."""
        if not seen.taken:
            try:
                receipt = self._receive(path, status.st_size)
            except Refusal as refusal:
                seen.refusal = refusal
                return
            except Exception as error:
                # The file stays, and the next walk tries again; whatever it is, it must not keep the others waiting.
                code, message = "internal", "A file could not be stored for an unexpected reason."
                if isinstance(error, BridgeError):
                    code, message = error.code, error.message
                else:
                    logger.exception("Storing a file failed unexpectedly")
                self.events.report("instance-not-stored", "warning", message, code=code)
                return
            seen.taken = True
            self._tell(receipt)
        self._remove_if_unchanged(path, status)

    def _receive(self, path: Path, size: int) -> Receipt:
        most = self._settings.max_object_bytes
        if size > most:
            raise DicomRefusal("object-too-large", f"The file is larger than the {most} bytes that are taken.")
        partial, announced = self._spool.adopt(path)
        return self._spool.receive(partial, Source("folder"), announced)

    def _tell(self, receipt: Receipt) -> None:
        if receipt.conflict:
            self.events.report(
                "content-conflict",
                "warning",
                "A file has the SOP Instance UID of another instance that has other content; both are kept.",
                sop_instance_uid=receipt.instance.header.sop_instance_uid,
            )
        try:
            self._on_stored(receipt)
        except Exception:
            # the instance is stored and will be found at the next start: what follows it must not take that back
            logger.exception("The receiver of stored instances failed")

    def _remove_if_unchanged(self, path: Path, status: os.stat_result) -> None:
        """Remove a file that is in the spool, unless something has been written to it since it was looked at."""
        try:
            now = path.lstat()
            if (now.st_ino, now.st_size, now.st_mtime_ns) == (status.st_ino, status.st_size, status.st_mtime_ns):
                path.unlink()
        except OSError as error:
            reason = error.strerror or "input/output error"
            self.events.report("folder-not-writable", "warning", f"A file that was taken cannot be removed: {reason}.")

    def _reject(self, path: Path, refusal: Refusal) -> None:
        """Move a file to ``rejected/`` under a name of our own, with the reason beside it."""
        try:
            with open(path, "rb") as file:
                digest = hashlib.sha256()
                while block := file.read(_DIGEST_BYTES):
                    digest.update(block)
            name = f"{digest.hexdigest()[:16]}-{uuid.uuid4().hex[:8]}"
            reason = {
                **refusal.as_dict(),
                "original_name": str(path.relative_to(self._folder)),
                "sha256": digest.hexdigest(),
                "rejected_utc": datetime.now(UTC).isoformat(),
            }
            # The reason first: a reason without a file explains itself, a file without a reason does not.
            write_whole(self._rejected / f"{name}.reason.json", f"{json.dumps(reason, indent=2)}\n".encode())
            os.rename(path, self._rejected / name)
        except OSError as error:
            message = f"A file cannot be moved to {REJECTED_FOLDER}/: {error.strerror or 'input/output error'}."
            self.events.report("folder-not-writable", "warning", message)
            return
        self.events.report("file-rejected", "warning", refusal.message, code=refusal.code, rejected_as=name)


class _Waker(FileSystemEventHandler):
    """Turns any notification into an early walk."""

    def __init__(self, wake: Event) -> None:
        self._wake = wake

    def on_any_event(self, event: FileSystemEvent) -> None:
        """Wake the walker, but not for files that were merely opened or read, as the walker itself does."""
        if event.event_type in ("created", "modified", "moved", "closed"):
            self._wake.set()


def _is_temporary(name: str) -> bool:
    return name.startswith((".", "~")) or name.lower().endswith(_TEMPORARY_SUFFIXES)
