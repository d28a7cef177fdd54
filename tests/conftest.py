"""Settings for every test: shapes are checked, rank promotion raises, data is found or skipped."""

import ctypes
import functools
import gc
import os
import sys
from collections.abc import MutableMapping
from importlib.metadata import version
from pathlib import Path

import psutil
import pytest
import typechecking
from hypothesis import settings

# Programs that several tests, their child processes or the next run need are compiled once.
os.environ.setdefault(
    "JAX_COMPILATION_CACHE_DIR", str(Path(__file__).parents[1] / ".pytest_cache" / "compiled")
)
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")

# Nearly all the time of these tests goes into compiling programs that then run for milliseconds:
# LLVM optimises little here, and loops are emitted the shorter way. What XLA computes is as users
# have it, and all of it is in the slow tests.
_FLAGS = ["--xla_backend_optimization_level=0", "--xla_cpu_parallel_codegen_split_count=1"]
if version("jaxlib").startswith("0.10."):  # newer ones know no such flag, and end at it
    _FLAGS.append("--xla_cpu_use_fusion_emitters=false")
if "slow" not in sys.argv and "PYTEST_XDIST_WORKER" not in os.environ:
    os.environ["XLA_FLAGS"] = " ".join([os.environ.get("XLA_FLAGS", ""), *_FLAGS]).strip()

typechecking.install(["features", "wavegan", "classifiers"])

import jax  # noqa: E402

import classifiers  # noqa: E402
import experiments  # noqa: E402
import features  # noqa: E402
import wavegan  # noqa: E402
from features.limits import free_memory  # noqa: E402

jax.config.update("jax_numpy_rank_promotion", "raise")

# An example takes as long as a busy machine lets it.
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")

# Tracing makes so many objects that the search for cycles among them took an eighth of the time.
gc.freeze()
gc.set_threshold(50_000, 10, 10)


def pytest_collection_modifyitems(items):
    """The folder that takes longest first, so that no process ends long after the others.

    Before them the few files of no folder, of which two take ten seconds.
    """
    order = ("wavegan", "experiments", "classifiers", "features")
    places = {name: place for place, name in enumerate(order)}
    items.sort(key=lambda item: places.get(item.path.parts[len(_HERE.parts)], -1))


def pytest_unconfigure():
    """The process ends without a search for cycles among millions of objects."""
    gc.freeze()


@pytest.fixture(scope="module", autouse=True)
def forget_entries():
    """What a file's tests and examples register is unknown to the next file."""
    registries: list[MutableMapping] = [
        classifiers.architectures._NETWORKS,
        experiments.SOURCES,
        experiments.FIGURES,
        experiments.RECIPES,
        features.AUGMENTATIONS,
        features.SPLITS,
        wavegan.AUGMENTATIONS,
        wavegan.LOSSES,
        wavegan.METRICS,
    ]
    before = [set(registry) for registry in registries]
    yield
    features._fingerprint._counted.clear()
    for registry, names in zip(registries, before, strict=True):
        for name in set(registry) - names:
            del registry[name]


@pytest.fixture(scope="session", autouse=True)
def quick_disk():
    """No file waits for the disk. Tests of what is synced, and when, wrap this in turn."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", os.fstat)  # it refuses the same handles
        yield


_HERE = Path(__file__).parent
_ENOUGH = 900e6  # bytes of a process, from which it forgets where memory is short
_SHARE = 1 / 4  # of what is free, to which it may grow where there is more
_MOST = 1.6e9
_MORE = 300e6  # and by how many it grew since: forgetting takes a second, and some is never freed
_left = 0


@pytest.fixture(scope="module", autouse=True)
def forget_programs():
    """Compiled programs of many files take gigabytes together; the next files trace them anew."""
    global _left
    yield
    process = psutil.Process()
    enough = max(_ENOUGH, min(_MOST, _SHARE * free_memory()))
    if process.memory_info().rss < max(enough, _left + _MORE):
        return
    jax.clear_caches()
    for found in gc.get_objects():
        if type(found) is functools._lru_cache_wrapper:  # a weak reference may be dead
            module = (getattr(found, "__module__", None) or "").partition(".")[0]
            if module in ("features", "wavegan", "classifiers", "experiments"):
                found.cache_clear()
    gc.collect()
    if sys.platform == "linux":
        ctypes.CDLL(None).malloc_trim(0)  # what is free goes back to the system
    _left = process.memory_info().rss


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data sets (``WAVEGAN_DATA``, else ``../shared/data``), or a skip."""
    root = Path(os.environ.get("WAVEGAN_DATA", Path(__file__).parents[1] / "../shared/data"))
    if not root.is_dir():
        pytest.skip(f"no real data at {root}: set WAVEGAN_DATA to the folder that holds gtzan-mini")
    return root.resolve()


@pytest.fixture(scope="session")
def gtzan_mini(shared_data: Path) -> Path:
    """80 real GTZAN excerpts: 10 genres of 8 tracks."""
    if not (shared_data / "gtzan-mini").is_dir():
        pytest.skip(f"no gtzan-mini in {shared_data}")
    return shared_data / "gtzan-mini"
