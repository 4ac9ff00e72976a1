"""The reference plans of a library as plans to learn from and to be measured on."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Executor
from dataclasses import replace
from functools import partial
from pathlib import Path

from bridge.rt.errors import ModelRefusal, error_context
from bridge.rt.volume import Dose
from models.fdp.axes import AlignedAxes
from models.geometric.parameters import GeometricParameters
from models.kbp.training import ObservedPlan, TrainingPlan, observe
from models.library.engine_dose import EngineDoses
from models.library.library import Library, LibraryPatient
from models.library.sources import sources_of, usable
from models.openkbp.reader import read_patient

__all__ = ["observe_references"]

Source = tuple[Path, LibraryPatient]


def observe_references(
    data: Path, library: Library, set_name: str, expected_dose: GeometricParameters, executor: Executor
) -> Iterator[ObservedPlan]:
    """Observe the reference plan of each patient and set of beams, in their order; cold ones are left out.

    Parameters
    ----------
    data
        The patients that the library was made of.
    library, set_name
        Whose plans.

    Raises
    ------
    ModelRefusal
        The library has no patient of the set (``library-no-plans``), was made of other files (``library-source``), or a
        file of it is not what it was.
    """
    sources = sources_of(data, library, set_name)
    if not sources:
        raise ModelRefusal("library-no-plans", f"The library has no patient of the set {set_name!r}.")
    for plans in executor.map(partial(_observe, expected_dose=expected_dose), sources):
        yield from plans


def _observe(source: Source, expected_dose: GeometricParameters) -> list[ObservedPlan]:
    path, planned = source
    with error_context({"patient": planned.id}):
        anatomy = read_patient(path).anatomy
        doses = EngineDoses(anatomy.body, planned.grid)
        axes = AlignedAxes.of(anatomy.grid).axes
        found = []
        for beams in planned.manifest.beam_sets:
            for plan in usable(planned.with_beams(beams.name))[:1]:
                name = planned.id if len(planned.manifest.beam_sets) == 1 else f"{planned.id}, {beams.name} beams"
                dose = Dose(doses.on(plan, axes), anatomy.grid)
                with_beams = replace(anatomy, gantry_angles_deg=beams.gantry_deg)
                found.append(observe(TrainingPlan(name, with_beams, dose), expected_dose))
        return found
