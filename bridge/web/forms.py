"""JSON that a program sends, read by a form that says what there may be."""

from __future__ import annotations

from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from bridge.rt.errors import Refusal

__all__ = ["STRICT", "parsed"]

STRICT = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

Form = TypeVar("Form", bound=BaseModel)


def parsed(form: type[Form], body: bytes) -> Form:
    """Read a document.

    Raises
    ------
    Refusal
        It is not what the form says (``json-invalid``).
    """
    try:
        return form.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        raise Refusal("json-invalid", f"{'.'.join(map(str, first['loc']))}: {first['msg']}.") from error
