"""Standardising features: against float64 NumPy over the whole array, in parts, at the edges."""

from __future__ import annotations

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from features import scaling
from features.scaling import Standardizer


@given(
    hnp.arrays(
        np.float32,
        hnp.array_shapes(min_dims=2, max_dims=4, max_side=6),
        elements=st.floats(-1e3, 1e3, width=32),
    )
)
@settings(max_examples=50)
def test_fit_gives_the_moments_over_all_but_the_last_axis(x):
    scaler = Standardizer.fit(x)
    flat = x.astype(np.float64).reshape(-1, x.shape[-1])
    np.testing.assert_allclose(scaler.mean, flat.mean(0), atol=1e-9)
    varies = flat.std(0) > 1e-9
    np.testing.assert_allclose(scaler.std[varies], flat.std(0)[varies], rtol=1e-6)


def test_parts_give_what_the_whole_gives(monkeypatch):
    x = 1e6 + np.random.default_rng(0).standard_normal((101, 3, 4))
    whole = Standardizer.fit(x)
    monkeypatch.setattr(scaling, "_CHUNK_BYTES", 8 * 12 * 7)  # 7 examples
    parts = Standardizer.fit(x)
    np.testing.assert_allclose(parts.mean, whole.mean, rtol=1e-14)
    np.testing.assert_allclose(parts.std, x.std((0, 1)), rtol=1e-9)  # despite the large mean


class Watched:
    """A stored array that counts what is read of it at once."""

    def __init__(self, values):
        self.values, self.shape, self.largest = values, values.shape, 0

    def __getitem__(self, rows):
        part = self.values[rows]
        self.largest = max(self.largest, part.size)
        return part


def test_a_stored_array_is_never_read_whole(tmp_path):
    x = np.random.default_rng(1).standard_normal((3000, 44, 40)).astype(np.float32)
    np.save(tmp_path / "x.npy", x)
    stored = Watched(np.load(tmp_path / "x.npy", mmap_mode="r"))
    scaler = Standardizer.fit(stored)
    assert stored.largest * 8 <= 2**24
    np.testing.assert_allclose(scaler.std, x.std((0, 1), dtype=np.float64), rtol=1e-9)


@pytest.mark.parametrize("array", [np.asarray, jnp.asarray], ids=["numpy", "jax"])
def test_apply_standardises_and_keeps_the_kind_of_array(array):
    x = array(np.random.default_rng(2).normal(5, 3, (50, 9, 4)).astype(np.float32))
    scaled = Standardizer.fit(x).apply(x)
    assert isinstance(scaled, type(x))
    assert scaled.dtype == np.float32
    np.testing.assert_allclose(scaled.mean((0, 1)), 0, atol=1e-5)
    np.testing.assert_allclose(scaled.std((0, 1)), 1, atol=1e-5)


def test_apply_jits():
    scaler = Standardizer.fit(np.arange(12.0).reshape(4, 3))
    x = jnp.ones((2, 3))
    np.testing.assert_allclose(jax.jit(scaler.apply)(x), scaler.apply(x), rtol=1e-6)


@pytest.mark.parametrize("value", [0.0, 0.1, 1e8])
def test_a_constant_feature_is_only_centred(value):
    x = np.full((1000, 2), value)
    scaler = Standardizer.fit(x)
    np.testing.assert_array_equal(scaler.std, 1)
    np.testing.assert_allclose(scaler.apply(x), 0, atol=1e-6)


def test_json_keeps_every_bit():
    scaler = Standardizer.fit(np.random.default_rng(3).standard_normal((10, 3)))
    back = Standardizer.from_dict(json.loads(json.dumps(scaler.to_dict())))
    np.testing.assert_array_equal(back.mean, scaler.mean)
    np.testing.assert_array_equal(back.std, scaler.std)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_non_finite_training_data_is_refused(bad):
    x = np.zeros((5, 2, 3))
    x[3, 1, 2] = bad
    with pytest.raises(ValueError, match="example 3"):
        Standardizer.fit(x)


@pytest.mark.parametrize("shape", [(3,), (0, 3), (3, 0)])
def test_data_without_examples_or_features_is_refused(shape):
    with pytest.raises(ValueError, match="shape"):
        Standardizer.fit(np.zeros(shape))


def test_other_features_than_fitted_are_refused():
    with pytest.raises(ValueError, match=r"4 features.* 3"):
        Standardizer.fit(np.eye(3)).apply(np.zeros((2, 4), np.float32))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"mean": [0.0]}, "'std' is missing"),
        ({"mean": [0.0], "std": [1.0, 1.0]}, "shape"),
        ({"mean": [0.0], "std": [0.0]}, "positive"),
        ({"mean": [np.nan], "std": [1.0]}, "not finite"),
    ],
)
def test_damaged_settings_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        Standardizer.from_dict(values)
