import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wavegan.windows import Windows


def numbered(lengths, channels=1):
    """Recordings whose samples count on by one, with a jump between any two recordings."""
    ends = np.cumsum(lengths) + 10 * np.arange(len(lengths))
    audio = [np.arange(end - n, end)[:, None] for end, n in zip(ends, lengths, strict=True)]
    return [(x + 0.25 * np.arange(channels)).astype(np.float32) for x in audio]


@settings(max_examples=30, deadline=None)
@given(
    cuts=st.tuples(st.integers(5, 40), st.integers(45, 75)),
    num_samples=st.sampled_from([1, 5]),
    channels=st.sampled_from([1, 2]),
    seed=st.integers(0, 2**16),
)
def test_a_window_lies_inside_one_recording(cuts, num_samples, channels, seed):
    """Three recordings of 80 samples together (one shape, so that one compilation serves)."""
    recordings = numbered(np.diff([0, *cuts, 80]), channels)
    windows = Windows(recordings, num_samples=num_samples, channels=channels)
    drawn = np.asarray(windows.draw(jax.random.key(seed), (64,)))
    assert drawn.shape == (64, num_samples, channels)
    assert drawn.dtype == np.float32
    assert np.all(np.diff(drawn, axis=1) == 1)  # a recording's end would show as a jump
    np.testing.assert_array_equal(drawn, drawn[..., :1] + 0.25 * np.arange(channels))
    assert all(any(x in r[:, 0] for r in recordings) for x in drawn[:, 0, 0])


def test_every_window_is_equally_likely():
    """Recordings of 4, 9 and 5 samples have 1 + 6 + 2 windows of 4; chi squared of 9 cells."""
    recordings = numbered([4, 9, 5])
    windows = Windows(recordings, num_samples=4, channels=1)
    drawn = np.asarray(windows.draw(jax.random.key(0), (9000,)))[:, 0, 0]
    first, counts = np.unique(drawn, return_counts=True)
    expected = np.concatenate([r[: len(r) - 3, 0] for r in recordings])
    np.testing.assert_array_equal(first, expected)
    assert np.sum((counts - 1000) ** 2 / 1000) < 26  # p = 0.001


def test_draws_depend_on_the_key_and_are_independent():
    windows = Windows(numbered([50]), num_samples=4, channels=1)
    first = np.asarray(windows.draw(jax.random.key(0), (2, 30)))
    assert first.shape == (2, 30, 4, 1)
    np.testing.assert_array_equal(first, windows.draw(jax.random.key(0), (2, 30)))
    assert not np.array_equal(first, windows.draw(jax.random.key(1), (2, 30)))
    assert not np.array_equal(first[0], first[1])  # a fresh batch for each critic step


def test_clips_as_one_array():
    """(N, L, C) of exactly a window's length: the clips themselves come back."""
    audio = np.random.default_rng(0).uniform(-1, 1, (3, 16, 2)).astype(np.float32)
    drawn = np.asarray(Windows(audio, num_samples=16, channels=2).draw(jax.random.key(0), (40,)))
    assert {x.tobytes() for x in drawn} == {x.tobytes() for x in audio}


def test_int16_is_scaled_to_one():
    audio = np.array([[[-32768], [-1], [0], [1], [16384], [32767]]], np.int16)
    drawn = np.asarray(Windows(audio, num_samples=6, channels=1).draw(jax.random.key(0), (1,)))
    assert drawn.dtype == np.float32
    np.testing.assert_array_equal(
        drawn.ravel(), np.float32([-1, -1 / 32768, 0, 1 / 32768, 0.5, 32767 / 32768])
    )


def test_int16_beside_float_is_scaled_too():
    audio = [np.full((4, 1), 16384, np.int16), np.full((4, 1), 0.25, np.float64)]
    drawn = np.asarray(Windows(audio, num_samples=4, channels=1).draw(jax.random.key(0), (50,)))
    assert set(drawn.ravel()) == {0.5, 0.25}


@pytest.mark.parametrize(
    ("audio", "message"),
    [
        ([], "no audio to train on"),
        (np.zeros((0, 8, 1), np.float32), "no audio to train on"),
        ([np.zeros((8, 1)), np.zeros((3, 1))], r"recording 1 has 3 samples, a clip needs 4"),
        ([np.zeros((8, 1)), np.zeros((8, 2))], r"recording 1 must be \(samples, 1\), .*\(8, 2\)"),
        ([np.zeros(8)], r"recording 0 must be \(samples, 1\), found \(8,\)"),
        (np.zeros((8, 1), np.float32), r"recording 0 must be \(samples, 1\), found \(1,\)"),
        ([np.zeros((8, 1)), np.full((8, 1), np.nan)], "recording 1 holds NaN or Inf"),
        ([np.full((8, 1), -np.inf)], "recording 0 holds NaN or Inf"),
        ([np.zeros((8, 1), np.int32)], "recording 0 .*int32"),
        ([np.zeros((8, 1), np.uint8)], "recording 0 .*uint8"),
    ],
)
def test_audio_that_makes_no_windows(audio, message):
    with pytest.raises(ValueError, match=message):
        Windows(audio, num_samples=4, channels=1)


def test_more_samples_than_an_index_can_tell():
    """Views of one small recording: nothing of that size is ever held."""
    minute = np.broadcast_to(np.zeros((1, 1), np.int16), (2**20, 1))
    with pytest.raises(ValueError, match="2147483648 samples are more than one GAN can index"):
        Windows([minute] * 2**11, num_samples=4, channels=1)
