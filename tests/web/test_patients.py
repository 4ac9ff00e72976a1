"""A case says whose it is, where a person reads it, and nowhere else."""

from __future__ import annotations

import logging
import re
from pathlib import Path

import pytest
from pydicom.dataset import Dataset

from bridge.dicom.patient import patient_label
from bridge.workflow.cases import CaseState, case_id_of, put_case
from bridge.workflow.jobs import Job
from tests.phantom import edit, write_small_phantom
from tests.web.browser import Browser


def labelled(tmp_path: Path, **values: str) -> bytes:
    path = next(one for one in write_small_phantom(tmp_path / "sent").paths if one.name.startswith("RS"))

    def change(dataset: Dataset) -> None:
        for keyword, value in values.items():
            setattr(dataset, keyword, value)

    edit(path, change)
    return path.read_bytes()


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("DOE^Jane", "DOE, Jane"),
        ("DOE^Jane^Q^Dr^PhD", "DOE, Jane Q"),
        ("DOE", "DOE"),
        ("^Jane", "Jane"),
        ("", ""),
        ("Yamada^Tarou=山田^太郎=やまだ^たろう", "Yamada, Tarou (山田, 太郎; やまだ, たろう)"),
    ],
)
def test_a_name_is_read_as_a_person_writes_it(tmp_path: Path, name: str, shown: str) -> None:
    data = labelled(tmp_path, SpecificCharacterSet="ISO_IR 192", PatientName=name)
    assert patient_label(data).name == shown


def test_a_birth_date_is_a_date_and_nothing_else_is_made_of_it(tmp_path: Path) -> None:
    label = patient_label(labelled(tmp_path, PatientBirthDate="19500131", PatientSex="F", PatientID="0012"))
    assert (label.patient_id, label.birth_date, label.sex) == ("0012", "1950-01-31", "F")
    assert patient_label(labelled(tmp_path / "b", PatientBirthDate="")).birth_date == ""


def test_worklist_case_and_signature_name_the_patient(browser: Browser, job: Job) -> None:
    browser.log_in("physicist")
    page = browser.get(f"/cases/{job.case_id}").text
    assert "PHANTOM-7" in browser.get("/").text
    assert re.search(r"<h1>[^<]*Phantom[^<]*</h1>", page)
    decide = page.split('id="decide"')[1].split("<form")[0]
    assert "<strong>PHANTOM-7</strong>" in decide, "who signs reads whom for, in the same place"


def test_no_address_title_or_log_names_the_patient(
    browser: Browser, job: Job, caplog: pytest.LogCaptureFixture
) -> None:
    browser.log_in("physicist")
    with caplog.at_level(logging.DEBUG):
        pages = [browser.get(path).text for path in ("/", f"/cases/{job.case_id}", "/templates")]
    for page in pages:
        places = re.findall(r'(?:href|action|src|data-\w+)="([^"]*)"', page) + re.findall("<title>(.*)</title>", page)
        assert not [place for place in places if "phantom" in place.lower()]
    assert "phantom" not in caplog.text.lower()


def test_a_structure_set_that_was_changed_on_disk_names_nobody(browser: Browser, job: Job) -> None:
    path = next(one for one in (browser.room.cases_folder.parent / "spool").iterdir() if one.name.startswith("RS"))
    edit(path, lambda dataset: setattr(dataset, "PatientName", "Somebody^Else"))
    browser.log_in("physicist")
    page = browser.get(f"/cases/{job.case_id}").text
    assert "Somebody" not in page
    assert "Patient unknown: The structure set in the spool is not the one that was received" in page


def test_a_case_of_which_nothing_came_says_so(browser: Browser) -> None:
    with browser.room.store.transaction() as session:
        put_case(session, "1.2.3", None, CaseState.WAITING, "CT 118 of 120")
    browser.log_in("viewer")
    assert "Patient unknown: nothing was received yet" in browser.get(f"/cases/{case_id_of('1.2.3', None)}").text
