"""What no single setting can show: settings that contradict each other, or name a structure that nobody knows."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from pathlib import Path

from config.errors import Problem
from config.protocol import protocol_names
from config.settings import Settings
from config.structure_names import StructureNames, contradiction

__all__ = ["cross_check"]

_THIS_COMPUTER = ("127.0.0.1", "::1", "localhost")


def cross_check(settings: Settings) -> list[Problem]:
    """Give every contradiction between settings."""
    return [*_places(settings), *_review(settings), *_timers(settings), *_names(settings)]


def _places(settings: Settings) -> Iterator[Problem]:
    watched, dropped, data = settings.watched_folder.path, settings.eclipse.drop_folder, settings.data_dir
    if watched is not None and (_inside(watched, data) or _inside(data, watched)):
        yield Problem("watched_folder.path", f"{watched} and data_dir {data} must not lie one in the other")
    for name, other in (("data_dir", data), ("watched_folder.path", watched)):
        if dropped is not None and other is not None and (_inside(dropped, other) or _inside(other, dropped)):
            yield Problem("eclipse.drop_folder", f"{dropped} and {name} {other} must not lie one in the other")
    tls = settings.node.tls
    if tls is not None and tls.port is not None and tls.port == settings.node.port:
        yield Problem("node.tls.port", f"{tls.port} is the plain port as well; null makes the plain port TLS only")
    names = [destination.name for destination in settings.destinations]
    for index, name in enumerate(names):
        if name in names[:index]:
            yield Problem(f"destinations[{index}].name", f"{name!r} names another destination already")


def _review(settings: Settings) -> Iterator[Problem]:
    review = settings.review
    if review.tls is None and review.host not in _THIS_COMPUTER:
        yield Problem("review.tls", f"is needed: {review.host} is seen from elsewhere, and passwords would be readable")
    if review.tls is not None and review.origin is not None and not review.origin.startswith("https://"):
        yield Problem("review.origin", f"{review.origin} is not https, but review.tls is set")
    known = protocol_names()
    if review.protocol not in known:
        yield Problem("review.protocol", f"there is no protocol {review.protocol!r}; known: {', '.join(known)}")


def _inside(path: Path, folder: Path) -> bool:
    return path == folder or folder in path.parents


def _timers(settings: Settings) -> Iterator[Problem]:
    delivery, ring, watched = settings.delivery, settings.extraction.ring, settings.watched_folder
    if delivery.longest_retry_s < delivery.first_retry_s:
        yield Problem("delivery.longest_retry_s", f"must not be less than first_retry_s, {delivery.first_retry_s:g}")
    if watched.give_up_s <= watched.stable_s:
        yield Problem("watched_folder.give_up_s", f"must be more than stable_s, {watched.stable_s:g}")
    if ring.outer_mm <= ring.inner_mm:
        yield Problem("extraction.ring.outer_mm", f"must be more than inner_mm, {ring.inner_mm:g}")


def _names(settings: Settings) -> Iterator[Problem]:
    table = StructureNames.load()
    own = settings.structure_names
    used = [
        *((f"structure_names.aliases.{key}", name) for key, name in own.aliases.items()),
        *((f"structure_names.patterns.{key}", name) for key, name in own.patterns.items()),
        *((f"prediction.oar_weights.{name}", name) for name in settings.prediction.oar_weights),
        *(
            (f"review.presets.{preset}.oar_weights.{name}", name)
            for preset, wished in settings.review.presets.items()
            for name in wished.oar_weights
        ),
        *(
            (f"extraction.mean_objective_for[{i}]", name)
            for i, name in enumerate(settings.extraction.mean_objective_for)
        ),
    ]
    for path, name in used:
        if not table.is_standard(name):
            near = difflib.get_close_matches(name, table.standard_names, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            yield Problem(path, f"{name!r} is not a standard structure name{hint}")
    for alias, name in own.aliases.items():
        if table.is_standard(name) and (why := contradiction(alias, name)):
            yield Problem(f"structure_names.aliases.{alias}", f"{why}, but it is mapped to {name!r}")
