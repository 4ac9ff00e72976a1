"""Objects of a real host, spoken to as those of esapi_stub: with its doses, enumerations and exceptions."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from functools import reduce
from typing import Any

from esapi_stub.rules import HostException
from esapi_stub.values import DoseValue

__all__ = ["Hosted"]


class _HostRefused(HostException):
    """What the real host threw; no rule of the stub stands behind it."""

    def __init__(self, said: str) -> None:
        Exception.__init__(self, said)


@contextmanager
def _refusals() -> Iterator[None]:
    """Raise what the real host throws, reading a property or calling, as what esapi_stub throws."""
    try:
        yield
    except AttributeError:  # there is no such member: the bridge and this version of the host do not fit
        raise
    except Exception as error:  # any exception of .NET: pythonnet gives them no common base but this
        raise _HostRefused(str(error)) from error


class Hosted:
    """One object of the real host.

    Parameters
    ----------
    real
        The .NET object.
    types
        The namespace ``VMS.TPS.Common.Model.Types``.
    """

    def __init__(self, real: Any, types: Any) -> None:
        vars(self).update(_real=real, _types=types)

    def __getattr__(self, name: str) -> Any:
        with _refusals():
            value = getattr(self._real, name)
            if not callable(value):
                return self._taken(value)

        def call(*arguments: object) -> Any:
            with _refusals():
                return self._taken(value(*map(self._given, arguments)))

        return call

    def __setattr__(self, name: str, value: object) -> None:
        with _refusals():
            setattr(self._real, name, self._given(value))

    def __eq__(self, other: object) -> bool:
        return bool(self._real == self._given(other))

    def __hash__(self) -> int:
        return hash(self._real)

    def __str__(self) -> str:
        return str(self._real)

    def _taken(self, value: Any) -> Any:
        if value is None or isinstance(value, str | int | float):
            return value
        try:
            items = iter(value)
        except TypeError:
            return Hosted(value, self._types)
        return tuple(map(self._taken, items))

    def _given(self, value: Any) -> Any:
        if isinstance(value, Hosted):
            return vars(value)["_real"]
        if isinstance(value, DoseValue):
            return self._types.DoseValue(value.Dose, self._given(value.Unit))
        if isinstance(value, Enum):  # DoseUnit is nested in DoseValue; None_ is None there
            kind = reduce(getattr, type(value).__qualname__.split("."), self._types)
            return getattr(kind, value.name.rstrip("_"))
        return value
