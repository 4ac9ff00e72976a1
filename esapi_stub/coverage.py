"""How much of ESAPI the stub has, counted in the signature table; ``python -m esapi_stub.coverage`` prints it.

Not part of ESAPI.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from importlib.resources import files
from typing import Any

import yaml

__all__ = ["coverage_table", "lacking", "main", "members", "signatures"]

_WORDS = {
    "property": "properties",
    "method": "methods, by overload",
    "constructor": "constructors",
    "enumeration": "enumerations",
}


def signatures() -> dict[str, Any]:
    """Give the signature table."""
    table: dict[str, Any] = yaml.safe_load(files("esapi_stub").joinpath("signatures.yaml").read_text("utf-8"))
    return table


def members(table: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Give kind, full name and facts of every member in the table; an overload is one, and so is an enumeration."""
    for owner, entry in table["classes"].items():
        for facts in entry.get("constructors", []):
            yield "constructor", owner, facts
        for name, facts in (entry.get("properties") or {}).items():
            yield "property", f"{owner}.{name}", facts
        for name, overloads in entry.get("methods", {}).items():
            for facts in overloads:
                yield "method", f"{owner}.{name}", facts
    for name, facts in table["enumerations"].items():
        yield "enumeration", name, facts


def lacking(table: Mapping[str, Any]) -> list[str]:
    """Give what a bridge script needs and the stub lacks, with its parameters."""
    return [
        f"{name}({', '.join(facts.get('parameters', []))})" if kind in ("constructor", "method") else name
        for kind, name, facts in members(table)
        if facts["bridge"] and not facts["stub"]
    ]


def coverage_table(table: Mapping[str, Any]) -> str:
    """Give the counts as a table in Markdown."""
    rows = [
        "| | in the table | in the stub | a bridge script needs | needed and lacking |",
        "| --- | --- | --- | --- | --- |",
    ]
    found = list(members(table))
    for kind, word in [*_WORDS.items(), ("", "all")]:
        of_kind = [facts for one, _, facts in found if one == kind or not kind]
        counts = [
            len(of_kind),
            sum(facts["stub"] for facts in of_kind),
            sum(facts["bridge"] for facts in of_kind),
            sum(facts["bridge"] and not facts["stub"] for facts in of_kind),
        ]
        rows.append(f"| {word} | " + " | ".join(map(str, counts)) + " |")
    return "\n".join(rows)


def main() -> None:
    """Print the counts, and what is needed and lacking."""
    table = signatures()
    missing = lacking(table)
    words = "Of what a bridge script needs, the stub lacks: " + (", ".join(missing) or "nothing") + "."
    sys.stdout.write(f"{len(table['classes'])} classes\n\n{coverage_table(table)}\n\n{words}\n")


if __name__ == "__main__":
    main()
