"""What ends a run that leads nowhere."""

import numpy as np
import pytest

from wavegan import (
    TrainingDiverged,
)
from wavegan.watch import Watch


def row(step, **values):
    sound = {"rms_fake": 0.1, "rms_real": 0.2, "spread": 0.1}
    return {"gan/step": step} | {f"gan/{k}": v for k, v in (sound | values).items()}


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"rms_fake": 1e-4, "spread": 1e-4}, "silent at step 20"),
        ({"spread": 5e-5}, "collapsed to one clip at step 20"),
    ],
)
def test_the_watch_is_patient(bad, message):
    """Nineteen bad logs and a good one are forgiven; twenty in a row are not."""
    watch = Watch()
    for step in range(100):
        watch.check(row(step, **(bad if step % 20 else {})))
    watch = Watch()
    for step in range(1, 20):
        watch.check(row(step, **bad))
    with pytest.raises(TrainingDiverged, match=message):
        watch.check(row(20, **bad))


def test_silent_recordings_are_learned_without_complaint():
    watch = Watch()
    for step in range(50):
        watch.check(row(step, rms_real=1e-3, rms_fake=1e-3, spread=1e-3))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_the_watch_names_what_broke(value):
    with pytest.raises(TrainingDiverged, match="gan/penalty, gan/critic_loss not finite at step 3"):
        Watch().check(row(3, penalty=value, critic_loss=value))
