"""DoseInfluence and its products: against scipy, in and out of a file, and hostile files."""

from __future__ import annotations

from pathlib import Path

import numba
import numpy as np
import pytest
from scipy import sparse

from bridge.rt.errors import ModelRefusal
from bridge.rt.grid import Grid
from esapi_stub.engine.influence import DoseInfluence, Matrix
from esapi_stub.engine.products import DoseProducts
from tests.esapi_stub.engine.phantoms import FRAME

GRID = Grid.axial((3, 4, 5), (2.0, 3.0, 4.0), (1.0, 2.0, 3.0), FRAME)
VOXELS = np.array([1, 7, 8, 30, 59])


def matrix_of(rows: int, columns: int, seed: int = 1) -> Matrix:
    made = sparse.random_array((rows, columns), density=0.3, rng=np.random.default_rng(seed), dtype=np.float32)
    return sparse.csr_array(made)


def influence() -> DoseInfluence:
    return DoseInfluence(
        matrix_of(5, 6), GRID, VOXELS, np.array([0, 0, 0, 1, 1, 1]), np.arange(12.0).reshape(6, 2), "ab" * 32
    )


def test_dose_is_put_where_the_voxels_are() -> None:
    fluence = np.arange(1.0, 7.0)
    dose = influence().dose(fluence)
    expected = np.zeros(60)
    expected[VOXELS] = influence().matrix.toarray() @ fluence
    np.testing.assert_allclose(dose.values.ravel(), expected, rtol=1e-6)
    assert dose.grid is GRID


@pytest.mark.parametrize("plans", [1, 2, 5])
@pytest.mark.parametrize(("rows", "columns"), [(1, 3), (200, 40), (40, 70000)])
def test_products_are_those_of_scipy(plans: int, rows: int, columns: int) -> None:
    matrix = matrix_of(rows, columns, seed=rows)
    random = np.random.default_rng(plans)
    fluences, slopes = random.uniform(size=(plans, columns)), random.normal(size=(plans, rows))
    slopes[:, : rows // 2] = 0.0  # voxels that no objective looks at
    products = DoseProducts(matrix)
    exact = matrix.astype(np.float64)
    np.testing.assert_allclose(products.dose(fluences), (exact @ fluences.T).T, rtol=1e-6, atol=1e-12)
    np.testing.assert_allclose(products.gradient(slopes), (exact.T @ slopes.T).T, rtol=1e-6, atol=1e-12)


def test_products_of_some_rows_are_those_of_the_smaller_matrix() -> None:
    matrix = matrix_of(50, 30)
    random = np.random.default_rng(8)
    rows = np.array([3, 4, 17, 48])
    fluences, slopes = random.uniform(size=(2, 30)), random.normal(size=(2, 4))
    part = DoseProducts(matrix).part(rows)
    exact = matrix[rows].astype(np.float64)
    np.testing.assert_allclose(part.dose(fluences), (exact @ fluences.T).T, rtol=1e-6)
    np.testing.assert_allclose(part.gradient(slopes), (exact.T @ slopes.T).T, rtol=1e-6, atol=1e-12)
    again, one = np.array([0, 3]), slopes[:1, :2]
    np.testing.assert_allclose(part.part(again).gradient(one), one @ exact[again].toarray(), rtol=1e-6, atol=1e-12)
    assert part.part(np.array([], dtype=np.int64)).dose(fluences).shape == (2, 0)
    assert not part.gradient(0.0 * slopes).any()


def test_products_do_not_hang_on_how_many_cores_there_are() -> None:
    random = np.random.default_rng(5)
    fluences, slopes = random.uniform(size=(3, 40)), random.normal(size=(3, 300))
    products = DoseProducts(matrix_of(300, 40))
    several = products.dose(fluences), products.gradient(slopes), products.squares(slopes[0])
    numba.set_num_threads(1)
    try:
        one = products.dose(fluences), products.gradient(slopes), products.squares(slopes[0])
    finally:
        numba.set_num_threads(numba.config.NUMBA_NUM_THREADS)
    for alone, together in zip(one, several, strict=True):
        np.testing.assert_array_equal(alone, together)


def test_squares_are_those_of_the_entries() -> None:
    matrix = matrix_of(50, 30)
    rows, weights = np.arange(7, 50, 3), np.random.default_rng(2).uniform(size=15)
    expected = weights @ matrix[rows].toarray().astype(np.float64) ** 2
    np.testing.assert_allclose(DoseProducts(matrix).part(rows).squares(weights), expected, rtol=1e-6, atol=1e-12)


def test_strong_entries_are_those_near_the_highest_of_their_row() -> None:
    dense = np.array([[0.1, 5.0, 10.0, 0.0], [0.0, 0.0, 0.0, 0.0], [3.0, 0.0, 0.2, 2.9]])
    strong = DoseProducts(sparse.csr_array(dense.astype(np.float32))).strong(0.1)
    expected = [[0.0, 5.0, 10.0, 0.0], [0.0, 0.0, 0.0, 0.0], [3.0, 0.0, 0.0, 2.9]]
    np.testing.assert_allclose(strong.dose(np.eye(4)).T, expected, rtol=1e-6)
    np.testing.assert_allclose(
        strong.part(np.array([2])).gradient(np.array([[2.0]]))[0], 2.0 * np.array(expected[2]), rtol=1e-6
    )


def test_some_beamlets_only() -> None:
    kept = np.array([True, False, False, True, True, False])
    some = influence().only(kept)
    np.testing.assert_array_equal(some.matrix.toarray(), influence().matrix.toarray()[:, kept])
    np.testing.assert_array_equal(some.direction, [0, 1, 1])
    np.testing.assert_array_equal(some.position_mm, influence().position_mm[kept])


def test_a_file_gives_back_what_was_written(tmp_path: Path) -> None:
    made = influence()
    made.save(tmp_path / "case.npz")
    assert [path.name for path in tmp_path.iterdir()] == ["case.npz"]
    read = DoseInfluence.load(tmp_path / "case.npz")
    np.testing.assert_array_equal(read.matrix.toarray(), made.matrix.toarray())
    assert read.matrix.data.dtype == np.float32
    for name in ("voxels", "direction", "position_mm"):
        np.testing.assert_array_equal(getattr(read, name), getattr(made, name))
    assert read.grid.matches(GRID)
    assert read.inputs_sha256 == made.inputs_sha256


def test_a_disk_that_is_full_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(OSError, match="No space"):
        influence().save(tmp_path / "case.npz")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("damage", ["truncated", "text", "missing", "format", "indices"])
def test_a_damaged_file_is_refused(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "case.npz"
    influence().save(path)
    if damage == "truncated":
        path.write_bytes(path.read_bytes()[:-100])
    elif damage == "text":
        path.write_text("no influence")
    elif damage == "missing":
        path.unlink()
    else:
        with np.load(path) as file:
            arrays = dict(file)
        arrays["format" if damage == "format" else "indices"] = (
            np.array("another 2") if damage == "format" else arrays["indices"] + 4
        )
        np.savez(path, **arrays)
    with pytest.raises(ModelRefusal, match="influence-file"):
        DoseInfluence.load(path)


@pytest.mark.parametrize("value", [-1.0, np.nan, np.inf])
def test_impossible_values_are_refused(value: float) -> None:
    bad = matrix_of(5, 6)
    bad.data[0] = value
    with pytest.raises(ModelRefusal, match="influence-value"):
        DoseInfluence(bad, GRID, VOXELS, np.zeros(6, dtype=np.int64), np.zeros((6, 2)), "ab" * 32)


@pytest.mark.parametrize("voxels", [VOXELS[:-1], VOXELS[::-1], VOXELS + 1, VOXELS - 2])
def test_voxels_that_do_not_fit_are_refused(voxels: np.ndarray) -> None:
    with pytest.raises(ModelRefusal, match="influence-shape"):
        DoseInfluence(matrix_of(5, 6), GRID, voxels, np.zeros(6, dtype=np.int64), np.zeros((6, 2)), "ab" * 32)
