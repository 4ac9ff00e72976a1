"""ObjectiveSet: everything a planner needs to reach a dose, with its provenance and its hash."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import ClassVar, Literal

from bridge.rt.dvh import DvhPolicy
from bridge.rt.errors import IdentityRefusal, Refusal
from bridge.rt.findings import Finding
from bridge.rt.prescription import Prescription
from bridge.rt.provenance import NOT_FOR_CLINICAL_USE, Provenance
from bridge.rt.short_ids import LONGEST_STRUCTURE_ID, short_ids
from objective_extraction.objectives import NormalTissueObjective, Objective, check_name
from objective_extraction.structure_volume import StructureVolume

__all__ = ["CaseReference", "DerivedStructure", "DoseSource", "ObjectiveSet", "canonical_json"]

DoseSource = Literal["predicted", "optimized", "given"]
"""By a model; by the bridge's own research planning; or by whoever made a dose that came as a file."""

_LARGEST_MARGIN_MM = 50.0
"""What Eclipse takes as one margin."""


@dataclass(frozen=True)
class CaseReference:
    """Which structure set the objectives are for, by UIDs alone: no patient name or number.

    Attributes
    ----------
    structure_set_uid
        SOP Instance UID of the RTSTRUCT.
    study_instance_uid, frame_of_reference_uid
        Its study and frame of reference.
    """

    structure_set_uid: str
    study_instance_uid: str
    frame_of_reference_uid: str

    def __post_init__(self) -> None:
        for what, uid in asdict(self).items():
            if not re.fullmatch(r"[0-9.]{1,64}", uid):
                raise IdentityRefusal("uid-invalid", f"The {what} must be a DICOM UID, got {uid!r}.")


@dataclass(frozen=True)
class DerivedStructure:
    """How to make, in the planning system, a structure that objectives need and the structure set lacks.

    Attributes
    ----------
    name
        At most 16 characters, unlike any name in the structure set.
    operation
        ``"subtract"``: ``of`` less the ``minus`` structures grown by ``margin_mm``. ``"ring"``: the part of
        ``within`` that lies between ``inner_mm`` and ``outer_mm`` from the union of ``of``.
    of
        Names of the structures to start from; one for a subtraction.
    """

    name: str
    operation: Literal["subtract", "ring"]
    of: tuple[str, ...]
    minus: tuple[str, ...] = ()
    margin_mm: float | None = None
    within: str | None = None
    inner_mm: float | None = None
    outer_mm: float | None = None

    def __post_init__(self) -> None:
        check_name(self.name, LONGEST_STRUCTURE_ID)
        if self.operation == "subtract":
            fits = (
                len(self.of) == 1
                and bool(self.minus)
                and self.margin_mm is not None
                and 0 <= self.margin_mm <= _LARGEST_MARGIN_MM
                and (self.within, self.inner_mm, self.outer_mm) == (None, None, None)
            )
        else:
            fits = (
                self.operation == "ring"
                and bool(self.of)
                and self.within is not None
                and self.inner_mm is not None
                and self.outer_mm is not None
                and 0 <= self.inner_mm < self.outer_mm <= _LARGEST_MARGIN_MM
                and not self.minus
                and self.margin_mm is None
            )
        if not fits:
            raise Refusal(
                "derived-recipe",
                f"The recipe of derived structure {self.name!r} is not complete or holds distances outside 0 to "
                f"{_LARGEST_MARGIN_MM:g} mm: {self}.",
                roi=self.name,
            )

    @property
    def sources(self) -> tuple[str, ...]:
        """Names of the structures that it is made of."""
        return (*self.of, *self.minus, *(() if self.within is None else (self.within,)))

    def __str__(self) -> str:
        """Say it as a planner would."""
        if self.operation == "subtract":
            margin = f" + {self.margin_mm:g} mm" if self.margin_mm else ""
            return f"{self.name} = {self.of[0]} - ({' + '.join(self.minus)}){margin}"
        return f"{self.name} = {self.inner_mm:g} to {self.outer_mm:g} mm around {' + '.join(self.of)} in {self.within}"


@dataclass(frozen=True)
class ObjectiveSet:
    """The objectives of one case, as they are exported.

    Attributes
    ----------
    case
        The structure set.
    prescription
        Target levels and fractions.
    objectives
        In the order in which they are shown.
    derived_structures
        In the order in which they must be made.
    structure_volumes
        Of the structures in the structure set, those without objectives too: a person may ask something of them.
    dose_source
        What dose they were read from.
    dvh_policy
        How its DVHs were made.
    provenance
        Software, model, settings and inputs.
    findings
        What a person should know before using them.
    normal_tissue
        Optional fall-off objective.

    Raises
    ------
    Refusal
        Two derived structures of one name, an objective for a structure that is neither in the structure set nor
        derived here (``derived-unknown``), one ROI number under two names or the reverse (``roi-name-conflict``), or a
        structure that is needed and of which no volume is known (``volume-unknown``).
    """

    version: ClassVar[str] = "1.1"

    case: CaseReference
    prescription: Prescription
    objectives: tuple[Objective, ...]
    derived_structures: tuple[DerivedStructure, ...]
    structure_volumes: tuple[StructureVolume, ...]
    dose_source: DoseSource
    dvh_policy: DvhPolicy
    provenance: Provenance
    findings: tuple[Finding, ...] = ()
    normal_tissue: NormalTissueObjective | None = None

    def __post_init__(self) -> None:
        derived = Counter(structure.name for structure in self.derived_structures)
        in_set = {
            *((level.roi_number, level.roi_name) for level in self.prescription.levels),
            *((o.roi_number, o.roi_name) for o in self.objectives if o.roi_number is not None),
        }
        # the planning system compares without regard to case
        taken = Counter(name.casefold() for name in [*derived, *(name for _, name in in_set)])
        repeated = [name for name, count in derived.items() if count > 1 or taken[name.casefold()] > 1]
        if repeated:
            raise Refusal("derived-repeated", f"Derived structures need names of their own: {', '.join(repeated)}.")
        unknown = sorted({o.roi_name for o in self.objectives if o.roi_number is None} - set(derived))
        if unknown:
            raise Refusal("derived-unknown", f"There is no recipe for the structures {', '.join(unknown)}.")
        numbers = Counter(number for number, _ in in_set)
        conflicting = [number for number, count in numbers.items() if count > 1]
        if conflicting:
            raise Refusal(
                "roi-name-conflict", f"ROI number {conflicting[0]} has more than one name in an objective set."
            )
        shared = sorted(name for name, count in Counter(name for _, name in in_set).items() if count > 1)
        if shared:
            raise Refusal(
                "roi-name-conflict",
                f"Two structures are named {shared[0]!r}, and a planning system tells them apart by name; rename one.",
                roi=shared[0],
            )
        known = Counter(volume.roi_number for volume in self.structure_volumes)
        named = {(volume.roi_number, volume.roi_name) for volume in self.structure_volumes}
        of_objectives = {(o.roi_number, o.roi_name) for o in self.objectives if o.roi_number is not None}
        lacking = {name for _, name in of_objectives - named} | (self._sources() - {name for _, name in named})
        lacking |= {volume.roi_name for volume in self.structure_volumes if known[volume.roi_number] > 1}
        if lacking:
            raise Refusal(
                "volume-unknown", f"There has to be one volume of each structure: {', '.join(sorted(lacking))}."
            )

    def _sources(self) -> set[str]:
        """Give the structures of the structure set that derived ones are made of."""
        derived = {recipe.name for recipe in self.derived_structures}
        return {name for recipe in self.derived_structures for name in recipe.sources} - derived

    @property
    def needed_structures(self) -> tuple[StructureVolume, ...]:
        """The structures that a plan must have as they were: those of objectives, and what derived ones are made of."""
        numbers, sources = {objective.roi_number for objective in self.objectives}, self._sources()
        return tuple(one for one in self.structure_volumes if one.roi_number in numbers or one.roi_name in sources)

    @cached_property
    def structure_ids(self) -> Mapping[str, str]:
        """Id in the planning system of every structure that is named here, by its name; see :func:`short_ids`."""
        recipes = self.derived_structures
        return short_ids(
            [
                *(level.roi_name for level in self.prescription.levels),
                *(objective.roi_name for objective in self.objectives),
                *(name for recipe in recipes for name in (recipe.name, *recipe.sources)),
            ]
        )

    @property
    def shortened_names(self) -> dict[str, str]:
        """Those of :attr:`structure_ids` whose name is too long for the planning system."""
        return {name: identifier for name, identifier in self.structure_ids.items() if name != identifier}

    def content(self) -> dict[str, object]:
        """Give the JSON form without its hash."""
        return {
            "version": self.version,
            "notice": NOT_FOR_CLINICAL_USE,
            "case": asdict(self.case),
            "dose_source": self.dose_source,
            "prescription": {
                "fractions": self.prescription.fractions,
                "levels": [asdict(level) for level in self.prescription.levels],
            },
            "objectives": [{"kind": objective.kind, **asdict(objective)} for objective in self.objectives],
            "normal_tissue": None if self.normal_tissue is None else asdict(self.normal_tissue),
            "derived_structures": [asdict(structure) for structure in self.derived_structures],
            "structure_ids": self.shortened_names,
            "structure_volumes": [asdict(volume) for volume in self.structure_volumes],
            "dvh_policy": asdict(self.dvh_policy),
            "provenance": self.provenance.as_dict(),
            "findings": [finding.as_dict() for finding in self.findings],
        }

    @cached_property
    def sha256(self) -> str:
        """SHA-256 (hex) of the canonical JSON of everything that is exported, but for the hash itself."""
        return hashlib.sha256(canonical_json(self.content())).hexdigest()

    def document(self) -> dict[str, object]:
        """Give the JSON form with its hash."""
        return {**self.content(), "sha256": self.sha256}


def canonical_json(value: object) -> bytes:
    """Give JSON in one way only: UTF-8, keys sorted, no spaces, whole numbers without a decimal point.

    So 70.0 and 70 are the same number, as they are in JSON, and any language can recompute the hash.

    Raises
    ------
    ValueError
        A number that is not finite.
    """
    text = json.dumps(_plain(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode("utf-8")


def _plain(value: object) -> object:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value
