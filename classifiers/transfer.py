"""A trained body put to other classes: a new head, and the training of a head alone."""

from __future__ import annotations

from typing import Any

from flax import nnx

from classifiers.architectures import create
from classifiers.classifier import Classifier
from classifiers.fit_config import FitConfig
from classifiers.fit_data import Pair
from classifiers.history import History
from classifiers.training import fit


def with_new_head(model: Classifier, num_classes: int, *, rngs: nnx.Rngs) -> Classifier:
    """A copy of a classifier for other classes: its body as it is, its last dense layer untrained.

    Parameters
    ----------
    model : from :func:`classifiers.create` or :func:`classifiers.load`; it stays as it is.
    num_classes : logits of the new head.
    rngs : draws the new head's weights.

    Raises
    ------
    ValueError
        Fewer than two classes; a module of its own without ``embed`` and ``head``, see
        :func:`classifiers.architecture`.
    """
    spec, head = model.spec, model.head_place()
    made = create(
        spec.name,
        input_shape=spec.input_shape,
        num_classes=num_classes,
        rngs=rngs,
        framework=spec.framework,
        **dict(spec.options),
    )
    trained = dict(nnx.to_flat_state(nnx.state(model)))
    for place, variable in nnx.to_flat_state(nnx.state(made)):
        if place[: len(head)] != head:
            variable.set_value(trained[place].get_value())
    return made


def fit_head(
    model: Classifier,
    train: Pair,
    valid: Pair | None,
    config: FitConfig,
    *,
    seed: int,
    **options: Any,
) -> History:
    """Train the head of ``model`` in place, and nothing else of it.

    The body is a fixed function here, without dropout and noise, its batch statistics as they
    are: what it makes of the clips is computed once (:meth:`Classifier.embed`), and the head is
    fitted to that. Not a bit of the body changes.

    Parameters
    ----------
    model : a trained one, as a rule of :func:`with_new_head`.
    train, valid, config, seed : those of :func:`classifiers.fit`.
    **options : further ones of it, but for ``augment``, which alters what the body hears.

    Raises
    ------
    ValueError
        As :func:`classifiers.fit` and :meth:`Classifier.embed`.
    """
    if options.get("augment") is not None:
        raise ValueError(
            "augment alters the inputs of the body, which are embedded once, before the head is "
            "fitted: leave it out, or train the whole network with fit"
        )

    def embedded(pair: Pair) -> Pair:
        return model.embed(pair[0]), pair[1]

    held_out = None if valid is None else embedded(valid)
    return fit(model.head, embedded(train), held_out, config, seed=seed, **options)
