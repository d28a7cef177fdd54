"""The nearest training clip among those of a class with such a tempo."""

import jax.numpy as jnp
import numpy as np
import pytest
from classifier_toys import small, toy
from flax import nnx

from classifiers import FitConfig, create, fit, load, predict, save

CONFIG = FitConfig(steps=1, optimizer="memory")
#                     tempo, picture
INPUTS = np.array(
    [[60, 0, 0], [90, 0, 4], [100, 9, 0], [140, 9, 4], [70, 5, 5], [80, 6, 6]], np.float32
)
LABELS = np.array([0, 0, 1, 1, 2, 2])


def fitted(inputs=INPUTS, labels=LABELS, valid=None, **options):
    model = create("tempo", input_shape=(3,), num_classes=3, rngs=nnx.Rngs(0))
    return model, fit(model, (inputs, labels), valid, CONFIG, seed=0, **options)


@pytest.mark.parametrize(
    ("clip", "answer"),
    [
        ([75, 1, 0], 0),
        ([75, 9, 4], 2),  # 1 is too fast for it
        ([85, 9, 4], 0),  # the only one of such a tempo, 60 to 90
        ([120, 0, 0], 1),
        ([60, 0, 0], 0),  # a tempo at the edge
        ([200, 5, 5], 2),  # no class has such a tempo: all are possible
        ([200, 9, 3], 1),
    ],
)
def test_the_nearest_of_those_with_such_a_tempo(clip, answer):
    model, _ = fitted()
    (found,) = predict(model, np.array([clip], np.float32))
    assert found.argmax() == answer


def test_logits_are_mean_squared_differences_and_far_below_for_other_tempi():
    model, _ = fitted()
    (logits,) = np.asarray(model(jnp.array([[75.0, 2.0, 0.0]])))
    assert logits[[0, 2]] == pytest.approx([-2, -(9 + 25) / 2])
    assert logits[1] < logits[2] - 19


def test_its_history_and_its_size():
    valid = (INPUTS[:3] + np.float32(0.1), LABELS[:3])
    model, history = fitted(valid=valid)
    assert (history.num_steps, history.train_accuracy) == (1, [1.0])
    right = (predict(model, valid[0]).argmax(1) == valid[1]).mean()
    assert history.valid_accuracy == [pytest.approx(right)]
    assert model.spec.options == (("examples", 6),)


def test_it_is_saved_with_its_clips(tmp_path):
    model, _ = fitted()
    save(model, tmp_path / "a.safetensors")
    again, _ = load(tmp_path / "a.safetensors")
    clips = np.random.default_rng(0).normal(80, 20, (20, 3)).astype(np.float32)
    np.testing.assert_array_equal(predict(again, clips), predict(model, clips))
    assert again.spec == model.spec


def test_snapshots_are_of_the_only_step():
    seen = []
    model = create("tempo", input_shape=(3,), num_classes=3, rngs=nnx.Rngs(0))
    fit(
        model,
        (INPUTS, LABELS),
        None,
        FitConfig(steps=9, optimizer="memory"),
        seed=0,
        snapshots=[4],
        on_snapshot=lambda step, at: seen.append((step, predict(at, INPUTS).argmax(1).tolist())),
    )
    assert seen == [(4, LABELS.tolist())]


def test_what_cannot_be_remembered_is_named():
    with pytest.raises(ValueError, match="'memory' is for the network tempo, which keeps its"):
        fit(small("net5"), toy(), None, CONFIG, seed=0)
    with pytest.raises(ValueError, match=r"sample_weights have no effect .* 'memory' takes none"):
        fitted(sample_weights=np.arange(1, 7))
    with pytest.raises(ValueError, match="'memory' needs training clips of every class; class 2"):
        fitted(labels=LABELS % 2)
    with pytest.raises(ValueError, match=r"tempo on an input of \(1,\): .*picture is at least 1"):
        create("tempo", input_shape=(1,), num_classes=3, rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match=r"an input of \(tempo and picture\).* not \(4, 4\)"):
        create("tempo", input_shape=(4, 4), num_classes=3, rngs=nnx.Rngs(0))
