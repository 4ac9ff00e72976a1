"""Results of a study by hand: straight DVHs, so that every figure of a report is known."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from bridge.rt.dvh import Dvh
from bridge.rt.plan_metrics import Conformity
from bridge.workflow.cohort.result import VOLUMES_PERCENT, MethodResult, PatientResult, PlanQuality, StructureEntry
from bridge.workflow.cohort.run import CohortRun
from bridge.workflow.cohort.study import BASELINE, POLICY, MethodEntry, Study
from bridge.workflow.library.record import LeftOut
from models.library.measures import GoalOutcome, OrganMeasures, PlanMeasures, TargetMeasures
from objective_extraction.slack import ObjectiveSlack
from objective_extraction.variability.deviation import PredictedCurve, deviation

N = 1000
ORGANS = ("SpinalCord", "Parotid_L")
LEVEL_GY = 70.0


def line(name: str, offset_gy: float) -> Dvh:
    """D(v) = offset - 0.3 v, v in percent."""
    v = (np.arange(N)[::-1] + 0.5) * 100.0 / N
    return Dvh(4, name, offset_gy - 0.3 * v, np.full(N, 20.0 / N), 20.0, POLICY)


def curve(offset_gy: float) -> tuple[float, ...]:
    return tuple(offset_gy - 0.3 * volume for volume in VOLUMES_PERCENT)


def method_entry(name: str, model_id: str, preference: Mapping[str, float] | None = None) -> MethodEntry:
    return MethodEntry(
        name=name, model_id=model_id, model_version="1.0.0", model_sha256="a" * 64, preference=preference or {}
    )


STUDY = Study(
    software="fdp-bridge 1, cohort 1",
    methods=(
        method_entry("balanced", "fdp"),
        method_entry("spare", "fdp", {"oar_weight": 1.25}),
        method_entry(BASELINE, "kbp"),
    ),
    engine="engine 1",
    dose_grid_mm=5.0,
    beamlet_mm=7.0,
    max_iterations=300,
    relative_decrease=2e-4,
    over_iterations=10,
    beams=9,
    normalisation="none",
    protocol="head_and_neck",
    protocol_sha256="b" * 64,
    end_caps=POLICY.end_caps,
    between_planes=POLICY.between_planes,
    extraction={
        "volumes_percent": [0.0, 50.0], "organ_total_priority": 50.0, "margin_percent": 0.0, "overlap_percent": 5.0,
        "target_priority": 100.0,
    },
)  # fmt: skip


def quality(organ_gy: float, d95_gy: float = 69.0, hi: float = 0.08, cn: float | None = 0.7) -> PlanQuality:
    """A plan that meets its hard goal if D95% is 70 Gy or more, and its wish if the organs have 26 Gy or less."""
    return PlanQuality(
        measures=PlanMeasures(
            targets={
                "PTV70": TargetMeasures(
                    prescribed_gy=LEVEL_GY, mean_gy=71.0, d99_gy=66.0, d98_gy=67.0, d95_gy=d95_gy, d50_gy=71.0,
                    d2_gy=73.0, near_maximum_gy=75.0, hi_icru83=hi,
                )
            },
            organs={
                name: OrganMeasures(mean_gy=organ_gy, d01cc_gy=40.0, near_maximum_gy=41.0, outside_gy=organ_gy)
                for name in ORGANS
            },
            goals=(
                GoalOutcome(
                    roi="PTV70", what="D95% >= 70.00 Gy", hard=True, reached_gy=d95_gy, excess_gy=LEVEL_GY - d95_gy
                ),
                GoalOutcome(
                    roi="Parotid_L", what="mean <= 26.00 Gy", hard=False, reached_gy=organ_gy, excess_gy=organ_gy - 26.0
                ),
            ),
            hottest_gy=76.0,
        ),
        conformity=None if cn is None else Conformity(1.1, cn, 4.0, 4.4),
    )  # fmt: skip


def method(
    name: str, off_gy: float, plan: PlanQuality, without: tuple[str, ...] = (), promised: PlanQuality | None = None
) -> MethodResult:
    """Achieved DVHs that lie ``off_gy`` above what was predicted; of a band, 3 Gy more above its line."""
    curves: dict[PredictedCurve, float] = (
        {"band_middle": 50.0, "line_objective": 47.0} if name == BASELINE else {"prediction": 50.0}
    )
    structures = [organ for organ in ORGANS if organ not in without]
    slack = [
        ObjectiveSlack(organ, "point", "upper", 50.0, "organ-curve", 10.0, 35.0, 35.0 + off_gy) for organ in structures
    ]
    slack.append(ObjectiveSlack("PTV70", "point", "lower", 95.0, "target-template", 100.0, 70.0, 69.0))
    return MethodResult(
        name=name,
        predicted={what: {organ: curve(at) for organ in structures} for what, at in curves.items()},
        upper={organ: curve(53.0) for organ in structures} if name == BASELINE else {},
        achieved={organ: curve(50.0 + off_gy) for organ in (*ORGANS, "PTV70")},
        deviations={
            what: {organ: deviation(line(organ, at), line(organ, 50.0 + off_gy)) for organ in structures}
            for what, at in curves.items()
        },
        not_compared={},
        derived={},
        slack=tuple(slack),
        promised=promised,
        planned=plan,
        factor=1.0,
        iterations=60,
        stop="converged",
        objective_value=1.0,
        not_estimated=without,
        findings=(),
    )


def patient(number: int, without: tuple[str, ...] = (), organ_gy: tuple[float, float] = (25.0, 27.0)) -> PatientResult:
    """The model is off by 1 + n/10 Gy, the baseline by 2 + n/10 Gy; means of the organs as given."""
    first = method("balanced", 1.0 + number / 10, quality(organ_gy[0], 70.5), promised=quality(24.0, 70.0, 0.05))
    spare = method("spare", 2.0, quality(organ_gy[0] - 3.0, 69.5), promised=quality(20.0, 69.0, 0.06))
    baseline = method(BASELINE, 2.0 + number / 10, quality(organ_gy[1], 69.0), without)
    return PatientResult(
        id=f"pt_{number}",
        study_sha256=STUDY.sha256,
        source_sha256="c" * 64,
        levels_gy={"PTV70": LEVEL_GY},
        structures=(
            StructureEntry(name="PTV70", kind="target", organ=None, volume_cc=80.0),
            *(StructureEntry(name=organ, kind="organ", organ=None, volume_cc=20.0) for organ in ORGANS),
        ),
        methods=(first, spare, baseline),
        reference=quality(26.0, 70.0),
        reference_curves={organ: curve(51.0) for organ in ORGANS},
    )


def uncompared(result: PatientResult) -> PatientResult:
    """The same patient, the model's dose of whose cord covers less of it than the plan's."""
    first, *others = result.methods
    deviations = {
        curve: {name: found for name, found in of_curve.items() if name != "SpinalCord"}
        for curve, of_curve in first.deviations.items()
    }
    why = (
        "The predicted dose covers 98 % of 'SpinalCord', the achieved dose 100 %; both must cover the same. "
        "[variability-coverage: roi=SpinalCord]"
    )
    first = first.model_copy(update={"deviations": deviations, "not_compared": {"SpinalCord": why}})
    return result.model_copy(update={"methods": (first, *others)})


def run(n: int = 8, left_out: tuple[LeftOut, ...] = (), **more: tuple[float, float]) -> CohortRun:
    return CohortRun(STUDY, tuple(patient(number, **more) for number in range(1, n + 1)), n, left_out)  # type: ignore[arg-type]
