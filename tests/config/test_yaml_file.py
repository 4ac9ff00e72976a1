from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.errors import ConfigError
from config.yaml_file import read_yaml


def read(tmp_path: Path, text: str) -> dict[str, object]:
    path = tmp_path / "a.yaml"
    path.write_text(text, encoding="utf-8")
    return read_yaml(path)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1), ("-7", -7), ("0", 0), ("007", "007"), ("0x10", "0x10"), ("1_000", "1_000"), ("1:30", "1:30"),
        ("1.5", 1.5), ("1e3", 1000.0), (".5", 0.5), ("2.", 2.0), ("1.2.3", "1.2.3"), ("192.0.2.1", "192.0.2.1"),
        ("true", True), ("false", False), ("no", "no"), ("on", "on"), ("Yes", "Yes"), ("null", None), ("~", None),
        ("", None), ("2026-01-31", "2026-01-31"), ("'1'", "1"), ("[1, a]", [1, "a"]), ("{b: 1}", {"b": 1}),
    ],
)  # fmt: skip
def test_scalars_have_the_types_of_yaml_1_2(tmp_path: Path, text: str, value: object) -> None:
    read_value = read(tmp_path, f"a: {text}")["a"]
    assert read_value == value
    assert type(read_value) is type(value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: 1\na: 2", "line 2, column 1: the key 'a' stands twice, first in line 1"),
        ("a:\n  b: 1\n  c: 2\n  b: 3", "line 4, column 3: the key 'b' stands twice, first in line 2"),
        ("a: &x {b: 1}\nc: *x", "line 2, column 4: aliases (*name) are not used here"),
        ("1: a", "line 1, column 1: the key 1 must be text; put it into quotes"),
        ("? [a]\n: 1", "line 1, column 3: the key ['a'] must be text; put it into quotes"),
        ("a: [1", "expected ',' or ']'"),
        ("a: !!python/object/apply:os.getcwd []", "could not determine a constructor"),
        ("a: !!python/name:os.system", "could not determine a constructor"),
        ("- a", "the top level must be sections"),
        ("a", "the top level must be sections"),
        ("a: 1\n---\nb: 2", "expected a single document"),
    ],
)
def test_what_is_refused_and_where(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        read(tmp_path, text)
    assert said in str(refused.value)


def test_a_file_that_is_not_there_not_text_or_huge(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        read_yaml(tmp_path / "missing.yaml")
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        read_yaml(tmp_path)
    (tmp_path / "latin.yaml").write_bytes(b"a: \xe4")
    with pytest.raises(ConfigError, match="not UTF-8"):
        read_yaml(tmp_path / "latin.yaml")
    (tmp_path / "huge.yaml").write_bytes(b"#" * 1_000_001)
    with pytest.raises(ConfigError, match="larger than"):
        read_yaml(tmp_path / "huge.yaml")
    (tmp_path / "deep.yaml").write_text("a: " + "[" * 5000)
    with pytest.raises(ConfigError):
        read_yaml(tmp_path / "deep.yaml")


@given(st.text(max_size=80))
def test_any_text_is_a_mapping_or_a_config_error(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    with contextlib.suppress(ConfigError):
        assert isinstance(read_yaml(path), dict)
