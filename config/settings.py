"""All settings. Each field's description is its help line, from which docs/reference/configuration.md is made.

Default values are in ``defaults.yaml`` and nowhere else; only members of lists, which it cannot hold, have theirs here.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

from config.base import (
    AeTitle,
    Host,
    Network,
    NonNegative,
    Percent,
    Port,
    Positive,
    Regex,
    Section,
    SitePath,
)

__all__ = [
    "CompletenessSettings",
    "DeliverySettings",
    "DestinationSettings",
    "DvhSettings",
    "EclipseSettings",
    "ExtractionSettings",
    "LabelSettings",
    "LoggingSettings",
    "NodeSettings",
    "NodeTlsSettings",
    "PeerSettings",
    "PredictionSettings",
    "PrescriptionSettings",
    "PrioritySettings",
    "ReleaseSettings",
    "ReviewSettings",
    "ReviewTlsSettings",
    "RingSettings",
    "RtdoseSettings",
    "Settings",
    "StructureNameSettings",
    "TargetUpperLimit",
    "TlsSettings",
    "WatchedFolderSettings",
]


class TlsSettings(Section):
    """Certificates for DICOM TLS; both sides show theirs."""

    certificate: SitePath = Field(description="PEM file with our certificate chain.")
    key: SitePath = Field(description="PEM file with our private key, readable by the service only.")
    ca: SitePath = Field(description="PEM file with the authorities whose certificates we trust.")


class NodeTlsSettings(TlsSettings):
    """Certificates of the node, and the port that uses them."""

    port: Port | None = Field(
        None, description="Port for TLS beside the plain port; null: the plain port speaks TLS only."
    )


class PeerSettings(Section):
    """A system that may send to the node."""

    ae_title: AeTitle = Field(description="Calling AE title of the peer.")
    hosts: tuple[Network, ...] = Field(
        min_length=1, description="Addresses it may come from: IP addresses, or networks as 192.0.2.0/24."
    )


class NodeSettings(Section):
    """The DICOM node that receives."""

    ae_title: AeTitle = Field(description="Our AE title; associations that call another one are rejected.")
    host: Host = Field(description="Address to listen on; 0.0.0.0 listens on all interfaces.")
    port: int = Field(ge=0, le=65535, description="TCP port to listen on; 0 lets the operating system choose.")
    peers: tuple[PeerSettings, ...] = Field(description="Who may send; nobody else is accepted.")
    accept_any_peer: bool = Field(description="Accept every AE title from every address; for tests only.")
    max_associations: int = Field(ge=1, description="Associations at the same time.")
    max_associations_per_host: int = Field(ge=1, description="Associations at the same time from one address.")
    acse_timeout_s: Positive = Field(
        description="Seconds for the first message of an association; short, so that silent clients block nobody."
    )
    network_timeout_s: Positive = Field(description="Seconds without any message before an association is aborted.")
    max_pdu_bytes: int = Field(
        ge=4096, le=16_777_216, description="Largest PDU we announce and accept; a larger one ends the connection."
    )
    max_object_mb: Positive = Field(description="Largest DICOM object we accept, in megabytes.")
    tls: NodeTlsSettings | None = Field(description="DICOM TLS; null: plain DICOM only.")


class WatchedFolderSettings(Section):
    """A folder in which exported files may be put instead of sending them."""

    path: SitePath | None = Field(description="Folder to watch, with its subfolders; null: none.")
    stable_s: Positive = Field(description="Seconds that a file must stay unchanged before it is read.")
    give_up_s: Positive = Field(description="Seconds after which a file that cannot be read whole is refused.")


class CompletenessSettings(Section):
    """When a case is complete. The RTSTRUCT says which images it needs; the timers only stand behind that."""

    quiet_s: NonNegative = Field(
        description="Seconds without a new object of the case, once its content is complete, before it starts."
    )
    hard_timeout_min: Positive = Field(
        description="Minutes after the last object at which a case that still lacks objects is shown as stuck."
    )


class DestinationSettings(Section):
    """A system that gets results."""

    name: str = Field(min_length=1, description="Name in reports, logs and commands.")
    ae_title: AeTitle = Field(description="AE title that we call.")
    host: Host = Field(description="Host name or IP address.")
    port: Port = Field(description="TCP port.")
    send: tuple[Literal["predicted_dose", "predicted_plan"], ...] = Field(
        ("predicted_plan", "predicted_dose"),
        min_length=1,
        description="What it gets; the dose refers to the plan, which is therefore sent before it.",
    )
    tls: TlsSettings | None = Field(None, description="DICOM TLS; null: plain DICOM.")


class EclipseSettings(Section):
    """The hand-over of objectives to the plug-in for Eclipse."""

    drop_folder: SitePath | None = Field(
        description="Folder that the plug-in reads: released objectives go there, receipts come back; null: none. "
        "It must be there; name one below a share's mount point, which is gone while the share is."
    )


class DeliverySettings(Section):
    """How often a delivery is tried again."""

    first_retry_s: Positive = Field(description="Seconds before the second attempt.")
    factor: float = Field(ge=1, description="Each further wait is this much longer than the one before.")
    longest_retry_s: Positive = Field(description="Longest wait between two attempts, in seconds.")
    give_up_after_days: Positive = Field(description="Days after which a delivery is given up and shown as failed.")


class ReleaseSettings(Section):
    """When results leave the bridge."""

    predicted_dose: Literal["automatic", "after_approval"] = Field(
        description="When the predicted dose and its plan go to the destinations. "
        "Nothing goes to the planning system unapproved unless the site sets automatic here."
    )


class PredictionSettings(Section):
    """What is predicted when nobody asks for anything else."""

    model: str = Field(min_length=1, description="Model id, as `fdp-bridge models list` shows it.")
    preference: str = Field(min_length=1, description="Name of the preference that the prediction starts from.")
    hi: Annotated[float, Field(ge=0, le=2)] | None = Field(
        description="Wanted homogeneity of the highest target, by the index of the model's card; null: the "
        "preference's own."
    )
    oar_weight: NonNegative | None = Field(
        description="Weight of sparing all organs, more spares more; null: the preference's own."
    )
    oar_weights: Mapping[str, NonNegative] = Field(
        description="Weight of sparing by standard structure name, beside the preference's own; 1 is neutral."
    )
    mirror_average: bool = Field(
        description="Average the prediction with that for the patient's mirror image: a little better, twice the time."
    )
    dose_grid_mm: float = Field(ge=0.5, le=10, description="Voxel size of the predicted dose, in mm.")


class DvhSettings(Section):
    """How DVHs are computed; stored with each of them."""

    end_caps: Literal["none", "half_slice"] = Field(
        description="Where a structure ends: none at its first and last contour, as Eclipse; "
        "half_slice half a slice beyond."
    )
    between_planes: Literal["prism", "tapered"] = Field(
        description="Shape between two contours: prism, so that the parts of a divided structure add up; "
        "tapered, nearer to the truth for structures that narrow."
    )
    sample_mm: Annotated[float, Field(gt=0, le=5)] | None = Field(
        description="Distance between dose samples, in mm; null chooses it by the size of the structure."
    )


class RingSettings(Section):
    """The shell around the targets in which dose fall-off is asked for."""

    inner_mm: NonNegative = Field(description="Distance from the targets to the ring, in mm.")
    outer_mm: Positive = Field(description="Distance from the targets to the outside of the ring, in mm.")
    volumes_percent: tuple[Percent, ...] = Field(description="Volumes of the upper objectives of the ring, in percent.")


class PrioritySettings(Section):
    """Priorities of objectives in the optimizer, 0 to 1000 as in Eclipse."""

    target: Annotated[float, Field(ge=0, le=1000)] = Field(description="Priority of each target objective.")
    organ_total: Annotated[float, Field(ge=0, le=1000)] = Field(
        description="Priority that the objectives of one organ share."
    )
    ring: Annotated[float, Field(ge=0, le=1000)] = Field(description="Priority that the objectives of the ring share.")


class TargetUpperLimit(Section):
    """The most dose that the protocol lets a part of a target have."""

    volume_percent: Percent = Field(description="Part of the target volume, in percent; 0 is the maximum dose.")
    limit_percent: Annotated[float, Field(ge=100, le=200)] = Field(
        description="Largest dose to that part, in percent of the target's prescribed dose."
    )


class ExtractionSettings(Section):
    """How optimization objectives are taken from a dose."""

    volumes_percent: tuple[Percent, ...] = Field(
        min_length=1, description="Volumes of the upper objectives of an organ, in percent; 0 asks for D0.03cc."
    )
    minimum_dose_gy: NonNegative = Field(description="Objectives below this dose, in Gy, are left out.")
    minimum_step_gy: NonNegative = Field(
        description="Objectives closer than this to the one before, in Gy, are left out."
    )
    margin_percent: Annotated[float, Field(ge=0, le=3)] = Field(
        description="How far below the dose an organ's objectives lie, in percent of the dose."
    )
    overlap_percent: Percent = Field(
        description="Organs of which more than this part lies in a target get objectives outside the targets."
    )
    mean_objective_for: tuple[str, ...] = Field(
        description="Organs, by standard name, that get an upper mean dose objective as well."
    )
    target_lower_volumes_percent: tuple[Percent, ...] = Field(
        description="Volumes of the lower objectives of a target, in percent."
    )
    target_upper_limits: tuple[TargetUpperLimit, ...] = Field(
        description="Volumes of the upper objectives of a target, each with the most that the protocol allows."
    )
    ring: RingSettings = Field(description="The ring around the targets.")
    priorities: PrioritySettings = Field(description="Priorities in the optimizer.")


class PrescriptionSettings(Section):
    """Prescriptions for cases in which neither an RTPLAN nor the target names give one."""

    levels: Mapping[Regex, Annotated[float, Field(ge=1, le=120)]] = Field(
        description="Total dose in Gy by target name, or by regular expression for the whole name."
    )
    fractions: Annotated[int, Field(ge=1, le=100)] | None = Field(
        description="Number of fractions where no RTPLAN gives it; null: unknown."
    )


class StructureNameSettings(Section):
    """The site's own structure names, beside the built-in table."""

    aliases: Mapping[str, str] = Field(description="Standard name by the site's exact name.")
    patterns: Mapping[Regex, str] = Field(
        description="Standard name by regular expression for the whole name; used where nothing else matches."
    )


class RtdoseSettings(Section):
    """The form of exported doses."""

    bits: Literal[16, 32] = Field(description="Bits of a dose voxel; 32 rounds less, 16 is read by more systems.")


class LabelSettings(Section):
    """Labels of exported objects; NOT FOR CLINICAL USE is added to their descriptions in any case."""

    dose_series: str = Field(min_length=1, max_length=40, description="Series description of predicted doses.")
    plan: str = Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9 _-]{0,12}$",
        description="Label of predicted plans; Eclipse takes 13 characters.",
    )


class ReviewTlsSettings(Section):
    """Certificate of the review room."""

    certificate: SitePath = Field(description="PEM file with our certificate chain.")
    key: SitePath = Field(description="PEM file with our private key, readable by the service only.")


class PresetSettings(Section):
    """One setting of the sliders under a name of the site's own."""

    hi: Annotated[float, Field(ge=0, le=2)] | None = Field(
        None, description="Wanted homogeneity of the highest target; null: no wish."
    )
    oar_weight: NonNegative | None = Field(None, description="Weight of sparing all organs; null: no wish.")
    oar_weights: Mapping[str, NonNegative] = Field({}, description="Weight of sparing by standard structure name.")


class ReviewSettings(Section):
    """The review room, where people look at cases and approve them in a browser."""

    enabled: bool = Field(description="Whether `serve` opens it.")
    host: Host = Field(description="Address to listen on; any but this computer's own needs TLS.")
    port: Port = Field(description="TCP port to listen on.")
    origin: Annotated[str, Field(pattern=r"^https?://[a-z0-9.-]+(:[0-9]{1,5})?$")] | None = Field(
        description="How browsers reach it, as https://review.example.org; null: made of host and port. "
        "Requests to or from anywhere else are refused."
    )
    tls: ReviewTlsSettings | None = Field(description="Certificate for https; null: plain http.")
    trusted_proxies: tuple[Network, ...] = Field(
        description="Addresses or networks of reverse proxies, as 127.0.0.1, that are believed where a request comes "
        "from (X-Forwarded-For): wrong passwords count by that address."
    )
    session_idle_min: Positive = Field(description="Minutes without a request after which a user is logged out.")
    session_longest_h: Positive = Field(description="Hours after which a user is logged out in any case.")
    two_persons: bool = Field(
        description="Whether two physicists must approve a case; then the command line approves none."
    )
    protocol: str = Field(
        min_length=1, description="Protocol whose clinical goals are shown, met or missed: `head_and_neck`."
    )
    presets: Mapping[Annotated[str, Field(min_length=1, max_length=40)], PresetSettings] = Field(
        description="The site's own settings of the sliders by name, beside spare, balanced and cover."
    )


class LoggingSettings(Section):
    """The log on stderr. It never holds patient names."""

    level: Literal["debug", "info", "warning", "error"] = Field(description="Least severe messages to write.")


_SHAPING = {"prediction", "prescription", "structure_names", "dvh", "extraction", "rtdose", "labels"}
"""Sections on which results depend."""


class Settings(Section):
    """Everything that a site can set."""

    data_dir: SitePath = Field(description="Folder of the spool, the database and the results of cases.")
    node: NodeSettings = Field(description="The DICOM node that receives.")
    watched_folder: WatchedFolderSettings = Field(description="A folder watched for exported files.")
    completeness: CompletenessSettings = Field(description="When a case is complete.")
    destinations: tuple[DestinationSettings, ...] = Field(description="Systems that get results.")
    eclipse: EclipseSettings = Field(description="The hand-over to the plug-in for Eclipse.")
    delivery: DeliverySettings = Field(description="Repeated attempts to deliver.")
    release: ReleaseSettings = Field(description="When results leave the bridge.")
    review: ReviewSettings = Field(description="The review room.")
    prediction: PredictionSettings = Field(description="What is predicted.")
    prescription: PrescriptionSettings = Field(description="Prescriptions where the case has none.")
    structure_names: StructureNameSettings = Field(description="The site's own structure names.")
    dvh: DvhSettings = Field(description="How DVHs are computed.")
    extraction: ExtractionSettings = Field(description="How objectives are taken from a dose.")
    rtdose: RtdoseSettings = Field(description="The form of exported doses.")
    labels: LabelSettings = Field(description="Labels of exported objects.")
    logging: LoggingSettings = Field(description="The log.")

    @property
    def sha256(self) -> str:
        """SHA-256 of the settings that shape a result, in canonical JSON (sorted keys, no spaces); results carry it.

        Where the bridge listens, stores and sends to does not change a dose, and does not change this hash.
        """
        shaping = self.model_dump(mode="json", include=_SHAPING)
        text = json.dumps(shaping, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()
