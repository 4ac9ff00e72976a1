from __future__ import annotations

from pathlib import Path

import pytest

from config.load import load_settings
from config.reference import Key, all_keys, configuration_reference

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "configuration.md"
KEYS = {key.path: key for key in all_keys()}


def test_the_committed_page_is_current() -> None:
    assert PAGE.read_text(encoding="utf-8") == configuration_reference(), "run `make docs` and commit the page"


@pytest.mark.parametrize("key", KEYS.values(), ids=lambda key: key.path)
def test_every_key_has_one_line_of_help(key: Key) -> None:
    assert key.help.endswith(".")
    assert "\n" not in key.help
    assert "|" not in key.help + key.kind + key.default


def test_every_default_is_a_documented_key() -> None:
    def leaves(value: object, path: str) -> list[str]:
        if isinstance(value, dict) and value:
            return [leaf for key, below in value.items() for leaf in leaves(below, f"{path}.{key}" if path else key)]
        return [path]

    assert set(leaves(load_settings(None).model_dump(), "")) <= set(KEYS)


@pytest.mark.parametrize(
    ("path", "kind", "default"),
    [
        ("node.port", "integer, at least 0, at most 65535", "`11112`"),
        ("node.peers[].hosts", "list of text", "required"),
        (
            "destinations[].send",
            "list of `predicted_dose` or `predicted_plan`",
            '`["predicted_plan", "predicted_dose"]`',
        ),
        ("dvh.sample_mm", "number, more than 0, at most 5 or null", "`null`"),
        ("prescription.levels", "mapping of text to number, at least 1, at most 120", "`{}`"),
    ],
)
def test_types_ranges_and_defaults_are_spelled_out(path: str, kind: str, default: str) -> None:
    assert (KEYS[path].kind, KEYS[path].default) == (kind, default)
