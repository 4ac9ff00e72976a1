"""Doctor: is this installation able to work, and if not, what is missing."""

from __future__ import annotations

import importlib.util
import shutil
import socket
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from bridge.node.scu import Sender
from bridge.node.settings import Destination
from bridge.rt.errors import BridgeError
from config.settings import Settings
from models.registry import list_models, load_model

__all__ = ["Check", "examine"]

_LEAST_FREE_GB = 2.0


@dataclass(frozen=True)
class Check:
    """One thing that was looked at."""

    name: str
    good: bool
    detail: str


def examine(settings: Settings, destinations: Iterable[Destination], sender: Sender) -> Iterator[Check]:
    """Look at everything that a bridge needs, worst problems not excepted: no check ends the others."""
    yield Check("python", sys.version_info >= (3, 11), sys.version.split()[0])
    for module, extra in (("jinja2", "report"), ("matplotlib", "report"), ("onnxruntime", "cpu] or [gpu")):
        there = importlib.util.find_spec(module) is not None
        yield Check(f"package {module}", there, "installed" if there else f"install fdp-bridge[{extra}]")
    yield _models(settings.prediction.model)
    yield from _data_folder(settings.data_dir)
    if settings.eclipse.drop_folder is not None:
        yield _drop_folder(settings.eclipse.drop_folder)
    yield _port(settings.node.host, settings.node.port)
    for destination in destinations:
        answer = sender.echo(destination)
        yield Check(f"destination {destination.name}", answer.reached, answer.message)


def _models(model_id: str) -> Check:
    try:
        known = ", ".join(card.id for card in list_models())
        model = load_model(model_id)
    except BridgeError as error:
        return Check("models", False, str(error))
    used = f"predicting with {model.card.id} {model.sha256[:12]}, trained for: {model.card.trained_for}"
    return Check("models", True, f"{known}; {used}")


def _drop_folder(folder: Path) -> Check:
    try:
        _probe(folder)
    except OSError as error:
        return Check("drop folder for Eclipse", False, f"{folder} cannot be written: {error.strerror}")
    return Check("drop folder for Eclipse", True, f"{folder} can be written")


def _probe(folder: Path) -> None:
    probe = folder / ".doctor"
    probe.write_bytes(b"")
    probe.unlink()


def _data_folder(folder: Path) -> Iterator[Check]:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _probe(folder)
        yield Check("data folder", True, f"{folder} can be written")
    except OSError as error:
        yield Check("data folder", False, f"{folder} cannot be written: {error.strerror}")
        return
    free_gb = shutil.disk_usage(folder).free / 1e9
    yield Check("disk", free_gb >= _LEAST_FREE_GB, f"{free_gb:.1f} GB free, {_LEAST_FREE_GB:g} GB are needed")


def _port(host: str, port: int) -> Check:
    with socket.socket() as probe:
        # as the node itself binds: a port in its closing wait is free
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            detail = f"{host}:{port} cannot be bound ({error.strerror}); is a bridge running there already?"
            return Check("DICOM port", False, detail)
    return Check("DICOM port", True, f"{host}:{port} is free")
