"""Scaling features to zero mean and unit variance, fitted on training data only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from jaxtyping import Array, Float, Real

_CHUNK_BYTES = 2**24  # of float64, held at a time while fitting

_Features = TypeVar("_Features", Array, np.ndarray)


@dataclass(frozen=True, eq=False)
class Standardizer:
    """Means and standard deviations of features, to scale them with.

    Attributes
    ----------
    mean, std : ``(F,)`` float64; where a feature never varied, ``std`` is 1.

    Examples
    --------
    >>> import numpy as np
    >>> scaler = Standardizer.fit(np.float32([[1, 5], [3, 5]]))
    >>> scaler.apply(np.float32([[2, 6]]))
    array([[0., 1.]], dtype=float32)
    """

    mean: np.ndarray
    std: np.ndarray

    def __post_init__(self) -> None:
        if self.mean.ndim != 1 or self.mean.shape != self.std.shape:
            raise ValueError(
                f"mean has the shape {self.mean.shape}, std {self.std.shape}; "
                "one number a feature each is accepted"
            )
        if not (np.isfinite(self.mean).all() and np.isfinite(self.std).all()):
            raise ValueError("mean or std is not finite")
        if not (self.std > 0).all():
            raise ValueError("std must be positive; a feature that never varies has 1")

    def __repr__(self) -> str:
        low, high = self.std.min(initial=np.inf), self.std.max(initial=0)
        return f"Standardizer({len(self.mean)} features, std {low:.3g} to {high:.3g})"

    @classmethod
    def fit(cls, x: Any) -> Standardizer:
        """Measure the training data.

        Parameters
        ----------
        x : ``(N, ..., F)`` array-like of real numbers, N ≥ 1. Whatever has ``shape`` and slices
            along its first axis (a memory-mapped array) is read in parts of 16 MiB and never
            held whole.

        Raises
        ------
        ValueError
            For data without examples, without a feature axis, or with a NaN or an infinity
            (its first index is named).
        """
        x = x if hasattr(x, "shape") and hasattr(x, "__getitem__") else np.asarray(x)
        if len(x.shape) < 2 or 0 in x.shape:
            raise ValueError(
                f"features have the shape {tuple(x.shape)}; (N, ..., F) with at least one "
                "example is accepted: give a single example an axis in front"
            )
        rows = max(1, _CHUNK_BYTES // (8 * int(np.prod(x.shape[1:]))))
        count, mean, squares = 0, np.zeros(x.shape[-1]), np.zeros(x.shape[-1])
        for start in range(0, x.shape[0], rows):
            part = np.asarray(x[start : start + rows], np.float64)
            if not np.isfinite(part).all():
                bad = int(np.argwhere(~np.isfinite(part))[0][0]) + start
                raise ValueError(f"example {bad} holds a NaN or an infinity: leave it out")
            part = part.reshape(-1, part.shape[-1])
            # Chan, Golub & LeVeque (1979): joining moments of two parts loses no digits
            total, here = count + len(part), part.mean(axis=0)
            squares += ((part - here) ** 2).sum(axis=0)
            squares += (here - mean) ** 2 * (count * len(part) / total)
            mean += (here - mean) * (len(part) / total)
            count = total
        std = np.sqrt(squares / count)
        # what rounding leaves of a constant is no variance
        return cls(mean, np.where(std > 1e-12 * np.abs(mean), std, 1.0))

    def apply(self, x: Real[_Features, "*batch features"]) -> Float[_Features, "*batch features"]:
        """Scale features: zero mean and unit variance where ``x`` is like the training data.

        Parameters
        ----------
        x : ``(..., F)``, NumPy or JAX array.

        Returns
        -------
        float32, an array of the same kind and shape.

        Raises
        ------
        ValueError
            When ``x`` has another number of features than the training data had.
        """
        if x.shape[-1] != len(self.mean):
            raise ValueError(
                f"x has {x.shape[-1]} features on its last axis; the scaler was fitted on "
                f"{len(self.mean)}"
            )
        shape = (1,) * (x.ndim - 1) + (-1,)
        mean, std = (a.astype(np.float32).reshape(shape) for a in (self.mean, self.std))
        return (x.astype(np.float32) - mean) / std

    def to_dict(self) -> dict[str, list[float]]:
        """The numbers as JSON takes them."""
        return {"mean": self.mean.tolist(), "std": self.std.tolist()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Sequence[float]]) -> Standardizer:
        """The scaler that `to_dict` wrote."""
        try:
            mean, std = values["mean"], values["std"]
        except KeyError as error:
            raise ValueError(f"a scaler needs 'mean' and 'std'; {error} is missing") from None
        return cls(np.asarray(mean, np.float64), np.asarray(std, np.float64))
