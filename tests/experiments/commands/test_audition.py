"""Audition pages: what is on them, what lies beside them, and what can't be heard."""

import base64
import hashlib
import io
import json
import os
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from flax import nnx
from html_page import HOSTILE, Page

from experiments import AuditionConfig, TrainGansConfig, audition, train
from experiments.cli import main
from experiments.config import DataConfig
from experiments.listening.auditions import _several
from experiments.listening.favourites import FORMAT, VERSION
from experiments.report.audition import playable
from experiments.stages.gans import find_gans
from features import decode_tracks, save_audio, scan_tracks
from features.generated import GENERATED
from features.loudness import TARGET, loudness
from wavegan import Generator, WaveGANConfig, generate
from wavegan.export import export

RATE, LENGTH = 4000, 1024
GENRES = ["drone", "march", "techno"]
PCM = 2**-15


def fails(capsys, *arguments: object) -> str:
    assert main(["audition", *map(str, arguments)]) == 2
    said = capsys.readouterr().err.strip()
    assert "Traceback" not in said
    return said.splitlines()[-1]


def unquoted(script: bytes) -> bytes:
    """The file that a script beside a page hands over."""
    (content,) = re.fullmatch(rb'heard\("[0-9a-f]{12}", `(.*)`\);\n', script, re.DOTALL).groups()
    found = re.sub(rb"\\(.)", lambda m: b"\r" if m[1] == b"r" else m[1], content)
    assert b"\r" not in content
    return found


def told(out: Path) -> list[dict]:
    """What a page knows of its clips."""
    html = (out / "index.html").read_text()
    (text,) = re.findall(r'<script type="application/json" id="clips">(.*?)</script>', html)
    return json.loads(text)["clips"]


def sound(out: Path, clip: dict) -> np.ndarray:
    return sf.read(io.BytesIO(unquoted((out / "clips" / f"{clip['key']}.js").read_bytes())),
                   always_2d=True)[0]  # fmt: skip


@pytest.fixture(scope="module")
def network() -> Generator:
    config = WaveGANConfig(num_samples=LENGTH, dim=1, latent_dim=4, num_classes=3)
    return Generator(config, rngs=nnx.Rngs(1))


@pytest.fixture(scope="module")
def genres(network, music, tmp_path_factory) -> Path:
    """A generator's file that says that it heard most of the music."""
    file = tmp_path_factory.mktemp("genres") / "genres.safetensors"
    tracks = [t for t in scan_tracks(music) if not t.track_id.endswith("4")]
    heard = decode_tracks(tracks, sample_rate=RATE, cache_dir=file.parent).recordings
    about = {"sample_rate": RATE, "labels": GENRES, "step": 9, "seed": 0}
    export(network, file, metadata={**about, "tracks": {r.track.track_id: r.digest for r in heard}})
    return file


@pytest.fixture(scope="module")
def run(music, small_recipe, tmp_path_factory) -> Path:
    """GANs of two seeds, one a class, with checkpoints of steps 2 and 3."""
    kept = replace(small_recipe.gan_train, keep_checkpoints=2, inspect_every=3)
    recipe = replace(small_recipe, gan_train=kept)
    out = tmp_path_factory.mktemp("runs") / "trained"
    train(TrainGansConfig(recipe, DataConfig(str(music)), seeds=2, quality=8), out)
    return out


def test_a_page_has_real_and_generated_clips_and_the_nearest_ones(genres, network, music, tmp_path):
    out = tmp_path / "page"
    assert main(["audition", str(genres), "--count", "3", "--between", "4", "--out", str(out),
                 "--data", str(music)]) == 0  # fmt: skip
    page, clips = Page((out / "index.html").read_text()), told(out)
    assert [len(page.all("tbody", kind)) for kind in ("real", "generated")] == [1, 1]
    assert len(page.all("button", "tile")) == 2 * 3 * 3
    assert {file.suffix for file in (out / "clips").iterdir()} == {".js", ".webp"}

    made = [clip for clip in clips if "nearest" in clip]
    assert [clip["label"] for clip in made] == [x for genre in GENRES for x in [genre] * 3]
    latents = generate(network, 3, seed=0, label=0).latents
    for clip in made:
        latent = np.frombuffer(base64.b64decode(clip["latent"]), "<f4")
        np.testing.assert_array_equal(latent, latents[int(clip["name"][-1]) - 1])
        again = generate(network, latents=latent[None], label=clip["class"]).audio[0]
        np.testing.assert_allclose(sound(out, clip), again, atol=2 * PCM)
        near = clips[clip["nearest"]]
        track, start = re.fullmatch(r"(\S+) from (\S+) s", near["name"]).groups()
        assert not track.endswith("4")  # which the generator did not hear
        whole, _ = sf.read(next(music.rglob(f"{track}.wav")), always_2d=True)
        first = round(float(start) * RATE)
        places = (whole[first + i : first + i + LENGTH] for i in range(-40, 41) if first + i >= 0)
        assert any(len(p) == LENGTH and np.allclose(p, sound(out, near), atol=2 * PCM)
                   for p in places)  # fmt: skip
        assert 0 <= clip["nearer"] <= 1


def test_what_lies_between_two_sounds_and_two_classes(genres, network, tmp_path):
    found = audition(AuditionConfig((genres,), count=2, between=5), tmp_path / "page")
    assert "give --data" in found.page.read_text()
    clips, html = told(tmp_path / "page"), found.page.read_text()
    strips = [list(map(int, one.split(","))) for one in re.findall(r'data-clips="([\d,]+)"', html)]
    assert [len(strip) for strip in strips] == 5 * [5]  # three classes, and two ways between them
    first, last = (sound(tmp_path / "page", clips[strips[0][i]]) for i in (0, 4))
    ends = generate(network, 2, seed=0, label=0).audio
    np.testing.assert_allclose(np.stack([first, last]), ends, atol=2 * PCM)
    assert clips[strips[3][2]]["name"] == "genres, 50 % drone, 50 % march"
    half = generate(network, 1, seed=0, label=np.array([0.5, 0.5, 0])).audio[0]
    np.testing.assert_allclose(sound(tmp_path / "page", clips[strips[3][2]]), half, atol=2 * PCM)
    assert audition(replace(AuditionConfig((genres,), count=2), between=0), tmp_path / "page")
    assert "data-clips" not in found.page.read_text()


def test_checkpoints_one_below_the_other_and_a_row_for_each_seed(run, tmp_path, capsys):
    def rows(*options: object) -> list[str]:
        out = tmp_path / "page"
        line = ["audition", run, "--count", 1, "--between", 0, "--out", out, *options]
        assert main([*map(str, line)]) == 0
        page = (out / "index.html").read_text()
        return re.findall(r'<th scope="row">(.*?)<small>(.*?)</small>', page)

    real = ("Real clips", "the middles of training tracks")
    assert rows() == [real, *((f"trained, GAN {i}", "step 3, best") for i in (1, 2))]
    assert rows("--steps", "2,newest") == [
        real, *((f"trained, GAN {i}", n) for i in (1, 2) for n in ("step 2", "step 3, best")),
    ]  # fmt: skip
    assert len(rows("--steps", "all")) == 5
    assert "no checkpoint of step 7; there are [2, 3]" in fails(capsys, run, "--steps", "7")
    one = next((run / "stages").glob("gan-drone-0-*"))
    line = ["audition", str(one), "--count", "1", "--between", "0", "--out", str(tmp_path / "one")]
    assert main(line) == 0
    html = (tmp_path / "one" / "index.html").read_text()
    assert re.findall(r"<small>(step \d.*?)</small>", html) == ["step 2", "step 3, best"]
    assert (run / "audition").exists() is False


def test_of_many_checkpoints_some_are_heard_and_always_the_best():
    class Run:
        checkpoints, choice = range(100, 5100, 100), 700

    assert _several([Run(), None]) == ["100", "700", "1100", "2100", "3000", "4000", "5000"]
    Run.checkpoints, Run.choice = [3], None
    assert _several([Run()]) == ["3"]
    assert _several([None]) == ["best"]


def test_marked_clips_are_made_again_by_generate(run, tmp_path, capsys):
    out = tmp_path / "page"
    audition(AuditionConfig((run,), steps=("all",), count=2, between=0, seed=3), out)
    marked = [c for c in told(out) if "latent" in c and c["label"] != "march"][1::2]
    rows = [
        {**clip, "latent": np.frombuffer(base64.b64decode(clip["latent"]), "<f4").tolist()}
        for clip in marked
    ]
    file = tmp_path / "favourites.json"
    file.write_text(json.dumps({"format": FORMAT, "version": VERSION, "clips": rows}))
    made = tmp_path / "made"
    assert main(["generate", str(run), "--latents", str(file), "--out", str(made)]) == 0
    assert "8 clips" in capsys.readouterr().out or len(marked) == 8
    folders = {path.name for path in made.iterdir()}
    assert folders == {f"{g}{s}-step{n}" for g in ("drone", "techno") for s in ("", "-gan1")
                       for n in (2, 3)}  # fmt: skip
    expected = {
        hashlib.sha256(np.round(sound(out, clip) / PCM / 4).tobytes()).hexdigest()
        for clip in marked
    }
    files = sorted(made.rglob("*.wav"))
    found = {
        hashlib.sha256(np.round(sf.read(f, always_2d=True)[0] / PCM / 4).tobytes()).hexdigest()
        for f in files
    }
    assert len(files) == len(marked)
    assert len(found & expected) >= len(marked) - 1  # a sample may lie on the edge of a step
    manifest = json.loads((files[0].parent / "manifest.json").read_text())
    assert manifest["latents_from"]["file"] == "favourites.json"

    other = tmp_path / "other.safetensors"
    shutil.copy(file, other.with_suffix(".json"))
    gan = find_gans(run)[0]
    export(gan.generator()[0], other, metadata={"sample_rate": RATE})
    line = ["generate", str(other), "--latents", str(file), "--out", str(tmp_path / "x")]
    assert main(line) == 2
    assert "none of its clips is of a generator of this run" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{}", "it has no favourites of version 1"),
        ('{"format": "wavegan favourites", "version": 2, "clips": []}', "of version 1"),
        ('{"format": "wavegan favourites", "version": 1, "clips": []}', "no clip is marked"),
        ('{"format": "wavegan favourites", "version": 1, "clips": [{"latent": [1]}]}', "damaged"),
        (
            '{"format": "wavegan favourites", "version": 1, "clips": [{"latent": ["a"], '
            '"generator": "x", "label": "drone", "step": 2}]}',
            "favourites.json",
        ),
        (
            '{"format": "wavegan favourites", "version": 1, "clips": [{"latent": [1e999], '
            '"generator": "x", "label": "drone", "step": 2}]}',
            "favourites.json",
        ),
        ("[", "favourites.json"),
    ],
)
def test_favourites_that_somebody_edited_are_refused(content, said, genres, tmp_path, capsys):
    file = tmp_path / "favourites.json"
    file.write_text(content)
    assert (
        main(["generate", str(genres), "--latents", str(file), "--out", str(tmp_path / "x")]) == 2
    )
    error = capsys.readouterr().err
    assert said in error
    assert "Traceback" not in error
    assert not list(tmp_path.rglob("*.wav"))


def test_clips_of_any_generator_with_what_is_wrong_with_them(tmp_path):
    folder, loud = tmp_path / "theirs", np.linspace(-3, 3, 2000, dtype=np.float32)
    label = HOSTILE[0].replace("/", "|")
    noise = np.random.default_rng(0).uniform(-0.1, 0.1, 2000)
    save_audio(folder / label / "good.wav", noise, RATE, comment=GENERATED)
    sf.write(folder / label / "loud.wav", loud, RATE, subtype="FLOAT")
    sf.write(folder / label / "nan.wav", np.full(2000, np.nan, np.float32), RATE, subtype="FLOAT")
    (folder / label / "text.wav").write_text("no audio")
    save_audio(folder / label / "zero.wav", np.zeros(2000), RATE)
    with pytest.warns(UserWarning, match="beyond"):
        found = audition(AuditionConfig((folder,), count=9), tmp_path / "page")
    assert found.clips == 3
    html = found.page.read_text()
    page = Page(html)
    assert "<script>alert" not in html
    assert label in page.text
    assert "text.wav can't be read" in page.text
    assert "nan.wav can't be read" in page.text
    by_name = {clip["name"].rpartition(" ")[2]: clip for clip in told(tmp_path / "page")}
    assert by_name["loud.wav"]["note"] == "up to 3 of full scale: limited and played quietly"
    assert by_name["zero.wav"]["note"] == "silent"
    assert np.abs(sound(tmp_path / "page", by_name["loud.wav"])).max() <= 0.25
    good = by_name["good.wav"]
    matched = sound(tmp_path / "page", good) * 10 ** (good["gain"] / 20)
    assert loudness(matched, sample_rate=RATE) == pytest.approx(TARGET, abs=0.2)


def test_names_in_another_encoding_are_shown_as_text(tmp_path):
    theirs = tmp_path / os.fsdecode(b"the\xe9irs")
    for label in ("a", "b"):
        save_audio(theirs / label / "x.wav", np.full((LENGTH, 1), 0.1), RATE)
        os.rename(theirs / label / "x.wav", theirs / label / os.fsdecode(b"caf\xe9.wav"))
    assert audition(AuditionConfig((theirs,)), tmp_path / "page").clips == 2
    assert told(tmp_path / "page")[0]["name"] == r"the\xe9irs, a, caf\xe9.wav"


def test_what_can_be_played_is_finite_and_within_full_scale():
    wide = np.full((9, 4), 0.5, np.float32)
    assert playable(wide)[0].shape == (9, 1)
    quiet, note = playable(np.array([[0.0], [np.inf], [np.nan], [0.5]], np.float32))
    np.testing.assert_array_equal(quiet[:, 0], [0, 0, 0, 0.5])
    assert note == "2 samples are no numbers: silent here"
    both, note = playable(np.array([[np.nan], [-4.0]], np.float32))
    np.testing.assert_array_equal(both[:, 0], [0, -0.25])
    assert note.count(";") == 1


def test_one_file_has_everything_inside(genres, tmp_path):
    out = tmp_path / "page"
    audition(AuditionConfig((genres,), count=1, between=0), out)
    audition(AuditionConfig((genres,), count=1, between=0, single_file=True), out)
    assert [path.name for path in out.iterdir()] == ["index.html"]
    html = (out / "index.html").read_text()
    assert "'self'" not in html
    sounds = re.findall(r'<script type="text/plain" id="sound-\w+">([\w+/=]+)</script>', html)
    assert len(sounds) == 3
    assert all(sf.info(io.BytesIO(base64.b64decode(one))).frames == LENGTH for one in sounds)
    assert {a["src"][:5] for a in Page(html).all("img") if "src" in a} == {"data:"}


def test_a_page_takes_the_place_of_an_earlier_one_alone(genres, tmp_path, capsys):
    out = tmp_path / "page"
    audition(AuditionConfig((genres,), count=2, between=0), out)
    first = {path.name for path in (out / "clips").iterdir()}
    (out / "clips" / "mine.webp").write_bytes(b"a user's own")
    audition(AuditionConfig((genres,), count=1, between=0), out)
    left = {path.name for path in (out / "clips").iterdir()} - {"mine.webp"}
    assert len(left) == 6
    assert left < first
    other = tmp_path / "other"
    other.mkdir()
    (other / "index.html").write_text("<p>somebody's page")
    assert "holds another page" in fails(capsys, genres, "--out", other)
    assert (other / "index.html").read_text() == "<p>somebody's page"


def test_what_cannot_be_auditioned(genres, run, music, tmp_path, capsys):
    empty = tmp_path / "empty"
    empty.mkdir()
    assert "wavegan train --out" in fails(capsys, empty)
    assert "no such folder" in fails(capsys, tmp_path / "nothing")
    assert "there is no tecno: try techno" in fails(capsys, genres, "--classes", "tecno")
    assert "--steps takes numbers, all, best, newest" in fails(capsys, genres, "--steps", "last")
    assert "--between lies in 2 … 100" in fails(capsys, genres, "--between", "1")
    assert "nowhere: no such folder" in fails(capsys, genres, "--data", tmp_path / "nowhere")
    assert "in the finished work of the run" in fails(capsys, run, "--out", run)
    assert "recordings" in fails(capsys, genres, "--out", music)
    others = tmp_path / "others"
    for i, label in enumerate(("one", "two")):
        save_audio(others / label / "a.wav", np.random.default_rng(i).normal(0, 0.1, RATE), RATE)
    assert "holds none of the" in fails(capsys, genres, "--data", others, "--out", empty)
    assert not list(empty.iterdir())
