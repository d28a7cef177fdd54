"""Every operation on a file of a small run is killed, torn and refused once; the rerun is whole."""

import contextlib
import errno
import gc
import io
import itertools
import json
import random
import re
import shutil
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest
from faults import Recorded, State, full_disk, recorded, write_tree

from classifiers import FitConfig, fit_folder
from experiments.cli import main
from experiments.recipes import RECIPES
from experiments.report import curves
from experiments.report.plots import Line
from experiments.stages.gans import Gan
from features import feature_cache
from features.checksums import HASHES, SEAL, problems_below
from features.extractors import Mfcc
from features.storage import is_leftover, remove_leftovers, replacing, write_text
from wavegan import TrainConfig, WaveGANConfig
from wavegan.run_folder import RunFolder

# What the killed runs of this process leave to threads and coroutines of orbax, a real kill ends.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
FAULTS = ("kill", "torn", "power cut")
ABSENT = "no file"
DAMAGED = "made anew by whoever asks for it"
_TMP = "orbax-checkpoint-tmp"  # in the name of what orbax is writing
COMMANDS = {
    "train": ["--recipe", "tiny-conditional", "--quality", "8"],
    "compare": ["--recipe", "tiny", "--seeds=1", "--steps=4", "--arms", "real,real+synthetic"],
    "classify": ["--recipe", "tiny", "--seeds", "1", "--split", "track"],
}


@pytest.fixture(scope="module", autouse=True)
def tiny_recipes():
    tiny = replace(
        RECIPES["demo"],
        name="tiny",
        options={"lstm_sizes": (4, 4), "dense_sizes": (4,)},
        input=Mfcc(n_mfcc=4, n_fft=32, hop_length=16, n_mels=8),
        sample_rate=4000,
        num_samples=64,
        conditional=False,
        fit=FitConfig(batch_size=8, epochs=1, learning_rate=1e-2),
        gan=WaveGANConfig(dim=2, latent_dim=4),
        gan_train=TrainConfig(
            batch_size=2,
            steps=2,
            critic_steps=1,
            log_every=1,
            checkpoint_every=1,
            keep_checkpoints=1,
            inspect_every=1,
        ),
    )
    RECIPES["tiny"] = tiny
    RECIPES["tiny-conditional"] = replace(tiny, name="tiny-conditional", conditional=True)


@pytest.fixture(scope="module", autouse=True)
def quick():
    """A fit is always saved.

    What is measured would differ: clocks stand still, but for that of a GAN's steps.
    """

    line = curves._gan_line
    noon = SimpleNamespace(now=lambda zone: datetime(2026, 1, 1, 12, tzinfo=zone))

    def untimed(rows: curves.Rows, term: str, colour: str) -> Line:
        return line([] if term == "gan/steps_per_second" else rows, term, colour)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(curves, "_gan_line", untimed)
        patch.setattr(Gan, "seconds", 0.0)
        patch.setattr("experiments.commands.compare.datetime", noon)
        patch.setattr(fit_folder, "_SHARE", float("inf"))
        still = SimpleNamespace(monotonic=lambda: 0.0, time=lambda: 0.0)
        for module in ("commands.compare", "commands.classify", "stages.trials"):
            patch.setattr(f"experiments.{module}.time", still)
        patch.setattr("wavegan.run_folder.time", still)
        yield


@pytest.fixture(autouse=True)
def nothing_left():
    """What is left of killed runs goes with the test that killed them."""
    yield
    gc.collect()


class Case:
    """A command on a disk of its own, which holds its run folder and the cache."""

    def __init__(self, disk: Path, *line: str) -> None:
        self.disk, self.line = disk, [*line, "--out", str(disk / "run")]
        disk.mkdir()

    def run(self) -> tuple[int, str]:
        """Its exit status, and what it said of an error."""
        said = io.StringIO()
        with (
            pytest.MonkeyPatch.context() as patch,
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(said),
        ):
            patch.setenv("WAVEGAN_CACHE", str(self.disk / "cache"))
            return main(self.line), said.getvalue()


# --- what is the same in every run ---------------------------------------------------------------

# Measured: how long a step took, and how full the disk was. Other clocks stand still here. What a
# step took is remembered by a run that took steps enough to tell, which one that goes on may not.
_MEASURED = {"gan/steps_per_second", "free_disk_gb", "seconds-a-step.json"}
_WITH_MEASURED = {"environment.json", "results.json", "report.html"}
_ON_PAGES = re.compile(
    r"<div><b>[^<]*</b><span>(steps a second|of training, about)</span></div>"
    r"|(?<=<dt>free disk gb</dt>)<dd>[^<]*"
)


def outcome(disk: Path) -> dict[str, Any]:
    """What a disk holds, by name, but for what is measured and what orbax draws at random."""
    checkpoints = {path for path in disk.rglob("checkpoints/[0-9]*") if path.is_dir()}
    found: dict[str, Any] = {}
    for path in sorted(disk.rglob("*")):
        name = path.relative_to(disk).as_posix()
        if path in checkpoints:
            found[name] = _arrays(path)
        elif checkpoints.isdisjoint(path.parents) and path.name not in _MEASURED:
            found[name] = None if path.is_dir() else _content(path)
    return found


def _content(path: Path) -> Any:
    if path.match("features-v*/*/*.npy") and not _is_whole(path):
        return DAMAGED
    if path.name == SEAL:  # whose hashes `problems_below` checks
        sealed = json.loads(path.read_text())
        files = {re.sub(r"(checkpoints/\d+)/.*", r"\1", name) for name in sealed["files"]}
        return sealed | {"files": files}
    if path.name == HASHES:  # of what is measured there, too; checked by `problems_below`
        hashes = json.loads(path.read_text())
        return {name: name in _WITH_MEASURED or digest for name, digest in hashes.items()}
    if path.suffix == ".json":
        found = _unmeasured(json.loads(path.read_text()))
        if path.parent.name == "checkpoints":
            assert RunFolder(path.parents[1]).is_whole(int(path.stem))
            del found["digest"]
        return found
    if path.suffix == ".jsonl":
        return [_unmeasured(json.loads(line)) for line in path.read_text().splitlines()]
    if path.suffix == ".html":
        return _ON_PAGES.sub("", path.read_text())
    return path.read_bytes()


def _is_whole(features: Path) -> bool:
    """Whether what asks for these features takes them from the cache."""
    feature_cache._checked.pop(features, None)
    try:
        part, clips, checksum = feature_cache._read(features)
        feature_cache._check(features, part, clips, checksum)
    except Exception:
        return False
    return True


def _unmeasured(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _unmeasured(v) for k, v in value.items() if k not in _MEASURED}
    return [_unmeasured(item) for item in value] if isinstance(value, list) else value


def _arrays(checkpoint: Path) -> list[tuple[str, bytes]]:
    with ocp.StandardCheckpointer() as checkpointer:
        leaves = jax.tree_util.tree_leaves_with_path(checkpointer.restore(checkpoint))
    return [(jax.tree_util.keystr(path), np.asarray(leaf).tobytes()) for path, leaf in leaves]


def half_written(disk: Path) -> list[str]:
    """What no reader should ever find."""
    return [p.name for p in disk.rglob("*") if is_leftover(p) or _TMP in p.name]


def fault_of(case: Any, wanted: dict[str, Any]) -> str:
    """In what a rerun does not end as an undisturbed run; nothing where it does."""
    try:
        status, said = case.run()
        if status:
            return f"ended in {status}: {said.strip().splitlines()[-1]}"
        if left := [*problems_below(case.disk / "run"), *half_written(case.disk)]:
            return f"left {left}"
        found = outcome(case.disk)
    except Exception as error:
        return f"raised {type(error).__name__}: {error}"
    names = sorted(found.keys() | wanted.keys())
    return "; ".join(
        f"{name} differs {_place(found.get(name, ABSENT), wanted.get(name, ABSENT))}"
        for name in names
        if found.get(name, ABSENT) not in (DAMAGED, wanted.get(name, ABSENT))
    )


def _place(found: Any, wanted: Any) -> str:
    """Where two contents begin to differ, and how."""
    texts = [content if isinstance(content, str) else repr(content) for content in (found, wanted)]
    same = next((i for i, (a, b) in enumerate(zip(*texts, strict=False)) if a != b), 0)
    same = max(0, same - 40)
    return " instead of ".join(repr(text[same : same + 100]) for text in texts)


def faults_of(case: Any, wanted: dict[str, Any], states: Sequence[State]) -> list[str]:
    """What is wrong after each of some states."""
    found = []
    for state in states:
        write_tree(case.disk, state.tree)
        with warnings.catch_warnings():
            if state.fault == "power cut":  # what is not whole is told, and made anew
                warnings.simplefilter("ignore")
            if wrong := fault_of(case, wanted):
                found.append(f"{state}: {wrong}")
    return found


def faults_when_full(
    case: Any, wanted: dict[str, Any], places: Sequence[tuple[int, bool]], names: Sequence[str]
) -> list[str]:
    """What is wrong where the disk is full from a creation on, and when there is room again."""
    found = []
    for place, takes_names in places:
        write_tree(case.disk, {})
        with full_disk(case.disk, place, takes_names=takes_names):
            try:
                wrong = _refusal(case, wanted, orbax=takes_names and _TMP in names[place])
            except Exception as error:
                wrong = f"raised {type(error).__name__}: {error}"
        if wrong := wrong or fault_of(case, wanted):
            how = "for content" if takes_names else "for names"
            found.append(f"disk full {how} from {names[place]}: {wrong}")
    return found


def _refusal(case: Any, wanted: dict[str, Any], *, orbax: bool) -> str:
    """What is wrong with how a full disk was met.

    Where it became full while ``orbax`` wrote, tensorstore's threads may still say, and write,
    something after the error is told: all but that is asked for then.
    """
    status, said = case.run()
    if (left := half_written(case.disk)) and not orbax:
        return f"left {left}"
    if status == 0:  # what could not be kept was of the cache alone
        found = outcome(case.disk)
        missing = [n for n in wanted if n.startswith("run") and wanted[n] != found.get(n, ABSENT)]
        return f"said nothing, and {missing} are not there" if missing else ""
    lines = said.strip().splitlines()
    told = [line for line in lines if line.startswith("wavegan ")]
    named = status == 2 and len(told) == 1 and str(case.disk) in told[0]
    quiet = told == lines[-1:] and "Traceback" not in said
    return "" if named and (quiet or orbax) else f"ended in {status}: {said[-2000:]}"


# --- commands ------------------------------------------------------------------------------------


@pytest.fixture(
    scope="module", params=["train", "classify", pytest.param("compare", marks=pytest.mark.slow)]
)
def undisturbed(request, render, tmp_path_factory) -> tuple[Case, dict[str, Any], Recorded]:
    """A command, what it comes to, and all that it did on the way."""
    folder = tmp_path_factory.mktemp(request.param)
    music = render(folder / "music", tracks=3, seconds=0.1)
    shutil.rmtree(music / "march")  # two classes are enough
    line = [request.param, *COMMANDS[request.param], "--data", str(music)]
    case = Case(folder / "disk", *line, "--fractions", "0.34,0.33,0.33")
    found = recorded(case.disk, case.run)
    return case, outcome(case.disk), found


def spread(items: Sequence[Any], count: int, seed: str) -> list[Any]:
    """One of each of so many parts, drawn anew for each seed."""
    draw = random.Random(seed)
    ends = np.linspace(0, len(items), count + 1).astype(int)
    return [items[draw.randrange(one, other)] for one, other in itertools.pairwise(ends)]


def test_some_faults_change_nothing(undisturbed):
    case, wanted, found = undisturbed
    name = case.line[0]
    states = [s for f in FAULTS for s in spread([s for s in found.states if s.fault == f], 1, name)]
    names = [place for place, made in enumerate(found.creations) if _TMP not in made]
    places = [(place, kind) for kind in (False, True) for place in names]
    wrong = faults_of(case, wanted, states)
    wrong += faults_when_full(case, wanted, spread(places, 1, name), found.creations)
    assert not wrong, "\n".join(wrong)


@pytest.mark.slow
def test_no_fault_changes_anything(undisturbed):
    case, wanted, found = undisturbed
    places = [(place, kind) for kind in (False, True) for place in range(len(found.creations))]
    wrong = faults_of(case, wanted, found.states)
    wrong += faults_when_full(case, wanted, places, found.creations)
    assert not wrong, "\n".join(wrong)


# --- the harness itself --------------------------------------------------------------------------


TEXT = 20 * "some text\n"


@dataclass
class Writer:
    """A toy command: it writes a file of a run, in some way."""

    disk: Path
    write: Callable[[Path], None]

    def run(self) -> tuple[int, str]:
        try:
            (self.disk / "run").mkdir(exist_ok=True)
            self.write(self.disk / "run" / "a.txt")
        except OSError as error:
            return 2, f"wavegan toy: {error}"
        return 0, ""


def whole(path: Path) -> None:
    remove_leftovers(path.parent)
    write_text(path, TEXT)


def in_place(path: Path) -> None:
    if not path.exists():
        path.write_text(TEXT)


def without_a_name(path: Path) -> None:
    try:
        whole(path)
    except OSError:
        raise OSError(errno.ENOSPC, "No space left on device") from None


def untidy(path: Path) -> None:
    write_text(path, TEXT)


def silent(path: Path) -> None:
    with contextlib.suppress(OSError):
        whole(path)


def unsynced(path: Path) -> None:
    remove_leftovers(path.parent)
    if not path.exists():
        with replacing(path, sync=False) as temporary:
            temporary.write_text(TEXT)


@pytest.mark.parametrize(
    ("write", "faults"),
    [
        (whole, set()),
        (in_place, {"torn", "disk full"}),
        (untidy, {"torn"}),
        (silent, {"disk full"}),
        (without_a_name, {"disk full"}),
        (unsynced, {"power cut"}),
    ],
)
def test_each_kind_of_bad_writer_is_found(write, faults, tmp_path):
    case = Writer(tmp_path, write)
    found = recorded(case.disk, case.run)
    wanted = outcome(case.disk)
    places = [(place, kind) for kind in (False, True) for place in range(len(found.creations))]
    wrong = faults_of(case, wanted, found.states)
    wrong += faults_when_full(case, wanted, places, found.creations)
    found_out = {name for name in (*FAULTS, "disk full") for one in wrong if one.startswith(name)}
    assert found_out == faults, wrong
    for one in wrong:  # an operation on the file or its folder
        assert re.search(r"(before|from) (open|os\.\w+) run\b|before the end", one)
