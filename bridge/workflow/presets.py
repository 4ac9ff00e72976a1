"""Presets: preferences with a name. The paper's and the site's are always there; people save others beside them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from bridge.rt.errors import ModelRefusal
from bridge.workflow import audit
from bridge.workflow.predict import preference_in
from bridge.workflow.schema import PresetRow
from config.settings import Settings
from models.preference import COVER, NEUTRAL, SPARE, preference_of

__all__ = ["Preset", "delete_preset", "list_presets", "save_preset"]

_LABELS = {SPARE.name: "P1 spare", NEUTRAL.name: "Neutral", COVER.name: "P2 cover"}
_SITE = "Site"
_MOST = 200


@dataclass(frozen=True)
class Preset:
    """A named preference.

    Attributes
    ----------
    name
        How people call it.
    preference
        What :func:`models.preference.preference_of` takes: ``name``, ``hi``, ``oar_weight``, ``oar_weights``.
    author
        Who saved it; None for those that are always there, which nobody changes.
    """

    name: str
    preference: Mapping[str, Any]
    author: str | None

    @property
    def is_read_only(self) -> bool:
        """Whether it is always there."""
        return self.author is None


def list_presets(session: Session, settings: Settings) -> Sequence[Preset]:
    """Give all presets: those that are always there first, then people's by name.

    One that was saved before the settings named another one the same is left out: a name stands for one thing.
    """
    fixed = _always_there(settings)
    taken = {preset.name.casefold() for preset in fixed}
    saved = session.scalars(select(PresetRow).order_by(PresetRow.name))
    mine = [Preset(row.name, row.preference, row.author) for row in saved if row.name.casefold() not in taken]
    return [*fixed, *mine]


def _always_there(settings: Settings) -> list[Preset]:
    """Give those of the paper, what the site predicts with if that is none of them, and those that the site named."""
    fixed = [Preset(label, _of_name(name), None) for name, label in _LABELS.items()]
    if (of_site := preference_in(settings)) not in (SPARE, NEUTRAL, COVER):
        fixed.append(Preset(_SITE, asdict(of_site), None))
    for name, given in settings.review.presets.items():
        wishes = {"hi": given.hi, "oar_weight": given.oar_weight, "oar_weights": dict(given.oar_weights)}
        fixed.append(Preset(name, {"name": NEUTRAL.name, **wishes}, None))
    return fixed


def save_preset(session: Session, settings: Settings, name: str, preference: Mapping[str, Any], author: str) -> Preset:
    """Give a preference a name.

    Raises
    ------
    ModelRefusal
        The name cannot be (``preset-name``), is taken (``preset-exists``), there are too many (``presets-full``), or
        the preference cannot be.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9 ._-]{0,38}[A-Za-z0-9._-]|[A-Za-z0-9]", name):
        raise ModelRefusal(
            "preset-name",
            "A preset has a name of 1 to 40 letters A-Z, digits, spaces, '.', '-' and '_', not of a patient.",
        )
    preference_of(**preference)
    fixed = {*_LABELS, _SITE, *(preset.name for preset in _always_there(settings))}
    names = list(session.scalars(select(PresetRow.name)))
    if name.casefold() in {one.casefold() for one in (*fixed, *names)}:
        raise ModelRefusal("preset-exists", f"There is a preset {name!r}; delete it first, or choose another name.")
    if len(names) >= _MOST:
        raise ModelRefusal("presets-full", f"There are {_MOST} presets; delete one first.")
    session.add(PresetRow(name=name, preference=dict(preference), author=author, created_utc=datetime.now(UTC)))
    session.flush()
    audit.append(session, author, "preset-saved", None, preset=name, preference=dict(preference))
    return Preset(name, preference, author)


def delete_preset(session: Session, name: str, actor: str) -> None:
    """Delete what somebody saved.

    Raises
    ------
    ModelRefusal
        Nobody saved a preset of that name (``preset-unknown``); those that are always there stay.
    """
    row = session.get(PresetRow, name)
    if row is None:
        raise ModelRefusal("preset-unknown", f"There is no preset {name!r} that somebody saved.")
    audit.append(session, actor, "preset-deleted", None, preset=name, preference=row.preference, author=row.author)
    session.delete(row)


def _of_name(name: str) -> dict[str, Any]:
    return {"name": name, "hi": None, "oar_weight": None, "oar_weights": {}}
