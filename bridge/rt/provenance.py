"""Provenance: what every result carries, so that it can be traced and repeated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime

__all__ = ["NOT_FOR_CLINICAL_USE", "Provenance"]

NOT_FOR_CLINICAL_USE = "NOT FOR CLINICAL USE"
"""The words on every object that the bridge writes; removing them is a site's decision, never a default."""


@dataclass(frozen=True)
class Provenance:
    """Where a result comes from.

    Attributes
    ----------
    software_version
        Version of fdp-bridge.
    model_id, model_sha256
        The predictor and the hash of its folder; empty for results that no model made (a DVH of a given dose).
    config_sha256
        Hash of the settings in force; empty for library calls without any.
    input_uids
        SOP Instance UID to SHA-256 of the bytes read.
    preference
        Preference values that the prediction was asked for, by name.
    created_utc
        When, with time zone UTC.
    preference_used
        Preference values that were used in the place of others, by name: those that the model held within what it was
        trained for. What was used as it was asked for is not in it.
    """

    software_version: str
    model_id: str
    model_sha256: str
    config_sha256: str
    input_uids: Mapping[str, str]
    created_utc: datetime
    preference: Mapping[str, float]
    preference_used: Mapping[str, float] = field(default_factory=dict)

    def as_dict(self) -> dict[str, object]:
        """Give the JSON form; ``preference_used`` is there only where it says something, as in files before it was."""
        content = {
            **asdict(self),
            "input_uids": dict(self.input_uids),
            "preference": dict(self.preference),
            "preference_used": dict(self.preference_used),
            "created_utc": self.created_utc.isoformat(),
        }
        return {key: value for key, value in content.items() if value or key != "preference_used"}
