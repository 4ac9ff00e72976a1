"""The plans that ship: whole, small, without doses, and such that a build goes on from them."""

from __future__ import annotations

import pytest

from bridge import __version__
from bridge.workflow.library.build import LibraryOptions, recipe_of
from config.protocol import load_protocol
from models.library.library import Library, open_library
from models.registry import BUILT_IN_ZOO

ARCHIVE = BUILT_IN_ZOO / "plans-hn-engine-v1"
MOST_MB = 32.0


@pytest.fixture(scope="module")
def library() -> Library:
    return open_library(ARCHIVE)


def test_it_has_patients_to_learn_from_and_patients_to_measure_on(library: Library) -> None:
    assert len(library.of_set("train")) >= 100
    assert len(library.of_set("validation")) >= 20


def test_every_patient_has_all_plans_as_their_hashes_say(library: Library) -> None:
    for patient in library.patients:
        names = [plan.name for plan in patient.plans]
        assert names[0] == "9-reference"
        assert len(set(names)) == 9
        beamlets = {plan.content().fluence.shape for plan in patient.plans}
        assert len(beamlets) == 1, "the fluences are of the same beams"


def test_it_is_small_and_holds_no_dose(library: Library) -> None:
    files = [path for path in ARCHIVE.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) / 2**20 < MOST_MB
    assert not [path for path in files if ".dose." in path.name]
    folders = {path.parent.name for path in files} - {ARCHIVE.name}
    assert folders == {patient.id for patient in library.patients}


def test_a_build_with_the_stated_options_goes_on_from_it_in_any_release(library: Library) -> None:
    assert __version__ not in library.recipe.engine
    assert library.recipe == recipe_of(LibraryOptions(), load_protocol("head_and_neck"))


def test_reference_plans_cover_their_targets(library: Library) -> None:
    for patient in library.patients:
        reference = patient.plans[0]
        assert reference.is_reference
        for target in reference.measures.targets.values():
            assert target.d95_gy > 0.99 * target.prescribed_gy, patient.id
