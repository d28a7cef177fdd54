"""Rows of several arrays against numpy's own indexing of the concatenated array."""

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from features import Standardizer
from features.rows import Rows


@st.composite
def parts_and_arrays(draw):
    """1 to 4 parts of 0 to 5 rows and an index of them, and the array that they stand for."""
    sizes = draw(st.lists(st.integers(0, 5), min_size=1, max_size=4).filter(sum))
    whole = np.arange(3 * sum(sizes), dtype=np.float32).reshape(-1, 3)
    index = None
    if draw(st.booleans()):
        chosen = st.integers(-len(whole), len(whole) - 1)
        index = np.array(draw(st.lists(chosen, min_size=1, max_size=12)))
    parts = np.split(whole, np.cumsum(sizes)[:-1])
    return (parts, index), whole if index is None else whole[index]


@given(pair=parts_and_arrays(), data=st.data())
def test_any_index_gives_what_numpy_gives(pair, data):
    parts, array = pair
    rows = Rows(*parts)
    kinds = st.one_of(
        st.integers(-len(array), len(array) - 1),
        st.slices(len(array)),
        hnp.arrays(bool, len(array)),
        hnp.arrays(
            int, hnp.array_shapes(max_dims=2), elements=st.integers(-len(array), len(array) - 1)
        ),
        st.just(...),
    )
    index = data.draw(kinds)
    found = rows[index]
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, array[index])
    assert (rows.shape, len(rows), rows.ndim) == (array.shape, len(array), array.ndim)


def test_the_whole_as_an_array():
    rows = Rows([np.float32([[1, 2]]), Rows([np.float32([[3, 4]])])], np.array([1, 0]))
    expected = np.float32([[3, 4], [1, 2]])
    np.testing.assert_array_equal(np.asarray(rows), expected)
    np.testing.assert_array_equal(jnp.asarray(rows), expected)
    assert np.asarray(rows, np.float64).dtype == np.float64
    with pytest.raises(ValueError, match="no array to share"):
        np.array(rows, copy=False)


def test_rows_are_scaled_as_they_are_read():
    scaler = Standardizer(mean=np.array([1.0, 2.0]), std=np.array([2.0, 4.0]))
    rows = Rows([np.float32([[1, 2], [3, 4]]), np.float32([[5, 6]])], np.array([2, 0]), scaler)
    np.testing.assert_array_equal(rows[:], [[2, 1], [0, 0]])
    np.testing.assert_array_equal(rows[0], [2, 1])


def test_what_cannot_be_rows():
    with pytest.raises(ValueError, match="one shape"):
        Rows([])
    with pytest.raises(ValueError, match=r"\(2,\).*\(3,\)"):
        Rows([np.zeros((1, 2), np.float32), np.zeros((1, 3), np.float32)])
    with pytest.raises(IndexError):
        Rows([np.zeros((1, 2), np.float32)], np.array([1]))
