"""Any file that is read, changed in any way, is refused by name or means what it did.

Nothing else happens: no traceback, and no write but where the reader is to write.
"""

import contextlib
import io
import json
import os
import shutil
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from changed_files import bytes_of, identity_of, json_of, npy_of, safetensors_of
from files_of_each_kind import (
    COMPARED,
    EMBEDDED,
    FEATURES,
    RATE,
    TRAINED_ON,
    fit_folder,
    write_world,
)
from flax import nnx
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

import classifiers
import wavegan
from experiments.cli import _status, main, parsed
from experiments.commands.classify import gather_recipes
from experiments.commands.compare import OPENINGS, _opened, compare
from experiments.commands.doctor import check_run
from experiments.commands.predict import find_classifier
from experiments.config import CompareConfig, DataConfig
from experiments.listening.answers import analysed, read_answers, read_key
from experiments.listening.favourites import read_favourites
from experiments.recipes import RECIPES, recorded_search
from experiments.run import Run
from experiments.stages.comparison import Budget, TrainedArms
from experiments.stages.folders import PROVENANCE, open_folder
from experiments.stages.gans import Gan, find_gans
from experiments.stages.trained import read_training
from features import (
    cut_clips,
    decode_tracks,
    extract,
    load_audio,
    remembered,
    scan_tracks,
    split_tracks,
)
from features.embeddings import read_embeddings
from features.generated import MANIFESTS
from features.silence import without_silence
from features.synthetic import MANIFEST, render_dataset


class Refused(ValueError):
    """What a command said in its one line."""


def command(*arguments: object) -> None:
    """A command, in process."""
    said = io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
        status = main([str(argument) for argument in arguments])
    if status:
        raise Refused(said.getvalue())


# --- a small world -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A folder with a file of each kind, with nothing beside it but ``beside``."""
    root = tmp_path_factory.mktemp("mutations") / "world"
    (root.parent / "beside").mkdir()
    (root.parent / "beside" / "file").write_text("precious")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WAVEGAN_CACHE", str(root / "cache"))
        write_world(root)
        opened(root), clips_of_latents(root), cached(root), remembered.remember("0f", 1.5)
        shutil.copytree(root, copy_of(root))
        yield root


def copy_of(root: Path) -> Path:
    """Where the world is kept as it was made."""
    return root.parent.with_name(f"{root.parent.name}-copy")


# --- readers -------------------------------------------------------------------------------------


def doctor(run: Path) -> list[str]:
    lines, sound = check_run(run)
    if not sound:
        raise Refused("\n".join(lines))
    return lines


def gans(root: Path) -> Any:
    found = find_gans(root / "trained")
    return [(gan.folder, gan.provenance, weights(gan.generator()[0])) for gan in found]


def weights(generator: nnx.Module) -> Any:
    return [np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(nnx.state(generator))]


def taken_up(root: Path) -> Any:
    Run(root / "trained").refuse_others("train", TRAINED_ON)
    return doctor(root / "trained")


def page(root: Path) -> Any:
    found = read_training(root / "trained")
    gan = found.gans[0]
    heard = gan.heard and (gan.heard.audio.tobytes(), gan.heard.real.tobytes(), gan.heard.steps)
    return gan.gan.provenance, gan.run, heard, found.data, found.environment


def best(root: Path) -> Any:
    stage = next((root / "trained" / "stages").glob("gan-*"))
    return weights(wavegan.load(stage, step="best"))


def clips(root: Path) -> Any:
    command("generate", root / "drone.safetensors", "--count", "2", "--out", root / "out")
    return contents(root / "out")


def sounds_between(root: Path) -> Any:
    generator = root / "drone.safetensors"
    command("interpolate", generator, "--steps", "2", "--out", root / "out")
    return contents(root / "out")


def clips_of_latents(root: Path) -> Any:
    more = ("--latents", root / "latents.npy", "--out", root / "clips")
    command("generate", root / "drone.safetensors", *more)
    return contents(root / "clips")


def contents(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in files_below(folder)}


def classifier(root: Path) -> Any:
    found = find_classifier(root / "classified")
    audio = np.sin(np.arange(256, dtype=np.float32))[:, None]
    return found.path, found.about, found(audio).tobytes()


def classifier_of_a_sound_run(root: Path) -> Any:
    return classifier(root), doctor(root / "classified")


def trial(root: Path) -> Any:
    folder = Run(root / "classified").stage("classifier-track-real-0", {}, lambda folder: None)
    return classifiers.prediction.read_probabilities(folder / "probabilities.npy", (3, 2)).tobytes()


def recipes(root: Path) -> Any:
    found = gather_recipes(root / "recipes")
    return found, (root / "recipes" / "table.md").read_text()


def compared_with(folder: str) -> Callable[[Path], Any]:
    """A comparison with clips of another generator, up to its plan, and what they are told of."""

    def read(root: Path) -> Any:
        said = f"other={root / folder}"
        arms, data = ("real", "real+other"), DataConfig(str(root / "music"))
        config = CompareConfig(COMPARED, data, arms=arms, folders=(said,))
        compare(config, root / "out", dry_run=True)
        return [told_of(gan) for gan in open_folder(said, ("a", "b"), COMPARED, 256).gans]

    return read


def told_of(gan: Gan) -> Any:
    return gan.labels, gan.key, gan.unknown, gan.told("tracks"), gan.told("judged_by")


def opened(root: Path) -> Any:
    """When the test side was opened; a second time by the same trials is the same opening."""
    trials = [type("Outcome", (), {"folder": Path(name)}) for name in ("classifier-0", "b")]
    trained = TrainedArms((), (), 1, Budget(1), {"real": trials})
    return _opened(Run(root / "compared"), [trained])


def marked(root: Path) -> Any:
    found = read_favourites(root / "favourites.json").latents
    return {key: rows.tolist() for key, rows in found.items()}


def answered(root: Path) -> Any:
    key = read_key(root / "heard" / "key.json")
    return analysed(key, [read_answers(root / "heard" / "answers.json", key)])


def resumed(root: Path) -> Any:
    taken, members, trees = fit_folder(root).restore(weights={"w": np.zeros(4)})
    return taken, members, [np.asarray(leaf).tolist() for leaf in jax.tree.leaves(trees)]


def cached(root: Path) -> Any:
    decoded = decode_tracks(scan_tracks(root / "music"), sample_rate=RATE)
    kept = without_silence(decoded.recordings)
    rows = extract(cut_clips(kept, num_samples=256), FEATURES)
    sounds = [(r.digest, r.identity, r.samples.tobytes()) for r in (*decoded.recordings, *kept)]
    return sounds, decoded.quarantined, np.asarray(rows[np.arange(len(rows))]).tobytes()


def options(file: str, name: str = "train") -> Callable[[Path], Any]:
    return lambda root: parsed([name, "--config", str(root / file)]).config()


def told_of_tracks(file: str) -> Callable[[Path], Any]:
    def read(root: Path) -> Any:
        found = read_embeddings(root / file)
        return found.tracks.tolist(), found.vectors.tolist()

    return read


def searched(root: Path) -> Any:
    file = str(root / "searched" / "search.json")
    return recorded_search(file)["best"], RECIPES["net5"].searched(file)


def sides(root: Path) -> Any:
    tracks = scan_tracks(root / "music", artist_index=root / "artists.txt")
    return tracks, split_tracks(tracks, by="gtzan-filtered", lists=root / "lists")


def sound(kind: str) -> Callable[[Path], Any]:
    def read(root: Path) -> Any:
        audio, rate = load_audio(root / "audio" / f"x.{kind}")
        assert np.isfinite(audio).all()
        return audio.tobytes(), rate

    return read


def embedded(root: Path) -> Any:
    found = contents(render_dataset(root / "embedded", **EMBEDDED))
    return {name: content for name, content in found.items() if name != MANIFEST}


# --- the property --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Kind:
    """A kind of file.

    Attributes
    ----------
    file : below the world; a pattern of one, the first one of several.
    read : what a user calls, on the world; what it gives is the file's meaning.
    changes : strategies of its content, beside those of any bytes.
    writes : where, below the world, the reader may write.
    edited : by users: another content may have another meaning.
    falls_back : a warning may name it, and another one be taken.
    """

    file: str
    read: Callable[[Path], Any]
    changes: tuple[Callable[[bytes], st.SearchStrategy[bytes]], ...] = ()
    writes: tuple[str, ...] = ("out",)
    edited: bool = False
    falls_back: bool = False

    def find(self, root: Path) -> Path:
        return sorted(root.glob(self.file))[0]


JSON, GAN_STAGE, CACHE = (json_of,), "trained/stages/gan-*", "cache"
KINDS = {
    "configuration of a run": Kind("trained/config.json", taken_up, JSON),
    "configuration of a run, on its page": Kind("trained/config.json", page, JSON),
    "environment of a run": Kind("trained/environment.json", page, JSON),
    "list of GANs": Kind("trained/gans.json", gans, JSON),
    "list of GANs, to doctor": Kind("trained/gans.json", taken_up, JSON),
    "list of GANs, to the page": Kind("trained/gans.json", page, JSON),
    "hashes of a run": Kind("trained/hashes.json", gans, JSON),
    "seal of a stage": Kind(f"{GAN_STAGE}/stage.json", taken_up, JSON),
    "seal of a stage, of a GAN": Kind(f"{GAN_STAGE}/stage.json", gans, JSON),
    "configuration of a GAN": Kind(f"{GAN_STAGE}/config.json", gans, JSON),
    "digest of a checkpoint": Kind(f"{GAN_STAGE}/checkpoints/2.json", gans, JSON, falls_back=True),
    "checkpoint": Kind(f"{GAN_STAGE}/checkpoints/2/d/*", gans, falls_back=True),
    "metadata of a checkpoint": Kind(
        f"{GAN_STAGE}/checkpoints/2/_METADATA", gans, JSON, falls_back=True
    ),
    "best checkpoint": Kind(f"{GAN_STAGE}/best.json", best, JSON),
    "metrics": Kind(f"{GAN_STAGE}/metrics.jsonl", page),
    "description of previews": Kind(f"{GAN_STAGE}/previews/previews.json", page, JSON),
    "previews": Kind(f"{GAN_STAGE}/previews/step-*.flac", page),
    "exported generator": Kind("drone.safetensors", clips, (safetensors_of,)),
    "exported generator, between sounds": Kind(
        "drone.safetensors", sounds_between, (safetensors_of,)
    ),
    "latents": Kind("latents.npy", clips_of_latents, (npy_of,), ("clips",), edited=True),
    "manifest of clips": Kind("clips/drone/manifest.json", clips_of_latents, JSON, ("clips",)),
    "results of a run": Kind("classified/results.json", classifier, JSON),
    "results of a run, to doctor": Kind(
        "classified/results.json", classifier_of_a_sound_run, JSON
    ),
    "classifier": Kind("classified/stages/*/*.safetensors", classifier, (safetensors_of,)),
    "probabilities": Kind("classified/stages/*/*.npy", trial, (npy_of,)),
    "results of recipes": Kind("recipes/net5/results.json", recipes, JSON, ("recipes",)),
    "fit under way": Kind("fit/fit.safetensors", resumed, (safetensors_of,)),
    "provenance of another generator's clips": Kind(
        f"made/{PROVENANCE}", compared_with("made"), JSON, edited=True
    ),
    "manifest of another generator's clips": Kind(
        f"told/a/{MANIFESTS[0]}", compared_with("told"), JSON, edited=True
    ),
    "openings of the test side": Kind(f"compared/{OPENINGS}", opened, JSON, ("compared",)),
    "favourites": Kind("favourites.json", marked, JSON, edited=True),
    "key of a listening test": Kind("heard/key.json", answered, JSON, edited=True),
    "answers of a listener": Kind("heard/answers.json", answered, JSON),
    "index of the cache": Kind("cache/audio-v1/index.json", cached, JSON, (CACHE,)),
    "audio in the cache": Kind("cache/audio-v1/*[0-9]-1.npy", cached, (npy_of,), (CACHE,)),
    "audio without silence": Kind("cache/audio-v1/*-frames*.npy", cached, (npy_of,), (CACHE,)),
    "features in the cache": Kind("cache/features*/*/*.npy", cached, (npy_of,), (CACHE,)),
    "identity in the cache": Kind(
        "cache/audio-v1/*.identity", cached, (identity_of,), (CACHE,)
    ),
    "seconds a step": Kind(
        "cache/seconds-a-step.json",
        lambda root: remembered.recall("0f"),
        JSON,
        (CACHE,),
        edited=True,
    ),
    "embeddings in an archive": Kind("told.npz", told_of_tracks("told.npz"), edited=True),
    "embeddings": Kind("told.npy", told_of_tracks("told.npy"), (npy_of,), edited=True),
    "search": Kind("searched/search.json", searched, JSON),
    "options in YAML": Kind("options.yaml", options("options.yaml"), edited=True),
    "options in TOML": Kind("options.toml", options("options.toml"), edited=True),
    "options in a run": Kind(
        "configured/config.json", options("configured/config.json"), JSON, edited=True
    ),
    "index of artists": Kind("artists.txt", sides, edited=True),
    "list of a split": Kind("lists/train_filtered.txt", sides, edited=True),
    "manifest of the embedded genres": Kind(
        f"embedded/{MANIFEST}", embedded, JSON, ("embedded",)
    ),
    **{
        f"{kind}": Kind(f"audio/x.{kind}", sound(kind), edited=True)
        for kind in ("wav", "flac", "ogg", "mp3", "aiff", "au", "rf64", "w64")
    },
}  # fmt: skip

_TIMES = count(10**18, 10**9)


def write(file: Path, content: bytes) -> None:
    """Write, with a time of its own, by which files that are known are told from others."""
    file.write_bytes(content)
    time = next(_TIMES)
    os.utime(file, ns=(time, time))


def files_below(folder: Path) -> Iterable[Path]:
    return (path for path in folder.rglob("*") if path.is_file())


def states(root: Path, without: tuple[str, ...]) -> dict[str, tuple[int, ...]]:
    """What tells whether any file of the world, or beside it, is another one."""
    left_out = {str(root / name) for name in without}
    found = {}
    for place, folders, files in os.walk(root.parent):
        folders[:] = [name for name in folders if os.path.join(place, name) not in left_out]
        for path in (os.path.join(place, name) for name in files):
            stat = os.stat(path)
            found[path] = stat.st_ino, stat.st_size, stat.st_mtime_ns
    return found


def meaning(kind: Kind, root: Path) -> Any:
    """What the reader gives of the world as it was made."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = kind.read(root)
    restore(kind, root)
    return found


def restore(kind: Kind, root: Path) -> None:
    for name in kind.writes:
        shutil.rmtree(root / name, ignore_errors=True)
        if (there := copy_of(root) / name).exists():
            shutil.copytree(there, root / name)


def judge(kind: Kind, root: Path, content: bytes, wanted: Any) -> str:
    """The property for one change: "refused", "same" or "other", or an AssertionError."""
    file = kind.find(root)
    whole = file.read_bytes()
    write(file, content)
    before, refused = states(root, kind.writes), None
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        try:
            verdict = "same" if kind.read(root) == wanted else "other"
        except Exception as error:
            verdict, refused = "refused", error
    after = states(root, kind.writes)
    write(file, whole)
    if kind.writes != ("out",) or (root / "out").exists():
        restore(kind, root)
    assert after == before, "something else is written"
    if refused is not None:
        assert _status(refused) == 2, f"a traceback: {refused!r}"
        told = [file.name, file.parent.name, file.parent.parent.name]
        told += ["--"] if kind.edited else []  # an option, whose value is one, but doesn't fit
        assert any(name in str(refused) for name in told), f"the file is not named: {refused}"
    named = any("damaged" in str(w.message) and str(root) in str(w.message) for w in warned)
    known = kind.edited or (kind.falls_back and named)
    assert verdict != "other" or known, "a changed file is believed"
    return verdict


def check(kind: Kind, root: Path, examples: int) -> dict[str, int]:
    """Try so many changes; how often each verdict came."""
    wanted = meaning(kind, root)
    whole = kind.find(root).read_bytes()
    verdicts = dict.fromkeys(("refused", "same", "other"), 0)

    @settings(
        max_examples=examples,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.one_of(bytes_of(whole), *(change(whole) for change in kind.changes)))
    def holds(content: bytes) -> None:
        assume(content != whole)
        verdicts[judge(kind, root, content, wanted)] += 1

    holds()
    return verdicts


@pytest.mark.parametrize("name", KINDS)
def test_a_changed_file_is_refused_or_means_the_same(world, name):
    assert sum(check(KINDS[name], world, 6).values()) > 0


@pytest.mark.slow
@pytest.mark.parametrize("name", KINDS)
def test_500_changes_of_a_file(world, name):
    assert sum(check(KINDS[name], world, 500).values()) >= 500


# --- known answers -------------------------------------------------------------------------------


def believes(root: Path) -> Any:
    return json.loads((root / "searched" / "search.json").read_bytes())


def looks_up(root: Path) -> Any:
    return recorded_search(str(root / "searched" / "search.json"))["best"]["fit"]["learning_rate"]


def looks_up_anything(root: Path) -> Any:
    return believes(root)["best"]["fit"]["learning_rate"]


def strays(root: Path) -> Any:
    (root.parent / "beside" / "new").write_text("x")
    return looks_up(root)


def overwrites(root: Path) -> Any:
    (root.parent / "beside" / "file").write_text("x")
    return looks_up(root)


def forgets_the_name(root: Path) -> Any:
    try:
        return looks_up(root)
    except ValueError:
        raise ValueError("a file is damaged") from None


@pytest.mark.parametrize(
    ("read", "content", "said"),
    [
        (believes, b"[7]", "a changed file is believed"),
        (looks_up_anything, b"[7]", "a traceback: TypeError"),
        (looks_up_anything, b"{}", "a traceback: KeyError"),
        (looks_up_anything, b"[", "the file is not named"),
        (strays, b"[7]", "something else is written"),
        (overwrites, b"[7]", "something else is written"),
        (forgets_the_name, b"[7]", "the file is not named"),
    ],
)
def test_a_reader_that_does_wrong_is_caught(world, read, content, said):
    kind = replace(KINDS["search"], read=looks_up)
    check(kind, world, 20)
    kind, wanted = replace(kind, read=read), meaning(kind, world)
    with pytest.raises(AssertionError, match=said):
        judge(kind, world, content, wanted)
    for made in ("new", "file"):
        (world.parent / "beside" / made).unlink(missing_ok=True)
    (world.parent / "beside" / "file").write_text("precious")
