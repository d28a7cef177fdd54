"""Options of the command line: help, defaults, errors, Ctrl-C, completion."""

import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, replace

import pytest

import experiments
from experiments.cli import everything, main, parsed
from experiments.cli_commands import COMMANDS, _names
from experiments.options import OptionError, Part, changed, joined
from experiments.recipes import RECIPES
from experiments.report import printed
from wavegan import LOSSES, TrainConfig, WaveGANConfig


def helped(capsys, *arguments: str) -> str:
    """A help text, its line breaks gone."""
    with pytest.raises(SystemExit) as ended:
        main([*arguments, "--help"])
    assert ended.value.code == 0
    return " ".join(capsys.readouterr().out.split())


def refused(*arguments: str) -> str:
    with pytest.raises(OptionError) as error:
        parsed(arguments).config()
    return str(error.value)


def test_help_says_what_the_recipe_has(capsys):
    said = helped(capsys, "compare", "--recipe", "demo")
    assert re.search(r"--gan-dim N width[^-]*\(default: 8\)", said)
    assert re.search(r"--gan-steps N generator steps \(default: 1800\)", said)
    losses = ", ".join(LOSSES)
    assert re.search(rf"--gan-loss NAME [^-]*{losses} \(default: logistic-r1\)", said)
    said = helped(capsys, "classify", "--recipe=cnn2")
    assert re.search(r"--fit-epochs N [^(]*\(default: 40\)", said)
    assert "(default: 0.8,0.0,0.2)" in said
    assert "(default: track)" in said
    assert "(default: chunk,track)" in helped(capsys, "classify", "--recipe", "cnn1,cnn2")


def test_help_says_what_presets_and_files_change(tmp_path, capsys):
    file = tmp_path / "mine.yaml"
    file.write_text("gan: small-data\ngan-critic-steps: 7\nseeds: 11\n")
    said = helped(capsys, "compare", "--config", str(file))
    assert re.search(r"--gan-loss NAME .*?\(default: logistic-r1\)", said)
    assert re.search(r"--gan-critic-steps N .*?\(default: 7\)", said)
    assert re.search(r"--seeds N .*?\(default: 11\)", said)
    said = helped(capsys, "train", "--gan", "reference")
    assert re.search(r"--gan-steps N .*?\(default: 200000\)", said)


@pytest.mark.parametrize("name", COMMANDS)
def test_help_reads_as_plain_text(name, capsys):
    said = helped(capsys, name)
    assert "`" not in said
    assert not re.search(r"\bNone\b|\w+_\w+ ?[:=]|wavegan\.\w|features\.\w|<", said)
    assert said.count("(default:") == sum(not o.positional and o.kind is not bool
                                          for o in everything()[name]) + sum(
        o.kind is bool for o in everything()[name])  # fmt: skip


def test_top_help_and_version(capsys):
    said = helped(capsys)
    assert all(f" {name} " in said for name in COMMANDS)
    assert "--print-completion" in said
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert re.fullmatch(r"wavegan \d+\.\d+\.\d+\S*\n", capsys.readouterr().out)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("comapre", "there is no command comapre: try compare"),
        ("compare --seed 3", "there is no option or argument --seed: try --seeds"),
        ("compare --gan-dims=3", "--gan-dims: try --gan-dim"),
        ("compare --xyzzy", "`wavegan compare --help` lists"),
        ("compare --gan-loss wgan-pg", "try wgan-gp"),
        ("compare --gan-keep-best quality/kernel", "try quality/kernel_distance"),
        ("compare --gan-augment gain,nois", "found gain,nois: try noise"),
        ("compare --gan smal-data", "try small-data"),
        ("compare --arms real,real+synthtic", "no 'synthtic' to train on; try synthetic"),
        ("compare --split trak", "try track"),
        ("compare --silence sample", "samples or none; found sample: try samples"),
        ("compare --recipe net66 --help", "try net6"),
        ("compare --fractions 1,2", "takes 3 numbers with commas; found 1,2"),
        ("compare --gan-dim 8.5", "--gan-dim takes a whole number; found 8.5"),
        ("compare --seeds", "--seeds expected one argument"),
        ("compare --gan-dim 0", "--gan-dim must be at least 1, found 0"),
        ("classify --fit-batch-size 0", "--fit-batch-size is at least 1, not 0"),
        ("classify --fit-class-weights balansed", "balanced or numbers with commas or none"),
        ("classify --recipe cnn2 --fit-steps 3 --fit-epochs 3", "--fit-steps=3, --fit-epochs=3"),
        ("study --variants refrence", "try reference"),
        ("recipes net11", "NAME takes net1,"),
        ("generate", "RUN"),
        ("generate run --step bst", "a whole number or best or none; found bst: try best"),
        ("generate run --format mp3", "takes wav, flac; found mp3"),
        ("classify --fit-framework flax", "--fit-framework takes keras, torch; found flax"),
        ("report run --recipe demo", "there is no option or argument --recipe"),
        ("bench gpus", "takes gan, features, classifiers"),
        ("compare --data=", "--data takes a text or none; found nothing"),
        ("compare --shots 5,,20", "--shots takes numbers with commas; found 5,,20"),
        ("compare --tune ,", "--tune takes numbers with commas; found ,"),
        ("generate run --out=", "--out takes a path or none; found nothing"),
    ],
)
def test_what_is_wrong_is_named_with_what_is_near(line, expected):
    assert expected in refused(*line.split())


def test_each_recipe_is_named_once_also_beside_all():
    named = [name for name, one in RECIPES.items() if name != "demo" and not one.needs]
    assert _names("all,demo") == (*named, "demo")
    assert _names("net5,net6,net5") == ("net5", "net6")


def test_errors_are_one_line_and_end_in_2(capsys):
    for line in (
        "compare --plugin ../x",
        "compare --plugin=",
        "compare --seed 3",
        "compare --gan-los wgan",
        "nothing",
        "train --gan-dim 0",
        "",
    ):
        assert main(line.split()) == 2
        found = capsys.readouterr()
        assert not found.out
        assert len(found.err.splitlines()) == 1
        assert found.err.startswith("wavegan")


def test_a_value_may_begin_with_a_dash():
    assert "add up to 1" in refused("compare", "--fractions", "-1,1,1")
    assert "augment_target" not in refused("compare", "--gan-augment-target", "-1.5")
    assert (
        parsed(["train", "--gan-augment-target", "-.5"]).config().recipe.gan_train.augment_target
        == -0.5
    )
    assert joined(["--skip-short", "-x", "--seed", "-1"]) == ["--skip-short", "-x", "--seed=-1"]


def test_layers_of_a_gan_preset():
    call = parsed(["train", "--gan", "small-data", "--gan-critic-steps", "4"])
    train = call.config().recipe.gan_train
    assert (train.loss, train.critic_steps, train.penalty) == ("logistic-r1", 4, "r1+r2")


def test_steps_and_epochs_take_turns(tmp_path):
    file = tmp_path / "a.yaml"
    file.write_text("fit-epochs: 4\n")
    fit = parsed(["classify", "--config", str(file)]).config().recipe.fit
    assert (fit.epochs, fit.steps) == (4, None)
    fit = parsed(["classify", "--config", str(file), "--fit-steps", "5"]).config().recipe.fit
    assert (fit.epochs, fit.steps) == (None, 5)


def test_a_loss_of_a_user_is_a_choice(monkeypatch):
    monkeypatch.setitem(LOSSES, "mine", LOSSES["wgan"])
    assert parsed(["train", "--gan-loss", "mine"]).values["gan-loss"] == "mine"


def test_dry_run_prints_the_plan(tmp_path, monkeypatch, capsys):
    asked = {}

    def compare(config, out, *, command="", progress=None, should_stop=None, dry_run=False):
        asked.update(out=out, dry_run=dry_run)
        return {"tracks": 80, "clips": 2880, "gans": 10, "fits": 9, "steps": 120_000,
                "seconds": 3700.0, "disk_bytes": 2_500_000_000}  # fmt: skip

    monkeypatch.setattr(experiments, "compare", compare)
    assert main(["compare", "--dry-run", "--out", str(tmp_path / "run")]) == 0
    assert asked == {"out": tmp_path / "run", "dry_run": True}
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(maxsplit=1) for line in lines] == [
        ["tracks", "80"], ["clips", "2,880"], ["gans", "10"], ["fits", "9"], ["steps", "120,000"],
        ["time", "about 1 h 01 min"], ["disk", "2.5 GB"],
    ]  # fmt: skip
    assert len({len(line) - len(line.split(maxsplit=1)[1]) for line in lines}) == 1
    assert not (tmp_path / "run").exists()


def test_a_plan_without_an_estimate(capsys):
    printed.plan({"fits": 3, "unless": "", "seconds": None, "disk_bytes": 40e6})
    assert capsys.readouterr().out.split() == ["fits", "3", "disk", "40", "MB"]


def test_ctrl_c_while_modules_load_is_quiet():
    code = (
        "import os, signal, sys\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a job's may be ignored
        "class Interrupt:\n"
        "    def find_spec(self, name, *rest):\n"
        "        if name == 'jax':\n"
        "            os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Interrupt())\n"
        "from experiments.cli import main\n"
        "sys.exit(main(['compare']))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr.strip()) == (130, "stopped")


STARTED = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from experiments.__main__ import main
print("started", flush=True)
sys.exit(main())
"""


def _interrupted(command: list[str], seconds: float) -> tuple[int, str]:
    """The exit status of a command that gets Ctrl-C so long after its start, and what it said."""
    line = [sys.executable, "-c", STARTED, *command]
    pipe = subprocess.PIPE
    with subprocess.Popen(line, stdout=pipe, stderr=pipe, text=True) as process:
        assert process.stdout.readline() == "started\n"
        time.sleep(seconds)
        process.send_signal(signal.SIGINT)
        said = process.communicate()[1].strip()
    return process.returncode, said


@pytest.mark.parametrize("seconds", [0.2, 1.0])
def test_ctrl_c_in_the_first_seconds_is_quiet(seconds):
    """Amid the import of compiled modules, too, which an exception makes crash."""
    assert _interrupted(["doctor"], seconds) == (130, "stopped")


@pytest.mark.slow
def test_ctrl_c_at_any_moment_of_a_short_command_is_quiet():
    for moment in range(1, 30):
        status, said = _interrupted(["doctor"], moment / 10)
        if status == 0:  # it was quicker
            break
        # Killed by the signal itself, without a word: Python was ending, and asked for no more.
        assert (status, said) in ((130, "stopped"), (-signal.SIGINT, "")), moment
    assert moment > 5


def test_a_lost_ctrl_c_ends_the_command_all_the_same():
    """One that comes while an object is thrown away, where Python ignores exceptions."""
    code = STARTED.replace(
        "sys.exit(main())",
        "import experiments.cli\n"
        "class Thrown:\n"
        "    def __del__(self):\n"
        "        signal.raise_signal(signal.SIGINT)\n"
        "def run():\n"
        "    Thrown()\n"
        "    return 0\n"
        "experiments.cli.main = run\n"
        "sys.exit(main())",
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr.strip()) == (130, "stopped")


def test_the_top_of_the_command_line_loads_nothing_that_takes_long():
    for line in (["--help"], ["--version"], ["comapre"]):
        code = (
            "import sys\nfrom experiments.cli import main\n"
            f"try: main({line})\nexcept SystemExit: pass\n"
            "assert not {'jax', 'numpy', 'yaml'} & sys.modules.keys()\n"
        )
        subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)


def completed(script: str, *words: str) -> list[str]:
    """What bash offers for the last word."""
    typed = " ".join(f"'{word}'" for word in words)
    code = (
        f"source /dev/stdin <<'END'\n{script}\nEND\nCOMP_WORDS=({typed}); "
        f"COMP_CWORD={len(words) - 1}; _shtab_wavegan; printf '%s\\n' \"${{COMPREPLY[@]}}\""
    )
    done = subprocess.run(["bash", "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.split()


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")
def test_bash_completes_commands_options_and_choices(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--print-completion", "bash"])
    assert ended.value.code == 0
    script = capsys.readouterr().out
    assert {"compare", "classify"} <= {*completed(script, "wavegan", "c")}
    assert "--gan-dim" in completed(script, "wavegan", "compare", "--gan-d")
    assert {*completed(script, "wavegan", "compare", "--gan-loss", "")} >= {*LOSSES}
    assert completed(script, "wavegan", "train", "--recipe", "cnn_rnn_") == ["cnn_rnn_tempo"]


def test_zsh_has_a_script_too(capsys):
    with pytest.raises(SystemExit):
        main(["--print-completion", "zsh"])
    script = capsys.readouterr().out
    assert script.startswith("#compdef wavegan")
    assert "--gan-spectral-norm" in script
    assert main(["--print-completion", "tcshh"]) == 2
    assert "invalid choice" in capsys.readouterr().err


@dataclass(frozen=True)
class Inner:
    """Inside.

    Attributes
    ----------
    width, depth : of a thing (of `Thing`), on
        two lines.
    kind : "a" or "b"; None is none.
    """

    width: int = 1
    depth: int | None = 2
    kind: str | None = None

    def __post_init__(self):
        if self.width > 9:
            raise ValueError(f"width must be at most 9, found {self.width}: the depth is as it is")


@dataclass(frozen=True)
class Outer:
    """Outside.

    Attributes
    ----------
    file : first.
    inner : the inside.
    names : some.
    """

    file: str
    inner: Inner = Inner()
    names: tuple[str, ...] = ()


def test_options_of_a_dataclass():
    parts = (Part("outer"), Part("inner", ("inner",), prefix="in-", names={"kind": "sort"}))
    options = {o.name: o for part in parts for o in part.options(Outer)}
    assert list(options) == ["file", "names", "in-width", "in-depth", "sort"]
    assert options["file"].positional
    assert options["in-width"].about == options["in-depth"].about == "of a thing, on two lines"
    assert options["sort"].about == '"a" or "b"; none is none'
    assert (options["in-width"].default, options["sort"].default) == (1, None)
    values = {"file": "x", "in-width": 3, "sort": "b", "unknown": 1}
    assert changed(Outer, values, options.values()) == Outer("x", Inner(3, 2, "b"))
    assert changed(Outer("y"), {"in-depth": None}, options.values()) == Outer("y", Inner(1, None))
    with pytest.raises(OptionError, match=r"^--in-width must be at most 9, found 10: the depth"):
        changed(Outer("y"), {"in-width": 10}, options.values())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("compare --synthetic-ratio 1e-9", "--synthetic-ratio lies in 0.001 … 1000"),
        ("compare --synthetic-ratio 1e12", "--synthetic-ratio lies in"),
        ("compare --sample-rate 1000000000", "--sample-rate must lie in 1,000 … 768,000 Hz"),
        ("compare --gan-ema-decay nan", "--gan-ema-decay takes a number; found nan"),
        ("compare --fractions inf,0,1", "--fractions takes 3 numbers"),
        ("compare --seeds 1000000000", "--seeds must lie in 1 … 10,000"),
        ("classify --num-samples 7", "--num-samples must be at least 512"),
        ("classify --fit-learning-rate inf", "--fit-learning-rate takes a number; found inf"),
        ("classify --split-seed 99999999999999999999", "--split-seed takes numbers below 9.2e+18"),
        ("classify --fit-learning-rate 1e-50", "--fit-learning-rate must lie in 1.2e-38 …"),
        ("train --gan-learning-rate 1e-50", "--gan-learning-rate must lie in 1.2e-38 …"),
        ("train --quality 100000000", "6,553.6 GB for 100,000,000 clips"),
        ("train --quality 0 --gan-keep-best quality/frechet_distance", "with --quality 0"),
        ("train --gan-keep-best quality/inception_score", "give --judge"),
        ("train --gan-critic-steps 1000000000", "--gan-critic-steps must be at most"),
        ("generate RUN --sample-rate -8", "--sample-rate must lie in 1,000"),
        ("generate RUN --truncation nan", "--truncation takes a number"),
        ("generate RUN --batch-size 0", "--batch-size must be at least 1"),
        ("study --count 100000000", "give a smaller --count"),
    ],
)
def test_amounts_out_of_bounds_are_refused_before_work(arguments, said, monkeypatch):
    monkeypatch.setattr("features.limits.free_memory", lambda: 64e9)
    assert said in refused(*arguments.split())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("compare --cluster a:1", "compare: --cluster is for a cluster: give --executor ray"),
        ("compare --arms real", "--arms needs two or more different arms, found real: give such"),
        ("compare --augment never", "gain, specaugment, mixup, all, none; found never"),
        ("compare --num-samples 17000", "compare: --num-samples must be 16 times strides of 2"),
        ("train --num-samples 17000", "train: --num-samples must be 16 times strides of 2"),
        ("compare --recipe net5", "can't be treated alike: give --silence none"),
        ("compare --recipe net5 --silence none", "--num-samples must be 16 times strides of 2"),
        ("classify --fit-momentum 0.5", "--fit-momentum is for the optimizer 'sgd', not 'adam'"),
        ("classify --fit-momentum 0.5", "leave --fit-momentum=0.5 out"),
        ("classify --fit-epochs none --fit-steps 5 --fit-warmup-steps 9", "below the 5 steps"),
    ],
)
def test_an_error_names_options_and_leaves_its_words_alone(arguments, said, tmp_path, capsys):
    """And comes before a run folder is named, or anything read."""
    assert main([*arguments.split(), "--data", "nowhere", "--out", str(tmp_path / "run")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line


@pytest.mark.parametrize(
    "arguments",
    ["compare --recipe net5 --arms real,real+classical", "train --recipe net5 --num-samples 16384"],
)
def test_what_a_recipe_alone_can_not_do_other_options_allow(arguments, capsys):
    assert main([*arguments.split(), "--data", "nowhere", "--dry-run"]) == 2
    assert "nowhere" in capsys.readouterr().err


def test_a_preset_leaves_nothing_of_the_recipes_own_way():
    """The demo's GAN has pairs and a spectrogram critic; the reference's has neither."""
    demo, reference = (
        parsed(["train", *given]).config().recipe for given in ([], ["--gan", "reference"])
    )
    assert demo.gan_train.relativistic
    assert demo.gan.spectrogram_critic
    assert reference.gan == replace(WaveGANConfig(), num_samples=reference.gan.num_samples)
    plain, train = TrainConfig(), reference.gan_train
    for name in ("loss", "relativistic", "penalty", "learning_rate", "critic_steps", "batch_size"):
        assert getattr(train, name) == getattr(plain, name), name
