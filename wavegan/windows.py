"""Where training clips come from: random windows of recordings, on the device or on the host."""

from __future__ import annotations

import hashlib
import math
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cached_property, partial
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from features.cache import Recording
from wavegan.devices import device_memory

SLICES = ("anywhere", "grid", "first")
STORES = ("auto", "device", "host")
_BLOCK = 2**20  # samples read at a time where all are read
SHORTEST = 32  # samples of a clip
_AHEAD = 2  # draws that the host store prepares while one is in use


@runtime_checkable
class Recordings(Protocol):
    """Audio one recording at a time: an array (N, L, C), a list of (L_i, C), lazily read clips."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Any: ...


class Batch(NamedTuple):
    """Clips (*shape, num_samples, C), float32 in [-1, 1], and their labels (*shape,) if any."""

    clips: Float[Array, "*shape n c"]
    labels: Int[Array, "*shape"] | None


class _Runs(NamedTuple):
    """Windows in runs of equal chances within a recording.

    A draw takes a ticket, which goes to the first run whose ``ends`` (tickets up to and with it)
    exceeds it, and of that run one of ``counts`` windows: the first starts at ``first`` in its
    recording, the others ``stride`` apart.
    """

    ends: Any
    recording: Any
    first: Any
    counts: Any
    stride: Any


class Source(NamedTuple):
    """Recordings one after another on a tape, and where windows lie in them: arrays alone."""

    tape: Any  # (samples, C), int16 or float32
    runs: _Runs
    begins: Any  # of each recording on the tape
    lengths: Any
    divisors: Any
    labels: Any | None


class Windows:
    """Windows of ``num_samples`` samples in a set of recordings, drawn at random.

    Every draw depends on the key and the recordings alone, and is bit for bit the same from
    either store. The device store gathers clips from recordings that lie one after another on
    the device. The host store leaves them where they are, as memory maps on disk, and `stream`
    cuts the next clips in a thread.

    Parameters
    ----------
    audio : clips (N, L, C), or a sequence of recordings (L_i, C) of any lengths, float in
        [-1, 1] or int16; or of `features.cache.Recording`, which keeps no file open. Mono may
        lack its channel: (N, L), or recordings (L_i,).
    num_samples, channels : of a window.
    labels : (N,) int, one a recording, where ``num_classes`` is above 0.
    num_classes : of a conditional GAN.
    batch_size : the fewest windows that are enough.
    slices : "anywhere", a recording as often as it holds clips (once if it is shorter), and in it
        each start as likely; "grid", starts at hops of ``num_samples`` · (1 - ``overlap``);
        "first", the first slice of each recording, which implies ``pad_end``.
    overlap : of a grid's slices, in [0, 1).
    random_start : each clip from its recording's grid shifted by U{0 … ``num_samples`` - 1},
        each slice of each shift as likely. With "grid" it is the reference's way.
    pad_end : fill up with zeros what runs past a recording's end: slices of a grid that start
        before it, and recordings shorter than a window.
    peak_normalize : divide each recording by its largest magnitude; a silent one stays.
    store : "device", "host", or "auto": the device for less than a quarter of its memory (on a
        CPU the machine's) and fewer than 2³¹ windows.

    Attributes
    ----------
    store : "device" or "host".
    num_windows : distinct windows.
    lengths : (N,) of the recordings, in samples.
    nbytes : of all recordings as they are stored, int16 or float32.
    peak : the largest magnitude of float recordings as they were given; 0 for int16.

    Raises
    ------
    ValueError
        For settings out of range; a recording that is shorter than a window (unless padded), has
        other channels, another type of number, or is not finite; a label that is no class; fewer
        windows than ``batch_size``.
    """

    def __init__(
        self,
        audio: Recordings,
        *,
        num_samples: int,
        channels: int,
        labels: np.ndarray | Array | Sequence[int] | None = None,
        num_classes: int = 0,
        batch_size: int = 1,
        slices: str = "anywhere",
        overlap: float = 0.0,
        random_start: bool = False,
        pad_end: bool = False,
        peak_normalize: bool = False,
        store: str = "auto",
    ):
        hop = _checked_hop(num_samples, slices, overlap, random_start)
        if store not in STORES:
            raise ValueError(f"store must be one of {', '.join(STORES)}; found {store!r}")
        if len(audio) == 0:
            raise ValueError("there is no audio to train on: found 0 recordings")
        _refuse_single(audio)
        self.num_samples, self.channels = num_samples, channels
        self._padded = pad_end or slices == "first"
        self._audio = audio
        self._labels = _checked_labels(labels, len(audio), num_classes)
        self.lengths, self._dtype = self._measured()
        self._divisors = self._checked_divisors(peak_normalize)

        if slices == "grid" and self._padded:
            last = self.lengths - 1
        else:
            last = np.maximum(self.lengths - num_samples, 0)
        self._runs = _runs(last, self.lengths, num_samples, slices, hop, random_start)
        every_start = slices == "anywhere" or (slices == "grid" and random_start)
        self.num_windows = int((last + 1).sum()) if every_start else self._tickets
        if self.num_windows < batch_size:
            raise ValueError(
                f"the audio has {self.num_windows} windows of {num_samples} samples, a batch "
                f"needs {batch_size}: take a smaller batch_size, or more windows by an overlap or "
                'slices="anywhere"'
            )
        self.nbytes = int(self.lengths.sum()) * channels * self._dtype.itemsize
        self.store = self._chosen(store)

    @property
    def description(self) -> str:
        """The set in one line, for messages."""
        return (
            f"{len(self.lengths)} recordings, {self.lengths.sum():,} samples "
            f"({self.nbytes / 1e6:,.1f} MB) on the {self.store}, {self.num_windows:,} windows of "
            f"{self.num_samples}"
        )

    def digest(self) -> str:
        """A hash of the recordings' samples and lengths, and of the labels where given."""
        digest = hashlib.blake2b(self.lengths.tobytes(), digest_size=16)
        if self._labels is not None:
            digest.update(self._labels.tobytes())
        for i in range(len(self.lengths)):
            for block in self._blocks(i):
                digest.update(block.ravel().data)
        return digest.hexdigest()

    def draw(self, key: PRNGKeyArray, shape: tuple[int, ...]) -> Batch:
        """Windows drawn independently, each as likely as ``slices`` says."""
        if self.store == "device":
            return _gathered(self._on_device, key, shape, self.num_samples)
        recording, start = self.places(key, math.prod(shape))
        clips = np.empty((len(start), self.num_samples, self.channels), self._dtype)
        for clip, i, first in zip(clips, recording.tolist(), start.tolist(), strict=True):
            stop = min(first + self.num_samples, int(self.lengths[i]))
            clip[: stop - first] = _part(self._recording(i), first, stop, self._dtype)
            clip[stop - first :] = 0
        labels = None if self._labels is None else self._labels[recording]
        return _shaped(clips, self._divisors[recording], labels, shape)

    def stream(self, keys: Iterable[PRNGKeyArray], shape: tuple[int, ...]) -> Iterator[Batch]:
        """`draw` for each key in turn; the host store works ahead by two draws in a thread.

        An error of a draw is raised in its turn; closing the iterator ends the thread.
        """
        if self.store == "device":
            for key in keys:
                yield self.draw(key, shape)
            return
        # Not grain: 5 x 64 clips of 16384 from maps of 30 s take 2 ms to cut, a grain loader 7 ms
        # at its best (2 cores; 0 to 16 threads, 2 processes), and it has a state to save.
        thread, waiting = ThreadPoolExecutor(1, "windows"), deque[Future[Batch]]()
        try:
            for key in keys:
                waiting.append(thread.submit(self.draw, key, shape))
                if len(waiting) > _AHEAD:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            thread.shutdown(cancel_futures=True)

    @property
    def _tickets(self) -> int:
        return int(self._runs.ends[-1])

    def places(self, key: PRNGKeyArray, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Recordings (count,) and starts (count,), in samples, of the windows that `draw` draws."""
        if self._tickets < 2**31:
            recording, start = _located(self._runs, key, count)
            return np.asarray(recording), np.asarray(start)
        words = np.asarray(jax.random.bits(key, (count, 4), jnp.uint32)).astype(np.uint64)
        ticket, window = (words[:, ::2] << 32 | words[:, 1::2]).T
        run = np.searchsorted(self._runs.ends, ticket % self._tickets, side="right")
        start = (window % self._runs.counts[run].astype(np.uint64)).astype(np.int64)
        return self._runs.recording[run], self._runs.first[run] + self._runs.stride * start

    def _recording(self, i: int) -> Recording | np.ndarray:
        recording = self._audio[i]
        if isinstance(recording, Recording):
            return recording
        samples = np.asarray(recording)
        return samples[:, None] if samples.ndim == 1 and self.channels == 1 else samples

    def _blocks(self, i: int) -> Iterator[np.ndarray]:
        recording, length = self._recording(i), int(self.lengths[i])
        for start in range(0, length, _BLOCK):
            yield _part(recording, start, min(start + _BLOCK, length), self._dtype)

    def _measured(self) -> tuple[np.ndarray, np.dtype]:
        """Lengths of the recordings, and the type to keep them as: float32 if any is float."""
        lengths: list[int] = []
        kept: np.dtype = np.dtype(np.int16)
        for i in range(len(self._audio)):
            recording = self._recording(i)
            if isinstance(recording, Recording):
                shape, dtype = (recording.num_samples, recording.channels), np.dtype(np.int16)
            else:
                shape, dtype = recording.shape, recording.dtype
            if len(shape) != 2 or shape[1] != self.channels:
                raise ValueError(
                    f"recording {i} must be (samples, {self.channels}), found {shape}: "
                    "audio is (N, L, C), channel last"
                )
            if shape[0] < (1 if self._padded else self.num_samples):
                raise ValueError(
                    f"recording {i} has {shape[0]} samples, a clip needs {self.num_samples}: leave "
                    "it out, choose a smaller num_samples, or fill short ones up by pad_end"
                )
            if dtype != np.int16 and dtype.kind != "f":
                raise ValueError(f"recording {i} holds {dtype}: give int16, or float in [-1, 1]")
            if dtype != np.int16:
                kept = np.dtype(np.float32)
            lengths.append(shape[0])
        return np.array(lengths, np.int64), kept

    def _checked_divisors(self, peak_normalize: bool) -> np.ndarray:
        """What to divide each recording by; finds what is not finite on the way."""
        full = 32768 if self._dtype == np.int16 else 1
        divisors = np.full(len(self.lengths), full, np.float32)
        self.peak = 0.0
        if self._dtype == np.int16 and not peak_normalize:
            return divisors
        for i in range(len(divisors)):
            # NaN comes out of both min and max, without a copy; as floats, for -(-32768)
            ranges = [(float(x.min()), float(x.max())) for x in self._blocks(i)]
            peak = max(max(-low, high) for low, high in ranges)
            if not np.isfinite(ranges).all():
                raise ValueError(f"recording {i} holds NaN or Inf: leave it out or repair it")
            if self._dtype != np.int16:
                self.peak = max(self.peak, peak)
            if peak_normalize and peak >= np.finfo(np.float32).tiny:
                divisors[i] = peak
        return divisors

    def _chosen(self, store: str) -> str:
        large = max(self._tickets, int(self.lengths.sum()) + self.num_samples) >= 2**31
        if store == "device" and large:
            raise ValueError(
                f"{self._tickets} windows of {self.lengths.sum()} samples are more than the "
                'device store can index (2³¹): take store="host"'
            )
        if store == "auto":
            return "host" if large or 4 * self.nbytes > device_memory() else "device"
        return store

    @property
    def source(self) -> Source:
        """All recordings, in numpy arrays, as `gathered` takes them from the device."""
        room = self.num_samples if self._padded else 0
        tape = np.zeros((int(self.lengths.sum()) + room, self.channels), self._dtype)
        ends = np.cumsum(self.lengths)
        for i, start in enumerate(ends - self.lengths):
            for block in self._blocks(i):
                tape[start : start + len(block)] = block
                start += len(block)
        index = partial(np.asarray, dtype=np.int32)
        runs = _Runs(*map(index, self._runs))
        places = index(ends - self.lengths), index(self.lengths)
        return Source(tape, runs, *places, self._divisors, self._labels)

    @cached_property
    def _on_device(self) -> Source:
        return jax.device_put(self.source)


def together(sources: Sequence[Source]) -> Source:
    """Sources of several GANs, one above the other; no draw reaches what fills up shorter ones."""

    def stacked(*leaves: np.ndarray) -> np.ndarray:
        if len(leaves) == 1:
            return leaves[0][None]
        longest = max(leaf.shape[0] if leaf.ndim else 0 for leaf in leaves)
        return np.stack([_filled_up(leaf, longest) for leaf in leaves])

    return jax.tree.map(stacked, *sources)


def _filled_up(values: np.ndarray, length: int) -> np.ndarray:
    """The last value repeated up to a length; a single value as it is."""
    if not values.ndim:
        return values
    sides = [(0, length - len(values)), *[(0, 0)] * (values.ndim - 1)]
    return np.pad(values, sides, mode="edge")


def _runs(
    last: np.ndarray,
    lengths: np.ndarray,
    num_samples: int,
    slices: str,
    hop: int,
    random_start: bool,
) -> _Runs:
    """Runs of windows; ``last`` is the last start that each recording allows."""
    recording, first, stride = np.arange(len(last)), np.zeros_like(last), 1
    if slices == "grid" and random_start:
        slots = last // hop + 1
        recording = np.repeat(recording, slots)
        first = hop * (np.arange(len(recording)) - np.repeat(np.cumsum(slots) - slots, slots))
    if slices == "anywhere":
        counts = last + 1
    elif random_start:  # a slice of the grid has a start for each shift that its recording allows
        counts = np.minimum(num_samples, last[recording] - first + 1)
    elif slices == "grid":
        counts, stride = last // hop + 1, hop
    else:
        counts = np.ones_like(last)
    # By the number of starts, a recording a bit longer than a clip would drown all shorter ones.
    tickets = np.maximum(lengths, num_samples) if slices == "anywhere" else counts
    return _Runs(np.cumsum(tickets), recording, first, counts, stride)


@partial(jax.jit, static_argnums=2)
def _located(runs: _Runs, key: PRNGKeyArray, count: int) -> tuple[Array, Array]:
    """Recordings and starts of ``count`` draws."""
    for_run, for_start = jax.random.split(key)
    ticket = jax.random.randint(for_run, (count,), 0, runs.ends[-1], jnp.int32)
    run = jnp.searchsorted(runs.ends, ticket, side="right")
    start = jax.random.randint(for_start, (count,), 0, runs.counts[run], jnp.int32)
    return runs.recording[run], runs.first[run] + runs.stride * start


def gathered(source: Source, key: PRNGKeyArray, shape: tuple[int, ...], num_samples: int) -> Batch:
    """What `Windows.draw` gives, to be called in a compiled program."""
    recording, start = _located(source.runs, key, math.prod(shape))
    cut = jax.vmap(lambda s: jax.lax.dynamic_slice_in_dim(source.tape, s, num_samples))
    clips = cut(source.begins[recording] + start)
    left = (source.lengths[recording] - start)[:, None, None]  # of a padded recording
    clips = jnp.where(jnp.arange(num_samples)[None, :, None] < left, clips, 0)
    labels = None if source.labels is None else source.labels[recording]
    return _shaped(clips, source.divisors[recording], labels, shape)


_gathered = jax.jit(gathered, static_argnums=(2, 3))


@partial(jax.jit, static_argnums=3)
def _shaped(clips, divisors, labels, shape):
    clips = clips.astype(jnp.float32) / divisors[:, None, None]
    labels = None if labels is None else labels.reshape(shape)
    return Batch(clips.reshape(*shape, *clips.shape[1:]), labels)


def _refuse_single(audio: Recordings) -> None:
    """One recording alone would pass for many that are as short as it has channels."""
    shape = getattr(audio, "shape", None)
    if shape is not None and (len(shape) == 1 or (len(shape) == 2 and shape[1] < SHORTEST)):
        raise ValueError(
            f"audio must be recordings, found one of shape {tuple(shape)}: give [audio]"
        )


def _part(recording: Recording | np.ndarray, start: int, stop: int, dtype: np.dtype) -> np.ndarray:
    """Samples from ``start`` to ``stop`` as ``dtype``, int16 or float32, contiguous."""
    if isinstance(recording, Recording):
        part = recording.read(start, stop)
    else:
        part = np.ascontiguousarray(recording[start:stop])
    if part.dtype == np.int16 and dtype != np.int16:
        return part.astype(dtype) / np.float32(32768)
    return part.astype(dtype, copy=False)


def _checked_hop(num_samples: int, slices: str, overlap: float, random_start: bool) -> int:
    if slices not in SLICES:
        raise ValueError(f"slices must be one of {', '.join(SLICES)}; found {slices!r}")
    if not 0 <= overlap < 1 or (hop := round(num_samples * (1 - overlap))) < 1:
        raise ValueError(
            f"overlap must lie in [0, 1) and leave a hop of at least a sample of the "
            f"{num_samples} of a slice; found {overlap}"
        )
    if overlap and slices != "grid":
        raise ValueError(f'overlap={overlap} is for slices="grid", found slices={slices!r}')
    if random_start and slices == "anywhere":
        raise ValueError(
            'random_start shifts the slices of a grid: take slices="grid", or leave it out, since '
            'slices="anywhere" takes any start'
        )
    return hop


def _checked_labels(labels: Any, count: int, num_classes: int) -> np.ndarray | None:
    if num_classes == 0:
        if labels is not None:
            raise ValueError("labels are for a conditional GAN: give num_classes, or no labels")
        return None
    if labels is None:
        raise ValueError(
            f"a GAN of {num_classes} classes needs labels, one a recording: found none"
        )
    labels = np.asarray(labels)
    if labels.shape != (count,) or labels.dtype.kind not in "iu":
        raise ValueError(
            f"labels must be one integer a recording, shape ({count},); found {labels.dtype} of "
            f"shape {labels.shape}"
        )
    wrong = np.flatnonzero((labels < 0) | (labels >= num_classes))
    if len(wrong):
        raise ValueError(
            f"recording {wrong[0]} has label {labels[wrong[0]]}: give 0 to {num_classes - 1}, or a "
            "larger num_classes"
        )
    return labels.astype(np.int32)
