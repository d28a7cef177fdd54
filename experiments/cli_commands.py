"""The commands of `wavegan`: which part of a configuration is options, what is called, printed."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields, replace
from inspect import signature
from pathlib import Path
from typing import Any

from experiments.options import Option, OptionError, Part, changed

Values = Mapping[str, Any]  # of options, by their names
OF_BASE = ("recipe", "sizes")  # options that choose the configuration that the others change


@dataclass(frozen=True)
class Command:
    """A command of the command line.

    Attributes
    ----------
    about : a line on what it does.
    run : does it; the exit status.
    base : of the options given: the configuration, or its class, that they change.
    parts : of the configuration, those that are options.
    more : options that are not in the configuration.
    recipe : what --recipe takes: "one" or "several"; empty where it is no option.
    long : whether it works in a run folder, and can be stopped.
    plans : whether it can end with what there is to do, by --dry-run.
    """

    about: str
    run: Callable[[Call], int]
    base: Callable[[Values], Any] = lambda values: None
    parts: tuple[Part, ...] = ()
    more: tuple[Option, ...] = ()
    recipe: str = ""
    long: bool = False
    plans: bool = False

    def options(self, config: Any) -> list[Option]:
        """Every option, its default as in ``config``."""
        found: list[Option] = []
        if self.recipe:
            found.append(
                Option(
                    "recipe", str, "classifier, features, clip and GAN", config.recipe.name,
                    path=("recipe", "name"), group="recipe", several=self.recipe == "several",
                )
            )  # fmt: skip
        found += self.more
        for part in self.parts:
            found += part.options(config)
        titles, known = ["", "recipe", *(part.title for part in self.parts)], _known(self)
        found.sort(key=lambda one: titles.index(one.group) if one.group in titles else len(titles))
        return [replace(one, **known.get(one.name, {})) for one in found]


@dataclass(frozen=True)
class Call:
    """A command as it was called.

    Attributes
    ----------
    name, command, options : which, and its options.
    values : of the options that were given.
    line : what was typed.
    """

    name: str
    command: Command
    options: Sequence[Option]
    values: Values
    line: str

    def config(self, **values: Any) -> Any:
        """Its configuration, with other values of some options."""
        given = {**self.values, **values}
        rest = [one for one in self.options if one.name not in OF_BASE]
        return changed(self.command.base(given), given, rest)

    def work(self, function: Callable[..., Any], config: Any, quiet: bool = False) -> Any:
        """Do it, with what the function takes, and print what came out; None of a dry run."""
        from experiments.report import printed
        from experiments.report.terminal import Progress

        out, progress = self.values.get("out"), Progress(quiet=quiet)
        if self.command.long and out is None:
            recipe = getattr(config, "recipe", None)
            of = self.values.get("recipe", recipe.name if recipe else "").replace(",", "-")
            name = f"{time.strftime('%Y-%m-%d-%H%M%S')}-{self.name}-{of}"
            out = Path("runs") / name.removesuffix("-")
        if self.values.get("dry-run"):
            plan = function(config, out, progress=progress, dry_run=True)  # which says it, too
            printed.plan(plan if isinstance(plan, dict) else {})
            return None
        offered = {"command": self.line, "progress": progress}
        if self.command.long:
            progress.say(f"run folder: {out} (resume with --out {out})")
            offered["should_stop"] = stop_on_signals()
        takes = signature(function).parameters
        result = function(config, out, **{n: v for n, v in offered.items() if n in takes})
        if not quiet:
            getattr(printed, self.name)(result, out)
        return result


def stop_on_signals() -> Callable[[], bool]:
    """A question whether Ctrl-C or SIGTERM came; the second one stops at once."""
    came = False

    def handle(number: int, frame: object) -> None:
        nonlocal came
        if came:
            raise KeyboardInterrupt
        came = True
        print("\nstopping after this step, saving (again: stop at once)", file=sys.stderr)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, handle)
    return lambda: came


# --- options -------------------------------------------------------------------------------------

_METAVARS = {
    "DIR": "data split-lists",
    "FILE": "files artist-index sizes latents json",
    "RUN": "run generated",
    "HOST:PORT": "coordinator",
    "TRAIN,VALID,TEST": "fractions",
}


def _known(command: Command) -> dict[str, dict[str, Any]]:
    """What types and docstrings do not say of options: the names that they take, and metavars."""
    import wavegan
    from classifiers.fit_config import COMPUTE_DTYPES, OPTIMIZERS, SCHEDULES
    from experiments.recipes import GAN_PRESETS, RECIPES, VARIANTS
    from experiments.stages.examples import ARMS
    from features.augmentation import AUGMENTATIONS
    from features.silence import SILENCES
    from features.splits import SPLITS
    from wavegan import networks, train_config

    choices: dict[str, Any] = {
        "recipe": (*RECIPES, "all") if command.recipe == "several" else RECIPES,
        "name": RECIPES,
        "split": SPLITS,
        "arms": ARMS,
        "augment": (*AUGMENTATIONS, "all", "none"),
        "silence": SILENCES,
        "variants": VARIANTS,
        "gan": GAN_PRESETS,
        "gan-augment": wavegan.AUGMENTATIONS,
        "gan-keep-best": wavegan.METRICS,
        "fit-optimizer": OPTIMIZERS,
        "fit-schedule": SCHEDULES,
        "fit-compute-dtype": COMPUTE_DTYPES,
        "fit-class-weights": ("balanced",),
        "step": ("best",),
        "format": ("wav", "flac"),
        "what": ("gan", "features", "classifiers"),
    }
    for config in (networks.CHOICES, train_config.CHOICES):
        choices |= {f"gan-{name.replace('_', '-')}": names for name, names in config.items()}
    choices["gan-loss"] = wavegan.LOSSES  # a user's own among them
    known: dict[str, dict[str, Any]] = {name: {"choices": names} for name, names in choices.items()}
    known["augment"]["several"] = True
    presets = ", ".join(f'"{name}" ({preset.about})' for name, preset in GAN_PRESETS.items())
    known["gan"]["about"] = f"settings under one name, which other options change: {presets}"
    for metavar, names in _METAVARS.items():
        for name in names.split():
            known.setdefault(name, {})["metavar"] = metavar
    return known


DATA = Part("data", ("data",), names={"root": "data"})
CLIP = Part("recipe", ("recipe",), only=("sample_rate", "num_samples", "silence"))
FIT = Part("training of the classifier", ("recipe", "fit"), prefix="fit-")
GAN = (
    Part("GANs", ("recipe",), only=("conditional",)),
    Part("GANs", ("recipe", "gan"), without=("num_samples", "num_classes"), prefix="gan-"),
    Part("GANs", ("recipe", "gan_train"), without=("seed",), prefix="gan-"),
)
CLIPS = Part("clips", names={"label": "genre", "to_label": "to-genre"})
OUT = Option(
    "out", Path | None, "run folder; what is there is resumed", "runs/DATE-NAME", metavar="RUN"
)
RUN = Option("run", Path, "run folder", MISSING, positional=True)
TO = Option("out", Path | None, "folder to write to", metavar="DIR")
JSON = Option("json", Path | None, "write the results to this file, too")


def _option(group: str, name: str, kind: Any, about: str, default: Any = None) -> Option:
    return Option(name, kind, about, default, group=group)


PRESET = _option("GANs", "gan", str | None, "")
_SEVERAL = "several processes, on one host or many"
PROCESSES = (
    _option(_SEVERAL, "distributed", bool,
            "join the processes that SLURM, Open MPI or a TPU pod has started", False),
    _option(_SEVERAL, "coordinator", str | None, "where process 0 listens, for the others"),
    _option(_SEVERAL, "processes", int | None, "how many there are"),
    _option(_SEVERAL, "process", int | None, "which one this is, from 0"),
)  # fmt: skip
SIZES = Option("sizes", str | None, "sizes and training that a search found, from its search.json",
               path=("recipe", "search"), group="recipe")  # fmt: skip


def _names(recipe: str) -> tuple[str, ...]:
    """The recipes that ``--recipe`` means."""
    from experiments.recipes import RECIPES

    published = tuple(name for name in RECIPES if name != "demo")
    return published if recipe == "all" else tuple(recipe.split(","))


def _base(name: str, recipe: str = "", *, published: bool = False) -> Callable[[Values], Any]:
    """What gives the configuration that options change: of a class of `experiments.config`.

    It is an object, or the class itself where all that is needed is not known yet.

    Parameters
    ----------
    recipe : the usual one, where the class has one.
    published : the shares of the split's sides are the recipe's.
    """

    def base(values: Values) -> Any:
        from experiments import config
        from experiments.recipes import RECIPES

        kind = getattr(config, name)
        if not recipe:
            return kind if any(one.default is MISSING for one in fields(kind)) else kind()
        names = _names(values.get("recipe", recipe))
        chosen = RECIPES[names[0]]
        if values.get("sizes"):
            chosen = chosen.searched(values["sizes"])
        more: dict[str, Any] = (
            {"data": config.DataConfig(fractions=chosen.fractions)} if published else {}
        )
        if len(names) > 1:
            more["splits"] = ("chunk", "track")
        return kind(chosen, **more)

    return base


# --- what they do --------------------------------------------------------------------------------


def _work(call: Call) -> int:
    """Call the function of `experiments` that has the command's name."""
    import experiments

    config = call.config()  # first: what is wrong with it is said before much is imported
    call.work(getattr(experiments, call.name), config)
    return 0


def _classify(call: Call) -> int:
    names = _names(call.values.get("recipe", "demo"))
    if len(names) == 1:
        return _work(call)
    for name in sorted({"num-samples", "sample-rate"} & call.values.keys()):
        raise OptionError(f"--{name} belongs to one recipe: several were asked for")
    given = {"split": ("chunk", "track"), **call.values}  # the table holds what the leak is worth
    configs = [call.config(**{**given, "recipe": name}) for name in names]
    configs = [c if c.recipe.synthetic else replace(c, generated=None) for c in configs]
    from experiments.commands.classify import classify_all

    call.work(classify_all, configs)
    return 0


def _train(call: Call) -> int:
    config, alone = call.config(), _joined_processes(call.values)
    from experiments import train

    call.work(train, config, quiet=not alone)
    return 0


def _joined_processes(values: Values) -> bool:
    """Join the other processes of a distributed run; whether this one speaks and writes."""
    given = [values.get(name) for name in ("coordinator", "processes", "process")]
    if not values.get("distributed") and all(value is None for value in given):
        return True
    import jax

    from wavegan.distributed import join

    if values.get("out") is None:
        raise OptionError("--out is missing: the processes of a run share one folder")
    join(*given)
    return jax.process_index() == 0


def _export(call: Call) -> int:
    from experiments import export

    run, file = call.values["run"], call.values["file"]
    gan, step = export(run, file, step=call.values.get("step"), label=call.values.get("genre"))
    size = file.stat().st_size / 1e6
    print(f"the generator of {gan.label} at step {step} in {file} ({size:.1f} MB)")
    return 0


def _predict(call: Call) -> int:
    from experiments import predict

    config = call.config()
    run = config.run if config.run.name else config.run.resolve()  # "." has no name
    beside = run.with_name(f"{run.name.removesuffix('.safetensors')}-predictions")
    call = replace(call, values={"out": beside, **call.values})
    return 1 if call.work(predict, config)["refused"] else 0


def _study(call: Call) -> int:
    from experiments import study
    from features.storage import write_json

    if call.values.get("out") is None:
        raise OptionError("--out is missing: a study takes long, and the same --out resumes it")
    results = call.work(study, call.config())
    if results and (file := call.values.get("json")):
        write_json(file, results)
    return 0


def _recipes(call: Call) -> int:
    from experiments.recipes import RECIPES
    from experiments.report import printed

    name = call.values.get("name")
    printed.recipes(RECIPES) if name is None else printed.recipe(RECIPES[name])
    return 0


def _report(call: Call) -> int:
    from experiments.commands.classify import gather_recipes
    from experiments.commands.report import write_training_page
    from experiments.report.recipes import recipe_table_text
    from experiments.run import Run

    run = call.values["run"]
    page = run / "report.html"
    config = Run(run).read_json("config.json") if (run / "config.json").exists() else {}
    if (command := config.get("command")) in ("compare", "classify"):
        if not page.exists():
            raise OptionError(
                f"{run} has no report.html: finish its run with the same `wavegan {command}`"
            )
    elif recipes := gather_recipes(run):
        print(recipe_table_text(recipes))
    else:
        page = write_training_page(run)
    print(page)
    return 0


def _doctor(call: Call) -> int:
    from experiments.commands.doctor import check_data, check_machine
    from experiments.report.terminal import Progress

    print("\n".join(check_machine()))
    if (root := call.values.get("data")) is None:
        return 0
    lines, sound = check_data(root, Progress())
    print("\n".join(lines))
    return 0 if sound else 1


def _bench(call: Call) -> int:
    from experiments.bench import run_benchmark

    given = {"repeats": 5, "json": None, **call.values}
    run_benchmark(given["what"], repeats=given["repeats"], json_file=given["json"])
    return 0


# --- the table -----------------------------------------------------------------------------------

COMMANDS: dict[str, Command] = {
    "compare": Command(
        "baseline against augmented, end to end: the main job", _work,
        _base("CompareConfig", "demo"), (CLIP, DATA, Part("comparison"), *GAN), (OUT, PRESET),
        recipe="one", long=True, plans=True,
    ),
    "classify": Command(
        "train and test one classifier recipe, or several", _classify,
        _base("ClassifyConfig", "demo", published=True),
        (CLIP, Part("data", only=("splits",), names={"splits": "split"}),
         replace(DATA, without=("split",)), Part("runs", without=("splits",)), FIT),
        (OUT, SIZES), recipe="several", long=True, plans=True,
    ),
    "train": Command(
        "train one GAN a genre, or one for all", _train, _base("TrainGansConfig", "demo"),
        (CLIP, DATA, Part("training", names={"seeds": "gan-seeds"}), *GAN),
        (OUT, PRESET, *PROCESSES), recipe="one", long=True, plans=True,
    ),
    "generate": Command(
        "clips of trained GANs to files, with the latent of each", _work,
        _base("GenerateConfig"), (CLIPS,), (replace(TO, default="RUN/generated"),),
    ),
    "interpolate": Command(
        "clips on the way from one sound to another", _work, _base("InterpolateConfig"),
        (CLIPS,), (replace(TO, default="in RUN/interpolated"),),
    ),
    "export": Command(
        "one generator as one .safetensors file", _export, more=(
            RUN, Option("file", Path, "the file to write", MISSING, positional=True,
                        metavar="OUT.safetensors"),
            Option("step", int | str | None,
                   'of which checkpoint, or "best"; none is the newest'),
            Option("genre", str | None, "which GAN, where the run has several"),
        ),
    ),
    "study": Command(
        "ways to train a GAN on little data, at equal wall time", _study, _base("StudyConfig"),
        (DATA, Part("study")), (replace(OUT, default="must be given"), JSON), long=True, plans=True,
    ),
    "search": Command(
        "look for a recipe's sizes on the training side alone", _work,
        _base("SearchConfig", "cnn_rnn_tempo", published=True), (CLIP, DATA, Part("search"), FIT),
        (OUT,), recipe="one", long=True, plans=True,
    ),
    "predict": Command(
        "classify files or folders with a trained classifier", _predict, _base("PredictConfig"),
        (Part(""),), (replace(TO, default="RUN-predictions"),),
    ),
    "recipes": Command(
        "list the recipes, or show one", _recipes,
        more=(Option("name", str | None, "show this one in full", positional=True),),
    ),
    "report": Command(
        "write the page of a training run or of recipes, find that of another", _report, more=(RUN,)
    ),
    "doctor": Command(
        "check this machine, and a data set", _doctor,
        more=(Option("data", str | None, "folder of class folders to check"),),
    ),
    "bench": Command(
        "speed against peers, side by side in one run", _bench, more=(
            Option("what", str, "what is measured", MISSING, positional=True),
            JSON, Option("repeats", int, "of each timing", 5),
        ),
    ),
}  # fmt: skip
