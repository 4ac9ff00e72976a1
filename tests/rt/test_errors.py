from __future__ import annotations

import inspect

import pytest

from bridge.rt import errors
from bridge.rt.errors import (
    AccessRefusal,
    ApprovalRefusal,
    BridgeError,
    DeliveryFailure,
    DicomRefusal,
    Failure,
    GeometryRefusal,
    IdentityRefusal,
    ModelRefusal,
    PrescriptionRefusal,
    Refusal,
    StorageFailure,
    StructureRefusal,
    error_context,
)

REFUSALS = (
    GeometryRefusal, IdentityRefusal, DicomRefusal, StructureRefusal,
    PrescriptionRefusal, ModelRefusal, ApprovalRefusal, AccessRefusal,
)  # fmt: skip
FAILURES = (StorageFailure, DeliveryFailure)


def test_the_tree_is_as_documented() -> None:
    public = {name: value for name, value in vars(errors).items() if inspect.isclass(value) and name in errors.__all__}
    assert set(public.values()) == {BridgeError, Refusal, Failure, *REFUSALS, *FAILURES}
    assert all(kind.__bases__ == (Refusal,) for kind in REFUSALS)
    assert all(kind.__bases__ == (Failure,) for kind in FAILURES)
    assert Refusal.__bases__ == Failure.__bases__ == (BridgeError,)


@pytest.mark.parametrize("kind", REFUSALS)
def test_a_refusal_says_what_and_where(kind: type[BridgeError]) -> None:
    error = kind("plane-order", "The planes must ascend.", roi="Cord", z_mm=12.5)
    assert str(error) == "The planes must ascend. [plane-order: roi=Cord, z_mm=12.5]"
    assert error.as_dict() == {
        "kind": "refused", "code": "plane-order", "message": "The planes must ascend.",
        "where": {"roi": "Cord", "z_mm": "12.5"},
    }  # fmt: skip


@pytest.mark.parametrize("kind", FAILURES)
def test_a_failure_is_reported_as_one(kind: type[BridgeError]) -> None:
    error = kind("disk-full", "No space left.")
    assert str(error) == "No space left. [disk-full]"
    assert error.as_dict() == {"kind": "failed", "code": "disk-full", "message": "No space left.", "where": {}}


def test_a_context_adds_places_and_keeps_those_that_are_known() -> None:
    with pytest.raises(StructureRefusal) as refused, error_context({"case": 17, "roi": "outer"}):  # noqa: SIM117
        with error_context({"step": "dvh"}):
            raise StructureRefusal("dvh-empty", "Nothing there.", roi="Cord")
    assert refused.value.where == {"roi": "Cord", "step": "dvh", "case": "17"}
    assert str(refused.value) == "Nothing there. [dvh-empty: roi=Cord, step=dvh, case=17]"


def test_a_context_leaves_bugs_alone() -> None:
    with pytest.raises(KeyError) as bug, error_context({"case": 17}):
        raise KeyError("bug")
    assert not hasattr(bug.value, "where")
