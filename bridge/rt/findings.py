"""Findings: what a person should know about a case that is not a reason to refuse it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

__all__ = ["Finding", "Severity", "each_once", "warnings_first"]

Severity = Literal["info", "warning"]


@dataclass(frozen=True)
class Finding:
    """One observation about the input or a result.

    Attributes
    ----------
    code
        Stable, hyphenated identifier (``"plane-gap"``).
    severity
        ``"info"`` or ``"warning"``; whatever is worse is a :class:`bridge.rt.errors.Refusal`.
    message
        A sentence for a physicist, with numbers and units, and no patient name.
    where
        Identifiers that say where, such as ``{"roi": "Parotid_L"}``.
    """

    code: str
    severity: Severity
    message: str
    where: Mapping[str, str] = field(default_factory=dict)

    def as_dict(self) -> dict[str, object]:
        """Give the JSON form."""
        return {
            "code": self.code,
            "severity": self.severity,
            "message": self.message,
            "where": dict(self.where),
        }


def each_once(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Give findings in their order without repetitions: a case, its dose and its objectives may say the same."""
    kept: list[Finding] = []
    for finding in findings:
        if finding not in kept:
            kept.append(finding)
    return tuple(kept)


def warnings_first(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Give warnings before the rest, both in their order."""
    return tuple(sorted(findings, key=lambda finding: finding.severity != "warning"))
