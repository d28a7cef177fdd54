"""The report page, made from a comparison that never ran."""

import copy
import re

import numpy as np
import pytest
from html_page import Page, check_page

from experiments.report.compare import render_report
from experiments.report.tables import comparison_latex, comparison_markdown

GENRES = ("blues", "classical", "country", "disco", "hip-hop", "jazz", "metal", "pop", "reggae")


def fake_results(labels=GENRES, *, arms=None, runs=3, clips_each=14) -> dict:
    """What a comparison writes, with numbers drawn at random."""
    rng = np.random.default_rng(7)
    arms = arms or {"real": 0.52, "real+oversampled": 0.53, "real+synthetic": 0.55}
    ids = {side: [f"{x}.{i:05}" for x in labels for i in range(n)]
           for side, n in (("train", 5), ("valid", 1), ("test", 2))}  # fmt: skip

    def run(seed: int, level: float) -> dict:
        confusion = np.stack(
            [
                rng.multinomial(clips_each, np.full(len(labels), (1 - level) / len(labels))
                                + level * (np.arange(len(labels)) == i))
                for i in range(len(labels))
            ]
        )  # fmt: skip
        steps = np.arange(10, 410, 10)
        valid = 1.2 + np.exp(-steps / 60) + (steps / 700) ** 2 + rng.normal(0, 0.04, len(steps))
        accuracy = float(np.trace(confusion) / confusion.sum())
        return {
            "classifier_seed": seed,
            "gan_seed": seed % 3,
            "steps": 400,
            "best_step": int(steps[valid.argmin()]),
            "accuracy": accuracy,
            "track_accuracy": round(2 * len(labels) * (accuracy + 0.05)) / (2 * len(labels)),
            "macro_f1": accuracy - 0.02,
            "confusion": confusion.tolist(),
            "track_confusion": confusion.tolist(),
            "history": {
                "steps": steps.tolist(),
                "train_loss": (2.2 * np.exp(-steps / 150) + 0.05 * rng.random(40)).tolist(),
                "valid_loss": valid.tolist(),
                "train_accuracy": (1 - 0.9 * np.exp(-steps / 120)).tolist(),
                "valid_accuracy": (level * (1 - np.exp(-steps / 60))).tolist(),
            },
        }

    def difference(mean: float, width: float, **names) -> dict:
        return {
            **names, "mean": mean, "ci95": [mean - width, mean + width * 1.1],
            "verdict": "benefit" if mean > width else "harm" if mean < -1.1 * width
            else "undecided",
        }  # fmt: skip

    pairs = [(arm, "real") for arm in arms if arm != "real"]
    pairs.append(("real+synthetic", "real+oversampled"))
    return {
        "recipe": "net6",
        "version": "0.1.0",
        "command": "wavegan compare --recipe net6 --data music --seeds 3",
        "data": {
            "name": "music",
            "labels": list(labels),
            "tracks": 8 * len(labels),
            "clips": {"train": 560, "valid": 80, "test": clips_each * len(labels)},
            "sample_rate": 22050,
            "num_samples": 16384,
            "hash": "8c2f61",
            "quarantined": [{"track": "jazz.00054", "reason": "truncated: 3 of 30 s"}],
            "skipped": ["pop.00037"],
        },
        "split": {"by": "track", "leaks": False, "seed": 0, "fractions": [0.6, 0.15, 0.25], **ids},
        "gan": {"loss": "wgan-gp", "dim": 16, "steps": 600, "seeds": 3, "synthetic": 560},
        "arms": {name: {"generated": "synthetic" in name,
                        "runs": [run(i, level) for i in range(runs)]}
                 for name, level in arms.items()},
        "differences": [
            difference(rng.normal(0.012, 0.02), width, arm=arm, against=against, metric=metric)
            | {"detectable": 1.4 * width,
               "primary": (arm, against, metric) == ("real+synthetic", "real", "track_accuracy")}
            for metric, width in (("track_accuracy", 0.046), ("accuracy", 0.03), ("macro_f1", 0.03))
            for arm, against in pairs
        ],
        "per_label": [
            difference(rng.normal(0, 0.05), 0.1, arm=arm, against=against, label=label)
            for arm, against in pairs
            for label in labels
        ],
        "environment": {"hardware": "2 cores", "versions": {"jax": "0.10.2"}, "seconds": 1234.5},
    }  # fmt: skip


def fake_clips(labels=GENRES, *, count=12, length=16384, channels=1) -> dict:
    """Chords for the real clips, the same beneath noise for the generated."""
    rng = np.random.default_rng(1)
    time = np.arange(length)[:, None] / 22050
    clips = {}
    for i, label in enumerate(labels):
        pitches = 110 * 2 ** (rng.integers(0, 24, (count, 1, 1, 4)) / 12)
        tones = np.sin(2 * np.pi * pitches * (1 + i) * time[..., None]).mean(-1)
        pulse = np.exp(-((time * (2 + i % 4)) % 1) * 4)
        real = np.repeat(0.8 * tones * pulse, channels, axis=-1).astype(np.float32)
        noise = rng.normal(0, 0.1, real.shape).astype(np.float32)
        clips[label] = {"real": real, "generated": np.clip(0.5 * real[::-1] + noise, -1, 1)}
    return clips


def fake_curves(labels=GENRES) -> dict:
    """A critic's gap that falls, with noise."""
    rng = np.random.default_rng(2)
    steps = np.arange(10, 610, 10)
    return {
        label: [
            {
                "gan/step": int(s),
                "gan/critic_gap": float(6 * np.exp(-s / 200) + 1 + rng.normal(0, 0.2)),
                "gan/penalty": float(0.1 + 0.05 * rng.random()),
                "gan/rms_real": float(0.2 + 0.02 * rng.normal()),
                "gan/rms_fake": float(0.2 * (1 - np.exp(-s / 100))),
            }
            for s in steps
        ]
        for label in labels
    }


def render(results=None, *, labels=("blues", "jazz"), **clip_options) -> str:
    return render_report(
        results or fake_results(labels),
        clips=fake_clips(labels, **{"count": 2, "length": 4096} | clip_options),
        gan_curves=fake_curves(labels),
    )


@pytest.fixture(scope="module")
def page() -> str:
    return render()


def test_the_page_holds_all_that_the_issue_asks_for(page):
    parsed = Page(page)
    for part in ("The arms", "Differences between arms", "Genre by genre",
                 "Confusion matrices", "How the classifiers trained",
                 "How the GANs trained", "Listen"):  # fmt: skip
        assert part in parsed.text
    assert len(parsed.all("audio")) == len(parsed.all("img")) == 2 * 2 * 2
    assert all(image["alt"] for image in parsed.all("img"))
    assert all(button.get("aria-label") for button in parsed.all("button"))
    assert [a for a in parsed.all("svg") if not (a.get("aria-label") or "aria-hidden" in a)] == []
    assert sum(a.get("class") == "curves" for a in parsed.all("svg")) == 3 * 2 + 2 * 3
    links = {a["href"][1:] for a in parsed.all("a")}
    assert links == {a["id"] for _, a in parsed.elements if a.get("id") in links}


def test_nothing_is_loaded_from_elsewhere(page):
    assert re.findall(r"https?:|//[a-z]+\.|@import|url\((?!#)", page) == []
    for _, attributes in Page(page).elements:
        for name in ("src", "href", "xlink:href", "srcset", "poster", "data"):
            assert attributes.get(name, "#").startswith(("#", "data:")), attributes


def test_inner_ids_are_unique(page):
    ids = [a["id"] for _, a in Page(page).elements if "id" in a]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize(
    ("mean", "verdict", "words"),
    [
        (0.012, "undecided", "No evidence that the GAN's clips helped: track "
         "accuracy changed by +1.2 points (95 % interval \N{MINUS SIGN}3.4 to +5.8)."),
        (0.05, "benefit", "The GAN's clips helped: track accuracy changed by +5.0 points"),
        (-0.06, "harm", "The GAN's clips did harm: track accuracy changed by \N{MINUS SIGN}6.0"),
        (0.001, "equivalent", "The GAN's clips made no difference that matters (2 points): track"),
    ],
)  # fmt: skip
def test_the_verdict_is_a_sentence(mean, verdict, words):
    results = fake_results(("a", "b"))
    results["gan"]["seeds"] = 5
    results["arms"]["real+synthetic"]["subject"] = "the GAN's clips"
    for d in results["differences"]:
        if (d["arm"], d["against"], d["metric"]) == ("real+synthetic", "real", "track_accuracy"):
            d.update(mean=mean, ci95=[mean - 0.046, mean + 0.046], verdict=verdict)
        else:
            d.update(verdict="benefit", mean=0.9)
    assert words in Page(render_report(results, clips={}, gan_curves={})).text


def test_a_verdict_says_for_what_alone_it_holds():
    results = fake_results(("a", "b"))
    results["arms"]["real+synthetic"]["subject"] = "the GAN's clips"
    results["gan"]["seeds"] = 1
    results["split"]["test_groups"] = 3
    text = Page(render_report(results, clips={}, gan_curves={})).text
    assert "helped, for this GAN and for these 3 artists or speakers: track accuracy" in text
    results["gan"]["seeds"], results["split"]["test_groups"] = 3, 6
    text = Page(render_report(results, clips={}, gan_curves={})).text
    assert "for this GAN" not in text
    assert "helped, for these 3 GANs: track accuracy" in text
    results["split"]["folds"] = 2  # six GANs
    assert "for these" not in Page(render_report(results, clips={}, gan_curves={})).text
    results["split"]["folds"], results["gan"]["seeds"] = 1, 5
    assert "for these" not in Page(render_report(results, clips={}, gan_curves={})).text


def test_what_would_have_shown_is_said_of_several_runs_alone():
    of_three, of_one = (render(fake_results(("a", "b"), runs=runs)) for runs in (3, 1))
    for said, there in (("four of five such tests", (1, 0)), ("Each arm ran once", (0, 1))):
        assert tuple(page.count(said) for page in (of_three, of_one)) == there


def test_a_positive_control_is_said_to_be_judged_by_itself():
    results = fake_results(("a", "b"))
    plain = Page(render_report(results, clips={}, gan_curves={})).text
    assert "positive control" not in plain
    assert "further real clips help" not in plain
    results["differences"][0].update(arm="real+oracle", positive_control=True)
    wrong = "that further real clips help did not show (real+oracle: undecided)"
    results["controls"] = [{"arm": "real+oracle", "against": "real", "wrong": wrong}]
    text = " ".join(Page(render_report(results, clips={}, gan_curves={})).text.split())
    assert "that further real clips help (real+oracle) at another, all other differences" in text
    assert "against real, positive control" in text
    assert "That further real clips help did not show (real+oracle: undecided)." in text
    results["differences"][0].update(primary=False)
    for d in results["differences"]:
        d["primary"] = False
    text = " ".join(Page(render_report(results, clips={}, gan_curves={})).text.split())
    assert "That further real clips help did not show (real+oracle: undecided)." in text


def test_classes_that_are_claimed_are_named():
    results = fake_results(("a", "b"))
    for d in results["per_label"]:
        d["verdict"] = "undecided"
    assert "(Holm): none." in Page(render_report(results, clips={}, gan_curves={})).text
    results["per_label"][1].update(verdict="harm", mean=-0.25)
    found = results["per_label"][1]
    words = f"(Holm): {found['label']} ({found['arm']} against {found['against']}, "
    text = Page(render_report(results, clips={}, gan_curves={})).text
    assert f"{words}\N{MINUS SIGN}25.0)." in text
    assert "nothing is claimed" not in text
    results["per_label"][0].update(verdict="too few tracks", label="blues")
    text = Page(render_report(results, clips={}, gan_curves={})).text
    assert "Nothing is claimed of blues: fewer than six test tracks" in text


def test_failed_arms_are_shown_and_leave_no_verdict():
    results = fake_results(("a", "b"))
    results["arms"]["real+synthetic"] = {"runs": [], "error": "the generator is silent at step 40"}
    results["differences"] = [d for d in results["differences"] if "synthetic" not in d["arm"]]
    text = Page(render(results, labels=("a", "b"))).text
    assert "No verdict: no run finished in real+synthetic." in text
    # picture, table, Markdown, LaTeX
    assert text.count("failed: the generator is silent at step 40") == 4


def test_each_arm_has_its_cost():
    results = fake_results(("a", "b"))
    for name, added, seconds in (("real", 0, 10), ("real+synthetic", 280, 65)):
        for run in results["arms"][name]["runs"]:
            run |= {"train_clips": 560 + added, "seconds": seconds}
    results["gan"]["seconds"] = [100.0, 90.0, 110.0]
    parsed = Page(render_report(results, clips={}, gan_curves={}))
    assert ["real", "560", "400", "10.0 s", "30.0 s"] in parsed.rows
    assert ["real+synthetic", "840", "400", "1 min 05 s", "3 min 15 s"] in parsed.rows
    assert ["real+oversampled", "", "400", "", ""] in parsed.rows  # as older results have it
    assert "3 GANs took about 1 min 40 s of training each." in parsed.text
    results["config"] = {"at_once": 10}
    text = Page(render_report(results, clips={}, gan_curves={})).text
    assert "1 min 40 s of training each, 3 at once." in text
    results["gan"]["seconds"][1] = 0.0  # not known
    assert "of training each" not in Page(render_report(results, clips={}, gan_curves={})).text


def test_curves_of_a_study_and_its_gans_are_shown_where_there_are_any(page):
    for part in ("Ratio and shots", "Does quality tell what is gained?"):
        assert part not in page
    results = fake_results(("a", "b"))
    points = [{"x": x, "mean": 0.5 + 0.05 * x, "ci95": [0.4, 0.8]} for x in (0, 0.5, 1)]
    results["curves"] = [
        {"over": "ratio", "metric": "accuracy", "series": [{"name": "own", "points": points}]}
    ]
    gained = {"metric": "kernel_distance", "rank_correlation": -0.5, "note": "Few GANs.",
              "points": [{"gan": 3, "quality": 0.25, "gain": 0.02}]}  # fmt: skip
    results["quality_gain"] = gained
    parsed = check_page(render_report(results, clips={}, gan_curves={}))
    assert "own at 0.5: 52.5 (40 to 80)" in parsed.text
    assert "GAN 3: kernel distance 0.25, +2.0 points" in parsed.text
    assert "Rank correlation: \N{MINUS SIGN}0.5. Few GANs." in parsed.text
    results["quality_gain"] = {**gained, "rank_correlation": None}
    text = Page(render_report(results, clips={}, gan_curves={})).text
    assert "Rank correlation" not in text
    assert "Few GANs." in text


def test_tables_for_a_paper_can_be_copied():
    results = fake_results(("a", "b"), arms={"real": 0.5, "a|b_<i>": 0.5, "real+synthetic": 0.5})
    parsed = check_page(render_report(results, clips={}, gan_curves={}))
    assert comparison_markdown(results) in parsed.text
    assert comparison_latex(results) in parsed.text
    assert "runs.csv" in parsed.text


def test_a_row_tells_what_it_shows(page):
    labels = [a["aria-label"] for a in Page(page).all("svg", "interval")]
    told = next(label for label in labels if label.startswith("real+synthetic against real: "))
    assert re.fullmatch(
        r"real\+synthetic against real: .\d\.\d points, 95.% interval .* to .*, undecided", told
    )


def test_a_leaking_split_is_announced(page):
    assert "This split leaks" not in Page(page).text
    results = fake_results(("a", "b"))
    results["split"] |= {"leaks": True, "by": "chunk"}
    text = Page(render(results, labels=("a", "b"))).text
    assert text.index("This split leaks") < text.index("No evidence")


def test_hostile_names_stay_text():
    hostile = (
        '<script>alert("x")</script>',
        "\"'><img src=//evil.example onerror=x>",
        "$a_b^c$&amp;",
    )
    results = fake_results(hostile, arms={"real": 0.5, hostile[0]: 0.5, "real+synthetic": 0.5})
    for row in (results["data"], results["split"], results["gan"], results["environment"]):
        row[hostile[0]] = row["name"] = hostile[1]
    results |= {"recipe": hostile[0], "command": hostile[1]}
    results["arms"]["broken"] = {"runs": [], "error": hostile[0]}
    results["data"]["quarantined"][0] = {"track": hostile[0], "reason": hostile[1]}
    parsed = Page(render(results, labels=hostile))
    assert len(parsed.all("script")) == 1
    assert not any("onerror" in attributes for _, attributes in parsed.elements)
    assert all(name in parsed.text for name in hostile)


def test_the_same_arguments_give_the_same_page(page):
    assert render() == page


def test_arguments_are_left_alone():
    results = fake_results(("a", "b"))
    before = copy.deepcopy(results)
    render(results, labels=("a", "b"))
    assert results == before


@pytest.mark.parametrize(
    "results",
    [
        {},
        {"arms": {"real": {"runs": [{"accuracy": 0.5}]}, "broken": {}}},
        {"differences": [{"arm": "real+synthetic", "against": "real", "metric": "accuracy",
                          "mean": 0.0, "ci95": [0.0, 0.0]}]},
        {"data": {"labels": ["a"], "sample_rate": 8000}, "split": {"leaks": True}, "gan": {}},
    ],
)  # fmt: skip
def test_missing_parts_are_left_out(results):
    assert "part-0" in render_report(results, clips={}, gan_curves={"a": [{"gan/other": 1.0}]})


def test_values_that_are_not_there_leave_gaps():
    results = fake_results(("a", "b"), runs=1)
    results["arms"]["real"]["runs"][0]["history"]["valid_loss"][3] = None
    results["arms"]["real"]["runs"][0]["history"]["valid_loss"][4] = float("nan")
    Page(render(results, labels=("a", "b")))


def test_ten_genres_of_noise_stay_below_12_mb():
    labels = (*GENRES, "rock")
    rng = np.random.default_rng(0)
    clips = {
        label: {kind: rng.normal(0, 0.2, (12, 16384, 1)).clip(-1, 1).astype(np.float32)
                for kind in ("real", "generated")}
        for label in labels
    }  # fmt: skip
    arms = dict.fromkeys(("real", "real+synthetic", *"cdefghi"), 0.5)
    results = fake_results(labels, arms=arms, runs=15)
    assert len(render_report(results, clips=clips, gan_curves=fake_curves(labels))) < 12e6


# --- what it was held to -------------------------------------------------------------------------


def shown(results) -> Page:
    html = render_report(results, clips={}, gan_curves={})
    check_page(html)
    return Page(html)


def words(parsed: Page) -> str:
    return " ".join(parsed.text.split())


def test_shared_artists_are_said_in_a_banner():
    results = fake_results()
    results["split"]["shared_groups"] = []
    assert "none known on two sides" in words(shown(results))
    assert "on two sides." not in words(shown(results))
    results["split"]["shared_groups"] = ["Bach", "<b>Marley"]
    said = words(shown(results))
    assert "2 artists or speakers on two sides." in said
    assert "puts tracks of Bach, <b>Marley into training and into test" in said


def test_a_person_who_vouched_is_said_in_a_banner():
    results = fake_results()
    assert "A person vouched." not in words(shown(results))
    results["gan"]["vouched"] = ["theirs"]
    assert "A person vouched. Nothing says what the generator of theirs" in words(shown(results))


@pytest.mark.parametrize(
    ("budget", "said"),
    [
        ({"steps": 66, "needed": 22, "late": []},
         "66 steps for every arm, by the validation tracks; the first arm needs 22 steps"),
        ({"steps": 66, "needed": None, "late": ["real+noise"]},
         "66 steps for every arm, by hand; may have needed more: real+noise"),
    ],
)  # fmt: skip
def test_the_budget_is_said(budget, said):
    assert said in words(shown(fake_results() | {"budget": budget}))


def test_a_budget_is_by_no_hand_where_no_run_of_the_first_arm_finished():
    results = fake_results() | {"budget": {"steps": 66, "needed": None, "late": []}}
    results["arms"]["real"] |= {"runs": [], "error": "its loss overflowed"}
    said = words(shown(results))
    assert "66 steps for every arm; no run of real finished, which would tell what it needs" in said
    assert "by hand" not in said


def test_openings_and_readings_are_listed():
    reading = {"reading": "equal steps", "about": "all runs after 22", "mean": 0.012,
               "ci95": [-0.1, 0.2], "steps": {}}  # fmt: skip
    openings = [{"time": "2026-01-02T03:04:05+00:00", "trials": "x", "count": 9}]
    parsed = shown(fake_results() | {"readings": [reading], "openings": openings})
    assert "1 time: 2026-01-02T03:04:05+00:00" in words(parsed)
    minus = "\N{MINUS SIGN}"
    assert ["equal steps", "all runs after 22", "+1.2", f"{minus}10.0 to +20.0"] in parsed.rows
    assert "A claim needs all readings to point one way." in words(parsed)


def test_a_reading_that_was_not_made_stands_beside_those_that_were():
    reading = {"reading": "convergence", "about": "each run at its best", "mean": 0.012,
               "ci95": [-0.1, 0.2], "steps": {}}  # fmt: skip
    missing = [{"reading": "equal exposures", "because": "x would take 500 steps"}]
    parsed = shown(fake_results() | {"readings": [reading], "missing_readings": missing})
    assert ["equal exposures", "not made: x would take 500 steps", "", ""] in parsed.rows
    assert "all readings to point one way, of those that could be made." in words(parsed)


def test_the_headline_says_why_no_more_is_claimed_and_what_was_not_tried():
    results = fake_results()
    question = next(row for row in results["differences"] if row.get("primary"))
    question["verdict"] = "undecided"
    results["answer"] = {
        "verdict": "undecided",
        "because": ["against real+noise the interval does not lie above 0"],
        "untried": ["classical augmentation"],
    }
    said = words(shown(results))
    assert "Against real+noise the interval does not lie above 0." in said
    assert "No arm tried classical augmentation" in said
    question["verdict"] = "budget-limited"
    assert "Too few training steps to tell whether what real+synthetic" in words(shown(results))


def test_each_gan_is_shown_with_what_it_makes():
    results = fake_results()
    quality = {"labels": ["blues"], "seed": 1, "step": 300, "kernel_distance": 0.5,
               "kernel_distance_error": 0.1, "memorised": 0.01, "gan_test": 0.625}  # fmt: skip
    results["gan"]["quality"] = [quality]
    parsed = shown(results)
    assert ["GAN", "step", "kernel distance", "memorised", "GAN-test"] in parsed.rows
    assert ["blues, 1", "300", "0.50 ± 0.10", "1.0 %", "62.5 %"] in parsed.rows


def test_axe_finds_nothing(page, faults_of):
    assert faults_of(page) == []
