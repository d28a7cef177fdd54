"""A search for sizes: what it may see, that it resumes, and that it repeats itself."""

import json
from dataclasses import replace

import pytest
from flax import nnx

from classifiers import create
from experiments.commands import search as searching
from experiments.commands.search import SearchConfig, _trial_record, search
from experiments.config import DataConfig
from experiments.recipes import RECIPES, SPACES, recorded_search
from features import scan_tracks, split_tracks
from features.extractors import LogMelTempogram
from features.storage import Interrupted

optuna = pytest.importorskip("optuna")
# of onsets, whose frames are longer than these clips
pytestmark = pytest.mark.filterwarnings("ignore:n_fft=2048 is too large")


@pytest.fixture(scope="module")
def config(render, tmp_path_factory):
    root = render(tmp_path_factory.mktemp("data") / "music", tracks=8)
    recipe = replace(
        RECIPES["mel_tempo_rnn"],
        input=LogMelTempogram(n_mels=16, n_fft=256, hop_length=128, win_length=16),
        options={"tempo_lags": 16},
        sample_rate=4000,
        num_samples=1024,
        fit=replace(RECIPES["mel_tempo_rnn"].fit, epochs=2, patience=None),
    )
    data = DataConfig(str(root), fractions=(0.6, 0.2, 0.2))
    return SearchConfig(recipe, data, trials=4, held_out_seeds=2)


@pytest.fixture(scope="module", autouse=True)
def small_networks():
    """Trials of small networks."""

    def space(trial):
        width = trial.suggest_categorical("width", [2, 4])
        options = {"conv_widths": (width,), "lstm_units": 4, "dense_size": 4}
        rate = trial.suggest_float("learning_rate", 1e-3, 1e-1, log=True)
        return options, {"learning_rate": rate, "batch_size": 16}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(searching, "SPACES", {"mel_tempo_rnn": space})
        yield


@pytest.fixture(scope="module")
def found(config, tmp_path_factory):
    return search(config, tmp_path_factory.mktemp("search") / "run", command="wavegan search …")


def timeless(trials):
    return [{k: v for k, v in trial.items() if k != "seconds"} for trial in trials]


def test_the_best_trial_is_recorded(found):
    whole = [trial for trial in found["trials"] if "valid_loss" in trial]
    assert len(found["trials"]) == 4
    assert found["best"]["valid_loss"] == min(trial["valid_loss"] for trial in whole)
    (best,) = [t for t in whole if t["valid_loss"] == found["best"]["valid_loss"]]
    assert found["best"]["fit"]["learning_rate"] == best["params"]["learning_rate"]
    assert found["best"]["options"]["conv_widths"] == (best["params"]["width"],)
    assert found["best"]["options"]["tempo_lags"] == 16


def test_no_track_that_a_run_tests_on_was_seen(found, config):
    tracks = scan_tracks(config.data.root)
    for seed in range(2):
        test = split_tracks(tracks, fractions=config.data.fractions, seed=seed).test
        assert {track.track_id for track in test} <= set(found["held_out"])
    assert not set(found["held_out"]) & set(found["best"]["tracks"])
    assert len(found["held_out"]) + len(found["best"]["tracks"]) == 24


def test_interrupted_it_goes_on_to_the_same(found, config, tmp_path):
    asked = 0

    def stop_in_the_third() -> bool:
        nonlocal asked
        asked += 1
        return asked == found["trials"][0]["steps"] * 2 + 2

    with pytest.raises(Interrupted, match="trial"):
        search(config, tmp_path / "run", should_stop=stop_in_the_third)
    resumed = search(config, tmp_path / "run")
    assert timeless(resumed["trials"]) == timeless(found["trials"])
    kept = json.loads((tmp_path / "run" / "search.json").read_text())
    assert kept["best"]["valid_loss"] == found["best"]["valid_loss"]


def test_more_trials_go_on(found, config, tmp_path):
    search(replace(config, trials=2), tmp_path / "run")
    more = search(config, tmp_path / "run")
    assert timeless(more["trials"]) == timeless(found["trials"])


def test_trials_of_other_settings_are_not_mixed(config, tmp_path):
    search(replace(config, trials=1), tmp_path / "run")
    longer = replace(config.recipe, fit=replace(config.recipe.fit, epochs=3))
    for change, said in (
        ({"recipe": longer}, "holds another run: fit.epochs is 2 there and 3 here"),
        ({"held_out_seeds": 1}, "held_out_seeds is 2 there and 1 here"),
    ):
        with pytest.raises(ValueError, match=said):
            search(replace(config, **change), tmp_path / "run")


def test_what_is_refused(config):
    with pytest.raises(ValueError, match=r"--recipe net5: its sizes are published"):
        SearchConfig(RECIPES["net5"])
    with pytest.raises(ValueError, match=r"trials must lie in 1 … 10,000, found 0"):
        replace(config, trials=0)
    with pytest.raises(ValueError, match=r"held_out_seeds must lie in 1"):
        replace(config, held_out_seeds=0)


def test_a_trial_that_was_cut_off_says_so():
    """Optuna gives it a value: the last one that it reported."""
    state = optuna.trial.TrialState
    whole, cut_off = (
        _trial_record(optuna.trial.create_trial(state=s, value=0.5, user_attrs={"steps": 3}))
        for s in (state.COMPLETE, state.PRUNED)
    )
    assert (whole["steps"], "outcome" in whole) == (3, False)
    assert cut_off == {"params": {}, "outcome": "cut off", "seconds": cut_off["seconds"]}


def test_sizes_to_try_make_networks():
    options, settings = SPACES["mel_tempo_rnn"](
        optuna.trial.FixedTrial(
            {"width": 8, "lstm_units": 32, "dense_size": 32, "dropout": 0.1,
             "learning_rate": 1e-3, "batch_size": 16}
        )
    )  # fmt: skip
    replace(RECIPES["mel_tempo_rnn"].fit, **settings)
    options |= RECIPES["mel_tempo_rnn"].options
    nnx.eval_shape(
        lambda: create(
            "mel_tempo_rnn",
            input_shape=(130, 208),
            num_classes=10,
            rngs=nnx.Rngs(0),
            **options,
        )
    )


def test_the_recorded_search_is_what_the_recipe_has():
    record, recipe = recorded_search("mel_tempo_rnn"), RECIPES["mel_tempo_rnn"]
    whole = [trial for trial in record["trials"] if "valid_loss" in trial]
    assert record["best"]["valid_loss"] == min(trial["valid_loss"] for trial in whole)
    assert recipe.fit.learning_rate == record["best"]["fit"]["learning_rate"]
    assert recipe.options == record["best"]["options"]
    assert not set(record["held_out"]) & set(record["best"]["tracks"])


def test_the_recorded_search_saw_no_test_track_of_the_first_three_splits(gtzan_mini):
    recipe, seen = RECIPES["mel_tempo_rnn"], set(recorded_search("mel_tempo_rnn")["best"]["tracks"])
    tracks = scan_tracks(gtzan_mini)
    for seed in range(3):
        test = split_tracks(tracks, fractions=recipe.fractions, seed=seed).test
        assert not {track.track_id for track in test} & seen
