"""Who gets in, and who does not: each refusal with its reason, and in the audit trail."""

from __future__ import annotations

import logging
import re
from dataclasses import replace
from http.cookies import SimpleCookie
from typing import Any

import pytest
from sqlalchemy import select
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

from bridge.rt.errors import AccessRefusal
from bridge.web.application import all_routes, review_application
from bridge.web.guard import GuardedRoute
from bridge.web.passwords import Passwords
from bridge.web.permission import Permission
from bridge.web.room import ReviewRoom
from bridge.web.throttle import Throttle
from bridge.web.visit import Visit
from bridge.workflow.audit import verify
from bridge.workflow.schema import AuditRow
from bridge.workflow.users import disable_user
from tests.web.browser import ORIGIN, PASSWORD, Browser, code
from tests.web.conftest import QUICK, Clock


def approve_nothing(_visit: Visit) -> PlainTextResponse:
    return PlainTextResponse("done")


def fail(_visit: Visit) -> PlainTextResponse:
    raise RuntimeError("DOE^JANE lies in the scanner")


@pytest.fixture
def trial(room: ReviewRoom) -> Browser:
    """The review room with a route for every permission."""
    routes = [
        *all_routes(),
        GuardedRoute("/edit", approve_nothing, Permission.EDIT, "POST"),
        GuardedRoute("/decide", approve_nothing, Permission.DECIDE, "POST"),
        GuardedRoute("/bug", fail, Permission.LOOK),
    ]
    return Browser(room, routes)


@pytest.mark.parametrize(
    "open_route", [Route("/open", lambda _request: PlainTextResponse("")), Mount("/all", routes=[])]
)
def test_a_route_that_says_not_who_may_use_it_starts_nothing(room: ReviewRoom, open_route: Route) -> None:
    with pytest.raises(TypeError, match="who may use it"):
        review_application(room, [*all_routes(), open_route])


def test_nobody_sees_anything_but_the_login(browser: Browser) -> None:
    for route in all_routes():
        assert isinstance(route, GuardedRoute)
        if route.permission is not Permission.PUBLIC and not route.is_change:
            path = re.sub(r"\{[^}]*\}", "1", route.path)
            assert code(browser.json(path)) == (401, "not-logged-in"), route.path
            page = browser.get(path)
            assert (page.status_code, page.headers["location"]) == (303, "/login")
    assert browser.get("/login").status_code == 200
    assert browser.get("/static/review.css").status_code == 200


def test_logging_in_and_out(browser: Browser) -> None:
    answer = browser.log_in()
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert "a.physicist, physicist" in browser.get("/").text
    cookie = SimpleCookie(answer.headers["set-cookie"])["session"]
    assert (cookie["httponly"], cookie["samesite"], cookie["path"]) == (True, "strict", "/")
    assert browser.post("/logout").status_code == 303
    browser.client.cookies.set("session", cookie.value)
    assert code(browser.json("/")) == (401, "not-logged-in")


def test_over_https_the_cookie_is_bound_to_the_host(room: ReviewRoom) -> None:
    encrypted = Browser(replace(room, origin="https://review.test"))
    answer = encrypted.client.post(
        "/login", data={"name": "a.viewer", "password": PASSWORD}, headers={"origin": "https://review.test"}
    )
    assert answer.headers["set-cookie"].startswith("__Host-session=")
    assert "; Secure" in answer.headers["set-cookie"]
    assert "strict-transport-security" in answer.headers
    assert encrypted.client.get("/").status_code == 200


@pytest.mark.parametrize(
    ("role", "edit", "decide"),
    [("viewer", 403, 403), ("planner", 200, 403), ("physicist", 200, 200), ("admin", 403, 403)],
)
def test_a_role_may_do_what_it_is_for(trial: Browser, role: str, edit: int, decide: int) -> None:
    trial.log_in(role)
    assert (trial.post("/edit").status_code, trial.post("/decide").status_code) == (edit, decide)
    assert trial.audited() == [(f"a.{role}", "role-too-low")] * [edit, decide].count(403)


@pytest.mark.parametrize("origin", [None, "null", "http://evil.test", "https://review.test:8080", f"{ORIGIN}0"])
def test_a_change_from_another_site_is_refused(trial: Browser, origin: str | None) -> None:
    trial.log_in()
    assert code(trial.post("/edit", origin=origin)) == (403, "other-origin")
    assert code(trial.post("/login", origin=origin)) == (403, "other-origin")
    assert trial.audited() == [("a.physicist", "other-origin")] * 2


@pytest.mark.parametrize("token", ["", "0" * 64, "ä"])
def test_a_form_without_the_token_of_its_session_is_refused(trial: Browser, token: str) -> None:
    trial.log_in()
    assert code(trial.post("/edit", csrf=token)) == (403, "csrf-token")
    assert trial.audited() == [("a.physicist", "csrf-token")]


def test_a_form_of_one_session_is_none_of_another(trial: Browser) -> None:
    trial.log_in("physicist")
    of_physicist = trial.csrf
    trial.log_in("planner")
    assert code(trial.post("/edit", csrf=of_physicist)) == (403, "csrf-token")


def test_another_name_for_our_address_is_refused(browser: Browser) -> None:
    browser.log_in()
    assert code(browser.get("/", "application/json", host="rebound.test:8080")) == (421, "other-host")


def test_an_expired_session_is_refused_and_its_forms_with_it(trial: Browser, clock: Clock) -> None:
    trial.log_in()
    clock.advance(minutes=31)
    assert code(trial.json("/")) == (401, "not-logged-in")
    assert code(trial.post("/decide")) == (401, "not-logged-in")
    assert trial.audited() == [("nobody", "not-logged-in")]


def test_a_page_that_asks_by_itself_keeps_nobody_logged_in(browser: Browser, clock: Clock) -> None:
    browser.log_in()
    for _ in range(3):
        clock.advance(minutes=9)
        assert browser.get("/worklist/table").status_code == 200
    clock.advance(minutes=9)
    assert code(browser.json("/worklist/table")) == (401, "not-logged-in")


def test_a_disabled_user_is_out_at_once(trial: Browser) -> None:
    trial.log_in()
    with trial.room.store.transaction() as session:
        disable_user(session, "a.physicist", "setup")
    assert code(trial.post("/decide")) == (401, "not-logged-in")
    assert code(trial.log_in()) == (401, "login-refused")


def test_who_is_not_there_gets_the_same_answer_as_a_wrong_password(browser: Browser) -> None:
    unknown, wrong = browser.log_in("nobody"), browser.log_in("viewer", "not the password")
    assert code(unknown) == code(wrong) == (401, "login-refused")
    assert unknown.json() == wrong.json()


def test_what_was_typed_as_a_name_is_not_kept_unless_it_is_one(browser: Browser) -> None:
    browser.post("/login", {"name": "my secret password", "password": ""})
    with browser.room.store.transaction() as session:
        assert verify(session) > 0
        connection = session.connection()
        kept = connection.exec_driver_sql("SELECT group_concat(detail) FROM audit").scalar()
    assert "my secret" not in str(kept)


def test_a_thousand_wrong_passwords_get_nobody_in_and_cost_fifty_comparisons(browser: Browser) -> None:
    compared = 0

    class Counted(Passwords):
        def fits(self, password: str, password_hash: str | None) -> bool:
            nonlocal compared
            compared += 1
            return QUICK.fits(password, password_hash)

    object.__setattr__(browser.room, "passwords", Counted(QUICK._hasher))
    answers = [code(browser.log_in("viewer", f"wrong {number}")) for number in range(200)]
    assert answers[:10] == [(401, "login-refused")] * 10
    assert set(answers[10:]) == {(429, "login-throttled")}
    assert code(browser.log_in("viewer")) == (429, "login-throttled"), "also with the right one"
    assert compared == 10
    assert len(browser.audited()) == 100
    for name in range(800):
        browser.post("/login", {"name": f"name{name}", "password": "wrong"})
    assert compared == 50


def test_a_throttle_counts_in_a_sliding_window() -> None:
    now = [0.0]
    throttle = Throttle(60.0, lambda: now[0])
    assert [throttle.wait_s({"a": 2}) for _ in range(3)] == [0, 0, 60]
    now[0] = 59.0
    assert throttle.wait_s({"a": 2, "b": 9}) == 1
    now[0] = 60.5
    assert throttle.wait_s({"a": 2}) == 0
    throttle.forgive("a")
    assert [throttle.wait_s({"a": 2}) for _ in range(3)] == [0, 0, 60]
    throttle.uncount(["a", "of nobody"])
    assert [throttle.wait_s({"a": 2}) for _ in range(2)] == [0, 60]


def test_a_bug_shows_nothing_and_logs_no_path(trial: Browser, caplog: pytest.LogCaptureFixture) -> None:
    trial.log_in()
    with caplog.at_level(logging.INFO):
        answer = trial.get("/bug?patient=DOE", "application/json")
    assert code(answer) == (500, "internal")
    assert "DOE" not in answer.text
    assert [record.getMessage() for record in caplog.records if record.name.startswith("bridge")] == ["/bug met a bug"]


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [("GET", "/nothing", (404, "page-unknown")), ("PUT", "/login", (405, "method-unknown"))],
)
def test_what_is_not_there_is_said_in_the_one_shape(
    browser: Browser, method: str, path: str, expected: tuple[int, str]
) -> None:
    assert code(browser.send(method, path, {})) == expected
    assert "There is no such page" in browser.get("/nothing").text


def test_a_body_without_end_is_refused(browser: Browser) -> None:
    answer = browser.post("/login", {"name": "a" * 1_100_000})
    assert code(answer) == (413, "body-too-large")


@pytest.mark.parametrize("path", ["/login", "/nothing", "/static/review.css", "/"])
def test_every_answer_forbids_foreign_and_inline_content(browser: Browser, path: str) -> None:
    headers = browser.get(path).headers
    policy = dict(part.strip().partition(" ")[::2] for part in headers["content-security-policy"].split(";"))
    assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert {policy[source] for source in ("script-src", "style-src", "connect-src", "form-action")} == {"'self'"}
    assert (headers["cache-control"], headers["x-content-type-options"]) == ("no-store", "nosniff")


def test_pages_hold_nothing_that_the_policy_would_block(browser: Browser) -> None:
    browser.log_in()
    for path in ("/", "/login", "/nothing"):
        text = browser.get(path).text
        assert not re.search(r"<style|style=|<script(?! src=)|\son\w+=|javascript:|https?://", text), path


@pytest.mark.parametrize("password", ["short", "aaaaaaaaaaaaaaaa", "x" * 300, "abababababababab"])
def test_a_password_that_can_be_guessed_is_refused(password: str) -> None:
    with pytest.raises(AccessRefusal, match="different"):
        QUICK.hash(password)


def test_a_damaged_hash_fits_no_password() -> None:
    assert QUICK.fits(PASSWORD, QUICK.hash(PASSWORD))
    assert not QUICK.fits(PASSWORD, "$argon2id$v=19$m=8,t=1,p=1$damaged")
    assert not QUICK.fits("the password of nobody at all", None)


@pytest.mark.parametrize("site", ["cross-site", "same-site", "none"])
def test_a_browser_that_says_that_another_site_asks_is_believed(trial: Browser, site: str) -> None:
    trial.log_in()
    answer = trial.client.post(
        "/edit", data={"csrf": trial.csrf}, headers={"origin": ORIGIN, "sec-fetch-site": site, "accept": "text/plain"}
    )
    assert code(answer) == (403, "other-origin")


def test_good_passwords_do_not_count_where_a_department_shares_an_address(browser: Browser) -> None:
    for _ in range(60):
        assert browser.log_in("viewer").status_code == 303
    assert code(browser.log_in("physicist", "wrong")) == (401, "login-refused")


def test_whose_password_was_wrong_is_in_the_audit_trail_and_not_in_the_answer(browser: Browser) -> None:
    answer = browser.log_in("viewer", "wrong")
    assert answer.json()["where"] == {}
    (refused,) = details(browser, "request-refused")
    assert refused["user"] == "a.viewer"
    browser.post("/login", {"name": "nobody", "password": "wrong"})
    assert "user" not in details(browser, "request-refused")[1]


def test_a_name_that_is_locked_is_audited_once_although_the_address_has_filled_its_share(browser: Browser) -> None:
    for number in range(40):
        browser.log_in("viewer", f"wrong {number}")
    browser.log_in("viewer")
    browser.post("/login", {"name": "nobody", "password": "wrong"})
    (locked,) = details(browser, "login-throttled")
    assert (locked["user"], locked["address"]) == ("a.viewer", "testclient")
    assert 0 < locked["wait_s"] <= 600


def details(browser: Browser, action: str) -> list[dict[str, Any]]:
    with browser.room.store.transaction() as session:
        verify(session)
        rows = session.scalars(select(AuditRow).where(AuditRow.action == action).order_by(AuditRow.id))
        return [row.detail for row in rows]


def test_ones_own_good_password_does_not_forgive_what_was_tried_from_ones_desk(browser: Browser) -> None:
    for name in range(49):
        assert code(browser.post("/login", {"name": f"name{name}", "password": "wrong"})) == (401, "login-refused")
    assert browser.log_in("viewer").status_code == 303
    assert code(browser.post("/login", {"name": "one.more", "password": "wrong"})) == (401, "login-refused")
    assert code(browser.post("/login", {"name": "two.more", "password": "wrong"})) == (429, "login-throttled")
