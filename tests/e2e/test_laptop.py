"""The path of a new user: a folder of DICOM files, one command, a link, and an approved objective set. No accounts."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

import httpx2 as httpx
import pytest

from bridge.laptop import LaptopRoom, login_name, open_laptop_room
from bridge.rt.errors import Refusal, StorageFailure
from objective_extraction.objective_json import read_approved
from tests.phantom import write_small_phantom

LONGEST_S = 120.0


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A site's settings that lead outside: a laptop's room must not follow them."""
    path = tmp_path / "site.yaml"
    path.write_text(
        "prediction: {model: geometric}\n"
        "release: {predicted_dose: automatic}\n"
        "review: {two_persons: true, host: 127.0.0.1, port: 1}\n"
        "destinations: [{name: tps, ae_title: TPS, host: 192.0.2.1, port: 104}]\n"
    )
    return path


@pytest.fixture
def case(tmp_path: Path) -> Path:
    write_small_phantom(tmp_path / "case", patient_id="PHANTOM-7")
    return tmp_path / "case"


@contextmanager
def running(room: LaptopRoom) -> Iterator[None]:
    thread = Thread(target=room.service.run)
    thread.start()
    try:
        yield
    finally:
        room.service.stop()
        thread.join(timeout=LONGEST_S)
    assert not thread.is_alive()


def wait_for(said: list[str], pattern: str) -> str:
    deadline = time.monotonic() + LONGEST_S
    while (found := re.search(pattern, "\n".join(said))) is None:
        assert time.monotonic() < deadline, said
        time.sleep(0.05)
    return found[1]


def field(page: str, name: str) -> str:
    found = re.search(rf'name="{name}" value="([^"]*)"', page)
    assert found is not None, name
    return found[1]


def test_from_a_folder_to_approved_objectives(tmp_path: Path, case: Path, config: Path) -> None:
    said: list[str] = []
    before = {path: path.read_bytes() for path in case.iterdir()}
    out = tmp_path / "out"
    room = open_laptop_room(case, out, config, "new.user", None, said.append)
    with running(room):
        link = wait_for(said, r"(http://127\.0\.0\.1:[0-9]+/enter/\S+)")
        password = wait_for(said, r"the password is (\S+)")
        origin, _, token = link.rpartition("/enter/")
        with httpx.Client(base_url=origin, headers={"origin": origin, "accept": "text/html"}, timeout=60) as browser:
            assert "new.user" in browser.get(link).text, "a browser that loads the link by itself uses nothing up"
            assert browser.post("/enter", data={"token": token}).headers["location"] == "/"
            again = httpx.post(f"{origin}/enter", data={"token": token}, headers={"origin": origin}, timeout=60)
            assert (again.status_code, again.json()["code"]) == (403, "entrance-closed")
            worklist = browser.get("/").text
            assert "approved objectives go into out/approved, and nowhere else" in worklist
            path = re.search(r'href="(/cases/[0-9a-f]{12})"', worklist)
            assert path is not None
            page = browser.get(path[1]).text
            assert "PHANTOM-7" in page
            form = {name: field(page, name) for name in ("csrf", "version", "objectives_sha256")}
            signed = browser.post(f"{path[1]}/approval", data={**form, "password": password})
            assert signed.status_code == 303
            deadline = time.monotonic() + LONGEST_S
            while not (found := list((out / "approved").glob("objectives-*/objectives.json"))):
                assert time.monotonic() < deadline
                time.sleep(0.05)
            assert "tps" not in browser.get(path[1]).text
    objectives, approval = read_approved(found[0])
    assert approval is not None
    assert (approval.approved_by, approval.objectives_sha256) == ("new.user", form["objectives_sha256"])
    assert objectives.sha256 == form["objectives_sha256"]
    assert {path: path.read_bytes() for path in case.iterdir()} == before, "nothing is written to the case's folder"
    assert not [line for line in said if "PHANTOM" in line]


def test_the_same_room_is_opened_again_with_another_password(tmp_path: Path, case: Path, config: Path) -> None:
    passwords = []
    for _ in range(2):
        said: list[str] = []
        with running(open_laptop_room(case, tmp_path / "out", config, "new.user", None, said.append)):
            link = wait_for(said, r"(http://127\.0\.0\.1:[0-9]+)/enter/")
            passwords.append(wait_for(said, r"the password is (\S+)"))
            answers = [
                httpx.post(
                    f"{link}/login", data={"name": "new.user", "password": one}, headers={"origin": link}, timeout=60
                )
                for one in passwords
            ]
    assert [answer.status_code for answer in answers] == [401, 303]


def test_a_case_that_cannot_be_predicted_ends_with_the_reason(tmp_path: Path, case: Path, config: Path) -> None:
    (case / "CT.001.dcm").unlink()
    said: list[str] = []
    room = open_laptop_room(case, tmp_path / "out", config, "new.user", None, said.append)
    with running(room):
        deadline = time.monotonic() + LONGEST_S
        while room.announcer.error is None:
            assert time.monotonic() < deadline
            time.sleep(0.05)
    assert isinstance(room.announcer.error, Refusal)
    assert "CT" in room.announcer.error.message
    assert not re.search("enter", "\n".join(said))


def test_a_folder_that_is_not_there(tmp_path: Path, config: Path) -> None:
    with pytest.raises(StorageFailure):
        open_laptop_room(tmp_path / "nothing", tmp_path / "out", config, "new.user", None, print)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("given", "name"), [("M.Curie", "m.curie"), ("DOMAIN\\bob", "domainbob"), ("Łé", "reviewer")])
def test_a_login_name_is_made_one_that_the_room_takes(given: str, name: str) -> None:
    assert login_name(given) == name
