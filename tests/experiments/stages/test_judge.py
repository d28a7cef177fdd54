import numpy as np
import pytest

from experiments.config import DataConfig
from experiments.report.terminal import Progress
from experiments.run import Run
from experiments.stages.data import open_dataset
from experiments.stages.judge import fitted_judge, judge_inputs, load_judge
from features import save_audio
from wavegan import WaveGANConfig

RATE, LENGTH = 8000, 1024
CONFIG = WaveGANConfig(num_samples=LENGTH, dim=1)


def tone(frequency, seconds, rng):
    time = np.arange(int(RATE * seconds)) / RATE
    return (0.3 * np.sin(2 * np.pi * (frequency * time + rng.random())))[:, None]


@pytest.fixture(scope="module")
def split(tmp_path_factory):
    """Low and high tones, five tracks of each."""
    root, rng = tmp_path_factory.mktemp("tones"), np.random.default_rng(0)
    for label, frequency in {"high": 2000, "low": 300}.items():
        for i in range(5):
            audio = tone(frequency * rng.uniform(0.9, 1.1), 1.0, rng).astype(np.float32)
            save_audio(root / label / f"{i}.wav", audio, RATE)
    data = DataConfig(root=str(root), fractions=(0.6, 0.2, 0.2))
    dataset = open_dataset(data, sample_rate=RATE)
    split = dataset.split(data)
    return dataset.of(split.train), dataset.labels, split


@pytest.fixture(scope="module")
def folder(split, tmp_path_factory):
    run = Run(tmp_path_factory.mktemp("run"))
    return fitted_judge(run, *split[:2], CONFIG, RATE, False, Progress(quiet=True))


def test_it_tells_what_it_has_not_heard(folder):
    judge, rng = load_judge(folder, RATE), np.random.default_rng(1)
    clips = np.stack([tone(f, LENGTH / RATE, rng) for f in (310, 1950, 290, 2100)])
    probabilities = np.asarray(judge(clips.astype(np.float32)))
    np.testing.assert_allclose(probabilities.sum(1), 1, atol=1e-5)
    np.testing.assert_array_equal(probabilities.argmax(1), [1, 0, 1, 0])
    assert probabilities.max(1).min() > 0.8


def test_the_kept_one_says_the_same_again(folder):
    clips = np.random.default_rng(0).uniform(-1, 1, (3, LENGTH, 1)).astype(np.float32)
    first, second = (load_judge(folder, RATE)(clips) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_it_depends_on_the_training_tracks_alone(split):
    recordings, _, split = split
    tracks = judge_inputs(recordings, CONFIG, RATE, False)["tracks"]
    assert tracks.keys() == {track.track_id for track in split.train}
    assert not tracks.keys() & {track.track_id for track in split.test}
