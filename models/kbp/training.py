"""Training from pairs of anatomy and dose, whatever they come from: challenge data, a plan library, own plans."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
import yaml

from bridge.rt.beams import supine_angle_deg
from bridge.rt.case import Anatomy
from bridge.rt.errors import ModelRefusal
from bridge.rt.volume import Dose
from models.card import CARD_NAME, seal
from models.geometric.parameters import PARAMETERS_NAME as EXPECTED_DOSE_NAME
from models.geometric.parameters import GeometricParameters
from models.kbp.curves import curve_of
from models.kbp.fit import FEWEST_PLANS, OrganPlan, PlanInfluence, fit_organ
from models.kbp.parameters import PARAMETERS_NAME, KbpParameters, OrganModel
from models.kbp.regions import REGIONS, Voxels, measure_organ, voxels_of
from models.registry import BUILT_IN_ZOO

__all__ = [
    "KbpTraining",
    "ObservedPlan",
    "Source",
    "TrainingPlan",
    "built_in_expected_dose",
    "observe",
    "require_no_model",
    "train_kbp",
    "write_influences",
    "write_model",
]


@dataclass(frozen=True, eq=False)
class TrainingPlan:
    """One plan to learn from.

    Attributes
    ----------
    id
        Names it in the outlier statistics; not part of the model.
    anatomy
        With the gantry angles of the plan.
    dose
        What the plan gives, on the anatomy's grid.
    """

    id: str
    anatomy: Anatomy
    dose: Dose


@dataclass(frozen=True, eq=False)
class ObservedPlan:
    """What is kept of a plan: small enough that thousands fit into memory.

    Attributes
    ----------
    id
        As given.
    gantry_deg
        Its fields, ascending, as they would be of a patient lying head first and supine.
    levels_gy
        Its target levels.
    organs
        By the key of the mask.
    outside_body
        Masks of which no part lies in the body: there is nothing to learn from or to measure on.
    """

    id: str
    gantry_deg: tuple[float, ...]
    levels_gy: tuple[float, ...]
    organs: Mapping[str, OrganPlan]
    outside_body: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class KbpTraining:
    """What came out of a training.

    Attributes
    ----------
    parameters
        The model.
    influences
        How each plan lies in each regression.
    too_few
        Organs that were left out, with the number of their plans.
    plans
        Number of plans.
    levels_gy
        Lowest and highest target level.
    """

    parameters: KbpParameters
    influences: tuple[PlanInfluence, ...]
    too_few: Mapping[str, int]
    plans: int
    levels_gy: tuple[float, float]


def built_in_expected_dose() -> GeometricParameters:
    """Give the expected dose by distance of the built-in geometric model, without its sparing of organs."""
    parameters = GeometricParameters.read(BUILT_IN_ZOO / "geometric" / EXPECTED_DOSE_NAME)
    return parameters.model_copy(update={"sparing": {}})


def observe(plan: TrainingPlan, expected_dose: GeometricParameters) -> ObservedPlan:
    """Measure geometry and DVHs of all organs of a plan.

    Raises
    ------
    ModelRefusal
        The dose is on another grid than the anatomy (``kbp-grid``), or the anatomy has no beams (``kbp-no-beams``).
    """
    anatomy = plan.anatomy
    if not plan.dose.grid.matches(anatomy.grid):
        raise ModelRefusal("kbp-grid", "Dose and anatomy of a training plan must lie on one grid.", plan=plan.id)
    if not anatomy.gantry_angles_deg:
        raise ModelRefusal("kbp-no-beams", "A training plan needs the gantry angles of its fields.", plan=plan.id)
    names = [name for name in anatomy.masks if name not in anatomy.target_levels_gy]
    voxels = voxels_of(anatomy, names, anatomy.gantry_angles_deg, expected_dose)
    found = {name: _observe_organ(plan, name, voxels) for name in names}
    organs = {name: one for name, one in found.items() if one is not None}
    outside = tuple(name for name, one in found.items() if one is None)
    levels = tuple(sorted(set(anatomy.target_levels_gy.values())))
    angles = (supine_angle_deg(angle, anatomy.patient_position) for angle in anatomy.gantry_angles_deg)
    return ObservedPlan(plan.id, tuple(sorted(round(angle, 3) % 360.0 for angle in angles)), levels, organs, outside)


def _observe_organ(plan: TrainingPlan, name: str, voxels: Voxels) -> OrganPlan | None:
    geometry = measure_organ(plan.anatomy, name, voxels)
    if geometry is None:
        return None
    weights = plan.anatomy.masks[name].values[voxels.where]
    dose_gy = plan.dose.values[voxels.where]
    relative = dose_gy / np.where(voxels.level_gy > 0, voxels.level_gy, voxels.highest_gy)
    curves = {}
    for region in geometry.regions:
        inside = (voxels.region == REGIONS.index(region)) & (weights > 0)
        curves[region] = curve_of(relative[inside], weights[inside])
    return OrganPlan(plan.id, geometry, curves, curve_of(dose_gy, weights))


def train_kbp(plans: Iterable[ObservedPlan], expected_dose: GeometricParameters) -> KbpTraining:
    """Learn every organ of which there are enough plans.

    Parameters
    ----------
    plans
        As observed with the same numbers of the expected dose.
    expected_dose
        These numbers.

    Raises
    ------
    ModelRefusal
        No organ is in enough plans (``kbp-too-few-plans``).
    """
    observed = list(plans)
    names = dict.fromkeys(name for plan in observed for name in plan.organs)
    organs: dict[str, OrganModel] = {}
    influences: list[PlanInfluence] = []
    too_few: dict[str, int] = {}
    for name in names:
        of_organ = [plan.organs[name] for plan in observed if name in plan.organs]
        fitted = fit_organ(name, of_organ)
        if fitted is None:
            too_few[name] = len(of_organ)
        else:
            organs[name] = fitted[0]
            influences += fitted[1]
    if not organs:
        raise ModelRefusal(
            "kbp-too-few-plans",
            f"An organ needs {FEWEST_PLANS} plans; of {len(observed)} plans "
            + (", ".join(f"{n} have {name}" for name, n in too_few.items()) or "none has any organ")
            + ".",
        )
    usual = Counter(plan.gantry_deg for plan in observed).most_common(1)[0][0]
    levels = [level for plan in observed for level in plan.levels_gy]
    parameters = KbpParameters(gantry_angles_deg=usual, expected_dose=expected_dose, organs=organs)
    return KbpTraining(parameters, tuple(influences), too_few, len(observed), (min(levels), max(levels)))


def write_influences(path: Path, rows: Sequence[PlanInfluence]) -> None:
    """Write the data of regression and residual plots, one plan and component a line."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(PlanInfluence)])
        writer.writeheader()
        writer.writerows(asdict(row) for row in rows)


def require_no_model(folder: Path) -> None:
    """Refuse to write a model where something is already."""
    if folder.exists():
        raise ModelRefusal("export-exists", "There is a model of that name in the folder already.", model=folder.name)


@dataclass(frozen=True)
class Source:
    """Words for the card about where the plans come from.

    Attributes
    ----------
    plans
        What they are.
    licence
        Under which.
    command
        How the training is done again.
    trained_for
        Which system the plans are of; empty where no clinic has it.
    """

    plans: str
    licence: str
    command: str
    trained_for: str = ""


def write_model(folder: Path, training: KbpTraining, source: Source) -> None:
    """Write a model folder, named after its id, with a card that a person has still to fill in with figures.

    Parameters
    ----------
    folder
        Must not exist.
    source
        Where the plans come from.

    Raises
    ------
    ModelRefusal
        The folder is there already, which is never overwritten (``export-exists``).
    """
    require_no_model(folder)
    folder.mkdir(parents=True)
    training.parameters.write(folder / PARAMETERS_NAME)
    card = _card(folder.name, training, source)
    (folder / CARD_NAME).write_text(yaml.safe_dump(card, sort_keys=False, allow_unicode=True), encoding="utf-8")
    seal(folder)


def _card(model_id: str, training: KbpTraining, source: Source) -> dict[str, object]:
    organs = ", ".join(f"{name} {organ.plans}" for name, organ in training.parameters.organs.items())
    return {
        "id": model_id,
        "title": "Knowledge-based DVH estimation",
        "version": "1.0.0",
        "kind": "kbp",
        "description": "A band of DVHs for each organ from the plans of like anatomies: expected dose from distance "
        "and open fields, split of the organ by targets and fields, principal components, stepwise regression. It "
        "gives DVHs and no dose. The baseline that a dose prediction has to beat; no product's algorithm.",
        "intended_use": "NOT FOR CLINICAL USE. Research, commissioning of interfaces and teaching; a site has to "
        "measure on its own plans what the estimates are worth to it.",
        "sites": ["head and neck"],
        "dose_unit": "Gy",
        "inputs": {
            "ct": False,
            "required_structures": [],
            "optional_structures": list(training.parameters.organs),
        },
        "accepts": {
            "spacing_mm": [0.3, 6.0],
            "extent_mm": 1500.0,
            "levels_gy": [20.0, 90.0],
            "usual_levels_gy": list(training.levels_gy),
        },
        "preferences": {},
        **({"trained_for": source.trained_for} if source.trained_for else {}),
        "training": f"{source.plans} Plans with each organ: {organs}.",
        "training_licence": source.licence,
        "training_command": source.command,
        "limits": [
            "It gives what the training plans reached in like anatomies, good or bad, and follows no preference.",
            "Organs are estimated one by one: nothing says that all estimates can be reached in one plan.",
            "DVHs count voxels by the part that is inside, to the resolution of the dose grid.",
            "The band is one standard deviation of a new plan; its edges take all regions of an organ to err alike.",
            f"Organs in fewer than {FEWEST_PLANS} training plans are not estimated.",
        ],
        "metrics": [],
        "files": {},
    }
