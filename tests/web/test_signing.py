"""Signing and rejecting: what leaves is exactly what was signed, once, and by who may."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pydicom
import pytest

from bridge.rt.errors import ApprovalRefusal
from bridge.web.room import ReviewRoom
from bridge.workflow import hand_overs, jobs, signing
from bridge.workflow.approved import approved_objectives
from bridge.workflow.cases import CaseState, set_state
from bridge.workflow.deliveries import deliveries_of
from bridge.workflow.jobs import Job, result_folder
from bridge.workflow.release import approve
from bridge.workflow.results import results_of
from bridge.workflow.sealing import seal
from bridge.workflow.users import get_user
from models.registry import load_model
from objective_extraction.eclipse_template import read_template
from tests.web.browser import PASSWORD, Browser, code
from tests.web.objective_room import edit_first, events, newest_set, read, reject, save, sign, state


def test_what_nobody_edited_is_approved_as_it_was_written(physicist: Browser, job: Job) -> None:
    shown = read(physicist, job)
    assert sign(physicist, job).json() == {"released": True}
    assert state(physicist.room, job)[0] is CaseState.DELIVERING
    with physicist.room.store.transaction() as session:
        objectives, approval = approved_objectives(session, job.case_id, physicist.room.cases_folder)
        assert objectives.sha256 == shown["set"]["sha256"]
        assert approval.approved_by == "a.physicist"
        assert len(deliveries_of(session, job.case_id)) == 2
    (statement,) = events(physicist.room, "case-signed")
    assert statement.detail["objectives_sha256"] == shown["set"]["sha256"]
    assert "NOT FOR CLINICAL USE" in statement.detail["statement"]


def test_edited_objectives_leave_in_every_file_and_under_uids_of_their_own(physicist: Browser, job: Job) -> None:
    room = physicist.room
    edit_first(physicist, job)
    shown = read(physicist, job)
    assert sign(physicist, job).json() == {"released": True}
    with room.store.transaction() as session:
        results = results_of(session, room.cases_folder, job.case_id)
        (hand_over,) = hand_overs.hand_overs_of(session, job.case_id)
        sent = {row.sop_instance_uid: row.path for row in deliveries_of(session, job.case_id)}
    assert newest_set(room, job).sha256 == hand_over.objectives_sha256 == shown["set"]["sha256"]
    assert hand_over.sha256 == jobs.artifact_of(results.artifacts, "objectives").sha256
    old, new = result_folder(room.cases_folder, job), results.folder
    assert old != new
    plans = [pydicom.dcmread(folder / "rtplan.dcm") for folder in (old, new)]
    doses = [pydicom.dcmread(folder / "rtdose.dcm") for folder in (old, new)]
    assert len({item.SOPInstanceUID for item in (*plans, *doses)}) == 4
    assert {plans[1].SOPInstanceUID, doses[1].SOPInstanceUID} == set(sent)
    assert doses[1].ReferencedRTPlanSequence[0].ReferencedSOPInstanceUID == plans[1].SOPInstanceUID
    assert doses[1].PixelData == doses[0].PixelData
    assert doses[1].DoseGridScaling == doses[0].DoseGridScaling
    assert 33.5 in [row.dose_gy for row in read_template(new / "objectives.xml")]
    assert "33.5" in (new / "report.html").read_text()
    dvhs = [json.loads((folder / "dvh.json").read_text())["structures"] for folder in (old, new)]
    for before, after in zip(*dvhs, strict=True):
        assert after["metrics"]["mean_gy"] == pytest.approx(before["metrics"]["mean_gy"], abs=0.001)
    with room.store.transaction() as session:
        maker = jobs.maker_of(session, job.case_id, [plans[1].SOPInstanceUID])
        assert maker is not None
        assert maker[0].id == results.job.id


def test_a_wrong_password_signs_nothing(physicist: Browser, job: Job) -> None:
    assert code(sign(physicist, job, password=PASSWORD[::-1])) == (401, "login-refused")
    assert state(physicist.room, job)[0] is CaseState.REVIEW
    assert physicist.audited() == [("a.physicist", "login-refused")]


def test_only_physicists_decide(planner: Browser, job: Job) -> None:
    assert code(sign(planner, job)) == (403, "role-too-low")
    assert code(reject(planner, job, "no")) == (403, "role-too-low")
    assert planner.audited() == [("a.planner", "role-too-low")] * 2


def test_an_approval_of_what_was_edited_meanwhile_is_refused(physicist: Browser, planner: Browser, job: Job) -> None:
    seen = read(physicist, job)
    edit_first(planner, job)
    assert code(sign(physicist, job, seen)) == (409, "edit-stale")
    forged = {**seen, "version": read(physicist, job)["version"]}
    assert code(sign(physicist, job, forged)) == (409, "other-objectives")
    assert state(physicist.room, job)[0] is CaseState.REVIEW


def test_a_replayed_approval_and_an_edit_while_it_is_sent_are_refused(physicist: Browser, job: Job) -> None:
    seen = read(physicist, job)
    assert sign(physicist, job, seen).status_code == 200
    assert code(sign(physicist, job, seen)) == (409, "not-in-review")
    assert code(save(physicist, job, seen["version"], [{"source": 0}])) == (409, "not-editable")
    assert code(reject(physicist, job, "too late")) == (409, "not-in-review")
    assert len(events(physicist.room, "case-approved")) == 1


def test_a_file_that_was_changed_before_the_approval_is_never_released(physicist: Browser, job: Job) -> None:
    seen = read(physicist, job)
    with (result_folder(physicist.room.cases_folder, job) / "rtplan.dcm").open("ab") as file:
        file.write(b"\0")
    assert code(sign(physicist, job, seen)) == (409, "artifact-changed")
    assert events(physicist.room, "case-signed") == []


@pytest.mark.parametrize("name", ["rtdose.dcm", "result.json", "dvh.json"])
def test_edited_objectives_are_not_sealed_over_changed_files(physicist: Browser, job: Job, name: str) -> None:
    edit_first(physicist, job)
    with (result_folder(physicist.room.cases_folder, job) / name).open("ab") as file:
        file.write(b"\n")
    assert code(sign(physicist, job)) == (409, "artifact-changed")
    assert state(physicist.room, job)[0] is CaseState.REVIEW


def test_an_edit_of_a_delivered_case_voids_its_approval(physicist: Browser, job: Job) -> None:
    room = physicist.room
    sign(physicist, job)
    with room.store.transaction() as session:
        set_state(session, job.case_id, CaseState.DELIVERED, "2 objects to tps")
    edit_first(physicist, job)
    assert state(room, job) == (CaseState.REVIEW, "edited by a.physicist; waits for approval")
    (event,) = events(room, "approval-voided")
    assert event.detail == {"signed_by": ["a.physicist"], "was": "delivered"}
    assert sign(physicist, job).json() == {"released": True}
    with room.store.transaction() as session:
        assert len(deliveries_of(session, job.case_id)) == 4
        assert len(hand_overs.hand_overs_of(session, job.case_id)) == 2


def test_a_rejected_case_says_why_and_is_not_approved_until_it_is_edited(
    physicist: Browser, job: Job, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO"):
        assert reject(physicist, job, "the left parotid is the right one").status_code == 200
    assert state(physicist.room, job) == (
        CaseState.REJECTED,
        "rejected by a.physicist: the left parotid is the right one",
    )
    assert "parotid" not in caplog.text, "what a person types may name a patient"
    assert code(sign(physicist, job)) == (409, "not-in-review")
    edit_first(physicist, job)
    assert sign(physicist, job).json() == {"released": True}


@pytest.mark.parametrize("reason", ["", "   ", "x" * 501, "two\nlines"])
def test_a_rejection_needs_a_reason(physicist: Browser, job: Job, reason: str) -> None:
    assert code(reject(physicist, job, reason)) == (409, "reason")
    assert state(physicist.room, job)[0] is CaseState.REVIEW


def test_where_two_are_needed_one_person_does_not_release(strict: tuple[Browser, Browser], job: Job) -> None:
    first, second = strict
    assert sign(first, job).json() == {"released": False}
    assert state(first.room, job) == (CaseState.REVIEW, "signed by a.physicist; waits for a second physicist")
    assert code(sign(first, job)) == (409, "signed-already")
    assert sign(second, job).json() == {"released": True}
    (event,) = events(first.room, "case-approved")
    assert event.actor == "a.physicist and a.second"


def test_an_edit_between_two_signatures_voids_the_first(strict: tuple[Browser, Browser], job: Job) -> None:
    first, second = strict
    edit_first(second, job, 30.0)
    assert sign(first, job).json() == {"released": False}
    edit_first(second, job, 44.0)
    (event,) = events(first.room, "approval-voided")
    assert (event.actor, event.detail["signed_by"]) == ("a.second", ["a.physicist"])
    assert sign(second, job).json() == {"released": False}
    assert read(first, job)["signed_by"] == ["a.second"]
    assert sign(first, job).json() == {"released": True}
    cord = [one for one in newest_set(first.room, job).objectives if one.roi_name == "SpinalCord"]
    assert 44.0 in [one.dose_gy for one in cord if one.kind != "line"]
    assert len(events(first.room, "case-approved")) == 1


def test_the_command_line_does_not_release_past_an_edit(physicist: Browser, job: Job) -> None:
    room = physicist.room
    edit_first(physicist, job)
    with room.store.transaction() as session:
        seen = jobs.artifact_of(results_of(session, room.cases_folder, job.case_id).artifacts, "objectives").sha256
        with pytest.raises(ApprovalRefusal, match="edited") as refused:
            approve(session, job.case_id, room.cases_folder, (), "somebody", seen)
    assert refused.value.code == "edited-meanwhile"


def test_a_signature_does_not_count_for_what_was_edited_after_it(strict: tuple[Browser, Browser], job: Job) -> None:
    first, second = strict
    sign(first, job)
    assert read(first, job)["signed_by"] == ["a.physicist"]
    edit_first(second, job)
    assert read(first, job)["signed_by"] == []
    (voided,) = events(first.room, "approval-voided")
    assert (voided.actor, voided.detail) == ("a.second", {"signed_by": ["a.physicist"], "was": "review"})
    assert "a second physicist must sign too" in first.get(f"/cases/{job.case_id}").text
    assert sign(second, job).json() == {"released": False}
    assert sign(first, job).json() == {"released": True}


def test_a_double_click_on_sign_releases_once_and_leaves_the_files_whole(physicist: Browser, job: Job) -> None:
    room = physicist.room
    edit_first(physicist, job)
    seen = read(physicist, job)
    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda _: sign(physicist, job, seen).status_code, range(2)))
    assert sorted(answers) == [200, 409]
    with room.store.transaction() as session:
        results = results_of(session, room.cases_folder, job.case_id)
    assert all(results.read(artifact.kind) for artifact in results.artifacts)


def delivered(room: ReviewRoom, job: Job) -> None:
    """Send whatever is owed."""
    now = datetime.now(UTC)
    with room.store.transaction() as session:
        for row in [*deliveries_of(session, job.case_id), *hand_overs.hand_overs_of(session, job.case_id)]:
            if row.state == "pending":
                row.state, row.finished_utc = "delivered", now
        set_state(session, job.case_id, CaseState.DELIVERED, "sent")


def test_what_is_edited_back_and_signed_again_is_sent_again_as_the_newest(physicist: Browser, job: Job) -> None:
    """Or the planning system would keep the edit between as the newest, and the case would say delivered."""
    room, made = physicist.room, list[datetime]()
    for count, dose_gy in enumerate((33.5, 31.5, 33.5), start=1):
        edit_first(physicist, job, dose_gy)
        assert sign(physicist, job).json() == {"released": True}
        assert state(room, job)[0] is CaseState.DELIVERING, dose_gy
        with room.store.transaction() as session:
            rows = [*deliveries_of(session, job.case_id), *hand_overs.hand_overs_of(session, job.case_id)]
        assert len([row for row in rows if row.state == "pending"]) == 3
        assert len(rows) == 3 * count
        made.append(newest_set(room, job).provenance.created_utc)
        delivered(room, job)
    assert made == sorted(set(made)), "Eclipse offers the newest first"


def test_an_edit_while_files_are_sealed_is_neither_lost_nor_signed(
    physicist: Browser, planner: Browser, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    edit_first(physicist, job, 33.5)
    seen = read(physicist, job)

    def slow(*given: Any) -> Any:
        sealed = seal(*given)
        edit_first(planner, job, 31.5)
        return sealed

    monkeypatch.setattr("bridge.web.decide.seal", slow)
    answer = sign(physicist, job, seen)
    assert code(answer) == (409, "edit-stale")
    assert "31.50 Gy" in answer.json()["message"]
    assert state(physicist.room, job)[0] is CaseState.REVIEW
    assert len(read(physicist, job)["history"]) == 2
    assert events(physicist.room, "case-signed") == []


def test_edits_are_not_sealed_with_another_model_than_the_dose_is_of(
    physicist: Browser, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    edit_first(physicist, job)
    other = SimpleNamespace(card=load_model("geometric").card, sha256="0" * 64)
    monkeypatch.setattr("bridge.workflow.sealing.load_model", lambda _name: other)
    assert code(sign(physicist, job)) == (422, "model-changed")
    assert state(physicist.room, job)[0] is CaseState.REVIEW


def test_sealed_dvhs_are_of_the_policy_that_the_objectives_name(physicist: Browser, job: Job) -> None:
    edit_first(physicist, job)
    room = physicist.room
    policy = newest_set(room, job).dvh_policy
    end_caps = "none" if policy.end_caps != "none" else "half_slice"
    changed = room.settings.model_copy(update={"dvh": room.settings.dvh.model_copy(update={"end_caps": end_caps})})
    later = Browser(replace(room, settings=changed))
    later.log_in("physicist")
    assert sign(later, job).json() == {"released": True}
    with room.store.transaction() as session:
        sealed = results_of(session, room.cases_folder, job.case_id)
    before = json.loads((result_folder(room.cases_folder, job) / "dvh.json").read_text())["structures"]
    after = sealed.read_json("dvh")["structures"]
    assert [one["volume_cc"] for one in after] == pytest.approx([one["volume_cc"] for one in before], rel=1e-9)


def test_a_first_of_two_signatures_does_not_pass_over_an_edit_either(strict: tuple[Browser, Browser], job: Job) -> None:
    room = strict[0].room
    edit_first(strict[0], job)
    with room.store.transaction() as session:
        results, user = results_of(session, room.cases_folder, job.case_id), get_user(session, "a.physicist")
        with pytest.raises(ApprovalRefusal) as refused:
            signing.sign(session, results, room.cases_folder, user, room.clock(), room.release)
    assert refused.value.code == "edited-meanwhile"
