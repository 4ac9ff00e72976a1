"""Every change that can be asked for, and who may: each route is asked by each role, with a form of his own session."""

from __future__ import annotations

import re

import pytest

from bridge.web.application import all_routes
from bridge.web.guard import GuardedRoute
from tests.web.browser import ORIGIN, Browser

EDITORS, DECIDERS, ALL = {"planner", "physicist"}, {"physicist"}, {"viewer", "planner", "physicist", "admin"}

CHANGES = {
    "POST /cases/{case_id}/approval": DECIDERS,
    "POST /cases/{case_id}/approval.json": DECIDERS,
    "POST /cases/{case_id}/discard": DECIDERS,
    "POST /cases/{case_id}/hold": EDITORS,
    "POST /cases/{case_id}/objectives": EDITORS,
    "POST /cases/{case_id}/prediction": EDITORS,
    "POST /cases/{case_id}/prediction.json": EDITORS,
    "POST /cases/{case_id}/rejection": DECIDERS,
    "POST /cases/{case_id}/rejection.json": DECIDERS,
    "POST /cases/{case_id}/results/{result}/desired-dvh": EDITORS,
    "POST /cases/{case_id}/results/{result}/previews": EDITORS,
    "POST /cases/{case_id}/resumption": DECIDERS,
    "POST /cases/{case_id}/sending": DECIDERS,
    "POST /cases/{case_id}/template": DECIDERS,
    "POST /cases/{case_id}/template/application": EDITORS,
    "POST /cases/{case_id}/trial": EDITORS,
    "POST /logout": ALL,
    "POST /presets": EDITORS,
    "POST /templates/{name}/{number}/approval": DECIDERS,
    "POST /templates/{name}/{number}/retirement": DECIDERS,
    "PUT /cases/{case_id}/objectives.json": EDITORS,
    "DELETE /presets/{name}": EDITORS,
}
PUBLIC = {"POST /login", "POST /enter"}


def changes() -> dict[str, GuardedRoute]:
    found = {}
    for route in all_routes():
        assert isinstance(route, GuardedRoute)
        if route.is_change:
            (method,) = route.methods or ()
            found[f"{method} {route.path}"] = route
    return found


def test_every_change_is_in_the_table() -> None:
    assert set(changes()) == set(CHANGES) | PUBLIC


@pytest.mark.parametrize("role", sorted(ALL))
def test_a_role_asks_for_every_change(browser: Browser, role: str) -> None:
    browser.log_in(role)
    allowed = set()
    for name in sorted(CHANGES, key=lambda name: name == "POST /logout"):
        method, _, path = name.partition(" ")
        headers = {"accept": "application/json", "origin": ORIGIN, "x-csrf-token": browser.csrf}
        answer = browser.client.request(method, re.sub(r"\{[^}]*\}", "1", path), headers=headers)
        if answer.status_code != 403:
            allowed.add(name)
        else:
            assert answer.json()["code"] == "role-too-low", name
    assert allowed == {name for name, roles in CHANGES.items() if role in roles}
