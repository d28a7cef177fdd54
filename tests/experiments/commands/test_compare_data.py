"""The tracks of a comparison: those that can't be used are named, those held out refused."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import soundfile as sf
from containers import write_container

from experiments.commands.compare import compare
from experiments.report.terminal import Progress
from experiments.stages.data import open_dataset
from features import LeakError, load_audio, save_audio


def test_an_empty_validation_side_is_refused(small_config):
    data = replace(small_config.data, fractions=(0.6, 0.0, 0.4))
    with pytest.raises(ValueError, match="--fractions"):
        replace(small_config, data=data)


def test_an_unreadable_file_is_named_and_the_rest_goes_on(small_config, music, tmp_path):
    root = tmp_path / "music"
    shutil.copytree(music, root)
    broken = root / "drone" / "drone.00009.wav"
    broken.write_bytes(b"RIFF")
    dataset = open_dataset(
        replace(small_config.data, root=str(root)), sample_rate=4000, num_samples=1024
    )
    assert [q.track.path for q in dataset.quarantined] == [broken]
    assert len(dataset.digests) == 15


def test_a_quiet_track_is_named_and_used(small_config, music, tmp_path, capsys):
    root = tmp_path / "music"
    shutil.copytree(music, root)
    noise = np.random.default_rng(0).standard_normal(4000)
    sf.write(root / "drone" / "drone.00009.wav", 10 / 2**15 * np.sign(noise), 4000)
    data = replace(small_config.data, root=str(root))
    dataset = open_dataset(data, sample_rate=4000, progress=Progress())
    assert "quiet: 1 tracks (drone.00009.wav): no sample above -60 dB" in capsys.readouterr().err
    assert dataset.about()["quiet"] == ["drone.00009"]
    assert len(dataset.digests) == 16


def test_what_read_a_file_in_libsndfiles_place_is_recorded(small_config, music, tmp_path):
    root = tmp_path / "music"
    shutil.copytree(music, root)
    sound, rate = load_audio(root / "drone" / "drone.00000.wav")
    write_container(root / "drone" / "drone.00009.m4a", sound[::-1], rate, codec="alac")
    data = replace(small_config.data, root=str(root))
    for _ in ("decoded", "found in the cache"):
        about = open_dataset(data, sample_rate=4000).about()
        assert about["decoders"] == {"PyAV": ["drone.00009"]}


def test_short_tracks_stop_or_are_counted(small_config, music, tmp_path):
    root = tmp_path / "music"
    shutil.copytree(music, root)
    audio, rate = load_audio(root / "drone" / "drone.00000.wav", duration=0.1)
    save_audio(root / "drone" / "drone.00009.wav", audio, rate)
    data = replace(small_config.data, root=str(root))
    with pytest.raises(ValueError, match=r"0\.26 s.*drone\.00009\.wav \(0\.10 s\).*--skip-short"):
        open_dataset(data, sample_rate=4000, num_samples=1024)
    dataset = open_dataset(replace(data, skip_short=True), sample_rate=4000, num_samples=1024)
    assert dataset.skipped == ("drone.00009",)


def test_sizes_found_on_test_tracks_are_refused(small_config, tmp_path):
    dataset = open_dataset(small_config.data, sample_rate=4000, num_samples=1024)
    tested = dataset.of(dataset.split(small_config.data).test[:1])
    seen = {r.track.track_id: r.digest for r in tested}
    best = {"options": {"lstm_sizes": [6, 4]}, "fit": {}, "tracks": seen}
    (tmp_path / "search.json").write_text(json.dumps({"best": best}))
    recipe = small_config.recipe.searched(str(tmp_path / "search.json"))
    with pytest.raises(LeakError, match=r"sizes of small saw 1 test tracks of split seed 0"):
        compare(replace(small_config, recipe=recipe), tmp_path / "run")
    assert not (tmp_path / "run").exists()
