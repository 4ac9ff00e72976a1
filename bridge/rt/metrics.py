"""Plan metrics that a physicist reads off a DVH, each under a name that holds its definition and unit."""

from __future__ import annotations

from bridge.rt.dvh import Dvh

__all__ = ["hi_d5_d95", "hi_icru83", "organ_metrics", "structure_metrics", "target_metrics"]

_ORGAN_DOSES_GY = (5, 10, 20, 30, 40, 50, 60)


def hi_icru83(dvh: Dvh) -> float:
    """Give the homogeneity index (D2% - D98%) / D50% of ICRU report 83; 0 is ideal, NaN without dose."""
    return _ratio(dvh.dose_at_percent(2) - dvh.dose_at_percent(98), dvh.dose_at_percent(50))


def hi_d5_d95(dvh: Dvh) -> float:
    """Give the homogeneity index D5% / D95%; 1 is ideal, NaN without dose."""
    return _ratio(dvh.dose_at_percent(5), dvh.dose_at_percent(95))


def structure_metrics(dvh: Dvh, prescribed_gy: float | None = None) -> dict[str, float]:
    """Give the metrics of one structure: those of a target where a dose is prescribed to it, else an organ's.

    Parameters
    ----------
    dvh
        A DVH with samples.
    prescribed_gy
        Prescribed dose of a target, None for any other structure.

    Returns
    -------
    dict
        Metric name with unit to value, in the order in which they are shown.

    Raises
    ------
    StructureRefusal
        The DVH is empty (``dvh-empty``): there is nothing to report, and 0 would be a lie.
    """
    return organ_metrics(dvh) if prescribed_gy is None else target_metrics(dvh, prescribed_gy)


def organ_metrics(dvh: Dvh) -> dict[str, float]:
    """Give mean, near-maximum and volumes at dose of an organ."""
    return {
        "mean_gy": dvh.mean_gy,
        "D0.03cc_gy": dvh.dose_at_cc(0.03),
        "D2%_gy": dvh.dose_at_percent(2),
        "D50%_gy": dvh.dose_at_percent(50),
        "D95%_gy": dvh.dose_at_percent(95),
        "min_gy": dvh.min_gy,
        "max_gy": dvh.max_gy,
        **{f"V{dose}Gy_%": dvh.percent_at_dose(dose) for dose in _ORGAN_DOSES_GY},
    }


def target_metrics(dvh: Dvh, prescribed_gy: float) -> dict[str, float]:
    """Give coverage, extremes and homogeneity of a target."""
    return {
        "mean_gy": dvh.mean_gy,
        "D99%_gy": dvh.dose_at_percent(99),
        "D98%_gy": dvh.dose_at_percent(98),
        "D95%_gy": dvh.dose_at_percent(95),
        "D50%_gy": dvh.dose_at_percent(50),
        "D5%_gy": dvh.dose_at_percent(5),
        "D2%_gy": dvh.dose_at_percent(2),
        "D1%_gy": dvh.dose_at_percent(1),
        "D0.03cc_gy": dvh.dose_at_cc(0.03),
        "min_gy": dvh.min_gy,
        "max_gy": dvh.max_gy,
        "V95%Rx_%": dvh.percent_at_dose(0.95 * prescribed_gy),
        "V100%Rx_%": dvh.percent_at_dose(prescribed_gy),
        "V107%Rx_%": dvh.percent_at_dose(1.07 * prescribed_gy),
        "hi_icru83": hi_icru83(dvh),
        "hi_d5_d95": hi_d5_d95(dvh),
    }


def _ratio(dose_gy: float, to_dose_gy: float) -> float:
    return dose_gy / to_dose_gy if to_dose_gy > 0 else float("nan")
