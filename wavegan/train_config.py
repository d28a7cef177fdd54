"""How a GAN is trained."""

from __future__ import annotations

from dataclasses import dataclass

from features.limits import check_finite, check_positive
from wavegan.augmentation import check_augmentations
from wavegan.losses import LOSSES, PENALTIES, Penalty
from wavegan.metrics import METRICS

# What may change in a run that is trained on: nothing here changes its weights.
CADENCE = (
    "steps",
    "log_every",
    "checkpoint_every",
    "checkpoint_minutes",
    "keep_checkpoints",
    "keep_hours",
    "inspect_every",
    "keep_best",
    "patience",
    "stop_when_done",
    "store",
)
DATA = ("slices", "overlap", "random_start", "pad_end", "peak_normalize")
MOST_CRITIC_STEPS = 10_000  # a step of more would never end
CHOICES = {
    "slices": ("anywhere", "grid", "first"),
    "store": ("auto", "device", "host"),
    "penalty": tuple(PENALTIES),
}


@dataclass(frozen=True)
class TrainConfig:
    """How a GAN is trained; the defaults are the reference's, save those of the data.

    Attributes
    ----------
    loss : what the players minimise (a name in `wavegan.LOSSES`).
    relativistic : score each generated clip against a real one (arXiv 1807.00734).
    batch_size : clips in each batch.
    steps : generator steps.
    critic_steps : critic steps, each on a fresh batch, before each generator step.
    seed : seed of the weights, the latents and the windows.
    learning_rate : learning rate of both players; None takes the loss's own.
    rate_decay_steps : steps over which the learning rate falls, along half a cosine; None keeps it
        constant.
    rate_decay_to : what the learning rate falls to, as a share of what it was.
    penalty : what holds the critic's slopes: "gradient" (1 on clips between real and generated
        ones), "r1" (0 on real ones), "r1+r2" (0 on real and generated ones, arXiv 2501.05441) or
        "none"; None takes the loss's own.
    penalty_weight : weight of the penalty; None takes the usual one.
    penalty_every : steps from one penalty to the next; a rarer one weighs so many times more.
    spectrogram_penalty : weight of the same penalty on a spectrogram critic, by the slopes of its
        log spectrograms, as a share of ``penalty_weight``; 0 leaves that critic free.
    ema_decay : decay of the moving average of the generator's weights.
    augment : alterations of the clips that the critic sees, real and generated ones alike (names in
        `wavegan.AUGMENTATIONS`).
    augment_probability : probability of each alteration; None adapts it to how well the critic
        separates real from generated clips (arXiv 2006.06676).
    augment_target : the separation, in [-1, 1], that the probability is adapted to.
    augment_ramp : critic steps in which the probability can rise from 0 to 1 at the fastest.
    accumulate : parts that a batch is split into, one worked after another to save memory; None
        takes as few as fit the device.
    slices : where clips begin in a recording: "anywhere", on a "grid", or only at the "first"
        sample.
    overlap : overlap of neighbouring slices on the grid, as a share of their length.
    random_start : shift a recording's grid at random, anew for each clip.
    pad_end : fill up the last slice, and recordings shorter than a clip, with zeros.
    peak_normalize : divide each recording by its largest magnitude.
    store : where recordings are kept: on the "device", on the "host", or "auto".
    log_every : steps between two lines of the log.
    checkpoint_every : steps between two checkpoints.
    checkpoint_minutes : also write a checkpoint where the last one is so many minutes old; None
        goes by steps only.
    keep_checkpoints : how many of the newest checkpoints are kept.
    keep_hours : also keep one checkpoint for every so many hours; None keeps none.
    inspect_every : steps between two inspections; 0 inspects only at the end.
    keep_best : the metric whose best checkpoint is kept beside the newest (of one that is not in
        `wavegan.METRICS` less counts as better).
    patience : inspections in a row without a better value of that metric after which further
        training is said not to help.
    stop_when_done : stop when further training does not help, unless the clips are silent or far
        from real ones.
    """

    loss: str = "wgan-gp"
    relativistic: bool = False
    batch_size: int = 64
    steps: int = 20_000
    critic_steps: int = 5
    seed: int = 0
    learning_rate: float | None = None
    rate_decay_steps: int | None = None
    rate_decay_to: float = 0.0
    penalty: str | None = None
    penalty_weight: float | None = None
    penalty_every: int = 1
    spectrogram_penalty: float = 0.0
    ema_decay: float = 0.999
    augment: tuple[str, ...] = ()
    augment_probability: float | None = None
    augment_target: float = 0.6
    augment_ramp: int = 2000
    accumulate: int | None = None
    slices: str = "anywhere"
    overlap: float = 0.0
    random_start: bool = False
    pad_end: bool = False
    peak_normalize: bool = False
    store: str = "auto"
    log_every: int = 10
    checkpoint_every: int = 200
    checkpoint_minutes: float | None = None
    keep_checkpoints: int = 2
    keep_hours: float | None = None
    inspect_every: int = 0
    keep_best: str = "quality/kernel_distance"
    patience: int = 5
    stop_when_done: bool = False

    def __post_init__(self):
        if self.loss not in LOSSES:
            raise ValueError(
                f"loss must be one of {', '.join(LOSSES)}; found {self.loss!r}: "
                f"{LOSSES.unknown(self.loss)}"
            )
        for name, accepted in CHOICES.items():
            if (value := getattr(self, name)) not in (*accepted, getattr(TrainConfig, name)):
                raise ValueError(f"{name} must be one of {', '.join(accepted)}; found {value!r}")
        check_augmentations(self.augment)
        if self.keep_best in METRICS and METRICS[self.keep_best].less_is_better is None:
            raise ValueError(
                f"keep_best must be a metric of which less or more is better, found "
                f"{self.keep_best}: take quality/kernel_distance"
            )
        for name in (
            "batch_size",
            "steps",
            "critic_steps",
            "penalty_every",
            "augment_ramp",
            "log_every",
            "checkpoint_every",
            "keep_checkpoints",
            "patience",
        ):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, found {getattr(self, name)}")
        if self.critic_steps > MOST_CRITIC_STEPS:
            raise ValueError(
                f"critic_steps must be at most {MOST_CRITIC_STEPS}, found {self.critic_steps}"
            )
        if self.inspect_every < 0:
            raise ValueError(f"inspect_every must not be negative, found {self.inspect_every}")
        positive = ("learning_rate", "checkpoint_minutes", "keep_hours")
        check_positive(**{name: getattr(self, name) for name in positive})
        if not 0 <= self.ema_decay < 1:
            raise ValueError(f"ema_decay must lie in [0, 1), found {self.ema_decay}")
        if not self.spectrogram_penalty >= 0:
            raise ValueError(
                f"spectrogram_penalty must not be negative, found {self.spectrogram_penalty}"
            )
        if self.spectrogram_penalty and self.slope_penalty.of is None:
            raise ValueError(
                f"loss {self.loss} has no penalty, found spectrogram_penalty="
                f"{self.spectrogram_penalty}: leave it out, or choose a penalty: gradient, r1 or "
                "r1+r2"
            )
        if self.penalty_weight is not None and not self.penalty_weight >= 0:
            raise ValueError(f"penalty_weight must not be negative, found {self.penalty_weight}")
        if self.penalty_weight and self.slope_penalty.of is None:
            raise ValueError(
                f"loss {self.loss} has no penalty, found penalty_weight={self.penalty_weight}: "
                "leave it out, or choose a penalty: gradient, r1 or r1+r2"
            )
        if self.rate_decay_steps is not None and self.rate_decay_steps < 1:
            raise ValueError(
                f"rate_decay_steps must be at least 1, found {self.rate_decay_steps}: None keeps "
                "the learning rate"
            )
        if not 0 <= self.rate_decay_to <= 1:
            raise ValueError(f"rate_decay_to must lie in [0, 1], found {self.rate_decay_to}")
        if self.augment_probability is not None and not 0 <= self.augment_probability <= 1:
            raise ValueError(
                f"augment_probability must lie in [0, 1], found {self.augment_probability}"
            )
        if not -1 < self.augment_target < 1:
            raise ValueError(f"augment_target must lie in (-1, 1), found {self.augment_target}")
        if not 0 <= self.overlap < 1:
            raise ValueError(f"overlap must lie in [0, 1), found {self.overlap}")
        parts = self.accumulate
        if parts is not None and (parts < 1 or self.batch_size % parts):
            raise ValueError(
                f"accumulate must divide batch_size ({self.batch_size}) evenly, found {parts}"
            )
        check_finite(self)

    def next_pause(self, step: int) -> int:
        """The next step after ``step`` at which something is logged, inspected or saved."""
        often = self.log_every, self.checkpoint_every, self.inspect_every
        first = 1 if step == 0 else self.steps
        return min(first, self.steps, *((step // n + 1) * n for n in often if n))

    @property
    def slope_penalty(self) -> Penalty:
        """The penalty on the critic's slopes, and its weight."""
        loss = LOSSES[self.loss]
        found = Penalty(loss.penalty, loss.penalty_weight)
        if self.penalty is not None and PENALTIES[self.penalty].of is not loss.penalty:
            found = PENALTIES[self.penalty]
        return found if self.penalty_weight is None else found._replace(weight=self.penalty_weight)
