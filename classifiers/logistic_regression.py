"""The last layer of a network as a logistic regression, which scikit-learn solves for.

A linear model on fixed features and a linear probe on a trained network are the same: what is
below the last layer stays as it is.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from classifiers.architectures import Classifier
from classifiers.fit_config import LBFGS, FitConfig
from classifiers.history import Member
from classifiers.layers import Dense
from classifiers.metrics import expect_every_class
from classifiers.prediction import gather, score
from classifiers.step import split, stacked
from features.limits import check_memory
from features.scaling import Standardizer

_COPIES = 4  # of the features, while they are solved for: float32, float64, and the solver's own


def fit_last_layers(
    models: Sequence[nnx.Module],
    train: tuple[Any, np.ndarray],
    valid: tuple[Any, np.ndarray] | None,
    config: FitConfig,
    *,
    seeds: Sequence[int],
    sample_weights: np.ndarray | None = None,
    snapshots: Collection[int] = (),
    on_snapshot: Callable[[int, Sequence[nnx.Module]], object] | None = None,
) -> list[Member]:
    """Fit the last layer of each network in place, to the optimum or for ``config.steps``.

    Parameters
    ----------
    models : each ends in a dense layer, or is one.
    train, valid : inputs (N, ...) and labels (N,); the latter is only scored.
    config : in numbers (`FitConfig.resolved`).
    seeds : of the networks, which nothing here is drawn from.
    sample_weights, snapshots, on_snapshot : as :func:`classifiers.fit` has them.

    Returns
    -------
    list of Member
        What each fit came to: one evaluation, after as many iterations as it took.

    Raises
    ------
    ValueError
        A network without a dense layer at its end, a class without training clips, or features
        with a NaN or an infinity.
    """
    layers = [_LastLayer(model, train, valid, config, sample_weights) for model in models]
    steps = config.steps or 0
    wanted = {step for step in snapshots if step <= steps} if on_snapshot is not None else set()
    for step in sorted({*wanted, steps}):  # the same iterations, from the start
        taken = [layer.fit(step) for layer in layers]
        if on_snapshot is not None and step in wanted:
            on_snapshot(step, models)
    members = [Member(seed) for seed in seeds]
    for member, layer, count in zip(members, layers, taken, strict=True):
        member.record(layer.score(layer.train), count, config)
        member.evaluate(count, layer.score(layer.valid)[0] if layer.valid else None, config)
    return members


class _LastLayer:
    """The last layer of a network, with what the layers below make of the clips."""

    def __init__(
        self,
        model: nnx.Module,
        train: tuple[Any, np.ndarray],
        valid: tuple[Any, np.ndarray] | None,
        config: FitConfig,
        weights: np.ndarray | None,
    ) -> None:
        head = model.head if isinstance(model, Classifier) else model
        if not isinstance(head, Dense):
            name = model.spec.name if isinstance(model, Classifier) else type(model).__name__
            raise ValueError(
                f"the optimizer {LBFGS!r} fits a dense layer at the end of a network, and {name} "
                "has none: take another optimizer"
            )
        self.layer, self.config, self.weights = head, config, weights
        width, count = len(head.kernel[...]), len(train[1])
        what = f"{count:,} clips of {width:,} features"
        check_memory(8 * _COPIES * count * width, what, "take fewer clips, or another optimizer")

        def embedded(pair: tuple[Any, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
            if isinstance(model, Classifier):
                return model.embed(pair[0], batch_size=config.batch_size), pair[1]
            return gather(pair[0], np.arange(len(pair[1]))), pair[1]

        self.train = embedded(train)
        self.valid = None if valid is None else embedded(valid)

    def fit(self, steps: int) -> int:
        """Take as many iterations, or fewer to the optimum, from zero; how many it took."""
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.linear_model import LogisticRegression
        from threadpoolctl import threadpool_limits  # scikit-learn has it

        (features, labels), config = self.train, self.config
        classes = self.layer.output_shape[0]
        expect_every_class(labels, classes, LBFGS)
        scaler = Standardizer.fit(features)  # the penalty is on one scale
        decay = config.weight_decay * len(labels)
        decay /= 2 if classes == 2 else 1  # of two, its slopes are differences: kernels' ±half
        weights = config.class_weights
        solver = LogisticRegression(
            C=1 / decay if decay else np.inf,
            class_weight=dict(enumerate(weights)) if isinstance(weights, tuple) else None,
            max_iter=steps,
        )
        # Several threads take longer on such small products, and their sums depend on how many.
        with warnings.catch_warnings(), threadpool_limits(1, user_api="blas"):
            warnings.simplefilter("ignore", ConvergenceWarning)  # its steps are a budget
            solver.fit((features - scaler.mean) / scaler.std, labels, sample_weight=self.weights)
        slopes, biases = solver.coef_, solver.intercept_
        if classes == 2:  # it has the odds of the second
            slopes, biases = np.stack([-slopes[0], slopes[0]]) / 2, np.stack([-biases, biases]) / 2
        kernel = (slopes / scaler.std).T
        self.layer.kernel.set_value(_float32(kernel))
        self.layer.bias.set_value(_float32(biases.ravel() - scaler.mean @ kernel))
        return int(solver.n_iter_[0])

    def score(self, pair: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
        """Mean cross-entropy and accuracy, (1, 2), of features and labels."""
        graph, *state = split(self.layer)
        return score(graph, stacked([tuple(state)]), 1, pair, self.config.batch_size)


def _float32(array: np.ndarray) -> jax.Array:
    return jnp.asarray(array, jnp.float32)
