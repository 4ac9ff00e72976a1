"""Which files a library's patients are, and which of their plans are worth learning or being measured by."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bridge.rt.errors import ModelRefusal
from models.library.library import Library, LibraryPatient, LibraryPlan
from models.openkbp.reader import list_patients, patient_folder
from models.openkbp.source import source_sha256

__all__ = ["sources_of", "usable"]


def sources_of(data: Path, library: Library, set_name: str) -> list[tuple[Path, LibraryPatient]]:
    """Give the patients of one set of a library, each with the files that he was made of.

    Raises
    ------
    ModelRefusal
        The data has no such patient, or other files of him (``library-source``); or a plan is not what the manifest
        says of it (``library-file-changed``).
    """
    patients = library.of_set(set_name)
    if not patients:
        return []
    paths = {path.name.removesuffix(".npz"): path for path in list_patients(patient_folder(data, set_name))}
    for patient in patients:
        path = paths.get(patient.id)
        if path is None:
            what = f"The data has no patient {patient.id}, of whom the library has plans."
            raise _other_data(what, patient.id)
        if source_sha256(path) != patient.manifest.source_sha256:
            what = (
                f"The data has other files of patient {patient.id} than those that the library was made of: its plans "
                "would be taken for plans of somebody else."
            )
            raise _other_data(what, patient.id)
        for plan in patient.plans:
            plan.content()  # labels are made of the manifest, of which no hash is kept: it must say what the plans say
    return [(paths[patient.id], patient) for patient in patients]


def _other_data(what: str, patient_id: str) -> ModelRefusal:
    return ModelRefusal(
        "library-source", f"{what} Name the data that the library was built from.", patient=patient_id
    )  # fmt: skip


def usable(plans: Sequence[LibraryPlan]) -> tuple[LibraryPlan, ...]:
    """Give the plans of one set of beams that are worth learning, the reference plan first.

    Left out are plans that another plan of these beams beats, and plans that leave a target cold. The reference plan
    stays whatever beats it, because all labels are relative to it; where it is cold itself, nothing is left. Hot plans
    stay: a hot voxel is what sparing costs.
    """
    if any(plan.is_reference and "cold" in plan.entry.flags for plan in plans):
        return ()
    kept = [plan for plan in plans if plan.is_reference or not {"dominated", "cold"} & set(plan.entry.flags)]
    return tuple(sorted(kept, key=lambda plan: not plan.is_reference))
