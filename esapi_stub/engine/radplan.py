"""From a patient on the dose grid and beam directions to the influence of every beamlet, with pyRadPlan's pencil beam.

pyRadPlan places the beamlets and gives the kernels of its generic 6 MV machine (singular value decomposition of a
pencil beam: Bortfeld, Schlegel and Rhein, Med Phys 20:311, 1993). Its ray tracing is replaced by
:mod:`esapi_stub.engine.depth`, and its loop over beamlets in Python by :mod:`esapi_stub.engine.pencil_beam`; with its
own depths, a test holds the latter to its numbers. pyRadPlan's world is LPS in mm like ours, with gantry angles for a
patient who lies head first and supine.
"""

from __future__ import annotations

import hashlib
import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial, partialmethod
from importlib import import_module, metadata
from pathlib import Path
from typing import Any

import numpy as np

from bridge.rt.errors import Failure, GeometryRefusal
from esapi_stub.engine.influence import DoseInfluence
from esapi_stub.engine.patient import PlanningPatient

__all__ = ["DOSE_MODEL", "BeamDirection", "cached_influence", "dose_influence", "equispaced_deg", "influence_key"]

DOSE_MODEL = "pyRadPlan SVDPB, photons_Generic, 6 MV, 2"
"""With the version of what is ours in it: a change of numbers needs another."""

_SAMPLE_MM = 0.5
"""pyRadPlan samples the fluence of a beamlet so, and cuts off what is left over."""


@dataclass(frozen=True)
class BeamDirection:
    """Where a beam comes from.

    Attributes
    ----------
    gantry_deg
        IEC 61217 for a patient who lies head first and supine; couch at 0.
    isocentre_mm
        Patient coordinates ``(x, y, z)``.
    """

    gantry_deg: float
    isocentre_mm: tuple[float, float, float]


def equispaced_deg(count: int = 9) -> tuple[float, ...]:
    """Give gantry angles at equal distances, the first at 0."""
    return tuple(360.0 * number / count for number in range(count))


def cached_influence(
    cache: Path, patient: PlanningPatient, directions: Sequence[BeamDirection], beamlet_mm: float
) -> DoseInfluence:
    """Read a dose influence from a folder, or compute it and put it there.

    Raises
    ------
    Refusal
        As :func:`dose_influence`; or a file that is there is damaged.
    """
    key = influence_key(patient, directions, beamlet_mm)
    path = cache / f"{key}.npz"
    if path.exists():
        found = DoseInfluence.load(path)
        if found.inputs_sha256 == key:
            return found
    influence = dose_influence(patient, directions, beamlet_mm)
    cache.mkdir(parents=True, exist_ok=True)
    influence.save(path)
    return influence


def influence_key(patient: PlanningPatient, directions: Sequence[BeamDirection], beamlet_mm: float) -> str:
    """Give the SHA-256 of everything that an influence depends on."""
    said = f"{DOSE_MODEL} {_release()} {patient.sha256} {directions!r} {beamlet_mm!r}"
    return hashlib.sha256(said.encode()).hexdigest()


def dose_influence(patient: PlanningPatient, directions: Sequence[BeamDirection], beamlet_mm: float) -> DoseInfluence:
    """Compute the dose of every beamlet in every voxel of the body.

    Parameters
    ----------
    patient
        On the dose grid. Beamlets cover its targets with a margin of one beamlet.
    directions
        At least one.
    beamlet_mm
        Width of the square beamlets in the isocentre plane.

    Raises
    ------
    Failure
        pyRadPlan or numba is not installed (``planning-not-installed``).
    GeometryRefusal
        There is no beam direction (``no-beam``), or the beamlets cannot be sampled (``beamlet-width``).
    """
    if not directions:
        raise GeometryRefusal("no-beam", "A dose cannot be computed without a beam.")
    samples = beamlet_mm / _SAMPLE_MM
    if not (samples >= 2.0 and samples.is_integer()):
        raise GeometryRefusal(
            "beamlet-width", f"Beamlets are 1 mm wide or more, in steps of {_SAMPLE_MM:g} mm; got {beamlet_mm:g} mm."
        )
    key = influence_key(patient, directions, beamlet_mm)
    pencil_beam = _imported("esapi_stub.engine.pencil_beam")
    with _quietly():
        engine, common, steering, arguments = _pencil_beam_engine(patient, directions, beamlet_mm)
        beams = []
        for number, beam in enumerate(steering.beams):
            engine._raytracer.trace_cubes = partial(_depth_cubes, engine, patient, beam)
            beams.append(pencil_beam.prepare_beam(engine._init_beam(common, *arguments, number)))
    counts = [len(beam.centres) for beam in beams]
    return DoseInfluence(
        pencil_beam.influence_matrix(beams),
        patient.ct.grid,
        np.flatnonzero(patient.body),
        np.repeat(np.arange(len(beams)), counts),
        np.concatenate([beam.centres for beam in beams]),
        key,
    )


def _depth_cubes(engine: Any, patient: PlanningPatient, beam: Any, _: object) -> list[Any]:
    """Give the radiological depth of each voxel's centre, in the place of pyRadPlan's ray tracing.

    That takes the depth at the middle of the nearest ray's way through a voxel, a millimetre or two off, and leaves out
    what is more than 50 mm beside the beamlets in a plane behind the patient.
    """
    image = _imported("SimpleITK")
    density = image.GetArrayViewFromImage(engine.cube_wed)
    depth = np.full(density.shape, np.nan)
    voxels = np.flatnonzero(patient.body)
    source_mm = np.asarray(beam.iso_center) + np.asarray(beam.source_point)
    trace = _imported("esapi_stub.engine.depth").radiological_depth_mm
    depth.ravel()[voxels] = trace(density, patient.ct.grid, voxels, source_mm)
    return [image.GetImageFromArray(depth)]


def _pencil_beam_engine(
    patient: PlanningPatient, directions: Sequence[BeamDirection], beamlet_mm: float
) -> tuple[Any, Any, Any, tuple[Any, Any, Any]]:
    """Hand everything to pyRadPlan: its engine, what the engine prepared for all beams, the beams, and its inputs."""
    ct, structures, plan = _as_pyradplan(patient, directions, beamlet_mm)
    steering = _imported("pyRadPlan.stf._generate_stf").generate_stf(ct, structures, plan)
    engine = _imported("pyRadPlan.dose.engines._svdpb").PhotonPencilBeamSVDEngine(plan)
    common = engine._init_dose_calc(ct, structures, steering)
    if not np.array_equal(engine._vdose_grid, np.flatnonzero(patient.body)):
        raise GeometryRefusal("dose-grid", "The dose engine did not keep the voxels of the body that it was given.")
    return engine, common, steering, (ct, structures, steering)


def _as_pyradplan(
    patient: PlanningPatient, directions: Sequence[BeamDirection], beamlet_mm: float
) -> tuple[Any, Any, Any]:
    """Give the patient and the beams as pyRadPlan's CT, structure set and plan."""
    grid = patient.ct.grid
    dz, dy, dx = grid.spacing_mm
    x, y, z = (float(n) for n in grid.affine[:3, 3])
    ct = _imported("pyRadPlan.ct").create_ct(
        cube_hu=patient.ct.values.astype(np.float64),
        resolution={"x": dx, "y": dy, "z": dz},
        origin=(x, y, z),
        direction=(1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0),
    )
    create_voi = _imported("pyRadPlan.cst").create_voi
    structures = _imported("pyRadPlan.cst").StructureSet(
        vois=[
            create_voi(voi_type=kind, name=name, ct_image=ct, mask=mask.astype(np.uint8))
            for kind, name, mask in (
                ("EXTERNAL", "body", patient.body),
                ("TARGET", "targets", patient.targets & patient.body),
            )
        ],
        ct_image=ct,
    )
    plan = _imported("pyRadPlan.plan").PhotonPlan(machine="Generic")
    plan.prop_stf = {
        "generator": "photonIMRT",
        "gantry_angles": [direction.gantry_deg for direction in directions],
        "couch_angles": [0.0] * len(directions),
        "iso_center": np.array([direction.isocentre_mm for direction in directions], dtype=np.float64),
        "bixel_width": beamlet_mm,
    }
    plan.prop_dose_calc = {"engine": "SVDPB", "dose_grid": ct.grid}
    return ct, structures, plan


def _imported(module: str) -> Any:
    try:
        return import_module(module)
    except ImportError as error:
        raise _not_installed() from error


def _release() -> str:
    try:
        return metadata.version("pyRadPlan")
    except metadata.PackageNotFoundError as error:
        raise _not_installed() from error


def _not_installed() -> Failure:
    return Failure(
        "planning-not-installed",
        "The dose engine needs pyRadPlan and numba: install the extra 'planning' (pip install 'fdp-bridge[planning]').",
    )


@contextmanager
def _quietly() -> Iterator[None]:
    """Keep pyRadPlan's progress bars, warnings and log to itself."""
    log, bar = logging.getLogger("pyRadPlan"), _imported("tqdm.std").tqdm
    level, init = log.level, bar.__init__
    log.setLevel(logging.ERROR)
    # its environment variables are read when something first imports it, which has happened
    bar.__init__ = partialmethod(init, disable=True)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(level)
        bar.__init__ = init
