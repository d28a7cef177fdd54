"""Framing: windows against scipy's, what is refused, and its use as a key."""

from __future__ import annotations

import librosa
import numpy as np
import pytest
import scipy.signal

from features._framing import PAD_MODES, Framing


@pytest.mark.parametrize("window", ["hann", "hamming", "boxcar", "blackman", ("gaussian", 40.0)])
@pytest.mark.parametrize(("n_fft", "win_length"), [(256, None), (256, 200), (257, 200), (64, 1)])
def test_a_window_is_scipys_in_the_middle_of_the_frame(window, n_fft, win_length):
    found = Framing(n_fft, 16, win_length=win_length, window=window).weights
    right = scipy.signal.get_window(window, win_length or n_fft)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found[0], librosa.util.pad_center(right, size=n_fft), atol=1e-15)


@pytest.mark.parametrize("kind", [np.array, np.float32, list, tuple])
def test_a_window_of_numbers_is_kept_as_a_tuple(kind):
    framing = Framing(6, 2, win_length=4, window=kind([1, 2, 3, 2]))
    assert framing.window == (1.0, 2.0, 3.0, 2.0)
    assert {framing} == {Framing(6, 2, win_length=4, window=(1.0, 2.0, 3.0, 2.0))}
    np.testing.assert_array_equal(framing.weights, [[0, 1, 2, 3, 2, 0]])


@pytest.mark.parametrize("pad_mode", PAD_MODES)
@pytest.mark.parametrize("n_fft", [1, 2, 7, 8])
def test_the_shortest_clip_is_the_first_that_numpy_pads_at_once(pad_mode, n_fft):
    shortest = Framing(n_fft, 1, pad_mode=pad_mode).shortest
    margin = n_fft // 2
    clip = np.arange(shortest)
    padded = np.pad(clip, margin, mode=pad_mode)
    if pad_mode in ("reflect", "symmetric"):
        outer = 1 if pad_mode == "reflect" else 0
        np.testing.assert_array_equal(padded[:margin], clip[outer : margin + outer][::-1])
        assert shortest == max(1, margin + outer)
    else:
        assert shortest == 1


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"win_length": 0}, "win_length is 0; 1 to n_fft=8 "),
        ({"win_length": 9}, "win_length is 9; 1 to n_fft=8 "),
        ({"pad_mode": "empty"}, "pad_mode is 'empty'; constant, edge, reflect, symmetric are"),
        ({"window": "kaiser"}, "window is 'kaiser', .*parameter.*; a name"),
        ({"window": ("hann", 3.0, 4.0)}, r"window is \('hann', 3.0, 4.0\), which scipy"),
        ({"window": np.ones(7)}, "window has 7 samples, and 8 are needed"),
        ({"window": np.ones(8), "win_length": 4}, "window has 8 samples, and 4 are needed"),
        ({"window": np.full(8, np.nan)}, "window has samples that are NaN"),
        (
            {"window": np.ones((2, 4))},
            r"window is float64 of shape \(2, 4\); .*an array \(win_length,\)",
        ),
        (
            {"window": np.ones(8, complex)},
            r"window is complex128 of shape \(8,\); .*of real numbers",
        ),
        ({"window": np.hanning}, "window is <function hanning.*; a name such as"),
        ({"window": None}, "window is None; a name such as"),
        ({"window": []}, r"window is float64 of shape \(0,\); a name such as"),
    ],
)
def test_bad_settings_are_named(settings, said):
    with pytest.raises(ValueError, match=said):
        Framing(8, 2, **settings)
