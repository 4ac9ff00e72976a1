from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from bridge.dicom.headers import read_header
from bridge.node.instances import Announcement, Receipt, RecordOutcome, Source
from bridge.node.spool import Spool
from bridge.rt.errors import DicomRefusal, StorageFailure
from tests.node.conftest import MemoryIndex
from tests.node.objects import ct, encoded, written

FOLDER = Source("folder")
ROOT = Path(__file__).resolve().parents[2]


def give(spool: Spool, path: Path) -> Receipt:
    partial, announced = spool.adopt(path)
    return spool.receive(partial, FOLDER, announced)


def files_below(root: Path) -> list[Path]:
    return [path for path in root.rglob("*") if path.is_file()]


def test_an_instance_is_stored_under_its_own_hash(spool: Spool, index: MemoryIndex, tmp_path: Path) -> None:
    receipt = give(spool, written(ct(1), tmp_path / "a.dcm"))
    stored = receipt.instance
    assert receipt.outcome is RecordOutcome.NEW
    assert stored.path == spool.root / "objects" / stored.sha256[:2] / f"{stored.sha256}.dcm"
    assert stored.size_bytes == stored.path.stat().st_size
    assert stored.received_utc.utcoffset() is not None
    assert index.instances == [stored]
    assert files_below(spool.root) == [stored.path]


def test_one_data_set_in_two_envelopes_is_one_instance(spool: Spool, index: MemoryIndex, tmp_path: Path) -> None:
    first = written(ct(1), tmp_path / "a.dcm")
    other = ct(1)
    written(other, tmp_path / "b.dcm")
    other.file_meta.SourceApplicationEntityTitle = "SOMEONE"
    other.save_as(tmp_path / "b.dcm", enforce_file_format=True)
    assert first.read_bytes() != (tmp_path / "b.dcm").read_bytes()
    assert give(spool, first).outcome is RecordOutcome.NEW
    assert give(spool, tmp_path / "b.dcm").duplicate
    assert len(files_below(spool.root)) == len(index.instances) == 1


def test_other_content_under_the_same_uid_is_kept_beside(spool: Spool, index: MemoryIndex, tmp_path: Path) -> None:
    original = give(spool, written(ct(1), tmp_path / "a.dcm"))
    before = original.instance.path.read_bytes()
    changed = ct(1)
    changed.RescaleIntercept = -1024
    conflict = give(spool, written(changed, tmp_path / "b.dcm"))
    assert conflict.conflict
    assert original.instance.path.read_bytes() == before
    assert len(files_below(spool.root)) == len(index.instances) == 2


def test_a_truncated_file_leaves_nothing(spool: Spool, tmp_path: Path) -> None:
    path = written(ct(1), tmp_path / "a.dcm")
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(DicomRefusal) as refusal:
        give(spool, path)
    assert refusal.value.code == "truncated"
    assert files_below(spool.root) == []


@pytest.mark.parametrize(
    ("announced", "code"),
    [
        (Announcement("1.2.3", ct(1).SOPInstanceUID), "class-mismatch"),
        (Announcement(ct(1).SOPClassUID, "1.2.3"), "uid-mismatch"),
    ],
)
def test_what_was_announced_must_be_what_came(spool: Spool, tmp_path: Path, announced: Announcement, code: str) -> None:
    partial, _ = spool.adopt(written(ct(1), tmp_path / "a.dcm"))
    with pytest.raises(DicomRefusal) as refusal:
        spool.receive(partial, FOLDER, announced)
    assert refusal.value.code == code
    assert files_below(spool.root) == []


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_full_disk_leaves_nothing(spool: Spool, tmp_path: Path, step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    partial, announced = spool.adopt(written(ct(1), tmp_path / "a.dcm"))

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, step, full)
    with pytest.raises(StorageFailure, match="No space left"):
        spool.receive(partial, FOLDER, announced)
    monkeypatch.undo()
    assert files_below(spool.root) == []


def test_a_disk_full_while_copying(spool: Spool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("bridge.node.spool.shutil.copyfileobj", full)
    with pytest.raises(StorageFailure, match="No space left"):
        spool.adopt(written(ct(1), tmp_path / "a.dcm"))
    assert files_below(spool.root) == []


def test_a_link_is_not_followed(spool: Spool, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(written(ct(1), tmp_path / "a.dcm"))
    with pytest.raises(StorageFailure):
        spool.adopt(tmp_path / "link")


def test_a_failing_index_keeps_the_file_for_the_next_start(spool: Spool, index: MemoryIndex, tmp_path: Path) -> None:
    class Broken(MemoryIndex):
        def record(self, instance: object) -> RecordOutcome:
            raise StorageFailure("database", "The database is locked.")

    with pytest.raises(StorageFailure):
        give(Spool(spool.root, Broken(), read_header), written(ct(1), tmp_path / "a.dcm"))
    recovery = Spool(spool.root, index, read_header).recover()
    assert [receipt.outcome for receipt in recovery.recorded] == [RecordOutcome.NEW]


def test_many_threads_with_the_same_instance_leave_one_copy(spool: Spool, index: MemoryIndex, tmp_path: Path) -> None:
    path = written(ct(1), tmp_path / "a.dcm")
    with ThreadPoolExecutor(8) as pool:
        receipts = list(pool.map(lambda _: give(spool, path), range(32)))
    assert sum(receipt.outcome is RecordOutcome.NEW for receipt in receipts) == 1
    assert sum(receipt.duplicate for receipt in receipts) == 31
    assert len(files_below(spool.root)) == 1


def test_killed_between_rename_and_row(index: MemoryIndex, tmp_path: Path) -> None:
    source = written(ct(1), tmp_path / "a.dcm")
    script = textwrap.dedent(
        f"""
        import os, signal
        from pathlib import Path
        from bridge.dicom.headers import read_header
        from bridge.node.instances import Source
        from bridge.node.spool import Spool

        class Killing:
            def record(self, instance):
                os.kill(os.getpid(), signal.SIGKILL)
            def known_hashes(self):
                return set()

        spool = Spool(Path({str(tmp_path / "spool")!r}), Killing(), read_header)
        spool.new_partial().write_bytes(b"half of something")
        partial, announced = spool.adopt(Path({str(source)!r}))
        spool.receive(partial, Source("folder"), announced)
        """
    )
    killed = subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=False)
    assert killed.returncode == -signal.SIGKILL
    spool = Spool(tmp_path / "spool", index, read_header)
    recovery = spool.recover()
    assert [receipt.instance.header.sop_instance_uid for receipt in recovery.recorded] == [ct(1).SOPInstanceUID]
    assert recovery.recorded[0].instance.source.kind == "recovered"
    assert recovery.removed_partials == 1
    assert give(spool, source).duplicate
    again = Spool(tmp_path / "spool", index, read_header).recover()
    assert (again.recorded, again.removed_partials) == ((), 0)


def test_recovery_leaves_what_is_arriving_now(spool: Spool) -> None:
    partial = spool.new_partial()
    partial.write_bytes(b"")
    os.utime(partial, (2e9, 2e9))
    assert spool.recover().removed_partials == 0
    assert partial.exists()


def test_recovery_names_a_damaged_object_and_leaves_it(spool: Spool, index: MemoryIndex, tmp_path: Path) -> None:
    stored = give(spool, written(ct(1), tmp_path / "a.dcm")).instance.path
    stored.write_bytes(stored.read_bytes()[:-2] + b"!!")
    index.instances.clear()
    recovery = spool.recover()
    assert recovery.unreadable == (stored,)
    assert index.instances == []
    assert stored.exists()


def test_no_received_text_becomes_a_path(spool: Spool, tmp_path: Path) -> None:
    before = set(tmp_path.rglob("*"))
    image = ct(1, patient_id="../../../escape")
    stored = give(spool, written(image, tmp_path / "in" / "a.dcm")).instance
    assert stored.path.parent.parent == spool.root / "objects"
    after = {path for path in tmp_path.rglob("*") if path.is_file()} - before
    assert after == {stored.path, tmp_path / "in" / "a.dcm"}
    assert encoded(image) in stored.path.read_bytes()
