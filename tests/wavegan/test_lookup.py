"""Clips looked up among training windows: what was copied is found, what was not is not accused."""

import jax
import numpy as np
import pytest

from wavegan.embedding import embed
from wavegan.lookup import Lookup, drawn
from wavegan.windows import Windows

RATE, LENGTH = 8000, 1024


def melodies(seed, count, clips=24):
    """Recordings of tones that change from clip to clip."""
    rng = np.random.default_rng(seed)
    time = np.arange(LENGTH) / RATE
    parts = []
    for _ in range(count):
        pitches, gains = rng.uniform(200, 3000, (2, clips)), rng.uniform(0.05, 0.5, clips)
        sound = [g * np.sin(2 * np.pi * p * time) * np.exp(-q * time / 100)
                 for g, p, q in zip(gains, pitches[0], pitches[1], strict=True)]  # fmt: skip
        noise = rng.normal(0, 1e-3, (clips * LENGTH, 1))
        parts.append((np.concatenate(sound)[:, None] + noise).astype(np.float32))
    return parts


def lookup(audio, count=400):
    return Lookup(drawn(audio, (LENGTH, 1), RATE, count, 0, {}))


def cut(audio, found):
    """The windows of ``audio`` that were drawn."""
    places = zip(found.recording.tolist(), found.start.tolist(), strict=True)
    return np.stack([audio[i][start : start + LENGTH] for i, start in places])


def test_a_window_is_where_it_says_and_each_is_there_once():
    audio = melodies(0, 6)
    found = drawn(audio, (LENGTH, 1), RATE, 200, 0, {}, keep=30)
    assert len(found.points) == len(
        {*zip(found.recording.tolist(), found.start.tolist(), strict=True)}
    )
    np.testing.assert_array_equal(found.clips, cut(audio, found)[:30])
    np.testing.assert_allclose(found.points, embed(cut(audio, found), sample_rate=RATE), atol=1e-3)
    assert {*found.half.tolist()} == {-1, 0, 1}


def test_draws_are_those_of_training():
    """Of a recording of one window, and of one of thousands that is twice as long."""
    audio = [melodies(0, 1, clips=1)[0], melodies(1, 1, clips=2)[0]]
    found = drawn(audio, (LENGTH, 1), RATE, 300, 0, {})
    assert (found.recording == 0).sum() == 1
    assert (found.recording[found.draws] == 0).mean() == pytest.approx(1 / 3, abs=0.08)
    which = Windows(audio, num_samples=LENGTH, channels=1).places(
        jax.random.fold_in(jax.random.key(0), 256), 44
    )
    places = found.recording[found.draws[256:]], found.start[found.draws[256:]]
    np.testing.assert_array_equal(places, which)


@pytest.mark.parametrize("clips", [2.5, 5, 12])
def test_halves_share_no_sound(clips):
    """Half of a recording of fewer than 8 clips, else every other stretch of 4."""
    audio = [x[: int(clips * LENGTH)] for x in melodies(0, 6)]
    found = drawn(audio, (LENGTH, 1), RATE, 600, 0, {})
    assert {*found.half.tolist()} == {-1, 0, 1}
    for recording in range(6):
        heard = np.zeros((2, len(audio[0])), bool)
        here = found.recording == recording
        for start, half in zip(found.start[here], found.half[here], strict=True):
            if half >= 0:
                heard[half, start : start + LENGTH] = True
        assert not heard.all(0).any()
        assert heard.any(1).all()


def test_every_planted_copy_is_found_where_it_is_from():
    audio = melodies(0, 12)
    known = lookup(audio)
    copies = cut(audio, known.drawn)[:40] + np.random.default_rng(1).normal(
        0, 1e-4, (40, LENGTH, 1)
    )
    found = known.look_up(embed(copies.astype(np.float32), sample_rate=RATE))
    np.testing.assert_array_equal(found.index, np.arange(40))
    half = known.drawn.half[:40] >= 0  # a window in both halves is in neither
    assert found.copied[half].all()
    assert (found.nearer[half] < 0.01).all()
    assert (found.distance < np.median(known.unheard[0]) / 10).all()


def test_other_sounds_of_the_same_kind_are_no_copies():
    known = lookup(melodies(0, 12))
    others = drawn(melodies(1, 12), (LENGTH, 1), RATE, 400, 1, {})
    found = known.look_up(others.points)
    assert found.copied.mean() < 0.04
    assert 0.25 < found.nearer.mean() < 0.5  # the smaller of two that are uniform has a third


def test_too_few_windows_tell_nothing_but_which_is_nearest():
    audio = melodies(0, 1, clips=6)
    known = lookup(audio, count=6)
    assert known.unheard == []
    found = known.look_up(known.drawn.points)
    np.testing.assert_array_equal(found.index, np.arange(len(known.points)))
    assert found.nearer.size == found.copied.size == 0
    with pytest.raises(ValueError, match="the scaler was fitted on 120"):
        known.look_up(np.zeros((3, 7)))
