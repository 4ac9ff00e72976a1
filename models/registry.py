"""Where models are found: folders of a zoo, each with a card, by the name of the folder."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

from bridge.rt.errors import ModelRefusal
from models.card import CARD_NAME, ModelCard, model_sha256, read_card
from models.fdp.model import FdpModel
from models.geometric.model import GeometricModel
from models.kbp.model import KbpEstimator
from models.predictor import CheckedPredictor, DoseModel, DosePredictor

__all__ = [
    "BUILT_IN_ZOO",
    "export_model",
    "gives_dose",
    "is_model_id",
    "list_models",
    "load_card",
    "load_estimator",
    "load_model",
    "model_sha256",
]

BUILT_IN_ZOO = Path(__file__).resolve().parent / "zoo"
"""The models that come with the software."""

_LOADERS: Mapping[str, Callable[[Path, bool], DoseModel]] = MappingProxyType(
    {
        "fdp": lambda folder, mirror: FdpModel.from_folder(folder, mirror_average=mirror),
        "geometric": lambda folder, _: GeometricModel.from_folder(folder),
    }
)
"""What runs each kind of model that predicts a dose."""

_ESTIMATOR = "kbp"
"""The kind of model that gives DVHs and no dose."""

_ID = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")


def list_models(zoo: Path | None = None) -> tuple[ModelCard, ...]:
    """Give the cards of all models of a zoo (default: the built-in one), in the order of their ids.

    Raises
    ------
    ModelRefusal
        A folder that is not what its card says.
    """
    zoo = zoo or BUILT_IN_ZOO
    return tuple(read_card(zoo / model_id) for model_id in _ids(zoo))


def load_model(model_id: str, zoo: Path | None = None, mirror_average: bool = True) -> DosePredictor:
    """Give a model of a zoo (default: the built-in one), ready to predict.

    Parameters
    ----------
    mirror_average
        Average the prediction with that for the patient's mirror image, where the kind of model can.

    Raises
    ------
    ModelRefusal
        No such model, a folder that is not what its card says, a kind that this software cannot run, or one that
        gives no dose (``model-no-dose``).
    """
    folder, card = _find(model_id, zoo)
    if not gives_dose(card):
        raise ModelRefusal(
            "model-no-dose",
            f"Model {model_id!r} estimates DVHs and predicts no dose; it serves as a baseline, and not here.",
            model=model_id,
        )
    loader = _LOADERS.get(card.kind)
    if loader is None:
        raise ModelRefusal(
            "model-kind",
            f"Model {model_id!r} is of the kind {card.kind!r}; this software runs: {', '.join(_LOADERS)}.",
            model=model_id,
        )
    return CheckedPredictor(card, model_sha256(folder), loader(folder, mirror_average))


def load_estimator(model_id: str, zoo: Path | None = None) -> KbpEstimator:
    """Give a model of a zoo that estimates DVHs.

    Raises
    ------
    ModelRefusal
        No such model, a folder that is not what its card says, or one that predicts a dose (``model-kind``).
    """
    folder, card = _find(model_id, zoo)
    if gives_dose(card):
        raise ModelRefusal(
            "model-kind", f"Model {model_id!r} is of the kind {card.kind!r} and estimates no DVHs.", model=model_id
        )
    return KbpEstimator.from_folder(folder, card, model_sha256(folder))


def gives_dose(card: ModelCard) -> bool:
    """Whether a model predicts a dose, and is for :func:`load_model`; else it is for :func:`load_estimator`."""
    return card.kind != _ESTIMATOR


def is_model_id(text: str) -> bool:
    """Whether a text can be the id of a model, and so the name of its folder."""
    return _ID.fullmatch(text) is not None


def load_card(model_id: str, zoo: Path | None = None) -> ModelCard:
    """Give the card of a model, whatever it gives.

    Raises
    ------
    ModelRefusal
        No such model, or a folder that is not what its card says.
    """
    return _find(model_id, zoo)[1]


def export_model(model_id: str, folder: Path, zoo: Path | None = None) -> Path:
    """Copy a model, checked against its card, to ``folder/model_id``; that folder can serve as a zoo.

    Raises
    ------
    ModelRefusal
        The model cannot be loaded; or the copy is there already, which is never overwritten.
    """
    if gives_dose(load_card(model_id, zoo)):
        load_model(model_id, zoo)
    else:
        load_estimator(model_id, zoo)
    copy = folder / model_id
    if copy.exists():
        raise ModelRefusal("export-exists", "There is a model of that name in the folder already.", model=model_id)
    shutil.copytree((zoo or BUILT_IN_ZOO) / model_id, copy)
    return copy


def _find(model_id: str, zoo: Path | None) -> tuple[Path, ModelCard]:
    """Give folder and card of a model."""
    zoo = zoo or BUILT_IN_ZOO
    known = _ids(zoo)
    if model_id not in known:
        raise ModelRefusal(
            "model-unknown", f"There is no model {model_id!r}; known are: {', '.join(known) or 'none'}.", model=model_id
        )
    return zoo / model_id, read_card(zoo / model_id)


def _ids(zoo: Path) -> list[str]:
    """Give the names of the model folders; asked-for ids are looked up among them and never become a path."""
    if not zoo.is_dir():
        raise ModelRefusal("zoo-missing", "The folder of models does not exist.", folder=zoo.name)
    folders = (path for path in zoo.iterdir() if (path / CARD_NAME).is_file())
    return sorted(path.name for path in folders if _ID.fullmatch(path.name))
