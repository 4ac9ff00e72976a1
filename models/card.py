"""Model cards: what a model folder says about itself, and the proof that the folder is what the card describes."""

from __future__ import annotations

import hashlib
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from bridge.rt.errors import ModelRefusal

__all__ = ["CARD_NAME", "ModelCard", "model_sha256", "read_card", "seal"]

CARD_NAME = "card.yaml"


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def _ascending(ends: tuple[float, float]) -> tuple[float, float]:
    if ends[0] > ends[1]:
        raise ValueError("a range must ascend")
    return ends


def _plain_path(name: str) -> str:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name or str(path) != name or name in (".", CARD_NAME):
        raise ValueError("a file of a model must be named by a plain path inside its folder")
    return name


Range = Annotated[tuple[float, float], AfterValidator(_ascending)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Text = Annotated[str, Field(min_length=1)]


class Inputs(_Part):
    """What the model is fed, besides the body and the targets, which every model needs.

    Attributes
    ----------
    ct
        Whether CT numbers are needed.
    required_structures, optional_structures
        Keys of the masks of an anatomy (TG-263 names). Without a required one the model refuses; a missing
        optional one is a finding.
    """

    ct: bool
    required_structures: tuple[str, ...]
    optional_structures: tuple[str, ...]


class Preferences(_Part):
    """Ranges of the wishes that the model honours; what is not here is refused.

    Attributes
    ----------
    hi_definition
        Which homogeneity index ``hi`` is (``"hi_icru83"``, ``"hi_d5_d95"``).
    """

    hi: Range | None = None
    hi_definition: Literal["hi_icru83", "hi_d5_d95"] | None = None
    oar_weight: Range | None = None
    oar_weights: dict[str, Range] = {}

    def names(self) -> tuple[str, ...]:
        """Give the names of the wishes that can be honoured."""
        single = [name for name, value in (("hi", self.hi), ("oar_weight", self.oar_weight)) if value is not None]
        return (*single, *(f"oar_weight.{organ}" for organ in self.oar_weights))

    def range_of(self, name: str) -> tuple[float, float] | None:
        """Give the range of a wish by its name in :meth:`names`, None when it cannot be honoured."""
        ranges = {"hi": self.hi, "oar_weight": self.oar_weight}
        return ranges.get(name) or {f"oar_weight.{o}": r for o, r in self.oar_weights.items()}.get(name)


class Accepts(_Part):
    """What the model can be asked for; anything else is refused.

    Attributes
    ----------
    spacing_mm
        Smallest and largest voxel spacing along any axis.
    extent_mm
        Longest grid along any axis.
    levels_gy
        Lowest and highest target level.
    usual_levels_gy
        Range of the target levels in the training data; a prediction outside it carries a warning.
    """

    spacing_mm: Range
    extent_mm: float = Field(gt=0)
    levels_gy: Range
    usual_levels_gy: Range


class Metric(_Part):
    """One measured figure: of what, on what, and by which command it can be had again."""

    name: Text
    value: float
    unit: str
    data: Text
    command: Text


class ModelCard(_Part):
    """Everything that a person or a program needs to know before using a model.

    Attributes
    ----------
    id
        Name of the model and of its folder.
    kind
        Which code runs it; the registry knows the kinds.
    sites
        Treatment sites that it was made for.
    trained_for
        The planning system or engine, and the protocol, whose plans it promises.
    training, training_licence, training_command
        What it was fitted to, under which licence that data is, and the command that does it again.
    limits
        What it is known not to do, in sentences.
    files
        SHA-256 of every other file of the folder, by its path in it.
    """

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")
    title: Text
    version: str = Field(pattern=r"^\d+\.\d+\.\d+$")
    kind: Text
    description: Text
    intended_use: Text
    sites: tuple[Text, ...] = Field(min_length=1)
    dose_unit: Literal["Gy"]
    inputs: Inputs
    accepts: Accepts
    preferences: Preferences
    trained_for: Text = "no planning system named; see its training"
    training: Text
    training_licence: Text
    training_command: Text
    limits: tuple[Text, ...] = Field(min_length=1)
    metrics: tuple[Metric, ...]
    files: dict[Annotated[str, AfterValidator(_plain_path)], Sha256]

    def text(self) -> str:
        """Give the card as a person reads it."""
        lines = [
            f"{self.title} ({self.id} {self.version})",
            self.intended_use,
            "",
            self.description,
            "",
            f"Sites: {', '.join(self.sites)}",
            f"Preferences: {', '.join(self.preferences.names()) or 'none'}",
            f"Trained for: {self.trained_for}",
            f"Training: {self.training} Licence: {self.training_licence}.",
            "Limits:",
            *(f"  - {limit}" for limit in self.limits),
            "Measured:",
            *(f"  - {m.name}: {m.value:g} {m.unit} on {m.data} ({m.command})" for m in self.metrics),
        ]
        return "\n".join(lines)


def read_card(folder: Path) -> ModelCard:
    """Read the card of a model folder and hold the folder against it.

    Raises
    ------
    ModelRefusal
        No readable card, one that breaks the schema, or one of another model than the folder is named after; a file
        that is missing, changed, or that the card does not list.
    """
    try:
        content = yaml.safe_load((folder / CARD_NAME).read_text(encoding="utf-8"))
        card = ModelCard.model_validate(content)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ModelRefusal(
            "card-unreadable", f"Model {folder.name!r} has no readable {CARD_NAME}.", model=folder.name
        ) from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "the top"
        raise ModelRefusal(
            "card-invalid",
            f"{CARD_NAME} of model {folder.name!r} is wrong at {place}: {first['msg']} "
            f"({error.error_count()} mistakes in all).",
            model=folder.name,
        ) from error
    if card.id != folder.name:
        raise ModelRefusal(
            "card-id", f"The folder {folder.name!r} holds the card of model {card.id!r}.", model=folder.name
        )
    _check_files(folder, card)
    return card


def model_sha256(folder: Path) -> str:
    """Hash a model folder: names and contents of all its files, in the order of their names."""
    digest = hashlib.sha256()
    for name, sha256 in _hashes(folder).items():
        digest.update(f"{name}\0{sha256}\n".encode())
    return digest.hexdigest()


def seal(folder: Path) -> None:
    """Write the hashes of a folder's files into its card, after a training has made or changed them."""
    path = folder / CARD_NAME
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    content["files"] = {name: sha256 for name, sha256 in _hashes(folder).items() if name != CARD_NAME}
    path.write_text(yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=110), encoding="utf-8")


def _hashes(folder: Path) -> dict[str, str]:
    paths = sorted((path.relative_to(folder).as_posix(), path) for path in folder.rglob("*") if path.is_file())
    return {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in paths}


def _check_files(folder: Path, card: ModelCard) -> None:
    found = {name: sha256 for name, sha256 in _hashes(folder).items() if name != CARD_NAME}
    for name in sorted(found.keys() | card.files.keys()):
        if found.get(name) == card.files.get(name):
            continue
        problem = "is missing" if name not in found else "is not listed" if name not in card.files else "has changed"
        raise ModelRefusal(
            "model-files",
            f"File {name!r} of model {card.id!r} {problem}: the folder is not the one that its card describes. "
            "Restore the model folder from where it was delivered.",
            model=card.id,
            file=name,
        )
