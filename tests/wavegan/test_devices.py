"""Steps that do not fit on a device."""

from dataclasses import replace

import pytest
from gan_runs import same, weights

from wavegan import (
    OutOfDeviceMemory,
    train,
)
from wavegan.devices import device_mesh, needed_bytes
from wavegan.step import compiled_step


def needed(config, train_config, parts):
    mesh = device_mesh(1, train_config.batch_size)
    return needed_bytes(compiled_step(config, replace(train_config, accumulate=parts), mesh))


def test_a_step_that_does_not_fit_is_done_in_parts(audio, config, train_config, monkeypatch):
    """On a device that has a byte less than the whole batch needs."""
    large = replace(train_config, loss="dcgan", batch_size=64, steps=2)
    whole, half = (needed(config, large, parts) for parts in (1, 2))
    assert half < whole
    monkeypatch.setattr("wavegan.devices.device_memory", lambda: whole - 1)
    with pytest.warns(UserWarning, match=r"a batch of 64 needs more .* added up over 2 parts"):
        result = train(audio, config, large)
    expected = train(audio, config, replace(large, accumulate=2))
    assert same(weights(result), weights(expected))


def test_what_does_not_fit_is_refused(audio, config, train_config, monkeypatch, tmp_path):
    large = replace(train_config, loss="dcgan", batch_size=64, steps=2, accumulate=2)
    monkeypatch.setattr("wavegan.devices.device_memory", lambda: 10_000)
    found = rf"needs {needed(config, large, 2) / 1e9:.2f} GB on each device, which has 0\.00 GB"
    with pytest.raises(OutOfDeviceMemory, match=rf"{found}: .*batch_size \(found 64\).*found 2\)"):
        train(audio, config, large)
