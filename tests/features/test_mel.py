"""The mel filters against librosa, whole and in parts."""

from __future__ import annotations

import librosa
import numpy as np
import pytest

from features._framing import Framing
from features.mel import MelOptions, check_norm, filter_parts, mel_filters


@pytest.mark.parametrize("norm", ["slaney", None, 0, 1, 2, 0.5, np.inf, -np.inf])
@pytest.mark.parametrize("htk", [False, True])
@pytest.mark.filterwarnings("ignore:Empty filters")
def test_filters_agree_with_librosa(norm, htk):
    options = {"n_fft": 512, "n_mels": 80, "fmin": 20.0, "fmax": 7600.0, "htk": htk, "norm": norm}
    right = librosa.filters.mel(sr=16000, dtype=np.float64, **options)
    np.testing.assert_allclose(mel_filters(sample_rate=16000, **options), right, atol=1e-12)


@pytest.mark.filterwarnings("ignore:Empty filters")
@pytest.mark.parametrize(
    ("n_fft", "n_mels", "fmin", "fmax"),
    [(2048, 128, 0.0, None), (2048, 3, 300.0, 8000.0), (128, 130, 0.0, None), (64, 40, 0.0, 50.0)],
    ids=["usual", "few", "some-empty", "all-empty"],
)
def test_the_parts_are_all_of_the_filters(n_fft, n_mels, fmin, fmax):
    options = MelOptions(22050, Framing(n_fft, 512), n_mels, fmin, fmax, 2.0, False, "slaney")
    whole = np.zeros((1 + n_fft // 2, n_mels))
    first = 0
    for bins, filters in filter_parts(options):
        whole[bins, first : first + filters.shape[1]] = filters
        first += filters.shape[1]
    right = librosa.filters.mel(sr=22050, n_fft=n_fft, n_mels=n_mels, fmin=fmin, fmax=fmax)
    np.testing.assert_allclose(whole.T, right, rtol=1e-6, atol=1e-10)
    assert first == n_mels


def test_the_parts_take_a_fraction_of_the_products():
    options = MelOptions(22050, Framing(2048, 512), 128, 0.0, None, 2.0, False, "slaney")
    assert sum(filters.size for _, filters in filter_parts(options)) < 0.3 * 1025 * 128


@pytest.mark.parametrize("norm", ["l2", True, (1,), -1, np.nan])
def test_what_is_no_norm_is_named(norm):
    with pytest.raises(ValueError, match="norm is "):
        check_norm(norm)
