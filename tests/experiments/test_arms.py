import numpy as np
import pytest

from experiments.arms import ARMS, Examples, Rows
from features import Standardizer

REAL = Examples(np.arange(10.0, dtype=np.float32)[:, None], np.repeat([0, 1], [6, 4]))
SYNTHETIC = Examples(100 + np.arange(5.0, dtype=np.float32)[:, None], np.repeat([0, 1], [3, 2]))


def built(arm: str) -> tuple[np.ndarray, np.ndarray]:
    parts, index, labels = ARMS[arm].build(REAL, SYNTHETIC)
    rows = Rows(parts, index)
    assert len(rows) == len(labels)
    return rows[np.arange(len(rows))][:, 0], labels


def test_real_is_the_real_clips():
    values, labels = built("real")
    np.testing.assert_array_equal(values, REAL.features[:, 0])
    np.testing.assert_array_equal(labels, REAL.labels)


def test_oversampled_has_the_counts_of_the_augmented_arm_and_real_clips_alone():
    values, labels = built("real-oversampled")
    _, augmented = built("real+synthetic")
    np.testing.assert_array_equal(np.bincount(labels), np.bincount(augmented))
    assert set(values) == set(REAL.features[:, 0])
    np.testing.assert_array_equal(labels, np.where(values < 6, 0, 1))


def test_augmented_adds_the_synthetic_clips_with_their_labels():
    values, labels = built("real+synthetic")
    assert sorted(values) == sorted([*REAL.features[:, 0], *SYNTHETIC.features[:, 0]])
    np.testing.assert_array_equal(labels[values >= 100], SYNTHETIC.labels)


def test_rows_gather_across_parts_and_scale():
    parts = [np.float32([[1, 2], [3, 4]]), np.float32([[5, 6]])]
    scaler = Standardizer(mean=np.array([1.0, 2.0]), std=np.array([2.0, 4.0]))
    rows = Rows(parts, np.array([2, 0, 1, 2]), scaler)
    assert rows.shape == (4, 2)
    np.testing.assert_allclose(rows[np.array([0, 3, 1])], [[2, 1], [2, 1], [0, 0]])


def test_rows_of_rows():
    inner = Rows([np.float32([[1], [2]]), np.float32([[3]])])
    assert Rows([inner, np.float32([[9]])])[np.array([3, 2, 0])].tolist() == [[9], [3], [1]]


def test_a_row_that_is_not_there():
    with pytest.raises(IndexError):
        Rows([np.float32([[1]])])[np.array([1])]
