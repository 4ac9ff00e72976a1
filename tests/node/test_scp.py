"""The SCP in its orderly life: DCMTK and raw peers send, and each gets the answer that it should."""

from __future__ import annotations

import errno
import logging
import os
import socket
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from pydicom.uid import CTImageStorage, RTDoseStorage

from tests.hostile_peer import DEFLATED, EXPLICIT, IMPLICIT, HostilePeer
from tests.node.conftest import Certificates, Node
from tests.node.objects import PATIENT_NAME, ct, dose, encoded, mr, plan, structure_set, study, written
from tests.programs import require_program

ECHO = "1.2.840.10008.1.1"


def storescu(node: Node, *arguments: object, calling: str = "TESTER", called: str = "BRIDGE") -> int:
    program = require_program("storescu")
    base = [program, "-to", "5", "-ta", "5", "-aet", calling, "-aec", called, "127.0.0.1", node.port]
    return subprocess.run([*base, *map(str, arguments)], capture_output=True, timeout=30, check=False).returncode


def echoscu(node: Node, *arguments: object, calling: str = "TESTER", called: str = "BRIDGE") -> int:
    program = require_program("echoscu")
    base = [program, "-to", "5", "-ta", "5", "-aet", calling, "-aec", called, *map(str, arguments)]
    return subprocess.run([*base, "127.0.0.1", node.port], capture_output=True, timeout=30, check=False).returncode


@pytest.mark.parametrize("option", ["-xe", "-xi"])
def test_a_study_from_dcmtk_arrives_whole(node: Node, tmp_path: Path, option: str) -> None:
    paths = [*study(tmp_path / "out"), written(plan(), tmp_path / "rp.dcm"), written(dose(), tmp_path / "rd.dcm")]
    assert storescu(node, option, *paths) == 0
    assert len(node.index.instances) == len(node.receipts) == len(paths) == 8
    assert sorted(item.header.modality for item in node.index.instances) == ["CT"] * 5 + [
        "RTDOSE",
        "RTPLAN",
        "RTSTRUCT",
    ]
    syntax = {"-xe": EXPLICIT, "-xi": IMPLICIT}[option]
    assert {item.header.transfer_syntax_uid for item in node.index.instances} == {syntax}
    source = node.index.instances[0].source
    assert (source.kind, source.calling_ae, source.called_ae, source.host) == (
        "network",
        "TESTER",
        "BRIDGE",
        "127.0.0.1",
    )
    assert len({item.source.association_id for item in node.index.instances}) == 1
    assert node.partials() == []


def test_echo(node: Node) -> None:
    assert echoscu(node) == 0


@pytest.mark.skipif(not hasattr(socket, "TCP_QUICKACK"), reason="acknowledgements can be hastened on Linux alone")
def test_a_sender_that_waits_for_acknowledgements_is_not_kept_waiting(
    node: Node, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Put off, each acknowledgement costs 40 ms, and 80 objects 3 s more than from a sender that need not wait."""
    path = written(ct(1), tmp_path / "ct.dcm")
    seconds: dict[str, list[float]] = {"1": [], "0": []}
    for no_delay in ("1", "0", "0"):  # twice, for a machine that has other work
        monkeypatch.setenv("TCP_NODELAY", no_delay)
        began = time.monotonic()
        assert storescu(node, "--repeat", 80, path) == 0
        seconds[no_delay].append(time.monotonic() - began)
    assert min(seconds["0"]) < 2.0 * seconds["1"][0] + 1.0, seconds


def test_sending_again_changes_nothing(node: Node, tmp_path: Path) -> None:
    paths = study(tmp_path)
    assert storescu(node, "--repeat", 2, *paths) == 0
    assert storescu(node, *paths) == 0
    assert len(node.index.instances) == len(node.objects()) == len(paths)
    assert sum(receipt.duplicate for receipt in node.receipts) == 2 * len(paths)


def test_the_same_file_by_folder_and_network_is_one_instance(node: Node, tmp_path: Path) -> None:
    path = written(ct(1), tmp_path / "a.dcm")
    from bridge.node.instances import Source

    partial, announced = node.spool.adopt(path)
    node.spool.receive(partial, Source("folder"), announced)
    assert storescu(node, "-xe", path) == 0
    assert node.receipts[0].duplicate


def test_other_content_under_the_same_uid(node: Node) -> None:
    changed = ct(1)
    changed.RescaleIntercept = -1024
    with HostilePeer(node.scp.port) as peer:
        assert peer.associate([(CTImageStorage, [EXPLICIT])]) == [0]
        uid = ct(1).SOPInstanceUID
        assert peer.store(CTImageStorage, uid, encoded(ct(1))) == 0x0000
        assert peer.store(CTImageStorage, uid, encoded(changed)) == 0x0111
        assert peer.store(CTImageStorage, uid, encoded(ct(1))) == 0x0000
    assert len(node.objects()) == 2
    assert node.codes().count("content-conflict") == 1


def test_parallel_senders_leave_one_copy_each(node: Node, tmp_path: Path) -> None:
    paths = study(tmp_path)
    with ThreadPoolExecutor(6) as pool:
        assert set(pool.map(lambda _: storescu(node, *paths), range(6))) == {0}
    assert len(node.index.instances) == len(node.objects()) == len(paths)
    assert len(node.receipts) == 6 * len(paths)
    assert node.partials() == []


@pytest.mark.parametrize(
    ("calling", "called", "reason"),
    [
        ("EVIL", "BRIDGE", "calling-ae-unknown"),
        ("FAR", "BRIDGE", "calling-host-wrong"),
        ("TESTER", "SOMEONE", "called-ae-unknown"),
    ],
)
def test_strangers_are_rejected(node: Node, calling: str, called: str, reason: str) -> None:
    assert echoscu(node, calling=calling, called=called) == 1
    (event,) = node.events
    assert (event.code, event.where["reason"]) == ("association-rejected", reason)
    assert node.scp.events.counts == {"association-rejected": 1}


def test_the_reject_says_what_was_wrong(node: Node) -> None:
    with HostilePeer(node.scp.port) as peer, pytest.raises(AssertionError, match="PDU 03 00010103"):
        peer.associate([(ECHO, [IMPLICIT])], calling="EVIL")
    with HostilePeer(node.scp.port) as peer, pytest.raises(AssertionError, match="PDU 03 00010107"):
        peer.associate([(ECHO, [IMPLICIT])], called="OTHER")


def test_nobody_may_connect_by_default(start_node: Callable[..., Node]) -> None:
    node = start_node(peers=())
    assert echoscu(node) == 1
    assert set(node.codes()) == {"host-not-allowed"}


def test_a_test_bench_may_take_anyone(start_node: Callable[..., Node]) -> None:
    node = start_node(peers=(), accept_any_peer=True)
    assert echoscu(node, calling="ANYONE") == 0
    assert echoscu(node, called="NOT_US") == 1


def test_mr_is_not_negotiated_and_named(node: Node, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    paths = [written(ct(1), tmp_path / "ct.dcm"), written(mr(1), tmp_path / "mr.dcm")]
    storescu(node, "-R", "-nh", *paths)  # DCMTK calls that a success
    assert [item.header.modality for item in node.index.instances] == ["CT"]
    (event,) = node.events
    assert event.code == "presentation-context-rejected"
    assert "MR Image Storage" in event.message
    assert "CT Image" not in event.message.partition(".")[0]
    assert "MR Image Storage" in caplog.text


def test_deflated_and_compressed_are_not_negotiated(node: Node) -> None:
    jpeg = "1.2.840.10008.1.2.4.70"
    contexts = [(RTDoseStorage, [DEFLATED]), (RTDoseStorage, [jpeg]), (RTDoseStorage, [DEFLATED, IMPLICIT])]
    with HostilePeer(node.scp.port) as peer:
        assert peer.associate(contexts) == [4, 4, 0]


def test_uid_or_class_of_the_command_must_be_the_data_sets(node: Node) -> None:
    with HostilePeer(node.scp.port) as peer:
        peer.associate([(CTImageStorage, [EXPLICIT]), (RTDoseStorage, [EXPLICIT])])
        assert peer.store(CTImageStorage, "1.2.3.4", encoded(ct(1))) == 0xA900
        assert peer.store(RTDoseStorage, ct(1).SOPInstanceUID, encoded(ct(1)), context_id=3) == 0xA900
        assert peer.store(RTDoseStorage, ct(1).SOPInstanceUID, encoded(ct(1))) == 0x0122
        assert peer.store(CTImageStorage, ct(1).SOPInstanceUID, encoded(ct(1))) == 0x0000
    assert len(node.objects()) == 1
    assert node.partials() == []


def test_a_path_in_a_uid_is_refused_and_nothing_escapes(node: Node, tmp_path: Path) -> None:
    image = ct(1)
    image.SOPInstanceUID = "../../../escaped"
    before = {path for path in tmp_path.rglob("*") if path.is_file()}
    with HostilePeer(node.scp.port) as peer:
        peer.associate([(CTImageStorage, [EXPLICIT])])
        assert peer.store(CTImageStorage, "../../../escaped", encoded(image)) == 0xC005
        assert peer.store(CTImageStorage, "1.2.3", encoded(image)) == 0xC005
        assert peer.store(CTImageStorage, ct(2).SOPInstanceUID, encoded(ct(2))) == 0x0000
    after = {path for path in tmp_path.rglob("*") if path.is_file()}
    assert after - before == set(node.objects())


@pytest.mark.parametrize(("cut", "status"), [(-5, 0xC003), (150, 0xC003), (0, 0xC006)])
def test_a_truncated_data_set_is_refused_and_not_stored(node: Node, cut: int, status: int) -> None:
    whole = encoded(dose())
    if cut == 0:  # exactly before the pixel data, where no element is cut
        cut = whole.rindex(b"\xe0\x7f\x10\x00")
    with HostilePeer(node.scp.port) as peer:
        peer.associate([(RTDoseStorage, [EXPLICIT])])
        assert peer.store(RTDoseStorage, dose().SOPInstanceUID, whole[:cut]) == status
    assert node.objects() == node.partials() == []


def test_too_large_is_read_to_its_end_and_refused(start_node: Callable[..., Node]) -> None:
    node = start_node(max_object_bytes=20_000)
    with HostilePeer(node.scp.port) as peer:
        peer.associate([(RTDoseStorage, [EXPLICIT]), (CTImageStorage, [EXPLICIT])])
        assert peer.store(RTDoseStorage, dose().SOPInstanceUID, encoded(dose(side=200))) == 0xA700
        assert peer.store(CTImageStorage, ct(1).SOPInstanceUID, encoded(ct(1)), context_id=3) == 0x0000
    assert node.partials() == []
    assert [event.where["code"] for event in node.events] == ["object-too-large"]


@pytest.mark.parametrize("place", ["receiving", "storing"])
def test_a_full_disk_is_answered_and_survived(node: Node, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with HostilePeer(node.scp.port) as peer:
        peer.associate([(CTImageStorage, [EXPLICIT])])
        with monkeypatch.context() as patch:
            if place == "receiving":
                patch.setattr("bridge.node.reception.write_meta", full)
            else:
                patch.setattr(os, "fsync", full)
            assert peer.store(CTImageStorage, ct(1).SOPInstanceUID, encoded(ct(1))) == 0xA700
        assert node.objects() == node.partials() == []
        assert peer.store(CTImageStorage, ct(1).SOPInstanceUID, encoded(ct(1))) == 0x0000


def test_a_nearly_full_disk_takes_no_association(start_node: Callable[..., Node]) -> None:
    node = start_node(minimum_free_bytes=1 << 62)
    assert echoscu(node) == 1
    assert node.events[0].where["reason"] == "disk-low"


def test_a_broken_listener_of_ours_does_not_unstore(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: object) -> None:
        raise RuntimeError("the workflow has a bug")

    monkeypatch.setattr(node.scp, "_on_stored", broken)
    with HostilePeer(node.scp.port) as peer:
        peer.associate([(CTImageStorage, [EXPLICIT])])
        assert peer.store(CTImageStorage, ct(1).SOPInstanceUID, encoded(ct(1))) == 0x0000
    assert len(node.index.instances) == 1


def test_the_sender_aborts_after_its_last_instance(node: Node, tmp_path: Path) -> None:
    paths = study(tmp_path)
    storescu(node, "--abort", *paths)
    assert len(node.index.instances) == len(paths)


def test_restart_on_the_same_port(node: Node, tmp_path: Path) -> None:
    assert storescu(node, written(ct(1), tmp_path / "a.dcm")) == 0
    node.scp.stop()
    node.scp.start()
    assert echoscu(node) == 0


def test_no_patient_data_in_the_log(node: Node, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    bad = structure_set([])
    del bad.StructureSetROISequence
    bad.SOPInstanceUID = ct(9).SOPInstanceUID
    assert storescu(node, "-R", *study(tmp_path), written(bad, tmp_path / "bad.dcm")) != 0
    assert node.codes() == ["instance-not-stored"]
    family = PATIENT_NAME.partition("^")[0]
    assert family not in caplog.text
    assert "PHANTOM-1" not in caplog.text
    assert all(family not in repr(event) for event in node.events)


class TestTls:
    def test_mutual(self, start_node: Callable[..., Node], certificates: Certificates, tmp_path: Path) -> None:
        node, client = start_node(tls=certificates.server), certificates.client
        trusted = ["+tls", client.key, client.certificate, "+cf", client.authorities]
        assert echoscu(node, *trusted) == 0
        assert storescu_tls(node, trusted, study(tmp_path)) == 0
        assert len(node.index.instances) == 6

    def test_no_certificate_or_no_tls(self, start_node: Callable[..., Node], certificates: Certificates) -> None:
        node, client = start_node(tls=certificates.server), certificates.client
        assert echoscu(node, "+tla", "+cf", client.authorities) == 1
        assert echoscu(node) == 1
        assert "tls-refused" in node.codes()
        assert echoscu(node, "+tls", client.key, client.certificate, "+cf", client.authorities) == 0

    def test_old_versions(self, start_node: Callable[..., Node], certificates: Certificates) -> None:
        node, client = start_node(tls=certificates.server), certificates.client
        results = {}
        for version in ("-tls1_1", "-tls1_2", "-tls1_3"):
            ran = subprocess.run(
                [
                    require_program("openssl"), "s_client", "-connect", f"127.0.0.1:{node.port}", version,
                    "-cert", str(client.certificate), "-key", str(client.key), "-CAfile", str(client.authorities),
                ],
                input=b"", capture_output=True, timeout=20, check=False,
            )  # fmt: skip
            results[version] = b"Cipher is (NONE)" not in ran.stdout and b"Cipher is" in ran.stdout
        assert results == {"-tls1_1": False, "-tls1_2": True, "-tls1_3": True}


def storescu_tls(node: Node, trusted: list[object], paths: list[Path]) -> int:
    command = [
        require_program("storescu"),
        "-aet",
        "TESTER",
        "-aec",
        "BRIDGE",
        *trusted,
        "127.0.0.1",
        node.port,
        *paths,
    ]
    return subprocess.run([str(part) for part in command], capture_output=True, timeout=30, check=False).returncode


def test_a_sender_that_proposes_its_whole_list_is_no_warning(node: Node, tmp_path: Path) -> None:
    """DCMTK's storescu does so unless told otherwise; every ordinary send would look like trouble."""
    assert storescu(node, written(ct(1), tmp_path / "ct.dcm")) == 0
    assert [(event.code, event.severity) for event in node.events] == [("presentation-contexts-many", "info")]
