from __future__ import annotations

import uuid

import pytest

from bridge.dicom.uids import derived_uid, is_valid_uid


def test_derived_uid_depends_on_its_parts_and_nothing_else() -> None:
    assert derived_uid("a", "b") == derived_uid("a", "b")
    assert len({derived_uid("a", "b"), derived_uid("b", "a"), derived_uid("ab"), derived_uid("a", "b", "")}) == 4
    # pinned: a UID that changed between releases would make every result a new object
    assert derived_uid("case", "dose") == "2.25.134391404480741601232050923360481273632"


@pytest.mark.parametrize("n", range(50))
def test_derived_uid_is_a_valid_uuid_below_2_25(n: int) -> None:
    value = derived_uid(str(n))
    assert is_valid_uid(value)
    number = uuid.UUID(int=int(value.removeprefix("2.25.")))
    assert number.variant == uuid.RFC_4122
    assert number.version == 8


@pytest.mark.parametrize("value", ["1", "0", "1.2.3", "2.25.0.1", "1." + "2" * 62])
def test_valid_uids(value: str) -> None:
    assert is_valid_uid(value)


@pytest.mark.parametrize(
    "value",
    ["", ".", "1.", ".1", "1..2", "01.2", "1.02", "../x", "1.2/3", "1.2 ", "1.2\n", "1.a", "1.-2",
     "\uff11.2", "1." + "2" * 63],
)  # fmt: skip
def test_invalid_uids(value: str) -> None:
    assert not is_valid_uid(value)
