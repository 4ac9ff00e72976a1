"""One request as the pages see it: who asks for what. Nothing of Starlette's is needed to answer it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl

from bridge.rt.errors import AccessRefusal, Refusal
from bridge.web.origin import csrf_token
from bridge.web.room import ReviewRoom
from bridge.workflow.users import User

__all__ = ["Visit"]

_MOST_FIELDS = 6000
"""A table of objectives has up to 1000 rows of up to 5 fields."""


@dataclass(frozen=True)
class Visit:
    """A request.

    Attributes
    ----------
    room
        The review room.
    path
        Parts of the path by name.
    headers
        By lower case name.
    body
        As sent.
    address
        Where it comes from.
    query
        What stands behind the question mark; never anything about a patient.
    session
        The logged in user with the token of his session, or None.
    """

    room: ReviewRoom
    path: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    address: str
    query: str = ""
    session: tuple[User, str] | None = None

    @property
    def user(self) -> User:
        """Who asks; raises ``not-logged-in`` where nobody is logged in."""
        return self._logged_in()[0]

    @property
    def token(self) -> str:
        """Token of the session; raises as :attr:`user`."""
        return self._logged_in()[1]

    @property
    def csrf_token(self) -> str:
        """What the forms of this session carry; raises as :attr:`user`."""
        return csrf_token(self.token)

    @property
    def case_id(self) -> str | None:
        """The case in the path, or None; whatever else stands in its place is none."""
        given = self.path.get("case_id", "")
        return given if re.fullmatch("[0-9a-f]{12}", given) else None

    @property
    def wants_page(self) -> bool:
        """Whether a person looks at the answer, not a program."""
        return "text/html" in self.headers.get("accept", "")

    def form(self) -> dict[str, str]:
        """Read the fields of a posted form.

        Raises
        ------
        Refusal
            It is none, or names a field twice (``form-invalid``).
        """
        if self.headers.get("content-type", "").partition(";")[0].strip() != "application/x-www-form-urlencoded":
            raise Refusal("form-invalid", "A posted form is needed (application/x-www-form-urlencoded).")
        try:
            fields = parse_qsl(
                self.body.decode("utf-8"), keep_blank_values=True, strict_parsing=True, max_num_fields=_MOST_FIELDS
            )
        except ValueError as error:
            told = f"The form cannot be read: it must be UTF-8, with at most {_MOST_FIELDS} fields."
            raise Refusal("form-invalid", told) from error
        if len(dict(fields)) < len(fields):
            raise Refusal("form-invalid", "The form names a field twice.")
        return dict(fields)

    def json(self) -> object:
        """Read a posted JSON document.

        Raises
        ------
        Refusal
            It is none (``json-invalid``).
        """
        if self.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
            raise Refusal("json-invalid", "JSON is needed (application/json).")
        try:
            document: object = json.loads(self.body, parse_constant=_refuse_constant)
        except (ValueError, RecursionError) as error:
            raise Refusal("json-invalid", f"This is not JSON: {error}.") from error
        return document

    def _logged_in(self) -> tuple[User, str]:
        if self.session is None:
            raise AccessRefusal("not-logged-in", "You are not logged in, or your session ran out. Log in again.")
        return self.session


def _refuse_constant(text: str) -> object:
    raise ValueError(f"{text} is not a number of JSON")
