"""The commands of `wavegan`: which part of a configuration is options, what is called, printed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.options import Option, OptionError, Part

if TYPE_CHECKING:
    from experiments.cli import Call

Values = Mapping[str, Any]  # of options, by their names
LADDER = "published-net6"  # a study that is no comparison of arms
OF_BASE = ("recipe", "sizes")  # options that choose the configuration that the others change


@dataclass(frozen=True)
class Command:
    """A command of the command line.

    Attributes
    ----------
    about : a line on what it does.
    run : does it; the exit status, if it isn't 0.
    kind : class, of `experiments.config`, of its configuration; empty where it has none.
    parts : of the configuration, those that are options.
    more : options that are not in the configuration.
    recipe : the one that it works with unless --recipe names another; empty where none does.
    several : whether --recipe takes several.
    published : whether the shares of the split's sides are the recipe's.
    long : whether it works in a run folder, can be stopped, and can end with its plan.
    """

    about: str
    run: Callable[[Call], int | None]
    kind: str = ""
    parts: tuple[Part, ...] = ()
    more: tuple[Option, ...] = ()
    recipe: str = ""
    several: bool = False
    published: bool = False
    long: bool = False

    def base(self, values: Values) -> Any:
        """The configuration that options change, with the recipe that some of them choose.

        It is its class where all that is needed is not known yet, and None where there is none.
        """
        if not self.kind:
            return None
        from experiments import config
        from experiments.recipes import RECIPES

        kind = getattr(config, self.kind)
        if not self.recipe:
            return kind if any(one.default is MISSING for one in fields(kind)) else kind()
        names = _names(self.recipe_of(values))
        recipe, more = RECIPES[names[0]], dict[str, Any]()
        if values.get("sizes"):
            recipe = recipe.searched(values["sizes"])
        if self.published:
            more["data"] = config.DataConfig(fractions=recipe.fractions)
        if len(names) > 1:
            more["splits"] = ("chunk", "track")
        return kind(recipe, **more)

    def recipe_of(self, values: Values) -> str:
        """The recipe that is asked for, by its name or by a file that only one of them takes."""
        return values.get("recipe") or ("probe" if values.get("embeddings") else self.recipe)

    def options(self, config: Any) -> list[Option]:
        """Every option, its default as in ``config``."""
        found = [*self.more, *(option for part in self.parts for option in part.options(config))]
        if self.recipe:
            found.insert(0, replace(RECIPE, default=config.recipe.name, several=self.several))
        titles, known = ["", "recipe", *(part.title for part in self.parts)], _known(self.several)
        found.sort(key=lambda one: titles.index(one.group) if one.group in titles else len(titles))
        return [replace(one, **known.get(one.name, {})) for one in found]


def _names(recipe: str) -> tuple[str, ...]:
    """The recipes that ``--recipe`` means."""
    from experiments.recipes import RECIPES

    published = [name for name, one in RECIPES.items() if name != "demo" and not one.needs]
    named = ([name] if name != "all" else published for name in recipe.split(","))
    return tuple(dict.fromkeys(name for names in named for name in names))


# --- options -------------------------------------------------------------------------------------

_TRAINED = ("embeddings", "pretrained")  # what others have trained, as a file
_METAVARS = {
    "DIR": ("data", "split-lists", "pictures"),
    "FILE": ("files", "artist-index", "sizes", "latents", "json", "consent", "key", *_TRAINED),
    "RUN": ("run", "generated"),
    "RUN|FILE": ("init",),
    "NAME=DIR,…": ("arm",),
    "HOST:PORT": ("coordinator",),
    "TRAIN,VALID,TEST": ("fractions",),
}


def _known(several: bool) -> dict[str, dict[str, Any]]:
    """What configurations do not say of options: further names that they take, and metavars."""
    import wavegan
    from experiments.config.classify import kinds_of_features
    from experiments.recipes import GAN_PRESETS, RECIPES
    from experiments.studies import STUDIES, about
    from features.augmentation import AUGMENTATIONS
    from wavegan.export import DTYPES as EXPORTED

    choices: dict[str, Any] = {  # a user's own among them
        "recipe": (*RECIPES, "all") if several else RECIPES,
        "name": RECIPES,
        "feature": kinds_of_features(),
        "augment": (*AUGMENTATIONS, "all", "none"),
        "gan": GAN_PRESETS,
        "gan-augment": wavegan.AUGMENTATIONS,
        "gan-keep-best": wavegan.METRICS,
        "gan-loss": wavegan.LOSSES,
        "fit-class-weights": ("balanced",),
        "dtype": EXPORTED,
    }
    known: dict[str, dict[str, Any]] = {name: {"choices": names} for name, names in choices.items()}
    known["augment"]["several"] = True
    presets = ", ".join(f'"{name}" ({preset.about})' for name, preset in GAN_PRESETS.items())
    studies = ", ".join(f'"{name}" ({about(name)})' for name in STUDIES)
    known["preset"] = {"about": f"a study that comes with the package: {studies}"}
    known["gan"]["about"] = f"a set of GAN settings, which other options override: {presets}"
    return known | {name: {"metavar": x} for x, names in _METAVARS.items() for name in names}


_CELL = ("folds", "fold", "draw")  # of the data, which a comparison alone has several of
DATA = Part("data", ("data",), names={"root": "data"}, without=_CELL)
CLIP = Part("recipe", ("recipe",), only=("sample_rate", "num_samples", "silence"))
FIT = Part("training of the classifier", ("recipe", "fit"), prefix="fit-")
GAN = (
    Part("GANs", ("recipe",), only=("conditional",)),
    Part("GANs", ("recipe",), only=("shared_steps",), prefix="gan-"),
    Part("GANs", ("recipe", "gan"), without=("num_samples", "num_classes"), prefix="gan-"),
    Part("GANs", ("recipe", "gan_train"), without=("seed",), prefix="gan-"),
)
CLIPS = Part("clips", names={"label": "genre", "to_label": "to-genre"})
RECIPE = Option(
    "recipe", str, "classifier, features, clip and GAN", path=("recipe", "name"), group="recipe"
)
OUT = Option(
    "out", Path | None, "run folder; a run in it is resumed", "runs/DATE-NAME", metavar="RUN"
)
RUN = Option("run", Path, "run folder", MISSING, positional=True)
TO = Option("out", Path | None, "folder to write to", metavar="DIR")
JSON = Option("json", Path | None, "also write the results to this file")
PRESET = Option("gan", str | None, "", group="GANs")
_JOIN = "join the processes that SLURM, Open MPI or a TPU pod started"
PROCESSES = tuple(
    replace(option, group="several processes, on one host or many")
    for option in (
        Option("distributed", bool, _JOIN, False),
        Option("coordinator", str | None, "address at which process 0 listens for the others"),
        Option("processes", int | None, "number of processes"),
        Option("process", int | None, "number of this process, from 0"),
    )
)
_SEARCHED = "search.json of a search, whose sizes and training are used"
SIZES = Option("sizes", str | None, _SEARCHED, path=("recipe", "search"), group="recipe")


# --- what they do --------------------------------------------------------------------------------


def _work(call: Call) -> None:
    """Call the function of `experiments` that has the command's name."""
    import experiments

    config = call.config()  # first: what is wrong with it is said before much is imported
    call.work(getattr(experiments, call.name), config)


def _compare(call: Call) -> None:
    """A comparison, or the published one that is repaired step by step."""
    config = call.config()
    config.check_clips()
    if config.preset == LADDER:
        from experiments.commands.repair import repair

        call.work(repair, config, shown="repair")
    else:
        _work(call)


def _classify(call: Call) -> None:
    names = _names(call.command.recipe_of(call.values))
    if len(names) == 1:
        _work(call)
        return
    for name in sorted({"num-samples", "sample-rate"} & call.values.keys()):
        raise OptionError(f"--{name} belongs to one recipe: several were asked for")
    splits = call.values.get("split", ("chunk", "track"))  # the table holds what the leak is worth
    configs = [call.config(recipe=name, split=splits) for name in names]
    configs = [c if c.recipe.synthetic else replace(c, generated=None) for c in configs]
    from experiments.commands.classify import classify_all

    call.work(classify_all, configs)


def _train(call: Call) -> None:
    """Train GANs, as one of several processes where options say so: the first one speaks."""
    config, speaks = call.config(), True
    config.check_clips()
    given = [call.values.get(name) for name in ("coordinator", "processes", "process")]
    if call.values.get("distributed") or any(value is not None for value in given):
        import jax

        from wavegan.distributed import join

        if call.values.get("out") is None:
            raise OptionError("--out is missing: the processes of a run share one folder")
        join(*given)
        speaks = jax.process_index() == 0
    from experiments import train

    call.work(train, config, quiet=not speaks)


def _export(call: Call) -> None:
    from experiments import export

    run, file = call.values["run"], call.values["file"]
    given: dict[str, Any] = {"label": call.values.get("genre")}
    given |= {name: call.values[name] for name in ("step", "dtype") if name in call.values}
    gan, step = export(run, file, **given)
    size = file.stat().st_size / 1e6
    print(f"the generator of {gan.label} at step {step} in {file} ({size:.1f} MB)")


def _convert(call: Call) -> None:
    from classifiers.panns import cnn14, read_checkpoint
    from classifiers.saved import save

    checkpoint, file = call.values["checkpoint"], call.values["file"]
    model = cnn14(read_checkpoint(checkpoint), checkpoint)
    save(model, file, metadata={"checkpoint": checkpoint.name})
    print(f"{model!r} in {file}")


def _predict(call: Call) -> int:
    from experiments import predict

    config = call.config()
    run = config.run if config.run.name else config.run.resolve()  # "." has no name
    beside = run.with_name(f"{run.name.removesuffix('.safetensors')}-predictions")
    call = replace(call, values={"out": beside, **call.values})
    return 1 if call.work(predict, config)["refused"] else 0


def _listen(call: Call) -> None:
    """Make a test, or after "analyse" say what its answers say."""
    first, *answers = call.values["run"]
    if first.name != "analyse" or first.exists():
        if call.values.get("key") is not None:
            raise OptionError("--key belongs to `wavegan listen analyse ANSWERS`")
        _work(call)
        return
    from experiments import analyse
    from experiments.report import printed

    if not answers:
        raise OptionError("give the files that the page of a test saved, after analyse")
    of_test = {option.name for option in call.options if option.path} - {"run", "key"}
    if strange := of_test & call.values.keys():
        raise OptionError(f"--{min(strange)} belongs to making a test, not to `listen analyse`")
    found = analyse(answers, call.values.get("out"), key=call.values.get("key"))
    printed.answers(found)


def _study(call: Call) -> None:
    from experiments import study
    from features.limits import check_file
    from features.storage import write_json

    if call.values.get("out") is None:
        raise OptionError("--out is missing: a study takes long, and the same --out resumes it")
    check_file(file := call.values.get("json"), "--json")
    results = call.work(study, call.config())
    if results and file is not None:
        write_json(file, results)


def _recipes(call: Call) -> None:
    from experiments.recipes import RECIPES
    from experiments.report import printed

    name = call.values.get("name")
    printed.recipes(RECIPES) if name is None else printed.recipe(RECIPES[name])


def _report(call: Call) -> None:
    from experiments.commands.classify import gather_recipes
    from experiments.commands.train import write_training_page
    from experiments.report.recipes import recipe_table_text
    from experiments.run import Run
    from features.checksums import check_sealed

    run = call.values["run"]
    page = run / "report.html"
    config = Run(run).read_json("config.json") if (run / "config.json").exists() else {}
    if (command := config.get("command")) in ("compare", "classify"):
        if not page.exists():
            raise OptionError(
                f"{run} has no report.html: finish its run with the same `wavegan {command}`"
            )
        check_sealed(run / "results.json")  # which the page is of
    elif recipes := gather_recipes(run):
        print(recipe_table_text(recipes))
    else:
        page = write_training_page(run)
    print(page)


def _doctor(call: Call) -> int:
    from experiments.commands.doctor import check_data, check_machine, check_run
    from experiments.report.terminal import Progress

    print("\n".join(check_machine()))
    sound = True
    for name, check in (("data", lambda root: check_data(root, Progress())), ("run", check_run)):
        if (given := call.values.get(name)) is not None:
            lines, whole = check(given)
            print("\n".join(lines))
            sound = sound and whole
    return 0 if sound else 1


def _bench(call: Call) -> None:
    from experiments.bench import run_benchmark
    from features.limits import check_file

    given = {"repeats": 5, "json": None, "size": None, **call.values}
    if given["size"] is not None and given["what"] != "gpu":
        raise OptionError(
            f"--size belongs to `wavegan bench gpu`: {given['what']} has its own sizes"
        )
    check_file(given["json"], "--json")
    options = {"repeats": given["repeats"], "json_file": given["json"], "size": given["size"]}
    run_benchmark(given["what"], **options)


# --- the table -----------------------------------------------------------------------------------

COMMANDS: dict[str, Command] = {
    "compare": Command(
        "does a GAN's audio make a classifier better? the whole comparison", _compare,
        "CompareConfig",
        (CLIP, replace(DATA, without=("train_share", "shots", *_CELL)),
         Part("comparison", names={"folders": "arm"}, without=("changed",)), *GAN),
        (OUT, PRESET), recipe="demo", long=True,
    ),
    "classify": Command(
        "train and test one classifier recipe, or several", _classify,
        "ClassifyConfig",
        (CLIP, Part("data", only=("splits",), names={"splits": "split"}),
         replace(DATA, without=("split", *_CELL)), Part("runs", without=("splits",)),
         Part("recipe", ("recipe",), only=("pretrained",)), FIT),
        (OUT, SIZES), recipe="demo", several=True, published=True, long=True,
    ),
    "train": Command(
        "train a GAN for each class, or one for all", _train, "TrainGansConfig",
        (CLIP, DATA, Part("training", names={"seeds": "gan-seeds"}), *GAN),
        (OUT, PRESET, *PROCESSES), recipe="demo", long=True,
    ),
    "generate": Command(
        "write clips of trained GANs to files, with their latents", _work,
        "GenerateConfig", (CLIPS,), (replace(TO, default="RUN/generated"),),
    ),
    "interpolate": Command(
        "write clips that lead from one sound to another", _work, "InterpolateConfig",
        (CLIPS,), (replace(TO, default="in RUN/interpolated"),),
    ),
    "audition": Command(
        "write a page to hear, compare and choose clips", _work, "AuditionConfig", (CLIPS,),
        (replace(TO, default="RUN/audition"),),
    ),
    "listen": Command(
        'make a blind listening test; "listen analyse ANSWERS …" evaluates it', _listen,
        "ListenConfig", (Part(""),), (replace(TO, default="RUN/listen-TEST"),),
    ),
    "export": Command(
        "write one generator to a .safetensors file", _export, more=(
            RUN, Option("file", Path, "the file to write", MISSING, positional=True,
                        metavar="OUT.safetensors"),
            Option("step", int | str | None,
                   'step of the checkpoint, or "best"; none takes the newest', choices=("best",)),
            Option("genre", str | None, "class of the GAN, where the run has several"),
            Option("dtype", str, "type of the weights: bfloat16 halves the file", "float32"),
        ),
    ),
    "study": Command(
        "compare ways to train a GAN on little data, at equal wall time", _study, "StudyConfig",
        (DATA, Part("study")), (replace(OUT, default="must be given"), JSON), long=True,
    ),
    "search": Command(
        "search for a recipe's sizes, on the training side alone", _work,
        "SearchConfig", (CLIP, DATA, Part("search"), FIT),
        (OUT,), recipe="mel_tempo_rnn", published=True, long=True,
    ),
    "predict": Command(
        "classify files or folders with a trained classifier", _predict, "PredictConfig",
        (Part(""),), (replace(TO, default="RUN-predictions"),),
    ),
    "convert": Command(
        "a published checkpoint of CNN14 as a file for --pretrained", _convert, more=(
            Option("checkpoint", Path, "of PyTorch, as PANNs publish it", MISSING, positional=True),
            Option("file", Path, "the file to write", MISSING, positional=True,
                   metavar="OUT.safetensors"),
        ),
    ),
    "recipes": Command(
        "list the classifier recipes, or show one in full", _recipes,
        more=(Option("name", str | None, "show this one in full", positional=True),),
    ),
    "report": Command(
        "write or find the page of a run", _report, more=(RUN,)
    ),
    "doctor": Command(
        "check this machine, and a data set or a run", _doctor, more=(
            Option("data", str | None, "folder with a folder for each class, to check"),
            Option("run", Path | None, "run folder: check that every file is as it was written",
                   positional=True),
        ),
    ),
    "bench": Command(
        "measure speed beside PyTorch, Keras and librosa, in one run", _bench, more=(
            Option("what", str, "what is measured", MISSING, positional=True,
                   choices=("gan", "features", "classifiers", "gpu")),
            JSON, Option("repeats", int, "repeats of each timing", 5),
            Option("size", str | None, "size of the gpu benchmark; none goes by the machine",
                   choices=("toy", "full")),
        ),
    ),
}  # fmt: skip
