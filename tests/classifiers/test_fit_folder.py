"""The file that a fit is resumed from: exact, whole, and of that fit alone."""

import functools
import time
from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from classifier_toys import small, toy

from classifiers.fit_config import FitConfig
from classifiers.fit_folder import FitFolder, identity_of, steps_taken
from classifiers.history import Member

TREE = {"a": jnp.arange(3.0), "b": (jnp.int32(7), jnp.ones((2, 2), jnp.bfloat16))}


def test_what_was_saved_comes_back_bit_for_bit(tmp_path):
    members = [Member(0, running=[[0.1, 1 / 3]]), Member(1, misses=2)]
    folder = FitFolder(tmp_path / "new" / "folder", {"seeds": [0, 1]})
    assert folder.restore(state=TREE) is None
    folder.save(12, members, state=TREE, best=None)
    taken, again, (state, best) = folder.restore(state=TREE, best=TREE)
    assert (taken, again, best) == (12, members, None)
    jax.tree.map(np.testing.assert_array_equal, state, TREE)
    assert [x.dtype for x in jax.tree.leaves(state)] == [x.dtype for x in jax.tree.leaves(TREE)]
    assert [file.name for file in folder.file.parent.iterdir()] == ["fit.safetensors"]


def test_saving_takes_a_small_share_of_the_time(tmp_path):
    folder = FitFolder(tmp_path, {})
    assert folder.due
    start = time.monotonic()
    folder.save(1, [], state=TREE)
    took = time.monotonic() - start
    assert not folder.due
    time.sleep(21 * took)
    assert folder.due


@pytest.mark.parametrize("length", [0, 6, 100, -3])
def test_a_damaged_file_is_named(length, tmp_path):
    folder = FitFolder(tmp_path, {})
    folder.save(1, [], state=TREE)
    folder.file.write_bytes(folder.file.read_bytes()[:length])
    with pytest.raises(ValueError, match=r"fit\.safetensors is no .*: delete it"):
        folder.restore(state=TREE)


def test_a_changed_file_is_refused(tmp_path):
    folder = FitFolder(tmp_path, {"a": 1})
    folder.save(1, [], state=TREE)
    content = bytearray(folder.file.read_bytes())
    content[-1] ^= 1
    folder.file.write_bytes(content)
    with pytest.raises(ValueError, match=r"fit\.safetensors is damaged .*: delete it"):
        folder.restore(state=TREE)


@dataclass(frozen=True)
class Louder:
    by: float

    def __call__(self, key, inputs, targets):
        return self.by * inputs, targets


def other(key, inputs, targets):
    return inputs, targets


CONFIG = FitConfig(8, steps=4)
INPUTS, LABELS = toy(count=12)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"config": replace(CONFIG, learning_rate=0.5)}, "learning_rate is 0.0001 .* and 0.5 here"),
        ({"seeds": [1]}, r"seeds is \[0\] there and \[1\] here"),
        ({"models": [small(seed=1)]}, "weights at the start is not the same"),
        ({"models": [small("net3")]}, "weights at the start is not the same"),
        ({"augment": Louder(2.5)}, r"augment is Louder\(by=2.0\) there and Louder\(by=2.5\) here"),
        ({"augment": None}, "augment is .* None here"),
        ({"augment": other}, r"augment is .*test_fit_folder\.other here"),
        ({"train": (INPUTS[:11], LABELS[:11])}, r"train is inputs \(12, 10, 5\) .*\(11, 10, 5\)"),
        ({"train": (INPUTS, LABELS[::-1])}, "train is .* and labels of hash"),
        ({"train": (INPUTS + 1, LABELS)}, "train is .* and labels of hash"),
        ({"valid": (INPUTS, LABELS)}, "valid is none there"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_another_fit_is_refused(changes, message, tmp_path):
    def folder(models, train, valid, config, seeds, augment):
        data = {"train": train, "valid": valid}
        return FitFolder(tmp_path, identity_of(models, data, config, seeds, augment))

    call = {"models": [small()], "train": (INPUTS, LABELS), "valid": None, "config": CONFIG}
    call |= {"seeds": [0], "augment": Louder(2.0)}
    folder(**call).save(1, [], state=TREE)
    assert folder(**call).restore(state=TREE)
    with pytest.raises(ValueError, match=f"holds another fit: .*{message}.*same call to resume"):
        folder(**call | changes).restore(state=TREE)


def test_an_augmentation_that_another_process_could_not_tell_is_refused():
    data = {"train": (INPUTS, LABELS), "valid": None}
    with pytest.raises(ValueError, match=r"augment .*a frozen dataclass or a function"):
        identity_of([small()], data, CONFIG, [0], functools.partial(other))


def test_steps_taken_are_read_without_the_fit(tmp_path):
    assert steps_taken(tmp_path) == 0
    FitFolder(tmp_path, {"a": 1}).save(7, [], state=None)
    assert steps_taken(tmp_path) == 7
    (tmp_path / "fit.safetensors").write_bytes(b"no")
    assert steps_taken(tmp_path) == 0
