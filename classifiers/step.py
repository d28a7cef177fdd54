"""The one compiled step of training.

Arrays have a leading axis of networks: several are trained in one program, each as if alone.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from functools import lru_cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jax import Array

from classifiers.fit_config import FitConfig, learning_rates
from classifiers.frameworks import FRAMEWORKS

State = Any  # nnx.State, a tree of arrays
Augment = Callable[[Array, Array, Array], tuple[Array, Array]]  # key, inputs, targets
Step = Callable[..., tuple[tuple, Array]]


def split(model: nnx.Module) -> tuple[nnx.GraphDef, State, State]:
    """The network's structure, its weights, and the rest (batch statistics)."""
    graph, params, *rest = nnx.split(model, nnx.Param, ...)
    return graph, params, rest[0]


@jax.jit
def stacked(trees: Sequence[Any]) -> Any:
    """Trees of arrays as one, with a leading axis; its memory is its own."""
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)


@jax.jit
def member_of(tree: Any, i: int | Array) -> Any:
    """Number ``i`` of what :func:`stacked` made."""
    return jax.tree.map(lambda leaf: leaf[i], tree)


def each(function: Callable, count: int, shared: tuple[int, ...] = ()) -> Callable:
    """``function`` of arrays with a leading axis of ``count``, save the ``shared`` arguments."""

    def mapped(*arguments: Any) -> Any:
        if count > 1:
            axes = [None if i in shared else 0 for i in range(len(arguments))]
            return jax.vmap(function, in_axes=axes)(*arguments)
        # Not mapped: a mapped convolution is a grouped one, slow on a CPU.
        alone = (
            argument if i in shared else jax.tree.map(lambda leaf: leaf[0], argument)
            for i, argument in enumerate(arguments)
        )
        return jax.tree.map(lambda leaf: leaf[None], function(*alone))

    return mapped


def training_step(
    models: Sequence[nnx.Module], config: FitConfig, *, augment: Augment | None = None
) -> tuple[Step, tuple[State, State, Any]]:
    """The compiled step that :func:`classifiers.fit` repeats, and the state it starts from.

    ``step(state, inputs (S, n, ...), targets (S, n, K), number, keys (S,), sample_weights)`` is
    step ``number`` (from 1) of S networks; the weights are (S, n), or None. It gives the next
    state and each batch's mean loss and accuracy, (S, 2), and takes the memory of the state it is
    given, which is a copy of the models': they themselves stay as they are.

    Parameters
    ----------
    models : of one architecture.
    config : in numbers (``FitConfig.resolved``).
    augment : ``augment(key, inputs (n, ...), targets (n, K)) -> (inputs, targets)``, hashable,
        part of the compiled step.
    """
    if not isinstance(augment, Hashable):
        raise ValueError(f"augment is a function or a frozen dataclass, hashable, not {augment!r}")
    graphs, states = zip(*[(graph, state) for graph, *state in map(split, models)], strict=True)
    if any(graph != graphs[0] for graph in graphs[1:]):
        raise ValueError("the models are not of one architecture: create all with the same options")
    compiled = _compiled_step(graphs[0], _rule(config), augment, len(models))
    rates = learning_rates(config)
    weights = None if config.class_weights is None else jnp.asarray(config.class_weights)

    def step(
        state: tuple,
        inputs: Any,
        targets: Any,
        number: int,
        keys: Array,
        sample_weights: Any | None = None,
    ) -> tuple[tuple, Array]:
        rate = rates[number - 1]
        return compiled(state, inputs, targets, keys, number, rate, weights, sample_weights)

    return step, _start(_rule(config), states)


@partial(jax.jit, static_argnums=0)
def _start(rule: FitConfig, states: Sequence[Sequence[State]]) -> tuple[State, State, Any]:
    """The networks' weights and statistics as one, and the optimiser's memory beside them."""
    # One program: of eager zeros, each shape would be one to compile.
    optimizer = _optimizer(rule)
    return stacked([(params, rest, optimizer.init(params)) for params, rest in states])


def _rule(config: FitConfig) -> FitConfig:
    """What of a configuration the program depends on; the learning rate is an argument."""
    names = [
        *("optimizer", "framework", "momentum", "l2_penalty", "weight_decay"),
        *("label_smoothing", "compute_dtype"),
    ]
    return FitConfig(steps=1, **{name: getattr(config, name) for name in names})


@lru_cache(maxsize=32)
def _compiled_step(
    graph: nnx.GraphDef, rule: FitConfig, augment: Augment | None, count: int
) -> Callable:
    """One step of ``count`` networks, compiled; cached, so that equal networks share it."""
    one = each(partial(_step, graph, rule, augment), count, shared=(4, 5, 6))
    return jax.jit(one, donate_argnums=0)


def _step(
    graph: nnx.GraphDef,
    rule: FitConfig,
    augment: Augment | None,
    state: tuple,
    inputs: Array,
    targets: Array,
    key: Array,
    number: Array,
    rate: Array,
    weights: Array | None,
    sample_weights: Array | None = None,
) -> tuple[tuple, Array]:
    params, rest, memory = state
    if augment is not None:  # steps count from 1: the key of 0 is free
        inputs, targets = augment(
            jax.random.fold_in(jax.random.fold_in(key, 0), number), inputs, targets
        )
    key = jax.random.fold_in(key, number)

    def loss(params: State) -> tuple[Array, tuple[Array, State]]:
        model = nnx.merge(graph, _cast(params, rule.compute_dtype), rest, copy=True)
        logits = model(inputs.astype(rule.compute_dtype), train=True, key=key).astype("float32")
        right = (logits.argmax(-1) == targets.argmax(-1)).mean()
        mean = cross_entropy(
            logits, targets, weights, sample_weights, smoothing=rule.label_smoothing
        )
        return mean, (right, jax.tree.map(_like, split(model)[2], rest))

    (mean, (right, rest)), gradients = jax.value_and_grad(loss, has_aux=True)(params)
    changes, memory = _optimizer(rule).update(gradients, memory, params)
    params = jax.tree.map(lambda value, change: value - rate * change, params, changes)
    return (params, rest, memory), jnp.stack([mean, right])


def cross_entropy(
    logits: Array,
    targets: Array,
    weights: Array | None = None,
    sample_weights: Array | None = None,
    *,
    smoothing: float = 0.0,
) -> Array:
    """Mean over n clips of - sample_weight · Σ_k weight_k · target_k · log p_k.

    Parameters
    ----------
    logits, targets : (n, K); a target's shares add up to one.
    weights : (K,); None is one for each class.
    sample_weights : (n,); None is one for each clip.
    smoothing : share of each target that is spread evenly over the classes.
    """
    if smoothing:
        targets = (1 - smoothing) * targets + smoothing / targets.shape[-1]
    if weights is not None:
        targets = targets * weights[None]
    costs = jax.nn.logsumexp(logits, axis=-1, keepdims=True) - logits
    losses = (targets * costs).sum(-1)
    return (losses if sample_weights is None else sample_weights * losses).mean()


def _optimizer(rule: FitConfig) -> optax.GradientTransformation:
    """What is taken off the weights, before it is multiplied with the learning rate."""
    framework = FRAMEWORKS[rule.framework]
    eps, in_root = framework.optimizer_epsilon, framework.epsilon_in_root
    scales = {
        "adam": lambda: optax.scale_by_adam(eps=eps),
        "rmsprop": lambda: optax.scale_by_rms(framework.rms_decay, eps, eps_in_sqrt=in_root),
        "sgd": lambda: optax.trace(rule.momentum) if rule.momentum else optax.identity(),
    }
    parts = [scales[rule.optimizer]()]
    if rule.l2_penalty:
        parts.insert(0, optax.add_decayed_weights(rule.l2_penalty))
    if rule.weight_decay:
        parts.append(optax.add_decayed_weights(rule.weight_decay, mask=_kernels))
    return optax.chain(*parts) if len(parts) > 1 else parts[0]


def _kernels(params: State) -> Any:
    return jax.tree.map(lambda leaf: leaf.ndim > 1, params)


def _cast(params: State, dtype: str) -> State:
    return jax.tree.map(lambda leaf: leaf.astype(dtype), params)


def _like(new: Array, old: Array) -> Array:
    return new if new.dtype == old.dtype else new.astype(old.dtype)
