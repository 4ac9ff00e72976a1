"""The signature table against the Python stub: every difference, in words."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import is_dataclass
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Any

import yaml

import esapi_stub

Table = dict[str, Any]

PACKAGE = Path(esapi_stub.__file__).parent

NOT_ESAPI = {
    *("Database", "StoredStructureSet", "System", "Raster", "PlanWithBeams", "BeamGeometry"),
    *("Basis", "HostRule", "HostException", "ApplicationException", "ArgumentException", "ArithmeticException"),
    *("PlannedBeam", "PointObjective", "MeanObjective", "GeudObjective", "NormalTissueObjective", "PlanningProblem"),
    *("BeamFluence", "OptimizedPlan", "Watch", "PlanningEngine"),
}
"""Public classes of the stub that a script for Eclipse never meets. The three exceptions are .NET's own."""

_SNAKE_CASE = re.compile(r"[a-z][a-z0-9_]*")


@cache
def _read() -> Table:
    loaded: Table = yaml.safe_load((PACKAGE / "signatures.yaml").read_text(encoding="utf-8"))
    return loaded


def table() -> Table:
    """The table, to be changed as one likes."""
    return deepcopy(_read())


def python_name(name: str) -> str:
    """``None`` cannot be a name in Python, and a generic class has no ``<T>``."""
    return "None_" if name == "None" else name.removesuffix("<T>")


def stub_classes() -> dict[str, type]:
    """All public classes of the package's own modules, and the one that is nested."""
    found: dict[str, type] = {}
    for path in PACKAGE.glob("*.py"):
        module = importlib.import_module(f"esapi_stub.{path.stem}")
        for name, value in vars(module).items():
            if inspect.isclass(value) and value.__module__ == module.__name__ and not name.startswith("_"):
                found[name] = value
    found["DoseValue.DoseUnit"] = vars(found["DoseValue"])["DoseUnit"]
    return found


def lineage(tables: Table, name: str) -> Iterator[tuple[str, Table]]:
    """The class and the classes whose members it has too, as far as the table knows them."""
    current: str | None = name
    while current in tables["classes"]:
        assert current is not None
        yield current, tables["classes"][current]
        current = tables["classes"][current].get("base")


def differences(tables: Table, classes: dict[str, type]) -> list[str]:
    """Give all differences; none when stub and table agree."""
    enumerations = tables["enumerations"]
    by_name = {python_name(name): name for name in tables["classes"]}
    strangers = set(classes) - NOT_ESAPI - set(enumerations) - set(by_name)
    found = [f"{name}: a class of the stub that is not in the table" for name in sorted(strangers)]
    for name, entry in enumerations.items():
        found += _enumeration(name, entry, classes.get(name))
    for name, entry in tables["classes"].items():
        there = classes.get(python_name(name))
        if there is not None:
            found += _class(tables, name, there, classes)
        elif name != "ApiDataObject" and any(member["stub"] for _, _, member in members_of(entry)):
            found.append(f"{name}: not in the stub, but has members that are said to be")
    return found


def members_of(entry: Table) -> Iterator[tuple[str, str, Table]]:
    """Kind, name and facts of all members of one class; an overload is a member."""
    for constructor in entry.get("constructors", []):
        yield "constructor", "__init__", constructor
    for name, member in (entry.get("properties") or {}).items():
        yield "property", name, member
    for name, overloads in entry.get("methods", {}).items():
        for member in overloads:
            yield "method", name, member


def _enumeration(name: str, entry: Table, there: type | None) -> Iterator[str]:
    if (there is not None) != entry["stub"]:
        yield f"{name}: stub is {entry['stub']}, but the stub {'has' if there else 'lacks'} it"
    if there is not None:
        assert issubclass(there, Enum)
        values = {member: value.value for member, value in there.__members__.items()}
        expected = {python_name(member): value for member, value in entry["values"].items()}
        if values != expected:
            yield f"{name}: {values} in the stub, {expected} in the table"


def _class(tables: Table, name: str, there: type, classes: dict[str, type]) -> Iterator[str]:
    entries = dict(reversed(list(lineage(tables, name))))
    known: dict[tuple[str, str], list[Table]] = {}
    for owner, entry in entries.items():
        for kind, member, fact in members_of(entry):
            if kind != "constructor" or owner == name:
                known.setdefault((kind, member), []).append(fact)
    base = tables["classes"][name].get("base")
    if base in classes and not issubclass(there, classes[base]):
        yield f"{name}: is no {base} in the stub"
    yield from (f"{name}.{member}: not in the table" for member in _strangers(there, {m for _, m in known}))
    for (kind, member), all_facts in known.items():
        facts = [fact for fact in all_facts if fact["stub"]]
        label = f"{name}.{member}"
        if kind == "constructor":
            if facts:
                yield from _parameters(label, there, facts)
        elif _has(there, member) != bool(facts):
            yield f"{label}: stub is {bool(facts)}, but the stub {'lacks' if facts else 'has'} it"
        elif facts and kind == "method":
            yield from _parameters(label, inspect.getattr_static(there, member), facts)
        elif facts and _is_settable(there, member) != any(fact.get("set", False) for fact in facts):
            yield f"{label}: can{'' if _is_settable(there, member) else 'not'} be set in the stub"


def _fields(there: type) -> set[str]:
    return {name for ancestor in there.__mro__ for name in vars(ancestor).get("__annotations__", {})}


def _has(there: type, member: str) -> bool:
    return hasattr(there, member) or member in _fields(there)


def _strangers(there: type, known: set[str]) -> Iterator[str]:
    nested = {name for name, value in vars(there).items() if inspect.isclass(value)}
    for member in sorted({*dir(there), *_fields(there)} - known - nested):
        if not member.startswith("_") and not _SNAKE_CASE.fullmatch(member) and not hasattr(Enum, member):
            yield member


def _is_settable(there: type, member: str) -> bool:
    value = inspect.getattr_static(there, member, None)
    if isinstance(value, property):
        return value.fset is not None
    return not (is_dataclass(there) and there.__dataclass_params__.frozen)  # type: ignore[attr-defined]


def _parameters(label: str, call: object, overloads: list[Table]) -> Iterator[str]:
    """A Python callable stands for all overloads: the longest names its parameters, and each can be called."""
    is_static = isinstance(call, staticmethod)
    if is_static != any(overload.get("static", False) for overload in overloads):
        yield f"{label}: static is {is_static} in the stub"
    function = call.__func__ if isinstance(call, staticmethod) else call
    assert callable(function)
    signature = inspect.signature(function).parameters
    parameters = {name: value for name, value in signature.items() if name != "self"}
    names = list(parameters)
    longest = 0
    for overload in overloads:
        declared = [parameter.rsplit(" ", 1)[1] for parameter in overload["parameters"]]
        expected = overload.get("python", {}).get("parameters", declared)
        longest = max(longest, len(expected))
        rest = [name for name in names[len(expected) :] if parameters[name].default is inspect.Parameter.empty]
        if names[: len(expected)] != expected or rest:
            yield f"{label}: takes {names} in the stub, {expected} in the table"
    if len(names) != longest:
        yield f"{label}: takes {names} in the stub, which no overload does"
