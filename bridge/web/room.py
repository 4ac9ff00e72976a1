"""What all pages of the review room share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from threading import Lock

from bridge.web.entrance import Entrance
from bridge.web.newest import NewestOnly
from bridge.web.opened import ShownCase, ShownCases
from bridge.web.passwords import Passwords
from bridge.web.preview_doses import PreviewDoses
from bridge.web.throttle import Throttle
from bridge.workflow.opened_case import open_case
from bridge.workflow.preview import Preview, PreviewRequest
from bridge.workflow.results import results_of
from bridge.workflow.sessions import SessionPolicy
from bridge.workflow.signing import ReleaseRules
from bridge.workflow.store import Store
from config.settings import Settings

__all__ = ["ReviewRoom"]

_WINDOW_S = 600.0
_ONE_LOOK_S = 3600.0


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True)
class ReviewRoom:
    """The review room's parts.

    Attributes
    ----------
    store
        Cases, users and the audit trail.
    cases_folder
        Where the results of all cases lie.
    origin
        Scheme, host and port under which browsers reach it, as ``https://review.example.org``.
    session_policy
        How long somebody stays logged in.
    settings
        How cases are read and predicted.
    predict_preview
        Predicts a preview; takes seconds.
    release
        Who must sign, and who gets what then.
    notice
        What every page says of this room beside that nothing is for clinical use; nothing where empty.
    entrance
        A way in without a password, once; None where there is none.
    passwords
        Compares passwords.
    clock
        Time in UTC.
    logins, audited
        Limits on attempts to log in, and on refusals that go into the audit trail: it keeps everything for ever, and
        nobody is to fill the disk with it.
    looks
        Limits how often it is audited that somebody looks at a case.
    deciding
        Held while files are sealed and signed.
    """

    store: Store
    cases_folder: Path
    origin: str
    session_policy: SessionPolicy
    settings: Settings
    predict_preview: Callable[[PreviewRequest], Preview]
    release: ReleaseRules
    notice: str = ""
    entrance: Entrance | None = None
    passwords: Passwords = field(default_factory=Passwords)
    clock: Callable[[], datetime] = _now
    logins: Throttle = field(default_factory=lambda: Throttle(_WINDOW_S))
    audited: Throttle = field(default_factory=lambda: Throttle(_WINDOW_S))
    looks: Throttle = field(default_factory=lambda: Throttle(_ONE_LOOK_S))
    deciding: Lock = field(default_factory=Lock)

    @cached_property
    def shown(self) -> ShownCases:
        """The cases that are open."""
        return ShownCases(self._read_case, self._newest_result)

    @cached_property
    def previews(self) -> NewestOnly[PreviewRequest, Preview]:
        """Previews, in turn."""
        return NewestOnly(self.predict_preview)

    @cached_property
    def preview_doses(self) -> PreviewDoses:
        """The doses of the newest previews."""
        return PreviewDoses()

    def _read_case(self, case_id: str) -> ShownCase:
        return ShownCase(open_case(self.store, self.cases_folder, case_id, self.settings), self.settings)

    def _newest_result(self, case_id: str) -> str:
        with self.store.transaction() as session:
            return results_of(session, self.cases_folder, case_id).job.input_sha256[:12]

    @property
    def templates_folder(self) -> Path:
        """Where the department's templates lie, beside the cases."""
        return self.cases_folder.parent / "templates"

    @property
    def is_encrypted(self) -> bool:
        """Whether browsers come by https."""
        return self.origin.startswith("https://")

    @property
    def cookie(self) -> str:
        """Name of the session's cookie; over https a browser takes it from this host alone."""
        return "__Host-session" if self.is_encrypted else "session"
