"""Composition root: from settings to running parts. The only place where everything is known."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from bridge.dicom.differences import differing_attributes
from bridge.dicom.headers import read_header
from bridge.node.ledger import Courier
from bridge.node.scp import StorageScp
from bridge.node.scu import Sender
from bridge.node.settings import (
    Destination,
    Peer,
    QuietPolicy,
    RetryPolicy,
    ScpSettings,
    ScuSettings,
    TlsSettings,
    WatchSettings,
)
from bridge.node.spool import Spool
from bridge.node.watched_folder import WatchedFolder
from bridge.rt.errors import ApprovalRefusal, DeliveryFailure, Refusal, StorageFailure
from bridge.tps.eclipse import EclipseFolder
from bridge.workflow import decide, doctor, hand_overs
from bridge.workflow.decide import Content
from bridge.workflow.deliveries import SqlDeliveryLedger
from bridge.workflow.doctor import Check
from bridge.workflow.eclipse_answers import EclipseAnswers
from bridge.workflow.eclipse_courier import EclipseCourier
from bridge.workflow.instances import SqlInstanceIndex
from bridge.workflow.intake import Intake
from bridge.workflow.optimize import Optimized, plan_files
from bridge.workflow.predict import Predicted, model_in, predict_files, preference_in
from bridge.workflow.release import Recipient, approve, approve_file
from bridge.workflow.schema import HandOverRow
from bridge.workflow.service import Service, audited
from bridge.workflow.sessions import SessionPolicy
from bridge.workflow.signing import ReleaseRules
from bridge.workflow.store import Store
from bridge.workflow.worker import Worker
from bridge.workflow.worklist import HandOverLine, hand_over_line
from config import settings as site
from esapi_stub.engine.engine import PencilBeamEngine
from esapi_stub.planning import Watch
from models.checks import check_preference
from models.preference import Preference

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from bridge.web.entrance import Entrance

__all__ = [
    "approve_case",
    "build_service",
    "cases_folder",
    "contents",
    "destination_of",
    "eclipse_couriers",
    "examine",
    "hand_over_file",
    "keep_content",
    "plan_directory",
    "predict_directory",
    "recipients_of",
    "require_model",
    "retry_case",
    "review_server",
    "sender_of",
]

_BYTES_PER_MB = 1_000_000


def build_service(settings: site.Settings) -> Service:
    """Compose node, watched folder, intake, worker and couriers over one data folder."""
    require_model(settings)
    store = Store.in_folder(settings.data_dir)
    spool = Spool(settings.data_dir / "spool", SqlInstanceIndex(store), read_header)
    quiet = settings.completeness.quiet_s
    intake = Intake(
        store,
        QuietPolicy(complete_s=quiet, undecided_s=max(quiet, QuietPolicy().undecided_s)),
        settings.completeness.hard_timeout_min * 60.0,
    )
    automatic = settings.release.predicted_dose == "automatic"
    worker = Worker(store, settings, cases_folder(settings), recipients_of(settings) if automatic else None)
    ledger = SqlDeliveryLedger(store, destinations_of(settings))
    on_event = partial(audited, store)
    doors: list[AbstractContextManager[object]] = [
        StorageScp(scp, spool, intake.on_stored, on_event) for scp in _scp_settings(settings)
    ]
    folder = settings.watched_folder.path
    if folder is not None:
        watch = WatchSettings(
            stable_s=settings.watched_folder.stable_s,
            give_up_s=settings.watched_folder.give_up_s,
            max_object_bytes=int(settings.node.max_object_mb * _BYTES_PER_MB),
        )
        doors.append(WatchedFolder(folder, spool, watch, intake.on_stored, on_event))
    if settings.review.enabled:
        doors.append(review_server(settings, store))
    courier = Courier(ledger, sender_of(settings), lambda: datetime.now(UTC), retry_policy_of(settings))
    couriers: list[Callable[[], object]] = [courier.run_once]
    if settings.eclipse.drop_folder is not None:
        to_eclipse, from_eclipse = eclipse_couriers(settings, store, settings.eclipse.drop_folder)
        couriers += [to_eclipse.run_once, from_eclipse.run_once]
    return Service(settings.data_dir, store, spool, intake, worker, couriers, doors)


def review_server(
    settings: site.Settings, store: Store, notice: str = "", entrance: Entrance | None = None
) -> AbstractContextManager[object]:
    """Compose the review room over a store.

    Parameters
    ----------
    notice
        What every page says of this room; nothing where empty.
    entrance
        A way in without a password, once.
    """
    # only who opens the review room needs what serves it
    from bridge.web.application import review_application
    from bridge.web.preview_process import PreviewProcess
    from bridge.web.room import ReviewRoom
    from bridge.web.server import Listening, ReviewServer

    review = settings.review
    scheme = "http" if review.tls is None else "https"
    previews = PreviewProcess()
    room = ReviewRoom(
        store=store,
        cases_folder=cases_folder(settings),
        origin=review.origin or f"{scheme}://{review.host}:{review.port}",
        session_policy=SessionPolicy(
            idle=timedelta(minutes=review.session_idle_min), longest=timedelta(hours=review.session_longest_h)
        ),
        settings=settings,
        predict_preview=previews,
        release=ReleaseRules(
            recipients_of(settings), settings.eclipse.drop_folder is not None, settings.review.two_persons
        ),
        notice=notice,
        entrance=entrance,
    )
    certificate, key = (None, None) if review.tls is None else (review.tls.certificate, review.tls.key)
    listening = Listening(review.host, review.port, certificate, key, review.trusted_proxies)
    return ReviewServer(review_application(room), listening, previews.close)


def eclipse_couriers(settings: site.Settings, store: Store, folder: Path) -> tuple[EclipseCourier, EclipseAnswers]:
    """Compose what hands over to the plug-in for Eclipse, and what takes its answers in."""
    courier = EclipseCourier(store, EclipseFolder(folder), retry_policy_of(settings), lambda: datetime.now(UTC))
    return courier, EclipseAnswers(store, EclipseFolder(folder))


def require_model(settings: site.Settings) -> None:
    """Refuse settings with which no case could be predicted: before the first case comes, not with it.

    Raises
    ------
    ModelRefusal
        The model is not there or not what its card says, or cannot honour the preference.
    """
    check_preference(model_in(settings).card, preference_in(settings))


def predict_directory(
    directory_files: Sequence[Path], out: Path, settings: site.Settings, preference: Preference
) -> Predicted:
    """Predict the one case that some files hold and write its results to ``out``."""
    names = "".join(sorted(path.name for path in directory_files))
    case_id = hashlib.sha256(names.encode()).hexdigest()[:12]
    return predict_files(directory_files, model_in(settings), preference, case_id, out, settings)


def plan_directory(
    directory_files: Sequence[Path], objectives: Path, out: Path, settings: site.Settings, watch: Watch
) -> Optimized:
    """Plan the one case that some files hold with the engine of esapi_stub and write the results to ``out``."""
    return plan_files(directory_files, objectives, PencilBeamEngine(), out, settings, watch)


def cases_folder(settings: site.Settings) -> Path:
    """Give the folder that holds the results of all cases."""
    return settings.data_dir / "cases"


def recipients_of(settings: site.Settings) -> tuple[Recipient, ...]:
    """Give who gets which results; a dose goes after the plan that it refers to."""
    order = ("predicted_plan", "predicted_dose")
    return tuple(
        Recipient(destination.name, tuple(kind for kind in order if kind in destination.send))
        for destination in settings.destinations
    )


def destinations_of(settings: site.Settings) -> dict[str, Destination]:
    """Give the destinations by name."""
    return {
        item.name: Destination(item.name, item.ae_title, item.host, item.port, _tls(item.tls))
        for item in settings.destinations
    }


def destination_of(settings: site.Settings, name: str) -> Destination:
    """Give one destination.

    Raises
    ------
    DeliveryFailure
        The settings have none of that name.
    """
    destinations = destinations_of(settings)
    if name not in destinations:
        known = ", ".join(destinations) or "none"
        raise DeliveryFailure("destination-unknown", f"The settings have no destination {name!r}; they have: {known}.")
    return destinations[name]


def sender_of(settings: site.Settings) -> Sender:
    """Give the sending side of the node."""
    return Sender(ScuSettings(ae_title=settings.node.ae_title))


def retry_policy_of(settings: site.Settings) -> RetryPolicy:
    """Give how often a delivery is tried again."""
    delivery = settings.delivery
    return RetryPolicy(
        first_delay_s=delivery.first_retry_s,
        factor=delivery.factor,
        longest_delay_s=delivery.longest_retry_s,
        give_up_after_s=delivery.give_up_after_days * 86400.0,
    )


def _scp_settings(settings: site.Settings) -> list[ScpSettings]:
    """Give one listener, or two where TLS has a port of its own."""
    node = settings.node
    common = ScpSettings(
        ae_title=node.ae_title,
        host=node.host,
        port=node.port,
        peers=tuple(Peer(peer.ae_title, tuple(str(host) for host in peer.hosts)) for peer in node.peers),
        accept_any_peer=node.accept_any_peer,
        tls=None,
        max_associations=node.max_associations,
        max_associations_per_host=node.max_associations_per_host,
        max_pdu_bytes=node.max_pdu_bytes,
        max_object_bytes=int(node.max_object_mb * _BYTES_PER_MB),
        acse_timeout_s=node.acse_timeout_s,
        dimse_timeout_s=node.network_timeout_s,
        network_timeout_s=node.network_timeout_s,
    )
    if node.tls is None:
        return [common]
    if node.tls.port is None:
        return [replace(common, tls=_tls(node.tls))]
    return [common, replace(common, tls=_tls(node.tls), port=node.tls.port)]


def _tls(tls: site.TlsSettings | None) -> TlsSettings | None:
    return None if tls is None else TlsSettings(certificate=tls.certificate, key=tls.key, authorities=tls.ca)


def examine(settings: site.Settings) -> Iterator[Check]:
    """Look at everything that this installation needs."""
    return doctor.examine(settings, destinations_of(settings).values(), sender_of(settings))


def retry_case(settings: site.Settings, case_id: str, user: str) -> None:
    """Try a refused or failed case again; see :func:`bridge.workflow.decide.retry`."""
    with Store.in_folder(settings.data_dir).transaction() as session:
        decide.retry(session, case_id, user)


def contents(settings: site.Settings, sop_instance_uid: str) -> Sequence[Content]:
    """Give the contents that came under a SOP Instance UID."""
    with Store.in_folder(settings.data_dir).transaction() as session:
        return decide.contents_of(session, sop_instance_uid)


def told_apart_by(contents: Sequence[Content]) -> Sequence[str]:
    """Name the attributes in which contents differ; see :func:`bridge.dicom.differences.differing_attributes`.

    Raises
    ------
    StorageFailure
        One cannot be read.
    """
    try:
        return differing_attributes([content.path.read_bytes() for content in contents])
    except OSError as error:
        raise StorageFailure("file-unreadable", f"A content cannot be read: {error.strerror}.") from error


def keep_content(settings: site.Settings, sop_instance_uid: str, sha256: str, user: str) -> None:
    """Say which content of a SOP Instance UID holds; see :func:`bridge.workflow.decide.keep`."""
    with Store.in_folder(settings.data_dir).transaction() as session:
        decide.keep(session, sop_instance_uid, sha256, user)


def approve_case(settings: site.Settings, case_id: str, objectives_file: Path, user: str) -> None:
    """Approve a case for somebody who reviewed these objectives, and release its results.

    Raises
    ------
    ApprovalRefusal
        See :func:`bridge.workflow.release.approve`; or two must approve (``two-persons``), or there is a review room
        (``sign-in-review-room``).
    StorageFailure
        The objectives file cannot be read.
    """
    _require_one_is_enough(settings)
    if settings.review.enabled:
        raise ApprovalRefusal(
            "sign-in-review-room",
            "Here cases are approved in the review room (review.enabled), by users with a password and a role; the "
            "command line would take any name.",
        )
    try:
        seen = hashlib.sha256(objectives_file.read_bytes()).hexdigest()
    except OSError as error:
        raise StorageFailure("file-unreadable", f"The objectives cannot be read: {error.strerror}.") from error
    store = Store.in_folder(settings.data_dir)
    to_eclipse = settings.eclipse.drop_folder is not None
    with store.transaction() as session:
        approve(session, case_id, cases_folder(settings), recipients_of(settings), user, seen, to_eclipse)


def hand_over_file(settings: site.Settings, objectives_file: Path, user: str) -> HandOverLine:
    """Approve the objectives of a file, hand them over to Eclipse at once, and say what it has answered so far.

    Again and again for the same file hands over once and takes in new answers. A folder that was removed after a plan
    got its objectives is written again, and the line says so.

    Raises
    ------
    Refusal
        The settings name no drop folder (``no-drop-folder``), or the file holds no objectives.
    ApprovalRefusal
        See :func:`bridge.workflow.release.approve_file`; or two must approve (``two-persons``).
    StorageFailure
        The file cannot be read, or the drop folder is not there (``drop-folder-missing``); nothing is approved then.
    """
    _require_one_is_enough(settings)
    root = settings.eclipse.drop_folder
    if root is None:
        raise Refusal("no-drop-folder", "The settings name no folder of the plug-in for Eclipse: eclipse.drop_folder.")
    folder = EclipseFolder(root)
    folder.require_there()
    store = Store.in_folder(settings.data_dir)
    with store.transaction() as session:
        objectives_sha256 = approve_file(session, objectives_file, settings.data_dir / "approved", user)
        row = _handed_over(session, objectives_sha256)
        is_applied = row.state == "delivered" and row.id in hand_overs.applied(session)
        is_removed = is_applied and not folder.folder_named(objectives_sha256).exists()
        if is_removed:
            hand_overs.write_again(session, row, user)
    courier, answers = eclipse_couriers(settings, store, root)
    courier.run_once()
    answers.take_in()
    with store.transaction() as session:
        line = hand_over_line(session, _handed_over(session, objectives_sha256))
    if not is_removed or line.state != "delivered":
        return line
    return replace(
        line, message=f"written again: its folder was removed after a plan got them. {line.message}".rstrip()
    )


def _handed_over(session: Session, objectives_sha256: str) -> HandOverRow:
    row = hand_overs.with_objectives(session, objectives_sha256)
    assert row is not None  # noqa: S101 - owed since it was approved
    return row


def _require_one_is_enough(settings: site.Settings) -> None:
    """Refuse to approve on the command line where two physicists must (``two-persons``)."""
    if settings.review.two_persons:
        raise ApprovalRefusal(
            "two-persons",
            "Two physicists must approve here (review.two_persons): each signs the case in the review room.",
        )
