"""A run folder read as far as it is trained."""

import json

import pytest

from wavegan import TrainingInterrupted, read_run, train
from wavegan.run_folder import RunFolder

METRIC = "quality/kernel_distance"


def log(run, rows):
    text = "".join(json.dumps({"gan/steps_per_second": 2.0, **row}) + "\n" for row in rows)
    (run / "metrics.jsonl").write_text(text)


def test_a_finished_run(finished_run):
    run = read_run(finished_run)
    assert (run.step, run.planned, run.finished) == (6, 6, True)
    assert run.checkpoints == [2, 4, 6]
    assert (run.best, run.choice, run.as_good) == (None, 6, None), "nothing was measured"
    assert repr(run) == "TrainedRun(step 6 of 6)"


def test_the_best_and_what_is_as_good(finished_run):
    values = {2: (3.0, 0.1), 4: (1.0, 0.1), 6: (1.05, 0.1)}
    log(
        finished_run,
        [{"gan/step": s, METRIC: v, f"{METRIC}_error": e} for s, (v, e) in values.items()],
    )
    run = read_run(finished_run)
    assert (run.best, run.choice, run.as_good) == (4, 4, 6)
    assert run.seconds == 3.0
    assert repr(run) == "TrainedRun(step 6 of 6, best at step 4)"
    values[6] = (1.5, 0.1)
    log(finished_run, [{"gan/step": s, METRIC: v} for s, (v, _) in values.items()])
    assert read_run(finished_run).as_good is None


def test_a_best_step_without_a_checkpoint(finished_run):
    log(finished_run, [{"gan/step": s, METRIC: abs(s - 5)} for s in (4, 5, 6)])
    run = read_run(finished_run)
    assert (run.best, run.choice) == (5, 6)


def test_a_run_that_goes_on(audio, config, train_config, tmp_path):
    with pytest.raises(TrainingInterrupted, match="stopped at step 1 of 6"):
        train(audio, config, train_config, run_dir=tmp_path, should_stop=lambda: True)
    run = read_run(tmp_path)
    assert (run.step, run.finished, run.choice) == (1, False, 1)


def test_a_folder_that_is_none(tmp_path, finished_run):
    with pytest.raises(ValueError, match=r"config\.json"):
        read_run(tmp_path)
    file = RunFolder(finished_run).path / "config.json"
    file.write_text('{"command": "classify"}')
    with pytest.raises(ValueError, match="no run folder of a GAN"):
        read_run(finished_run)
