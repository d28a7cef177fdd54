"""TensorBoard's files, read back record by record as its format says."""

import io
import struct
import sys

import numpy as np
import pytest
import soundfile as sf

pytest.importorskip("tensorboardX")

from flax import nnx
from tensorboardX.proto.event_pb2 import Event, SessionLog

from wavegan import Generator, WaveGANConfig
from wavegan.previews import Previews
from wavegan.tensorboard import TensorBoard


def events(folder) -> list[Event]:
    """All events in the order of the files' names, in which TensorBoard reads them."""
    found = []
    for file in sorted(folder.glob("events.out.tfevents.*")):
        content = io.BytesIO(file.read_bytes())
        while header := content.read(12):  # a record: length, its checksum, bytes, their checksum
            (length,) = struct.unpack("<Q4x", header)
            found.append(Event.FromString(content.read(length)))
            content.read(4)
    return found


def scalars(folder) -> dict[str, list[tuple[int, float]]]:
    """The curves that TensorBoard draws: a restart at step n hides what was from n on."""
    curves: dict[str, list[tuple[int, float]]] = {}
    for event in events(folder):
        if event.session_log.status == SessionLog.START:
            for curve in curves.values():
                curve[:] = [point for point in curve if point[0] < event.step]
        for value in event.summary.value:
            if value.WhichOneof("value") == "simple_value":
                curves.setdefault(value.tag, []).append((event.step, value.simple_value))
    return curves


def test_each_term_is_a_curve(tmp_path):
    board = TensorBoard(tmp_path)
    for step in (1, 10, 20):
        board({"gan/step": step, "gan/critic_gap": 0.5 * step, "quality/kernel_distance": -step})
    board.close()
    assert scalars(tmp_path) == {
        "gan/critic_gap": [(1, 0.5), (10, 5.0), (20, 10.0)],
        "quality/kernel_distance": [(1, -1.0), (10, -10.0), (20, -20.0)],
    }


def test_a_resumed_run_draws_its_curve_once(tmp_path):
    for steps, value in (((10, 20, 30, 40), 1.0), ((30, 40, 50), 2.0)):
        board = TensorBoard(tmp_path)
        for step in steps:
            board({"gan/step": step, "gan/penalty": value})
        board.close()
    assert scalars(tmp_path) == {
        "gan/penalty": [(10, 1.0), (20, 1.0), (30, 2.0), (40, 2.0), (50, 2.0)]
    }


def test_previews_are_heard_and_seen(tmp_path):
    generator = Generator(WaveGANConfig(num_samples=128, dim=2, latent_dim=4), rngs=nnx.Rngs(0))
    Previews(tmp_path / "previews", sample_rate=8000, count=2)(20, generator)
    board = TensorBoard(tmp_path / "board", previews=tmp_path / "previews")
    board({"gan/step": 10, "gan/penalty": 1.0})
    board({"gan/step": 20, "gan/penalty": 1.0})
    board.close()
    shown = {
        value.WhichOneof("value"): (event.step, value)
        for event in events(tmp_path / "board")
        for value in event.summary.value
    }
    step, audio = shown["audio"]
    sound, rate = sf.read(io.BytesIO(audio.audio.encoded_audio_string))
    assert (step, rate, len(sound)) == (20, 8000, 2 * 128 + 800)
    kept, _ = sf.read(tmp_path / "previews/step-00000020.flac")
    np.testing.assert_allclose(sound, kept, atol=2**-14)
    step, image = shown["image"]
    assert (step, image.image.height, image.image.width) == (20, 128, 2 * 128 + 4)


def test_without_the_package_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(ImportError, match=r"wavegan\[tensorboard\]"):
        TensorBoard(tmp_path)


def test_closing_twice_or_unused_writes_nothing(tmp_path):
    board = TensorBoard(tmp_path / "board")
    board.close()
    board.close()
    assert not (tmp_path / "board").exists()
