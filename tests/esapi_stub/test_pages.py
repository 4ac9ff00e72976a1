"""The reference page says what is so."""

from __future__ import annotations

import re
from pathlib import Path

from esapi_stub.rules import RULES, Basis

DOCS = Path(__file__).resolve().parents[2] / "docs"
WORDS = {Basis.DOCUMENTED: "documented", Basis.OBSERVED: "observed", Basis.GUESS: "guess", Basis.LIMIT: "limit"}


def test_the_reference_page_lists_every_rule() -> None:
    page = (DOCS / "reference" / "esapi-stub.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| `([\w-]+)` \| (\w+) \| (.*) \|$", page, flags=re.MULTILINE)
    assert listed == [(rule.name, WORDS[rule.basis], rule.says) for rule in RULES.values()]
