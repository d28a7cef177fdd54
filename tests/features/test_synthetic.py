"""The synthetic genres: deterministic, clean as audio, varied as music, hard but not hopeless."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import soundfile

from features.audio import load_audio
from features.dataset import scan_tracks
from features.synthetic import GENRES, MANIFEST, TONES, render_dataset, render_tones, synthesize
from features.synthetic.genres import MODES, STYLES, Piece, Style, compose
from features.synthetic.instruments import DRUMS, VOICES, Player, strike

RATE = 16000
TRACKS = 12


@pytest.fixture(scope="module")
def tracks() -> dict[tuple[str, int], np.ndarray]:
    """(genre, track) -> 6 s of audio, (L,)."""
    names = list(product(GENRES, range(TRACKS)))
    with ThreadPoolExecutor(2) as pool:
        return dict(
            zip(names, pool.map(lambda n: synthesize(*n, seconds=6.0)[:, 0], names), strict=True)
        )


def pieces(genre: str, count: int = 40) -> list[Piece]:
    return [compose(STYLES[genre], np.random.default_rng(n), 10.0) for n in range(count)]


# --- synthesize


def test_a_track_is_the_same_whenever_it_is_rendered(tracks):
    again = synthesize("swing", 5, seconds=6.0)
    assert again.dtype == np.float32
    assert again.shape == (6 * RATE, 1)
    np.testing.assert_array_equal(again[:, 0], tracks["swing", 5])


def test_another_process_renders_the_same(tracks):
    code = (
        "import sys; from features.synthetic import synthesize;"
        "sys.stdout.buffer.write(synthesize('drone', 2, seconds=6.0).tobytes())"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "77"}
    out = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True).stdout
    np.testing.assert_array_equal(np.frombuffer(out, np.float32), tracks["drone", 2])


@pytest.mark.parametrize("other", [("swing", 6, 0), ("swing", 5, 1), ("march", 5, 0)])
def test_another_track_seed_or_genre_sounds_different(tracks, other):
    genre, track, seed = other
    audio = synthesize(genre, track, seed=seed, seconds=6.0)[:, 0]
    likeness = np.corrcoef(audio, tracks["swing", 5])[0, 1]
    assert abs(likeness) < 0.3


def test_every_track_is_clean_audio(tracks):
    for name, audio in tracks.items():
        level = 10 * np.log10(np.mean(audio**2))
        assert np.isfinite(audio).all(), name
        assert -30 < level < -12, name
        assert np.abs(audio).max() < 0.96, name
        assert abs(audio.mean()) < 0.02, name
        seconds = audio.reshape(6, RATE)
        quietest = 10 * np.log10((seconds**2).mean(axis=1).min())
        assert quietest > level - 50, name  # no second is silent


def test_loudness_differs_from_track_to_track(tracks):
    levels = [10 * np.log10(np.mean(audio**2)) for audio in tracks.values()]
    assert np.std(levels) > 2


@pytest.mark.parametrize("seconds", [0.01, 0.5, 1.234])
@pytest.mark.parametrize("sample_rate", [4000, 8000, 22050, 48000])
def test_any_rate_and_duration(seconds, sample_rate):
    audio = synthesize("techno", 1, seconds=seconds, sample_rate=sample_rate)
    assert audio.shape == (round(seconds * sample_rate), 1)
    assert np.isfinite(audio).all()
    assert 0 < np.abs(audio).max() < 0.96


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"genre": "polka"}, r"'polka'.*waltz"),
        ({"track": -1}, "track -1"),
        ({"seed": -3}, "seed -3"),
        ({"seconds": 0.0}, "seconds 0.0"),
        ({"seconds": float("nan")}, "seconds nan"),
        ({"sample_rate": 800}, "sample_rate 800"),
    ],
)
def test_what_makes_no_sound_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        synthesize(**{"genre": "waltz", "track": 0} | arguments)


# --- the music


def test_keys_tempi_modes_and_instruments_vary():
    for genre in GENRES:
        drawn = pieces(genre)
        low, high = STYLES[genre].tempo
        tempi = [piece.tempo for piece in drawn]
        assert min(tempi) >= low
        assert max(tempi) <= high
        assert max(tempi) - min(tempi) > 0.7 * (high - low)
        assert len({piece.tonic for piece in drawn}) >= 9
        assert len({piece.mode for piece in drawn}) >= 2
        assert len({piece.notes for piece in drawn}) == len(drawn)
        assert len({piece.voices["lead"] for piece in drawn}) >= 3


def test_genres_overlap_in_tempo_and_instruments():
    for genre, style in STYLES.items():
        others = [other for name, other in STYLES.items() if name != genre]
        assert any(o.tempo[0] < style.tempo[1] and style.tempo[0] < o.tempo[1] for o in others)
        shared = {voice for other in others for voice in _voices(other)}
        assert len(_voices(style) & shared) >= 4


def _voices(style: Style) -> set[str]:
    return {v for part in (style.bass, style.chords, style.lead) for v in part.voices.split()}


def test_notes_are_in_the_key():
    for genre in GENRES:
        for piece in pieces(genre, 10):
            scale = {(piece.tonic + step) % 12 for step in MODES[piece.mode]}
            pitches = [n.pitch for n in piece.notes if n.pitch is not None and n.part != "bass"]
            assert {pitch % 12 for pitch in pitches} <= scale  # a bass may walk outside


def test_notes_are_within_the_excerpt_and_playable():
    for genre in GENRES:
        for piece in pieces(genre, 10):
            for note in piece.notes:
                assert note.start < 10
                assert 0 < note.level <= 1
                assert note.pitch is None or 20 < note.pitch < 110
                assert (note.pitch is None) == (note.part in DRUMS)


def _bars(genre: str, **change) -> tuple[Piece, np.ndarray]:
    """A long piece whose chords follow one pattern, and where they begin, in beats."""
    part = replace(STYLES[genre].chords, patterns=change.pop("chords"), presence=1.0)
    style = replace(STYLES[genre], chords=part, **change)
    piece = compose(style, np.random.default_rng(0), 60.0)
    starts = sorted({note.start for note in piece.notes if note.part == "chords"})
    return piece, np.array(starts) * piece.tempo / 60


def test_a_waltz_bar_has_three_beats():
    _, beats = _bars("waltz", chords=".xx", swing=(0.5, 0.5))
    phase = (beats - beats[0] + 0.5) % 3 - 0.5
    assert len(beats) > 50
    assert set(np.round(phase)) in ({0, 1}, {0, 2})
    assert np.abs(phase - np.round(phase)).max() < 0.2  # played by people


def test_swing_delays_the_second_eighth():
    _, beats = _bars("swing", chords="xxxxxxxx", swing=(0.66, 0.66))
    gaps = np.diff(beats)
    assert np.median(gaps[gaps > 0.5]) == pytest.approx(0.66, abs=0.03)
    assert np.median(gaps[gaps < 0.5]) == pytest.approx(0.34, abs=0.03)


def test_chords_are_built_in_thirds_on_the_degree():
    style = replace(STYLES["march"], modes="major", progressions="5", sevenths=0.0)
    piece = compose(style, np.random.default_rng(1), 20.0)
    tones = {(n.pitch - piece.tonic) % 12 for n in piece.notes if n.part == "chords"}
    assert tones == {7, 11, 2}  # G, B, D in C


# --- the instruments


@pytest.mark.parametrize("name", VOICES)
@pytest.mark.parametrize("pitch", [45, 69, 93])
def test_voices_are_in_tune_and_do_not_click(name, pitch):
    rng = np.random.default_rng(0)
    player = Player.draw(name, (0.5, 0.9), rng)
    wave = player.play(pitch, 1.0, 0.8, RATE, rng)
    assert np.abs(wave[[0, -1]]).max() < 0.01 * np.abs(wave).max()
    power = np.abs(np.fft.rfft(wave * np.hanning(wave.size), 1 << 16)) ** 2
    hz = np.fft.rfftfreq(1 << 16, 1 / RATE)
    fundamental = 440 * 2 ** ((pitch - 69) / 12) / VOICES[name].cycles
    number = np.maximum(np.round(hz / fundamental), 1)
    tuned = np.abs(np.log2(np.maximum(hz, 1) / (number * fundamental))) < 1 / 24
    assert power[tuned].sum() > 0.9 * power.sum()


@pytest.mark.parametrize("name", DRUMS)
@pytest.mark.parametrize("sample_rate", [4000, 16000])
def test_drums_peak_at_one_and_die_out(name, sample_rate):
    hit = strike(name, sample_rate, np.random.default_rng(3))
    assert np.abs(hit).max() == pytest.approx(1)
    assert abs(hit[-1]) < 1e-3
    half = hit.size // 2
    assert (hit[half:] ** 2).sum() < 0.05 * (hit**2).sum()


# --- as data


def test_genres_are_hard_but_can_be_told_apart(tracks):
    """Plain classification of 1 s clips by their MFCCs, with whole tracks held out."""
    import librosa
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    clips = np.concatenate([audio.reshape(-1, RATE) for audio in tracks.values()])
    labels = np.repeat([genre for genre, _ in tracks], 6)
    held_out = np.repeat([track % 4 == 0 for _, track in tracks], 6)
    coefficients = librosa.feature.mfcc(y=clips, sr=RATE, n_mfcc=20)
    inputs = np.concatenate([coefficients.mean(-1), coefficients.std(-1)], axis=1)
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=1000))
    model.fit(inputs[~held_out], labels[~held_out])
    right = model.predict(inputs[held_out]) == labels[held_out]
    assert 2 / len(GENRES) < right.mean() < 0.9
    for genre in GENRES:
        assert 0 < right[labels[held_out] == genre].mean() < 1, genre


# --- render_dataset

SMALL = {"tracks_per_genre": 2, "seconds": 0.25, "sample_rate": 8000}


def _contents(root: Path) -> dict[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*.wav")}


def test_a_data_set_is_a_folder_a_genre_that_scan_tracks_reads(tmp_path):
    root = render_dataset(tmp_path / "new" / "set", **SMALL)
    found = scan_tracks(root)
    assert {(t.label, t.track_id) for t in found} == {
        (genre, f"{genre}.{n:05d}") for genre in GENRES for n in range(2)
    }
    audio, rate = soundfile.read(root / "march" / "march.00001.wav", always_2d=True)
    assert soundfile.info(root / "march" / "march.00001.wav").subtype == "PCM_16"
    assert rate == 8000
    expected = synthesize("march", 1, seconds=0.25, sample_rate=8000)
    np.testing.assert_allclose(audio, expected, atol=1 / 32768)


def test_only_what_is_missing_or_damaged_is_rendered_again(tmp_path):
    render_dataset(tmp_path, **SMALL)
    before = _contents(tmp_path)
    (tmp_path / "drone" / "drone.00001.wav").unlink()
    cut = tmp_path / "swing" / "swing.00000.wav"
    cut.write_bytes(cut.read_bytes()[:100])
    (tmp_path / "waltz" / "waltz.00000.wav").write_bytes(b"")
    calls = []
    render_dataset(tmp_path, **SMALL, on_progress=lambda *call: calls.append(call))
    assert _contents(tmp_path) == before
    assert {name for *_, name in calls} == {
        "drone.00001.wav",
        "swing.00000.wav",
        "waltz.00000.wav",
    }
    total = 2 * len(GENRES)
    assert [call[:2] for call in calls] == [(total - 2, total), (total - 1, total), (total, total)]
    render_dataset(tmp_path, **SMALL, on_progress=lambda *_: pytest.fail("rendered twice"))


def test_a_render_that_stops_goes_on_later(tmp_path):
    def stop(done, total, name):
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        render_dataset(tmp_path, **SMALL, on_progress=stop)
    assert 3 <= len(_contents(tmp_path)) <= 2 * len(GENRES)
    render_dataset(tmp_path, **SMALL)
    assert len(_contents(tmp_path)) == 2 * len(GENRES)
    assert not [p for p in tmp_path.rglob(".*") if p.is_file()]


@pytest.mark.parametrize("change", [{"seed": 1}, {"seconds": 0.3}, {"tracks_per_genre": 1}])
def test_other_settings_replace_the_set(tmp_path, change):
    render_dataset(tmp_path / "a", **SMALL)
    render_dataset(tmp_path / "a", **SMALL | change)
    render_dataset(tmp_path / "b", **SMALL | change)
    assert _contents(tmp_path / "a") == _contents(tmp_path / "b")


def test_an_older_version_is_rendered_again(tmp_path):
    render_dataset(tmp_path, **SMALL)
    settings = json.loads((tmp_path / MANIFEST).read_text())
    settings["version"] = 0
    settings["genres"].append("polka")
    (tmp_path / MANIFEST).write_text(json.dumps(settings))
    (tmp_path / "polka").mkdir()
    (tmp_path / "polka" / "polka.00000.wav").write_bytes(b"old")
    render_dataset(tmp_path, **SMALL)
    assert "polka/polka.00000.wav" not in _contents(tmp_path)
    assert len(_contents(tmp_path)) == 2 * len(GENRES)


@pytest.mark.parametrize("rendered_before", [False, True])
@pytest.mark.parametrize("name", ["mine.wav", "waltz/waltz.00007.wav", "waltz/notes.txt"])
def test_a_folder_that_holds_something_else_is_left_alone(tmp_path, name, rendered_before):
    if rendered_before:
        render_dataset(tmp_path, **SMALL)
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_bytes(b"precious")
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    with pytest.raises(FileExistsError, match=f"{name}.*empty folder"):
        render_dataset(tmp_path, **SMALL | {"seed": 9})
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before


@pytest.mark.parametrize("text", ["", "{", "[1]", '{"what": "something else"}'])
def test_a_foreign_manifest_is_left_alone(tmp_path, text):
    (tmp_path / MANIFEST).write_text(text)
    with pytest.raises(FileExistsError, match=MANIFEST):
        render_dataset(tmp_path, **SMALL)
    assert (tmp_path / MANIFEST).read_text() == text


@pytest.mark.parametrize(
    "said", [{}, {"genres": 7}, {"genres": ["..", "/", "mine"]}, {"tracks_per_genre": 10**12}]
)
def test_a_manifest_does_not_say_what_is_deleted(tmp_path, said):
    about = {"what": "synthetic genres of wavegan", "genres": ["mine"], "tracks_per_genre": 3}
    for name in ("set/mine/00001.wav", "00001.wav", "set/mine/deep/mine.00001.wav"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"precious")
    (tmp_path / "set" / MANIFEST).write_text(json.dumps(about | said))
    before = _contents(tmp_path)
    with pytest.raises(FileExistsError, match="nothing was changed"):
        render_dataset(tmp_path / "set", **SMALL)
    assert _contents(tmp_path) == before


def test_a_file_in_the_way_is_named(tmp_path):
    (tmp_path / "set").write_text("a file")
    with pytest.raises(FileExistsError, match="set"):
        render_dataset(tmp_path / "set", **SMALL)


@pytest.mark.parametrize(
    "bad", [{"tracks_per_genre": 0}, {"seconds": -1.0}, {"sample_rate": 1}, {"seed": -1}]
)
def test_bad_settings_leave_no_folder(tmp_path, bad):
    with pytest.raises(ValueError, match=next(iter(bad))):
        render_dataset(tmp_path / "set", **SMALL | bad)
    assert not (tmp_path / "set").exists()


# The toy


def test_tones_are_two_classes_of_one_frequency_each(tmp_path):
    tracks = scan_tracks(render_tones(tmp_path / "tones", tracks_per_tone=3, seconds=0.5))
    assert [track.label for track in tracks] == ["high"] * 3 + ["low"] * 3
    levels = set()
    for track in tracks:
        audio, rate = load_audio(track.path)
        power = np.abs(np.fft.rfft(audio[:, 0])) ** 2
        frequency = power.argmax() * rate / len(audio)
        assert frequency == TONES[track.label]
        assert power.max() > 0.99 * power.sum()
        levels.add(round(float(np.abs(audio).max()), 3))
    assert len(levels) == 6
