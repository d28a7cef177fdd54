"""A recipe as scikit-learn's users expect it: on paths and arrays, in their tools, in a file."""

import pickle
from dataclasses import replace

import numpy as np
import pytest
import soundfile as sf
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, GroupKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils import estimator_checks

from classifiers import SavedClassifier, load
from experiments import AudioClassifier
from experiments.commands.classify import classify
from experiments.commands.predict import predict
from experiments.config import ClassifyConfig, DataConfig, PredictConfig
from features import load_audio, scan_tracks
from features.extractors import LogMelPicture

FRACTIONS = (0.6, 0.0, 0.4)


@pytest.fixture(scope="module")
def paths(music):
    return [track.path for track in scan_tracks(music)]


@pytest.fixture(scope="module")
def labels(paths):
    return np.array([path.parent.name for path in paths])


@pytest.fixture(scope="module")
def arrays(paths):
    """The music as an array (N, L)."""
    return np.stack([load_audio(path)[0][:, 0] for path in paths])


@pytest.fixture(scope="module")
def make(small_recipe):
    """The function that makes an estimator of the small recipe."""
    quick = replace(small_recipe, fit=replace(small_recipe.fit, epochs=3))
    return lambda **given: AudioClassifier(quick, **{"random_state": 0, **given})


@pytest.fixture(scope="module")
def fitted(make, paths, labels):
    return make().fit(paths, labels)


# --- what it computes -----------------------------------------------------------------------------


def test_it_is_what_classify_trains(make, music, fitted, tmp_path):
    """The same tracks, clips, scaler, seed: the same weights and the same answers, bit for bit."""
    recipe = make().recipe
    data = DataConfig(str(music), fractions=FRACTIONS)
    results = classify(ClassifyConfig(recipe, data, seeds=1), tmp_path / "run")
    (run,) = results["splits"]["track"]["runs"]
    by_id = {track.track_id: track for track in scan_tracks(music)}
    train, test = ([by_id[name] for name in run["split"][side]] for side in ("train", "test"))
    found = make().fit([track.path for track in train], [track.label for track in train])
    _, about = load(tmp_path / "run" / run["classifier"])
    for name in ("input", "labels", "num_samples", "recipe", "sample_rate", "scaler", "silence"):
        assert found.about_[name] == about[name]
    assert sorted(found.about_["tracks"].values()) == sorted(about["tracks"].values())
    assert found.history_.train_loss == run["history"]["train_loss"]
    answers = {row["track"]: row["probabilities"] for row in run["tracks"]}
    probabilities = found.predict_proba([track.path for track in test])
    np.testing.assert_array_equal(probabilities, [answers[track.track_id] for track in test])
    score = found.score([track.path for track in test], [track.label for track in test])
    assert score == pytest.approx(run["track_accuracy"])


def test_paths_arrays_and_lists_are_one(fitted, make, paths, arrays, labels):
    expected = fitted.predict_proba(paths)
    stereo = np.stack([arrays, arrays], -1)
    pcm = [np.rint(audio * 2**15).astype(np.int16) for audio in arrays]
    for X in (arrays, list(arrays), stereo, pcm, [str(path) for path in paths], np.array(paths)):
        np.testing.assert_array_equal(fitted.predict_proba(X), expected)
    other = make(sample_rate=4000).fit(arrays, labels)
    np.testing.assert_array_equal(other.predict_proba(paths), expected)


def test_tracks_of_unequal_lengths_are_the_means_of_their_clips(fitted, arrays):
    lengths = [1024, 2500, 4000]
    X = [audio[:length] for audio, length in zip(arrays, lengths, strict=False)]
    found = fitted.predict_proba(X)
    for audio, probabilities in zip(X, found, strict=True):
        clips = audio[: len(audio) // 1024 * 1024].reshape(-1, 1024)
        np.testing.assert_allclose(probabilities, fitted.predict_proba(clips).mean(0), atol=1e-6)
    np.testing.assert_allclose(found.sum(1), 1, atol=1e-6)


def test_silence_and_clips_a_track_are_the_recipes(make, arrays, labels, paths):
    recipe = replace(
        make().recipe,
        architecture="parallel_cnn",
        options={"conv_widths": (1, 1)},
        input=LogMelPicture(n_fft=256),
        silence="frames",
        per_track=2,
        num_samples=1500,
    )
    found = AudioClassifier(recipe, epochs=1, random_state=0).fit(paths, labels)
    held = AudioClassifier(recipe, epochs=1, random_state=0).fit(arrays, labels)
    assert held.recipe_.num_samples == found.recipe_.num_samples <= 1500
    np.testing.assert_array_equal(found.predict_proba(paths), held.predict_proba(arrays))


def test_it_learns_and_scores(make, paths, labels):
    found = make(epochs=30).fit(paths, labels)
    right = found.predict(paths) == labels
    assert found.score(paths, labels) == right.mean() > 0.7
    weight = np.where(right, 0.0, 1.0) + 1e-9
    assert found.score(paths, labels, sample_weight=weight) < 0.01 or right.all()


def test_labels_may_be_numbers(make, arrays, labels, tmp_path):
    numbers = np.unique(labels, return_inverse=True)[1] * 7 + 5  # 5, 12, 19: "12" < "5" as text
    found = make().fit(arrays, numbers)
    np.testing.assert_array_equal(found.classes_, [5, 12, 19])
    named = make().fit(arrays, labels)
    np.testing.assert_array_equal(found.predict_proba(arrays), named.predict_proba(arrays))
    assert found.predict(arrays).dtype == numbers.dtype
    found.save(tmp_path / "numbers.safetensors")
    again = AudioClassifier.load(tmp_path / "numbers.safetensors")
    np.testing.assert_array_equal(again.predict(arrays), found.predict(arrays))


def test_the_seed_decides(make, fitted, paths, labels):
    same, other = make().fit(paths, labels), make(random_state=1).fit(paths, labels)
    assert (same.predict_proba(paths) == fitted.predict_proba(paths)).all()
    assert (other.predict_proba(paths) != fitted.predict_proba(paths)).any()
    one = make(random_state=np.random.RandomState(3)).fit(paths, labels)
    two = make(random_state=np.random.RandomState(3)).fit(paths, labels)
    assert (one.predict_proba(paths) == two.predict_proba(paths)).all()


# --- weights --------------------------------------------------------------------------------------


def test_tracks_of_weight_0_teach_nothing(make, paths, labels):
    """Beside each track stands another, wrongly labelled."""
    wrong = np.roll(labels, 5)
    X, y = [*paths, *paths], np.r_[labels, wrong]
    weight = np.r_[np.ones(len(labels)), np.zeros(len(labels))]
    told = make(epochs=20).fit(X, y, sample_weight=weight)
    assert told.score(paths, labels) > 0.6
    deceived = make(epochs=20).fit(X, y, sample_weight=1 - weight)
    assert deceived.score(paths, labels) < 0.4


def test_class_weights_are_by_label(make, paths, labels):
    few = np.r_[0:5, 5:7, 10:12]
    X, y = [paths[i] for i in few], labels[few]
    plain, balanced = (make(class_weight=w).fit(X, y) for w in (None, "balanced"))
    counts = {"drone": 5, "march": 2, "techno": 2}
    by_hand = {label: 9 / (3 * count) for label, count in counts.items()}
    given = make(class_weight=by_hand).fit(X, y)
    np.testing.assert_allclose(given.predict_proba(X), balanced.predict_proba(X), atol=1e-6)
    assert (plain.predict_proba(X) != balanced.predict_proba(X)).any()
    only = make(class_weight={"drone": 0, "march": 0}, epochs=30).fit(paths, labels)
    assert set(only.predict(paths)) == {"techno"}
    with pytest.raises(ValueError, match=r"class_weight names \['polka'\], which are no labels"):
        make(class_weight={"polka": 1}).fit(X, y)


# --- early stopping -------------------------------------------------------------------------------


def test_early_stopping_has_a_validation_side_of_whole_tracks(make, paths, labels):
    recipe = make().recipe
    patient = replace(recipe, fit=replace(recipe.fit, epochs=40, patience=2))
    X, y = [*paths, *paths], np.r_[labels, labels]  # each track twice: both on one side
    found = AudioClassifier(patient, learning_rate=0.05, random_state=0).fit(X, y)
    assert found.history_.valid_loss
    heard = [int(name[2:-1]) % len(paths) for name in found.about_["tracks"]]
    left = {*range(len(paths))} - {*heard}
    assert sorted(heard) == sorted(2 * [*{*heard}])
    assert {labels[i] for i in left} == {*labels}
    whole = make().fit(paths, labels)
    assert not whole.history_.valid_loss
    some = make(validation_fraction=0.4).fit(paths, labels)
    assert len(some.about_["tracks"]) == 9
    with pytest.raises(
        ValueError, match=r"validation_fraction=0 leaves no validation side, .* patience of 2"
    ):
        AudioClassifier(patient, validation_fraction=0).fit(paths, labels)
    with pytest.raises(ValueError, match="validation_fraction is a share from 0 up to 1, not 1"):
        make(validation_fraction=1).fit(paths, labels)


# --- embeddings, bodies, files --------------------------------------------------------------------


def test_embeddings_are_means_of_clips(fitted, arrays):
    found = fitted.embed(arrays)
    assert found.shape == (15, 4)
    clips = arrays[0][:3072].reshape(3, 1024)
    np.testing.assert_allclose(found[0], fitted.embed(clips).mean(0), atol=1e-6)


def test_a_new_head_on_a_trained_body(make, paths, labels, tmp_path):
    """The body heard two of three classes."""
    two = labels != "techno"
    make(epochs=30).fit([p for p, k in zip(paths, two, strict=True) if k], labels[two]).save(
        tmp_path / "body.safetensors"
    )
    body = SavedClassifier.read(tmp_path / "body.safetensors")
    options = {"epochs": 60, "learning_rate": 0.05}
    found = clone(make(body=body.path, **options)).fit(paths, labels)
    other = clone(make(body=body, **options)).fit(paths, labels)
    np.testing.assert_array_equal(found.predict_proba(paths), other.predict_proba(paths))
    np.testing.assert_array_equal(found.embed(paths), AudioClassifier.load(body.path).embed(paths))
    assert found.score(paths, labels) > 0.6  # chance is 0.33
    assert {*body.about["tracks"].values()} < {*found.about_["tracks"].values()}
    assert len(found.about_["tracks"]) == len(body.about["tracks"]) + len(paths)
    with pytest.raises(ValueError, match=r"num_samples is that of the body here, .*body\.safe"):
        make(body=body, num_samples=512).fit(paths, labels)


def test_a_file_is_read_by_predict_and_by_load(fitted, make, paths, labels, tmp_path):
    file = tmp_path / "mine.safetensors"
    fitted.save(file)
    result = predict(PredictConfig(file, tuple(paths[:3])), tmp_path / "out")
    expected = fitted.predict_proba(paths[:3])
    for told, probabilities in zip(result["files"], expected, strict=True):
        np.testing.assert_allclose(told["probabilities"], probabilities, atol=1e-5)
        assert told["trained_on"]
    again = AudioClassifier.load(file)
    np.testing.assert_array_equal(again.predict_proba(paths), fitted.predict_proba(paths))
    assert again.set_params(random_state=0).recipe.fit == fitted.recipe_.fit
    once_more = clone(again).fit(paths, labels)
    np.testing.assert_array_equal(once_more.predict_proba(paths), fitted.predict_proba(paths))


def test_files_of_classify_are_loaded_where_their_recipe_is_known(music, make, tmp_path):
    data = DataConfig(str(music), fractions=FRACTIONS)
    recipe = make().recipe
    for name in ("demo", "nobodys"):
        known = replace(recipe, name=name)
        results = classify(ClassifyConfig(known, data, seeds=1), tmp_path / name)
        file = tmp_path / name / results["splits"]["track"]["runs"][0]["classifier"]
        if name == "demo":
            found = AudioClassifier.load(file)
            assert found.recipe_.fit.epochs == 30
            assert found.recipe_.input == recipe.input
            assert list(found.classes_) == ["drone", "march", "techno"]
        else:
            with pytest.raises(ValueError, match=r"recipe 'nobodys', and does not say how it"):
                AudioClassifier.load(file)


def test_a_pickle_is_the_same(fitted, paths):
    again = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(again.predict_proba(paths), fitted.predict_proba(paths))


# --- scikit-learn's tools -------------------------------------------------------------------------


def test_tools_take_it_on_paths_and_arrays(make, paths, arrays, labels):
    one = make(learning_rate=0.02)
    scores = cross_val_score(one, paths, labels, cv=2)
    np.testing.assert_array_equal(scores, cross_val_score(one, arrays, labels, cv=2))
    quieter = make_pipeline(FunctionTransformer(lambda audio: audio / 2), one)
    quieter.fit(arrays, labels, audioclassifier__sample_weight=np.ones(len(labels)))
    np.testing.assert_array_equal(
        quieter.predict_proba(arrays)[:3],
        clone(one).fit(arrays / 2, labels, np.ones(len(labels))).predict_proba(arrays[:3] / 2),
    )
    grid = {"learning_rate": [1e-9, 0.02], "options": [None, {"dense_sizes": (6, 4)}]}
    search = GridSearchCV(make(epochs=20), grid, cv=2).fit(paths, labels)
    assert search.best_params_["learning_rate"] == 0.02
    assert search.predict(paths[:2]).shape == (2,)


def test_parts_of_a_track_are_held_together_by_groups(make, arrays, labels):
    parts = arrays[:, :3072].reshape(-1, 1024)
    y, groups = np.repeat(labels, 3), np.repeat(np.arange(15), 3)
    scores = cross_val_score(make(), parts, y, groups=groups, cv=GroupKFold(2))
    assert scores.shape == (2,)


# Those of scikit-learn's own checks that need no table of numbers: X is sound here, of a clip's
# length or more, so that checks which fit a few columns do not apply. What they hold against such
# estimators is asked above and below, on audio.
CHECKS = (
    "check_estimator_cloneable",
    "check_no_attributes_set_in_init",
    "check_do_not_raise_errors_in_init_or_set_params",
    "check_parameters_default_constructible",
    "check_get_params_invariance",
    "check_set_params",
    "check_estimator_repr",
    "check_mixin_order",
    "check_valid_tag_types",
    "check_estimators_unfitted",
)


@pytest.mark.parametrize("name", [name for name in CHECKS if hasattr(estimator_checks, name)])
def test_scikit_learns_checks_of_parameters(name):
    getattr(estimator_checks, name)("AudioClassifier", AudioClassifier())


def test_most_of_the_checks_are_there():
    assert sum(hasattr(estimator_checks, name) for name in CHECKS) >= 6


def test_answers_of_a_row_depend_on_no_other(fitted, arrays):
    whole = fitted.predict_proba(arrays)
    order = np.random.default_rng(0).permutation(15)
    np.testing.assert_allclose(fitted.predict_proba(arrays[order]), whole[order], atol=1e-6)
    for i in (0, 7):
        np.testing.assert_allclose(fitted.predict_proba(arrays[i : i + 1])[0], whole[i], atol=1e-6)


def test_fitting_changes_no_parameter_and_answering_nothing(make, arrays, labels):
    weights = {"drone": 2.0}
    found = make(class_weight=weights)
    before = found.get_params()
    X, y = arrays.copy(), labels.copy()
    X.flags.writeable = False
    assert found.fit(X, y) is found
    assert found.get_params() == before
    assert weights == {"drone": 2.0}
    kept = {name: id(value) for name, value in vars(found).items()}
    found.predict(X)
    assert {name: id(value) for name, value in vars(found).items()} == kept
    np.testing.assert_array_equal(X, arrays)


def test_other_parameters_after_a_fit_wait_for_the_next(make, arrays, labels):
    found = make().fit(arrays, labels)
    expected = found.predict_proba(arrays)
    found.set_params(num_samples=512, sample_rate=8000)
    np.testing.assert_array_equal(found.predict_proba(arrays), expected)
    assert found.fit(arrays, labels).recipe_.num_samples == 512


# --- what is refused ------------------------------------------------------------------------------


def test_what_is_not_fitted_says_so(tmp_path, arrays):
    for use in ("predict", "predict_proba", "embed"):
        with pytest.raises(NotFittedError):
            getattr(AudioClassifier(), use)(arrays)
    with pytest.raises(NotFittedError):
        AudioClassifier().save(tmp_path / "x.safetensors")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"recipe": "cnn9"}, r"no recipe 'cnn9': did you mean .*'cnn1'"),
        ({"epochs": 2, "steps": 3}, "one of steps and epochs"),
        ({"learning_rate": -1.0}, "learning_rate is positive"),
        ({"num_samples": 64}, "num_samples must be at least 128"),
        ({"num_samples": 9000}, r"15 tracks are shorter.*X\[0\].*pad_short=True"),
        ({"options": {"width": 3}}, "has no option width"),
        ({"class_weight": "even"}, "class_weights is 'balanced'"),
        ({"body": "nothing.safetensors"}, "nothing.safetensors"),
    ],
)
def test_parameters_that_cannot_be_used(make, arrays, labels, given, said):
    with pytest.raises((ValueError, FileNotFoundError), match=said):
        make().set_params(**given).fit(arrays, labels)


def test_data_that_cannot_be_used(make, fitted, paths, arrays, labels, tmp_path):
    cases = [
        (arrays[:5], labels[:5], r"y has 1 class, \['drone'\]"),
        (arrays, labels[:5], "inconsistent numbers of samples"),
        (arrays, np.linspace(0, 1, 15), "Unknown label type"),
        (arrays[0][:15], labels, r"X has the shape \(15,\).*Reshape your data"),
        ([paths[0], *arrays[1:]], labels, r"X\[0\] is a path and X\[1\] is none"),
        ([tmp_path / "none.wav", *paths[1:]], labels, r"1 of 15 files of X cannot be used: .*none"),
        (np.where(np.arange(15)[:, None] == 3, np.nan, arrays), labels, r"X\[3\] has NaN"),
        (arrays.astype(np.int64), labels, r"X\[0\] is of type int64"),
        (np.where(np.arange(15)[:, None] == 3, 0.0, arrays), labels, r"X\[3\] is silent"),
    ]
    for X, y, said in cases:
        with pytest.raises(ValueError, match=said):
            make().fit(X, y)
    for weight, said in (
        (np.ones(3), "one number for each of the 15 rows"),
        (-np.ones(15), "finite numbers of 0 and more"),
    ):
        with pytest.raises(ValueError, match=said):
            make().fit(arrays, labels, sample_weight=weight)
    for X, said in (
        ([], "X has no rows"),
        (None, "X is NoneType"),
        (str(paths[0]), "X is one path"),
        ([arrays[0][:100]], r"1 tracks are shorter than a clip of 0\.26 s.*X\[0\]"),
    ):
        with pytest.raises(ValueError, match=said):
            fitted.predict(X)


def test_quiet_tracks_are_named(fitted, arrays, tmp_path):
    quiet = np.where(np.arange(15)[:, None] == 3, arrays * 1e-6, arrays)
    with pytest.warns(UserWarning, match=r"1 of 15 tracks are quiet, X\[3\]: no sample above -60"):
        fitted.predict(quiet)
    file = tmp_path / "quiet.wav"
    sf.write(file, 10 / 2**15 * np.sign(arrays[0] + 1e-9), 4000)
    with pytest.warns(UserWarning, match=rf"1 of 1 tracks are quiet, {file}"):
        fitted.predict([file])


def test_short_tracks_are_filled_up_on_request(make, arrays, labels):
    X = [audio[:800] for audio in arrays]
    found = make(pad_short=True).fit(X, labels)
    padded = np.pad(np.stack(X), [(0, 0), (0, 224)])
    np.testing.assert_array_equal(found.predict_proba(X), found.predict_proba(padded))


def test_a_changed_file_is_damaged(fitted, tmp_path):
    file = tmp_path / "mine.safetensors"
    other = clone(fitted)
    vars(other).update({k: v for k, v in vars(fitted).items() if k.endswith("_")})
    for about in ({"classes": [1, 2, 3]}, {"training": {"fit": {}}}, {"training": 3}):
        other.about_ = fitted.about_ | about
        other.save(file)
        with pytest.raises(ValueError, match=r"mine\.safetensors is damaged"):
            AudioClassifier.load(file)


def test_progress_is_shown_on_request(make, arrays, labels, capsys):
    make(epochs=1).fit(arrays, labels)
    assert not capsys.readouterr().err
    make(epochs=1, verbose=True).fit(arrays, labels)
    assert "training small" in capsys.readouterr().err


def test_recipes_of_files_and_unknown_recordings(arrays, labels, make, tmp_path):
    for name in ("cnn14", "probe"):
        with pytest.raises(ValueError, match=f"the recipe {name} takes what a file holds"):
            AudioClassifier(name).fit(arrays, labels)
    assert "arrays" in make().fit(arrays, labels).about_["made_elsewhere"]
