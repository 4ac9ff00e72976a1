"""A browser as the server sees it: it keeps cookies, says where a form stands, and sends what the form holds."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import httpx2 as httpx
from sqlalchemy import select
from starlette.routing import BaseRoute
from starlette.testclient import TestClient

from bridge.web.application import review_application
from bridge.web.room import ReviewRoom
from bridge.workflow.schema import AuditRow

ORIGIN = "http://review.test:8080"
PASSWORD = "nine horses on a bridge"  # noqa: S105 - of no real person


class Browser:
    """One browser; several may visit one room."""

    def __init__(self, room: ReviewRoom, routes: Sequence[BaseRoute] | None = None) -> None:
        self.room = room
        self.client = TestClient(review_application(room, routes), base_url=room.origin, follow_redirects=False)
        self.csrf = ""

    def get(self, path: str, accept: str = "text/html", **headers: str) -> httpx.Response:
        return self.client.get(path, headers={"accept": accept, **headers})

    def json(self, path: str) -> httpx.Response:
        return self.get(path, "application/json")

    def post(
        self, path: str, form: Mapping[str, str] | None = None, *, origin: str | None = ORIGIN, csrf: str | None = None,
        accept: str = "application/json",
    ) -> httpx.Response:  # fmt: skip
        """Send a form of this browser's own page."""
        headers = {"accept": accept, **({"origin": origin} if origin else {})}
        fields = {"csrf": self.csrf if csrf is None else csrf, **(form or {})}
        return self.client.post(path, data=fields, headers=headers)

    def send(self, method: str, path: str, content: object, **headers: str) -> httpx.Response:
        """Send JSON, as a script of the page would."""
        given = {"accept": "application/json", "origin": ORIGIN, "x-csrf-token": self.csrf, **headers}
        return self.client.request(method, path, json=content, headers=given)

    def log_in(self, role: str = "physicist", password: str = PASSWORD) -> httpx.Response:
        answer = self.post("/login", {"name": f"a.{role}", "password": password})
        if answer.status_code == 303:
            found = re.search(r'name="csrf" value="([0-9a-f]{64})"', self.get("/").text)
            self.csrf = found[1] if found else ""
        return answer

    def audited(self, action: str = "request-refused") -> list[tuple[str, str]]:
        """Give who was refused what, by code."""
        with self.room.store.transaction() as session:
            rows = session.scalars(select(AuditRow).where(AuditRow.action == action).order_by(AuditRow.id))
            return [(row.actor, row.detail.get("code", "")) for row in rows]


def code(response: httpx.Response) -> tuple[int, str]:
    """Give status and code of an error in the one shape."""
    error = response.json()
    assert set(error) == {"kind", "code", "message", "where"}
    return response.status_code, error["code"]
