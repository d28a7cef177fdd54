"""A recipe as an estimator of scikit-learn's kind: fit, predict, predict_proba, score."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from flax import nnx
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

import classifiers
from classifiers import FitConfig, SavedClassifier, vote_by_track
from experiments.given_tracks import checked_labels, given_tracks, held_out, of_clips
from experiments.recipes import RECIPES, Recipe
from experiments.report.terminal import Progress
from experiments.stages.clips import cut_tracks
from experiments.stages.trials import described
from features import Clips, Rows, extract
from features.extractors import from_dict
from features.storage import Unfit, understanding

_HELD_OUT = 0.1  # of the tracks, where a recipe stops early
_ADVICE = (
    "choose a smaller num_samples, fill them up with zeros (pad_short=True), or leave them out"
)


class AudioClassifier(ClassifierMixin, BaseEstimator):
    """A classifier of audio that scikit-learn's tools take: a recipe, its clips, its training.

    Tracks are cut into clips as the recipe says, which is what `wavegan classify` does: without
    validation, the same tracks in the same order and the same seed come to the same weights.
    A track's probabilities are the means of its clips'. Decoded files and features are kept in
    ``$WAVEGAN_CACHE``, so that folds and searches compute them once.

    Parameters
    ----------
    recipe : a name of `experiments.RECIPES`, or a `Recipe`.
    sample_rate : Hz: files are resampled to it, arrays have it. None is the recipe's.
    num_samples : length of a clip. None is the recipe's.
    pad_short : fill tracks shorter than a clip up with zeros instead of refusing them.
    epochs, steps, batch_size, learning_rate : of the training, of epochs and steps one. None is
        the recipe's.
    class_weight : None; "balanced", by the numbers of training clips; or a weight for each label,
        which is 1 for those that are not named.
    validation_fraction : of the tracks, class by class, that do not train, but say when to stop and
        which weights to keep. None takes a tenth for recipes that stop early, else 0.
    options : of the network, beside the recipe's: sizes and rates.
    body : a saved classifier, or its file, whose body, features and clips are taken; only a new
        last layer is trained. Of ``recipe`` then only the training counts.
    random_state : an int, which is the seed of weights, shuffling and validation side; or a
        `numpy.random.RandomState`, or None for another one each time.
    verbose : whether progress is shown on standard error.

    Attributes
    ----------
    classes_ : (K,) the labels, sorted.
    model_ : the `classifiers.Classifier`.
    scaler_ : of the features, fitted on training clips; None where the recipe has none.
    history_ : of the training.
    recipe_ : the recipe as it was used, ``num_samples`` among it.
    about_ : what `save` writes beside the weights.

    Notes
    -----
    X is paths of audio files, an array (N, L) or (N, L, C), or a list of arrays (L,) or (L, C) of
    unequal lengths; a row is a track. Arrays are floating point, as a rule in [-1, 1], or int16;
    channels are averaged. Where rows are parts of one recording, or tracks of one artist, give
    ``groups`` to `cross_val_score` and a splitter that heeds them (`GroupKFold`): with parts of a
    recording on both sides a score is too high, and nothing here can know that.

    Examples
    --------
    >>> from sklearn.model_selection import cross_val_score
    >>> paths, genres = ["a.wav", "b.wav", …], ["jazz", "rock", …]  # doctest: +SKIP
    >>> cross_val_score(AudioClassifier("cnn1", random_state=0), paths, genres)  # doctest: +SKIP
    """

    def __init__(
        self,
        recipe: str | Recipe = "cnn1",
        *,
        sample_rate: int | None = None,
        num_samples: int | None = None,
        pad_short: bool = False,
        epochs: int | None = None,
        steps: int | None = None,
        batch_size: int | None = None,
        learning_rate: float | None = None,
        class_weight: str | Mapping[Any, float] | None = None,
        validation_fraction: float | None = None,
        options: Mapping[str, Any] | None = None,
        body: SavedClassifier | str | Path | None = None,
        random_state: int | np.random.RandomState | None = None,
        verbose: bool = False,
    ):
        self.recipe = recipe
        self.sample_rate = sample_rate
        self.num_samples = num_samples
        self.pad_short = pad_short
        self.epochs = epochs
        self.steps = steps
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.class_weight = class_weight
        self.validation_fraction = validation_fraction
        self.options = options
        self.body = body
        self.random_state = random_state
        self.verbose = verbose

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.one_d_array = True  # of paths
        tags.input_tags.three_d_array = True
        tags.input_tags.string = True
        return tags

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> AudioClassifier:
        """Train on tracks X with labels y (N,).

        Parameters
        ----------
        X, y : see the class; labels are texts or numbers.
        sample_weight : (N,) of tracks, whose clips have it each. Only their ratios count.

        Raises
        ------
        ValueError
            Parameters or data that cannot be used, named.
        FloatingPointError
            The training diverged.
        """
        body = self.body if isinstance(self.body, SavedClassifier | None) else _read(self.body)
        recipe, progress = self._recipe(body), Progress(quiet=not self.verbose)
        classes, codes = checked_labels(X, y)
        names = tuple(map(str, classes.tolist()))
        seed = self._seed()
        clips = self._clips(X, [names[code] for code in codes], names, recipe, progress)
        train, valid = self._sides(clips, recipe.fit, seed)
        recipe = replace(recipe, num_samples=clips.num_samples)
        features = extract(clips, recipe.input, on_progress=progress.of("features", "clip"))
        if body is None:
            scaler = recipe.scaler(Rows([features], train))
            model: Any = recipe.network(features.shape[1:], len(names), seed)
            fit: Any = classifiers.fit
        else:
            scaler = body.scaler
            model = classifiers.with_new_head(body.model, len(names), rngs=nnx.Rngs(seed))
            fit = classifiers.fit_head

        def side(rows: np.ndarray) -> tuple[Rows, np.ndarray]:
            return Rows([features], rows, scaler), clips.labels[rows]

        weights = of_clips(sample_weight, clips, len(codes))
        self.history_ = fit(
            model,
            side(train),
            side(valid) if len(valid) else None,
            replace(recipe.fit, class_weights=self._class_weights(classes, recipe.fit)),
            seed=seed,
            sample_weights=None if weights is None else weights[train],
            on_log=progress.of_fit(f"training {recipe.name}"),
        )
        self.classes_, self.model_, self.scaler_, self.recipe_ = classes, model, scaler, recipe
        training = {"fit": asdict(recipe.fit), "per_track": recipe.per_track}
        before = {} if body is None else body.about
        self.about_ = described(recipe, clips.select(train), scaler, before)
        self.about_ |= {"classes": classes.tolist(), "training": training}
        if not isinstance(next(iter(X)), str | os.PathLike):
            self.about_["made_elsewhere"] = "a classifier of arrays, of unknown recordings"
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        """The probability (N, K) of each of ``classes_``: of a track, the mean of its clips'."""
        track_ids, inputs = self._inputs(X)
        return vote_by_track(classifiers.predict(self.model_, inputs), track_ids)[1]

    def predict(self, X: Any) -> np.ndarray:
        """The most probable label (N,) of each track."""
        probabilities = self.predict_proba(X)
        return self.classes_[probabilities.argmax(1)]

    def embed(self, X: Any) -> np.ndarray:
        """What the last layer sees (N, D) of each track: the mean of its clips' activations."""
        track_ids, inputs = self._inputs(X)
        return vote_by_track(self.model_.embed(inputs), track_ids)[1]

    def save(self, path: str | Path) -> None:
        """Write the classifier to a .safetensors file that `wavegan predict` and `load` read."""
        check_is_fitted(self)
        classifiers.save(self.model_, path, metadata=self.about_)

    @classmethod
    def load(cls, path: str | Path) -> AudioClassifier:
        """The fitted classifier of a file: of `save`, or of `wavegan classify`.

        Raises
        ------
        ValueError
            A file that is none, or of a recipe that is not registered and that it does not tell.
        """
        saved = _read(path)
        with understanding(path, "give a file that AudioClassifier.save wrote"):
            recipe = _recipe_of(saved)
            made = cls(recipe)
            made.classes_ = np.array(saved.about.get("classes", saved.labels))
            if tuple(map(str, made.classes_.tolist())) != saved.labels:
                raise Unfit(f"its classes are {made.classes_.tolist()}, its labels {saved.labels}")
        made.model_, made.scaler_, made.about_ = saved.model, saved.scaler, saved.about
        made.recipe_ = recipe
        return made

    def _recipe(self, body: SavedClassifier | None) -> Recipe:
        """The recipe with what the other parameters change of it."""
        named = self.recipe
        if isinstance(named, str) and named not in RECIPES:
            raise ValueError(f"no recipe {named!r}: {RECIPES.unknown(named)}")
        recipe = RECIPES[named] if isinstance(named, str) else named
        if recipe.needs or recipe.pretrained is not None:
            raise ValueError(
                f"the recipe {recipe.name} takes what a file holds, which this estimator does not "
                "read: give another recipe, and a trained network as body=FILE"
            )
        fit = _given(batch_size=self.batch_size, learning_rate=self.learning_rate)
        if (self.epochs, self.steps) != (None, None):
            fit |= {"epochs": self.epochs, "steps": self.steps}
        clip = _given(sample_rate=self.sample_rate, num_samples=self.num_samples)
        recipe = replace(recipe, fit=replace(recipe.fit, **fit))
        if body is None:
            return replace(recipe, **clip, options={**recipe.options, **(self.options or {})})
        if given := [*clip, *["options"] * bool(self.options)]:
            raise ValueError(
                f"{', '.join(given)} is that of the body here, {body.path}: leave it out"
            )
        trained = replace(recipe.fit, framework=body.model.spec.framework)
        return replace(recipe, per_track=None, fit=trained, **_fixed_by(body))

    def _seed(self) -> int:
        if isinstance(self.random_state, int | np.integer):
            return int(self.random_state)
        return int(check_random_state(self.random_state).randint(2**31 - 1))

    def _clips(
        self,
        X: Any,
        labels: Sequence[str] | str,
        names: tuple[str, ...],
        recipe: Recipe,
        progress: Progress,
    ) -> Clips:
        tracks = given_tracks(
            X,
            labels,
            sample_rate=recipe.sample_rate,
            on_progress=progress.of("reading tracks", "track"),
        )
        pad, advice = self.pad_short, _ADVICE
        return cut_tracks(tracks, names, recipe, pad_short=pad, advice=advice, progress=progress)

    def _inputs(self, X: Any) -> tuple[np.ndarray, Rows]:
        """The track of each clip of X, and what the fitted network takes of it."""
        check_is_fitted(self)
        recipe = replace(self.recipe_, per_track=None)  # all of a track, as `wavegan predict` does
        names, progress = tuple(self.about_["labels"]), Progress(quiet=not self.verbose)
        clips = self._clips(X, names[0], names, recipe, progress)  # what the label is is not used
        features = extract(clips, recipe.input, on_progress=progress.of("features", "clip"))
        return clips.track_ids, Rows([features], scaler=self.scaler_)

    def _sides(self, clips: Clips, fit: FitConfig, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """The clips that train and those that validate."""
        share = self.validation_fraction
        if share is None:
            share = 0.0 if fit.patience is None else _HELD_OUT
        if not 0 <= share < 1:
            raise ValueError(f"validation_fraction is a share from 0 up to 1, not {share}")
        if not share and fit.patience is not None:
            raise ValueError(
                f"validation_fraction=0 leaves no validation side, which the recipe's patience of "
                f"{fit.patience} watches: give a share, or a recipe whose fit has patience=None"
            )
        return held_out(clips, share, seed)

    def _class_weights(self, classes: np.ndarray, fit: FitConfig) -> Any:
        if self.class_weight is None:
            return fit.class_weights
        if isinstance(self.class_weight, str):
            return self.class_weight
        known = classes.tolist()
        if unknown := [label for label in self.class_weight if label not in known]:
            raise ValueError(
                f"class_weight names {unknown}, which are no labels of y: those are {known}"
            )
        return tuple(float(self.class_weight.get(label, 1.0)) for label in known)


# --- the recipe of a saved classifier ------------------------------------------------------------


def _fixed_by(saved: SavedClassifier) -> dict[str, Any]:
    """What of a recipe a saved classifier fixes: its network, features and clips."""
    spec, about = saved.model.spec, saved.about
    clip = {name: about[name] for name in ("sample_rate", "num_samples", "silence")}
    network = {"architecture": spec.name, "options": dict(spec.options)}
    return {**network, **clip, "input": from_dict(about["input"])}


def _recipe_of(saved: SavedClassifier) -> Recipe:
    """The recipe of a saved classifier, by what its file says, else by its name."""
    name, training = saved.about["recipe"], saved.about.get("training")
    if training is None:
        if name not in RECIPES:
            raise ValueError(
                f"{saved.path} is of the recipe {name!r}, and does not say how it trains: "
                f"{RECIPES.unknown(str(name))}"
            )
        fit = replace(RECIPES[name].fit, framework=saved.model.spec.framework)
        return replace(RECIPES[name], fit=fit, **_fixed_by(saved))
    weights = training["fit"]["class_weights"]
    weights = tuple(weights) if isinstance(weights, list) else weights
    return Recipe(
        name=name,
        about=f"read from {saved.path.name}",
        fit=FitConfig(**{**training["fit"], "class_weights": weights}),
        per_track=training["per_track"],
        **_fixed_by(saved),
    )


def _read(path: str | Path) -> SavedClassifier:
    return SavedClassifier.read(Path(path))


def _given(**values: Any) -> dict[str, Any]:
    """Those that are not None."""
    return {name: value for name, value in values.items() if value is not None}
