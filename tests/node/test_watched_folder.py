from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from bridge.node.events import NodeEvent
from bridge.node.instances import Receipt
from bridge.node.settings import WatchSettings
from bridge.node.spool import Spool
from bridge.node.watched_folder import WatchedFolder
from bridge.rt.errors import StorageFailure
from tests.node.conftest import MemoryIndex
from tests.node.objects import ct, study, written

SETTINGS = WatchSettings(stable_s=2.0, give_up_s=60.0, rescan_s=5.0, max_object_bytes=10_000_000)


@dataclass
class Watch:
    """A watched folder whose clock and walks the test commands."""

    folder: Path
    watched: WatchedFolder
    receipts: list[Receipt] = field(default_factory=list)
    events: list[NodeEvent] = field(default_factory=list)
    now_s: float = 0.0

    def walk_at(self, now_s: float) -> float:
        self.now_s = now_s
        return self.watched.walk()

    def files(self) -> set[str]:
        return {str(path.relative_to(self.folder)) for path in self.folder.rglob("*") if path.is_file()}

    def rejected(self) -> dict[str, object]:
        (reason,) = (self.folder / "rejected").glob("*.reason.json")
        return dict(json.loads(reason.read_text()))


@pytest.fixture
def watch(tmp_path: Path, spool: Spool) -> Watch:
    folder = tmp_path / "watched"
    watch = Watch(folder, None)  # type: ignore[arg-type]
    watch.watched = WatchedFolder(
        folder, spool, SETTINGS, watch.receipts.append, watch.events.append, clock=lambda: watch.now_s
    )
    return watch


def test_a_study_is_taken_once_it_is_stable(watch: Watch, index: MemoryIndex) -> None:
    study(watch.folder / "from" / "planner")
    assert watch.walk_at(0.0) == 2.0
    assert watch.receipts == []
    assert watch.walk_at(1.5) == 0.5
    assert watch.receipts == []
    watch.walk_at(2.0)
    assert len(index.instances) == len(watch.receipts) == 6
    assert {receipt.instance.source.kind for receipt in watch.receipts} == {"folder"}
    assert watch.files() == set()


def test_a_growing_file_is_left_alone(watch: Watch) -> None:
    whole = written(ct(1), watch.folder.parent / "whole.dcm").read_bytes()
    path = watch.folder / "a.dcm"
    for step in range(1, 5):
        path.write_bytes(whole[: len(whole) * step // 4])
        watch.walk_at(step * 1.5)
    assert watch.receipts == watch.events == []
    watch.walk_at(8.0)
    assert len(watch.receipts) == 1


def test_a_copy_that_pauses_is_not_an_error(watch: Watch) -> None:
    whole = written(ct(1), watch.folder.parent / "whole.dcm").read_bytes()
    path = watch.folder / "a.dcm"
    path.write_bytes(whole[:-3])
    for now_s in (0.0, 3.0, 30.0, 59.0):
        watch.walk_at(now_s)
    assert path.exists()
    assert watch.events == []
    path.write_bytes(whole)
    watch.walk_at(59.5)
    watch.walk_at(62.0)
    assert len(watch.receipts) == 1


def test_a_file_that_stays_cut_off_is_rejected_with_its_reason(watch: Watch) -> None:
    content = written(ct(1), watch.folder.parent / "whole.dcm").read_bytes()[:-3]
    (watch.folder / "sub").mkdir()
    (watch.folder / "sub" / "../sub/cut.dcm").write_bytes(content)
    for now_s in (0.0, 2.0, 60.0):
        watch.walk_at(now_s)
    reason = watch.rejected()
    assert reason["code"] == "truncated"
    assert reason["original_name"] == "sub/cut.dcm"
    (kept,) = [path for path in (watch.folder / "rejected").iterdir() if path.suffix != ".json"]
    assert kept.read_bytes() == content
    assert "cut" not in kept.name
    assert [(event.code, event.where["code"]) for event in watch.events] == [("file-rejected", "truncated")]
    assert not any("cut.dcm" in repr(event) for event in watch.events)
    watch.walk_at(200.0)
    assert len(watch.events) == 1


@pytest.mark.parametrize(
    ("content", "code"),
    [(b"just some notes\n", "not-dicom"), (b"", "not-dicom"), (bytes(10_000_001), "object-too-large")],
)
def test_what_is_not_dicom_is_rejected(watch: Watch, content: bytes, code: str) -> None:
    (watch.folder / "notes.txt").write_bytes(content)
    for now_s in (0.0, 2.0, 60.0):
        watch.walk_at(now_s)
    assert watch.rejected()["code"] == code
    assert not (watch.folder / "notes.txt").exists()


def test_a_reason_is_there_whole_or_not_at_all(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever looks for reasons while one is written must not find half of it; nor after a full disk."""
    (watch.folder / "notes.txt").write_bytes(b"just some notes\n")

    def full(*_: object) -> None:
        assert list((watch.folder / "rejected").glob("*.reason.json")) == []
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        for now_s in (0.0, 2.0, 60.0):
            watch.walk_at(now_s)
    assert watch.files() == {"notes.txt"}
    assert {event.code for event in watch.events} == {"folder-not-writable"}
    watch.walk_at(120.0)
    assert watch.rejected()["code"] == "not-dicom"


def test_temporary_and_hidden_names_are_left_alone_while_fresh(watch: Watch) -> None:
    names = (".hidden", "a.dcm.part", "b.tmp", "c.dcm~")
    for number, name in enumerate(names):
        written(ct(number), watch.folder / name)
    for now_s in (0.0, 10.0, 59.0):
        watch.walk_at(now_s)
    assert watch.receipts == []
    os.rename(watch.folder / "a.dcm.part", watch.folder / "a.dcm")
    watch.walk_at(59.5)
    watch.walk_at(62.0)
    assert len(watch.receipts) == len(names)
    assert watch.files() == set()


def test_links_are_not_followed(watch: Watch) -> None:
    outside = study(watch.folder.parent / "outside")
    (watch.folder / "folder").symlink_to(outside[0].parent, target_is_directory=True)
    (watch.folder / "file.dcm").symlink_to(outside[0])
    for now_s in (0.0, 2.0, 60.0, 120.0):
        watch.walk_at(now_s)
    assert watch.receipts == watch.events == []
    assert all(path.exists() for path in outside)


def test_other_content_under_the_same_uid(watch: Watch, index: MemoryIndex) -> None:
    changed = ct(1)
    changed.RescaleIntercept = -1024
    written(ct(1), watch.folder / "a.dcm")
    written(changed, watch.folder / "b.dcm")
    watch.walk_at(0.0)
    watch.walk_at(2.0)
    assert len(index.instances) == 2
    assert [event.code for event in watch.events] == ["content-conflict"]
    assert watch.files() == set()


def test_trouble_with_the_disk_keeps_the_file_and_tries_again(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(ct(1), watch.folder / "a.dcm")

    def full(*_: object) -> None:
        raise StorageFailure("storage", "The disk is full.")

    watch.walk_at(0.0)
    with monkeypatch.context() as patch:
        patch.setattr(Spool, "receive", full)
        for now_s in (2.0, 100.0, 1000.0):
            watch.walk_at(now_s)
    assert path.exists()
    assert {event.code for event in watch.events} == {"instance-not-stored"}
    watch.walk_at(1001.0)
    assert len(watch.receipts) == 1
    assert not path.exists()


def test_one_unexpected_error_does_not_stop_the_others(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    written(ct(1), watch.folder / "a.dcm")
    written(ct(2), watch.folder / "b.dcm")
    adopt = Spool.adopt

    def fragile(spool: Spool, path: Path) -> object:
        if path.name == "a.dcm":
            raise RuntimeError("a bug")
        return adopt(spool, path)

    monkeypatch.setattr(Spool, "adopt", fragile)
    watch.walk_at(0.0)
    watch.walk_at(2.0)
    assert len(watch.receipts) == 1
    assert watch.files() == {"a.dcm"}


def test_a_file_written_to_while_it_was_taken_is_not_removed(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(ct(1), watch.folder / "a.dcm")
    second = written(ct(2), watch.folder.parent / "second.dcm").read_bytes()
    receive = Spool.receive

    def late(*arguments: object) -> Receipt:
        receipt = receive(*arguments)  # type: ignore[arg-type]
        if len(watch.receipts) == 0:
            path.write_bytes(second)
            os.utime(path, ns=(1, 1))
        return receipt

    monkeypatch.setattr(Spool, "receive", late)
    for now_s in (0.0, 2.0):
        watch.walk_at(now_s)
    assert path.exists()
    for now_s in (3.0, 6.0):
        watch.walk_at(now_s)
    assert [receipt.instance.header.sop_instance_uid for receipt in watch.receipts] == [
        ct(1).SOPInstanceUID,
        ct(2).SOPInstanceUID,
    ]
    assert not path.exists()


def test_a_folder_that_cannot_be_emptied_stores_once(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(ct(1), watch.folder / "a.dcm")

    def denied(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patch:
        watch.walk_at(0.0)
        patch.setattr(Path, "unlink", lambda self, **kw: denied() if self == path else os.path.lexists(self))
        for now_s in (2.0, 10.0, 20.0):
            watch.walk_at(now_s)
    assert len(watch.receipts) == 1
    watch.walk_at(30.0)
    assert not path.exists()
    assert len(watch.receipts) == 1


def wait_for(count: int, receipts: list[Receipt]) -> None:
    deadline = time.monotonic() + 10
    while len(receipts) < count:
        assert time.monotonic() < deadline, f"{len(receipts)} of {count} arrived"
        time.sleep(0.02)


def test_running_takes_what_was_there_and_what_comes(tmp_path: Path, spool: Spool) -> None:
    folder, receipts = tmp_path / "watched", list[Receipt]()
    settings = WatchSettings(stable_s=0.1, give_up_s=0.3, rescan_s=60.0)
    written(ct(1), folder / "early.dcm")
    with WatchedFolder(folder, spool, settings, receipts.append):
        wait_for(1, receipts)
        # The rescan is a minute away: only the operating system's notification can be quick.
        written(ct(2), folder / "new" / "late.dcm")
        wait_for(2, receipts)
        os.rename(written(ct(3), tmp_path / "elsewhere.dcm"), folder / "moved.dcm")
        wait_for(3, receipts)
        (folder / "notes.txt").write_text("not DICOM")
        deadline = time.monotonic() + 10
        while not list((folder / "rejected").glob("*.reason.json")):
            assert time.monotonic() < deadline
            time.sleep(0.02)
    assert [path for path in folder.glob("*") if path.is_file()] == []


def test_it_can_be_stopped_at_any_time(tmp_path: Path, spool: Spool) -> None:
    started = time.monotonic()
    with WatchedFolder(tmp_path / "watched", spool, WatchSettings(rescan_s=3600.0), print):
        pass
    assert time.monotonic() - started < 2.0
