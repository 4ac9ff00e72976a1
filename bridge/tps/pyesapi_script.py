"""The steps of the Eclipse plug-in in Python, for research systems: PyESAPI may not write on a clinical one.

::

    python -m bridge.tps.pyesapi_script FOLDER --patient ID --course ID --plan ID

It was never run against a real Eclipse.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import re
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

from bridge import __version__
from bridge.rt.errors import ApprovalRefusal, IdentityRefusal, Refusal, StorageFailure
from bridge.tps.eclipse import OBJECTIVES_FILE, EclipseFolder, answer
from bridge.tps.esapi_port import EsapiPort, refused_receipt
from bridge.tps.hosted import Hosted
from bridge.tps.plan_check import require_fit
from bridge.tps.preview import preview
from bridge.tps.receipt import Receipt
from esapi_stub.plan import ExternalPlanSetup
from esapi_stub.rules import HostException
from objective_extraction.approval import Approval
from objective_extraction.objective_json import read_approved
from objective_extraction.objective_set import ObjectiveSet

__all__ = ["hand_over", "main"]

_TAKER = f"pyesapi script {__version__}"


def hand_over(objectives: ObjectiveSet, plan: Any, types: Any) -> Receipt:
    """Replace a plan's objectives, after the checks that the plug-in makes.

    Parameters
    ----------
    plan
        An external beam plan of the open patient, as PyESAPI gives it.
    types
        The namespace ``VMS.TPS.Common.Model.Types``.
    """
    return EsapiPort(_as_of_the_stub(plan, types), _TAKER).hand_over(objectives)


def main(arguments: Sequence[str] | None = None) -> int:
    """Hand one folder over to one plan, if the planner says yes to the preview.

    3 where it is refused, 4 where it is not answered or PyESAPI cannot be loaded.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    for name in ("--patient", "--course", "--plan"):
        parser.add_argument(name, required=True)
    parser.add_argument("--unapproved", action="store_true", help="take objectives that nobody approved")
    asked = parser.parse_args(arguments)
    try:
        objectives, approval = _read(asked.folder, asked.unapproved)
    except Refusal as refusal:
        sha256 = _claimed_sha256(asked.folder / OBJECTIVES_FILE)
        if sha256 is None:  # no hash, nothing that a receipt could answer
            sys.stdout.write(f"{refusal}\n")
            return 3
        return _say(asked.folder, refused_receipt(sha256, refusal, _TAKER, None))
    except StorageFailure as failure:
        below = len(list(asked.folder.glob(f"objectives-*/{OBJECTIVES_FILE}")))
        sys.stdout.write(f"{asked.folder} is not the folder of a hand-over; {below} lie in it. {failure}\n")
        return 3
    try:
        host = importlib.import_module("pyesapi")
        types = importlib.import_module("VMS.TPS.Common.Model.Types")  # there once pyesapi has loaded the assemblies
    except Exception as error:  # not installed, no Eclipse on this computer, no .NET: each has a class of its own
        sys.stdout.write(
            f"PyESAPI cannot be loaded: {error}. It needs `pip install pyesapi` and Eclipse's assemblies.\n"
        )
        return 4
    application = host.CustomScriptExecutable.CreateApplication("fdp-bridge")
    plan_uid = None
    try:
        plan = _plan_in(application, asked.patient, asked.course, asked.plan)
        plan_uid = plan.UID
        require_fit(objectives, _as_of_the_stub(plan, types))
        _require_writable(asked.folder)
        sys.stdout.write(preview(objectives, approval, _as_of_the_stub(plan, types)) + "\nChange the plan? Type yes: ")
        if input() != "yes":
            return 0
        _require_still_there(asked.folder, objectives, approval)
        receipt = hand_over(objectives, plan, types)
        if receipt.state == "applied":
            application.SaveModifications()
    except Refusal as refusal:
        receipt = refused_receipt(objectives.sha256, refusal, _TAKER, plan_uid)
    except HostException as error:  # where a receipt has no place for it; what was changed is not saved
        refused = Refusal("host-refused", f"Eclipse refused what the script read or set: {error}")
        receipt = refused_receipt(objectives.sha256, refused, _TAKER, plan_uid)
    finally:
        application.ClosePatient()
        application.Dispose()
    return _say(asked.folder, receipt)


def _as_of_the_stub(plan: Any, types: Any) -> ExternalPlanSetup:
    return cast(ExternalPlanSetup, Hosted(plan, types))


def _read(folder: Path, unapproved: bool) -> tuple[ObjectiveSet, Approval | None]:
    objectives, approval = read_approved(folder / OBJECTIVES_FILE)
    if EclipseFolder(folder.parent).folder_of(objectives).name != folder.name:
        raise ApprovalRefusal(
            "not-handed-over", f"The folder {folder.name} holds other objectives than those that were approved."
        )
    if approval is None and not unapproved:
        raise ApprovalRefusal(
            "not-approved", "Nobody approved these objectives; approve them and hand them over again."
        )
    return objectives, approval


def _require_still_there(folder: Path, objectives: ObjectiveSet, approval: Approval | None) -> None:
    """Refuse what the bridge took back while the planner looked at it: its approval is void."""
    with suppress(Refusal, StorageFailure):
        if read_approved(folder / OBJECTIVES_FILE) == (objectives, approval):
            return
    raise ApprovalRefusal(
        "withdrawn", f"The objectives in {folder.name} were taken back or changed since they were shown; start again."
    )


def _claimed_sha256(path: Path) -> str | None:
    """Give the hash that a file claims for its content, if it claims one."""
    try:
        claimed = json.loads(path.read_bytes())["sha256"]
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return None
    return claimed if isinstance(claimed, str) and re.fullmatch("[0-9a-f]{64}", claimed) else None


def _plan_in(application: Any, patient_id: str, course_id: str, plan_id: str) -> Any:
    patient = application.OpenPatientById(patient_id)
    courses = [] if patient is None else [course for course in patient.Courses if course.Id == course_id]
    plans = [plan for course in courses for plan in course.ExternalPlanSetups if plan.Id == plan_id]
    if not plans:
        raise IdentityRefusal("no-plan", f"There is no patient with a plan {plan_id!r} in a course {course_id!r}.")
    return plans[0]


def _require_writable(folder: Path) -> None:
    """Refuse before anything is changed, rather than after it, if no receipt could be written."""
    probe = folder / f".{os.urandom(4).hex()}.part"
    try:
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise ApprovalRefusal(
            "receipt-not-writable", f"No receipt can be written to {folder.name}: {error.strerror}."
        ) from error


def _say(folder: Path, receipt: Receipt) -> int:
    sys.stdout.write(receipt.model_dump_json(indent=2) + "\n")
    code = 3 if receipt.state == "refused" else 0
    try:
        answer(folder, receipt)
    except StorageFailure as failure:
        sys.stdout.write(f"{failure}\n")
        code = code or 4
    return code


if __name__ == "__main__":
    sys.exit(main())
