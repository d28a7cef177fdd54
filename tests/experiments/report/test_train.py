"""The report page of training, from one small GAN and from folders written by hand."""

import base64
import io
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from flax import nnx
from html_page import Page

from experiments.cli import main
from experiments.commands.train import write_training_page
from experiments.report.curves import GAN_CURVES
from experiments.report.train import render_training
from experiments.stages.trained import read_training
from features.storage import write_json
from wavegan import Generator, TrainConfig, WaveGANConfig, train
from wavegan.previews import Previews, preview_steps, read_previews
from wavegan.quality import Quality
from wavegan.run_folder import RunFolder

RATE = 4000
MINUS = "\N{MINUS SIGN}"
HOSTILE = "<script>alert(1)<!-- &\"'"  # a class: no slash is in its name
ERROR = "quality/kernel_distance_error"
DISTANCE = "quality/kernel_distance"


def rows(steps=60, *, every=5, inspect=20, distances=()) -> list[dict[str, float]]:
    """Rows as training logs them; ``distances`` at the inspections."""
    found = []
    for step in range(every, steps + 1, every):
        row = {"gan/step": step, "gan/critic_gap": 5.0 / step, "gan/penalty": 0.1}
        row |= {"gan/rms_real": 0.2, "gan/rms_fake": 0.1, "gan/steps_per_second": 2.0}
        if step % inspect == 0 and step // inspect <= len(distances):
            row |= {DISTANCE: distances[step // inspect - 1], ERROR: 0.02, "quality/nearest": 3.0}
        found.append(row)
    return found


def write_gan(
    folder: Path, metrics, *, provenance=None, checkpoints=(), previews=(), steps=60, classes=0,
    real=(),
) -> Path:  # fmt: skip
    """A GAN's run folder as `train` leaves it, with the previews of untrained generators."""
    config = WaveGANConfig(num_samples=128, dim=1, latent_dim=2, num_classes=classes)
    provenance = provenance or {"label": "a"}
    write_json(
        folder / "config.json",
        {
            "wavegan": {"num_samples": 128, "num_classes": classes, "channels": 1},
            "train": {"steps": steps, "keep_best": DISTANCE},
            "provenance": {"seed": 0, "sample_rate": RATE, "tracks": {"t0": "h"}} | provenance,
        },
    )
    for row in metrics:
        RunFolder(folder).append_metrics(row)
    for step in checkpoints:
        write_json(folder / "checkpoints" / f"{step}.json", {"step": step})
    inspect = Previews(folder / "previews", sample_rate=RATE, count=2, real=real)
    for step in previews:
        inspect(step, Generator(config, rngs=nnx.Rngs(step)))
    return folder


def write_run(run: Path, labels, **options) -> Path:
    """A finished `wavegan train` run of one GAN a label."""
    for label, seed in labels:
        provenance = {"label": label, "seed": seed}
        write_gan(run / "stages" / f"gan-{len(label)}-{seed}", provenance=provenance, **options)
    write_json(run / "gans.json", [f"gan-{len(label)}-{seed}" for label, seed in labels])
    return run


def page_of(run: Path) -> str:
    return render_training(read_training(run))


def cells(page: str) -> list[str]:
    return [re.sub("<[^>]*>", " ", cell).strip() for cell in re.findall("<td>(.*?)</td>", page)]


def sounds(page: str) -> list[np.ndarray]:
    encoded = re.findall('src="data:audio/flac;base64,([^"]*)"', page)
    return [sf.read(io.BytesIO(base64.b64decode(text)), always_2d=True)[0] for text in encoded]


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """The folder of a GAN that was really trained, with both inspectors."""
    noise = np.random.default_rng(0).uniform(-0.4, 0.4, (8, 300, 1))
    audio = (0.4 + noise).astype(np.float32)
    folder = tmp_path_factory.mktemp("trained") / "gan"
    settings = TrainConfig(
        batch_size=4, steps=6, critic_steps=1, log_every=1, inspect_every=2, checkpoint_every=2
    )
    train(
        audio,
        WaveGANConfig(num_samples=128, dim=1, latent_dim=4),
        settings,
        run_dir=folder,
        provenance={"label": "noise", "seed": 0, "sample_rate": RATE, "tracks": {"n.0": "h"}},
        inspect=[
            Previews(folder / "previews", sample_rate=RATE, count=3, real=audio[:2]),
            Quality(audio, sample_rate=RATE, num_samples=128, count=32),
        ],
    )
    return folder


def test_the_page_of_a_trained_gan_says_what_its_folder_says(trained):
    page = page_of(trained)
    parsed = Page(page)
    assert "A WaveGAN of noise: training has ended without a good generator." in parsed.lines
    assert "Its clips are far from real ones even at step" in parsed.lines  # after six steps
    for words in ("tracks heard", "Listen", "Quality", "Curves",
                  "Which checkpoint", "n.0"):  # fmt: skip
        assert words in parsed.lines
    reading = parsed.lines.split("How to read the curves")[-1]
    assert all(curve.title in reading for curve in GAN_CURVES)
    metrics = RunFolder(trained).read_metrics()
    best = min((row for row in metrics if DISTANCE in row), key=lambda row: row[DISTANCE])
    found = re.search(rf"([{MINUS}\d.]+) ± ([\d.]+)\s+step (\d+)", cells(page)[0])
    assert float(found[1].replace(MINUS, "-")) == pytest.approx(best[DISTANCE], abs=best[ERROR] / 9)
    assert float(found[2]) == pytest.approx(best[ERROR], rel=0.05)
    assert int(found[3]) == best["gan/step"] == RunFolder(trained).best_step()
    assert f"generate {trained} --step {int(best['gan/step'])} --count 100" in parsed.lines


def test_previews_and_real_clips_are_heard(trained):
    page = page_of(trained)
    real, _, _ = read_previews(trained / "previews", None)
    steps = preview_steps(trained / "previews")
    assert steps == [2, 4, 6]
    made = [read_previews(trained / "previews", step)[0] for step in steps]
    expected = [*real, *(clips[latent] for latent in range(3) for clips in made)]
    found = sounds(page)
    assert len(found) == len(Page(page).all("img")) == 2 + 3 * 3
    for sound, clip in zip(found, expected, strict=True):
        np.testing.assert_array_equal(sound, clip)


def test_the_commands_of_the_page_work(trained, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (block,) = re.findall("<pre><code>(.*?)</code></pre>", page_of(trained), re.DOTALL)
    generate, interpolate, export = block.splitlines()
    assert main([*generate.split()[1:-1], "2", "--out", "made"]) == 0
    assert main([*interpolate.split()[1:], "--steps", "2", "--out", "line"]) == 0
    assert main(export.split()[1:]) == 0
    assert (tmp_path / "generator.safetensors").exists()


def test_the_page_needs_nothing_else_and_is_accessible(trained):
    page = page_of(trained)
    assert re.findall(r"https?:|//[a-z]+\.|@import|url\((?!#)", page) == []
    parsed = Page(page)
    ids = [a["id"] for _, a in parsed.elements if "id" in a]
    assert len(ids) == len(set(ids))
    assert {a["href"][1:] for a in parsed.all("a")} <= set(ids)
    assert all(image["alt"] for image in parsed.all("img"))
    assert all(button.get("aria-label") for button in parsed.all("button"))
    assert [a for a in parsed.all("svg") if not (a.get("aria-label") or "aria-hidden" in a)] == []
    assert page == page_of(trained)


def test_several_gans_have_an_overview_and_a_section_each(tmp_path):
    run = write_run(
        tmp_path / "run", [("a", 0), ("bb", 0)],
        metrics=rows(distances=[0.5, 0.2, 0.3]), checkpoints=(20, 40, 60), previews=(20, 60),
    )  # fmt: skip
    write_json(run / "config.json", {"data": {"root": "music", "split": "track"}})
    page = page_of(run)
    parsed = Page(page)
    assert "2 WaveGANs, trained." in parsed.lines
    links = re.findall('<a href="[^"]*">([^<]*)</a>', page)
    assert links[:3] == ["Overview", "GAN of a", "GAN of bb"]
    assert cells(page)[:3] == ["60 of 60", "0.200 ± 0.020 step 40", ""]
    assert f"wavegan generate {run} --genre bb --step 40 --count 100" in parsed.lines
    assert "music" in parsed.lines
    assert "\n1 min 00 s\n" in parsed.lines  # twice 60 steps at 2 a second


def test_seeds_are_told_apart(tmp_path):
    run = write_run(tmp_path / "run", [("a", 0), ("a", 1)], metrics=rows(), checkpoints=(60,))
    text = Page(page_of(run)).lines
    assert "GAN of a, seed 1" in text
    # `--genre a` would name two.
    assert f"wavegan generate {run}/stages/gan-1-1 --step 60 --count 100" in text


def test_a_conditional_gan_plays_every_class(tmp_path):
    real = np.zeros((3, 128, 1), np.float32)
    folder = write_gan(
        tmp_path / "gan", rows(), provenance={"labels": ["one", HOSTILE, "three"]}, classes=3,
        real=real,
        checkpoints=(60,), previews=(20, 40),
    )  # fmt: skip
    page = page_of(folder)
    text = Page(page).lines
    assert "One WaveGAN of 3 classes, trained." in text
    assert [line for line in text.splitlines() if line.startswith("Latent ")] == [
        "Latent 1: one", f"Latent 2: {HOSTILE}", "Latent 3: three"
    ]  # fmt: skip
    assert len(sounds(page)) == 3 + 3 * 2
    assert "Play all\none\n" in text  # what the first real clip is of
    assert f"interpolate {folder} --genre one" in text


@pytest.mark.parametrize("checkpoints", [(), (20,)])
def test_a_run_still_in_training_shows_what_is_there(tmp_path, checkpoints):
    run = tmp_path / "run"
    write_gan(run / "stages/gan-a-0-1", rows(), checkpoints=(60,))
    write_gan(
        run / "stages/gan-b-0-2.part", rows(25), provenance={"label": "b"}, checkpoints=checkpoints
    )
    write_gan(run / "stages/gan-c-0-3.part", [], provenance={"label": "c"})
    text = Page(page_of(run)).lines
    assert "3 WaveGANs, still in training." in text
    assert "0 to 60" in text  # steps
    assert ("There is none yet" in text.split("GAN of b")[-1].split("GAN of c")[0]) != bool(
        checkpoints
    )
    assert "No metric was measured" in text


def test_metrics_say_when_more_training_does_not_help(tmp_path):
    metrics = rows(140, distances=[0.5, 0.2, *[0.21] * 5])  # the patience is 5 inspections
    folder = write_gan(tmp_path / "a", metrics, checkpoints=(140,))
    text = Page(page_of(folder)).lines
    assert "By kernel distance, training no longer helped after step 40." in text
    assert "step 40, the best by kernel distance, has no checkpoint" in text
    write_json(folder / "checkpoints/40.json", {})
    text = Page(page_of(folder)).lines
    assert "Take step 40, the best by kernel distance: 0.200 ± 0.020." in text
    assert "step 140, is as good within the error" in text
    metrics[-2]["quality/enough_since"] = 40  # what a row says that later ones belie
    metrics[-1][DISTANCE] = 0.1
    text = Page(page_of(write_gan(tmp_path / "b", metrics, checkpoints=(140,)))).text
    assert "further training may still help" in text
    assert "as good within" not in text


@pytest.mark.parametrize(
    ("changed", "doubt"),
    [
        ({}, ""),
        ({"gan/rms_fake": 0.0003}, "nearly silent at step 140: rms 0.0003 against 0.2"),
        ({f"{DISTANCE}_floor": 0.01}, "far from real ones even at step 40"),
    ],
)
def test_a_run_that_ended_early_on_a_good_generator_is_finished(tmp_path, changed, doubt):
    metrics = [row | changed for row in rows(140, distances=[0.5, 0.2, *[0.21] * 5])]
    folder = write_gan(tmp_path / "a", metrics, steps=1000)
    config = RunFolder(folder).read_config()
    for stopping in (False, True):
        config["train"]["stop_when_done"] = stopping
        write_json(folder / "config.json", config)
        trained = read_training(folder).gans[0].run
        assert (trained.standing.enough_since, trained.best) == (40, 40)
        assert trained.finished == (stopping and not doubt)
        assert doubt in trained.standing.doubt
        assert bool(trained.standing.doubt) == bool(doubt)
    headline = Page(page_of(folder)).lines.split("tracks heard")[0]
    assert doubt[1:] in headline
    assert ("still in training" in headline) == bool(doubt)
    assert ("trained." in headline) == (not doubt)


def test_a_metric_that_no_table_knows_is_shown_by_its_name(tmp_path):
    metrics = [row | {"quality/my_own": 7.25, "gan/extra": 1.0} for row in rows(distances=[0.5])]
    page = page_of(write_gan(tmp_path / "a", metrics))
    assert "7.25 step 60" in [" ".join(cell.split()) for cell in cells(page)]
    text = Page(page).lines
    assert text.count("quality/my_own") == 2  # in the table, and above its picture
    assert "gan/extra" in text


def test_long_runs_show_few_steps_with_the_best_among_them(tmp_path):
    metrics = rows(400, distances=[0.5] * 13 + [0.1] + [0.5] * 6)  # the best is step 280
    folder = write_gan(tmp_path / "a", metrics, steps=400, previews=range(20, 401, 20))
    text = Page(page_of(folder)).lines
    shown = [int(x) for x in re.findall(r"^step (\d+)(?:, best)?$", text, re.MULTILINE)][:8]
    assert (shown[0], shown[-1]) == (20, 400)
    assert sorted(set(shown)) == shown
    assert "step 280, best" in text


def test_hostile_names_stay_text(tmp_path):
    run = write_run(
        tmp_path / "run", [(HOSTILE, 0), ("b", 0)], metrics=rows(), checkpoints=(60,),
        previews=(20,),
    )  # fmt: skip
    parsed = Page(page_of(run))
    assert len(parsed.all("script")) == 1
    assert f"GAN of {HOSTILE}" in parsed.lines
    assert "--genre '<script>" in parsed.lines  # quoted for the shell


def test_what_is_no_run_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no such folder"):
        page_of(tmp_path / "nothing")
    with pytest.raises(ValueError, match="holds no finished GAN"):
        page_of(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ValueError, match="damaged"):
        page_of(tmp_path)


def test_report_writes_the_page_anew(trained, tmp_path, capsys):
    folder = Path(shutil.copytree(trained, tmp_path / "gan"))
    assert main(["report", str(folder)]) == 0
    page = folder / "report.html"
    assert capsys.readouterr().out.strip() == str(page)
    before = page.read_text(encoding="utf-8")
    RunFolder(folder).append_metrics({"gan/step": 7, "gan/critic_gap": 1.0})
    assert write_training_page(folder).read_text(encoding="utf-8") != before
    write_json(tmp_path / "comparison/config.json", {"command": "compare"})
    assert main(["report", str(tmp_path / "comparison")]) == 2
    assert "wavegan compare" in capsys.readouterr().err
    (tmp_path / "comparison/report.html").write_text("as it is")
    assert main(["report", str(tmp_path / "comparison")]) == 0
    assert (tmp_path / "comparison/report.html").read_text() == "as it is"


def test_ten_gans_of_noise_stay_below_12_mb(tmp_path):
    noise = np.random.default_rng(0).uniform(-1, 1, (4, 16384, 1)).astype(np.float32)
    run = tmp_path / "run"
    write_run(run, [("x" * i, 0) for i in range(1, 11)], metrics=rows(), checkpoints=(60,))
    first = run / "stages/gan-1-0/previews"
    inspect = Previews(first, sample_rate=22050)
    for step in range(20, 221, 20):
        inspect._write(f"step-{step:08d}", noise)
    write_json(first / "previews.json", {"seed": 0, "num_samples": 16384, "labels": None})
    for i in range(2, 11):
        shutil.copytree(first, run / f"stages/gan-{i}-0/previews")
    assert json.loads((run / "gans.json").read_text())[9] == "gan-10-0"
    assert len(page_of(run)) < 12e6


@pytest.mark.parametrize(
    ("judges", "said"),
    [
        ({"v1": "h1", "v2": "h2"}, "Compared with 2 validation tracks, which the GAN did not hear"),
        ({}, "Compared with what the GAN was trained on, which favours a GAN that memorises it"),
    ],
)
def test_the_page_says_by_what_a_gan_is_judged(tmp_path, judges, said):
    about = {"label": "a"} | ({"judged_by": judges} if judges else {})
    gan = write_gan(tmp_path / "gan", rows(distances=[2.0, 1.0]), provenance=about)
    text = Page(render_training(read_training(gan))).text
    assert said in " ".join(text.split())
    assert ("judged by" in text) == bool(judges)


def test_axe_finds_nothing(trained, faults_of):
    assert faults_of(page_of(trained)) == []
