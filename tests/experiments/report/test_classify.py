"""The page of a classifier, made from results that no classifier gave."""

import copy

import numpy as np
import pytest
from classify_results import GENRES, fake_classification
from html_page import HOSTILE, check_page

from experiments.report.classify import render_classification
from experiments.report.formats import MINUS

ALARM = "The chunk split leaks: this figure is too high."


@pytest.fixture(scope="module")
def results() -> dict:
    return fake_classification(("blues", "hip-hop", "jazz"))


@pytest.fixture(scope="module")
def page(results):
    return check_page(render_classification(results))


def words(html: str) -> str:
    """The text of a page in one line."""
    return " ".join(check_page(html).text.split())


def changed(**splits) -> dict:
    """Results of two labels and one seed whose first runs have these numbers."""
    found = fake_classification(("a", "b"), seeds=1, levels=dict.fromkeys(splits, 0.5))
    for name, numbers in splits.items():
        found["splits"][name]["runs"][0] |= numbers
    return found


def test_the_headline_says_what_came_out_of_the_split_that_holds(results, page):
    found = [run["track_accuracy"] for run in results["splits"]["track"]["runs"]]
    share = f"{100 * np.mean(found):.1f} %"
    assert f"{share} of test tracks right (3 seeds), chance 33.3 %." in page.text
    assert "Published: 79.54 %. Chunks of a track on both sides; compare it with" in page.text


def test_the_headline_is_of_clips_where_all_leaks():
    text = check_page(render_classification(changed(chunk={"accuracy": 0.75}))).text
    assert "75.0 % of test clips right (1 seed), chance 50 %." in text
    assert "run it again with --split track" in text
    assert text.index(ALARM) < text.index("75.0 % of test clips")


def test_a_leak_is_announced_loudly_and_only_where_there_is_one(page):
    assert len(page.all("div", "alarm")) == 1
    assert page.text.index("of test tracks right") < page.text.index(ALARM)  # of the other split
    assert "Quote the track split instead." in page.text
    whole = check_page(render_classification(fake_classification(("a", "b"), clips=1, seeds=1)))
    held = check_page(render_classification(changed(track={})))
    assert whole.all("div", "alarm") == held.all("div", "alarm") == []
    assert "A clip is a whole track here" in whole.text
    assert "leak" not in whole.text.split("A clip is a whole track")[0].split("Accuracy")[0]


def test_the_interval_is_of_the_test_tracks():
    text = check_page(render_classification(changed(track={"track_accuracy": 0.5}))).text
    # Wilson's interval for 2 of 4, by hand: 0.5 ± 1.96 sqrt(1/16 + 3.84/64) / (1 + 3.84/4)
    assert "With 4 test tracks in each run, the true accuracy lies between 15 and 85 %" in text


def test_what_the_leak_is_worth_is_a_difference_of_clip_accuracies():
    found = changed(track={"accuracy": 0.25}, chunk={"accuracy": 0.625})
    assert (
        "+37.5points of clip accuracy that the leak adds"
        in check_page(render_classification(found)).text
    )


def test_every_run_has_a_row_and_every_split_its_mean(results, page):
    start = next(i for i, row in enumerate(page.rows) if row[:2] == ["split", "seed"])
    rows = page.rows[start + 1 : start + 9]
    assert [row[:2] for row in rows] == [
        [f"{split} split", seed] for split in ("track", "chunk") for seed in (*"012", "mean ± sd")
    ]
    run = results["splits"]["track"]["runs"][1]
    assert rows[1] == [
        "track split", "1", f"{100 * run['track_accuracy']:.1f} %",
        f"{100 * run['accuracy']:.1f} %", f"{100 * run['macro_f1']:.1f} %",
        "1.32", str(run["best_step"]), "400stopped early", "61",
    ]  # fmt: skip
    scores = [run["accuracy"] for run in results["splits"]["chunk"]["runs"]]
    mean = f"{100 * np.mean(scores):.1f} ± {100 * np.std(scores, ddof=1):.1f} %"
    assert rows[7][3] == mean
    assert rows[7][5] == "1.32 ± 0.12"  # 1.2, 1.325 and 1.45


def test_confusions_are_sums_over_the_seeds(results, page):
    starts = [i for i, row in enumerate(page.rows) if row == ["", "blues", "hip-hop", "jazz"]]
    assert len(starts) == 3  # tracks and clips, and of the leaking split clips alone
    for start, (split, key) in zip(
        starts,
        [("track", "track_confusion"), ("track", "confusion"), ("chunk", "confusion")],
        strict=True,
    ):
        total = np.sum([run[key] for run in results["splits"][split]["runs"]], 0)
        shown = [[int(cell or 0) for cell in row[1:]] for row in page.rows[start + 1 : start + 4]]
        assert shown == total.tolist()


def test_tracks_are_listed_with_the_surest_mistakes_first(results, page):
    heads = [i for i, row in enumerate(page.rows) if row[0] == "track"]
    assert len(heads) == 2
    rows = page.rows[heads[0] + 1 : heads[0] + 1 + 3 * 6]
    wrong = [row for row in rows if row[4] == "wrong"]
    expected = [
        (track["confidence"], track["track"])
        for run in results["splits"]["track"]["runs"]
        for track in run["tracks"]
        if not track["correct"]
    ]
    assert rows[: len(wrong)] == wrong
    assert {row[0] for row in wrong} == {name for _, name in expected}
    assert wrong[0][0] in {name for sure, name in expected if sure == max(expected)[0]}
    assert all(row[1] != row[2] for row in wrong)
    assert f"track split: {len(expected)} of 18 answers wrong" in page.text


def test_curves_mark_the_best_step_and_altered_clips_can_be_heard(results):
    audio = np.full((800, 1), 0.1, np.float32)
    html = render_classification(results, heard={"jazz": {"as it is": audio, "noise": -audio}})
    assert html.count('class="curves"') == 4
    assert "Loss of track split over training steps" in html
    page = check_page(html)
    assert "dot is the step whose weights were kept" in page.text
    assert page.text.index("each alteration alone") > page.text.index("How it trained")
    assert [a["aria-label"] for a in page.all("audio")] == ["jazz, as it is", "jazz, noise"]


def test_labels_are_genres_where_they_are_music():
    digits = words(render_classification(fake_classification(("one", "two"), seeds=1)))
    assert "recognising tracks, not classes" in digits
    assert "the true class" in digits
    assert "genre" not in digits
    music = words(render_classification(fake_classification(("blues", "Hip-Hop"), seeds=1)))
    assert "recognising tracks, not genres" in music
    assert "the true genre" in music


def test_how_it_was_made_is_there(page):
    for part in ("wavegan classify --recipe net5 --data music --seeds 3", "jazz.00054",
                 "truncated: 3 of 30 s", "pop.00037", "track split, seed 2", "train: 15 tracks",
                 "blues.00020, blues.00021", "batch_size 64", "fractions", "2 cores"):  # fmt: skip
        assert part in page.text


def test_hostile_names_stay_text():
    found = fake_classification(HOSTILE, recipe=HOSTILE[0], seeds=1)
    found["data"] |= {"name": HOSTILE[1], "quarantined": [{"track": HOSTILE[0], "reason": "x"}]}
    found |= {"command": HOSTILE[1], "config": {HOSTILE[0]: HOSTILE[1], "b": {HOSTILE[0]: 1}}}
    found["published"]["note"] = HOSTILE[0]
    found["splits"][HOSTILE[1]] = {"leaks": True, "runs": [], "error": HOSTILE[0]}
    found["splits"]["track"]["runs"][0]["tracks"][0]["track"] = HOSTILE[1]
    page = check_page(render_classification(found))
    assert page.all("img") == []
    assert all(name in page.text for name in HOSTILE)


@pytest.mark.parametrize(
    ("found", "words"),
    [
        ({}, "No run finished."),
        ({"splits": {"track": {"leaks": False, "runs": [], "error": "it diverged"}}},
         "No run finished: it diverged."),
        ({"splits": {"track": {"runs": [{"accuracy": 0.5}]}}}, "An unknown share of test tracks"),
        ({"splits": {"track": {"runs": [{"track_accuracy": 0.5}]}}}, "50.0 % of test tracks right"),
        ({"published": {"accuracy": None, "note": "none; a demo"}, "data": {"labels": ["a"]}},
         "Published: none. A demo."),
        ({"published": {"accuracy": None, "note": "none"}}, "Published: none."),
        ({"published": {"accuracy": 0.5, "note": "50 epochs."}}, "Published: 50.00 %. 50 epochs."),
    ],
)  # fmt: skip
def test_what_is_missing_is_left_out(found, words):
    assert words in check_page(render_classification(found)).text


def test_a_failed_split_stays_beside_one_that_ran():
    found = changed(track={"track_accuracy": 0.5})
    failed = {"runs": [], "error": "loss is nan at step 3"}
    found["splits"]["chunk"] = failed | {"leaks": True}
    page = check_page(render_classification(found))
    assert "50.0 % of test tracks right" in page.text
    assert ["chunk splitfailed: loss is nan at step 3", *[""] * 8] in page.rows


def test_a_figure_is_not_passed_off_as_sound_where_the_sound_split_failed():
    found = changed(chunk={"accuracy": 0.75})
    found["splits"]["track"] = {"leaks": False, "runs": [], "error": "too few tracks"}
    text = check_page(render_classification(found)).text
    assert "75.0 % of test clips right" in text
    assert "run it again with --split track" in text
    assert text.index(ALARM) < text.index("75.0 % of test clips")


def test_the_same_results_give_the_same_page_and_stay_as_they_are(results):
    before = copy.deepcopy(results)
    assert render_classification(results) == render_classification(results)
    assert results == before


def test_a_full_data_set_stays_small():
    found = fake_classification(GENRES, levels={"track": 0.3, "chunk": 0.5, "gtzan-filtered": 0.3})
    for split in found["splits"].values():
        for run in split["runs"]:
            run["tracks"] *= 15  # some 290 test tracks
    assert len(render_classification(found)) < 1_500_000


def test_axe_finds_nothing(results, faults_of):
    assert faults_of(render_classification(results)) == []


def test_altered_clips_stand_beside_the_clips_as_they_are():
    """Of a split that leaks by clip alone; means over seeds, and what they differ by."""
    found = fake_classification(("a", "b"), seeds=2)
    assert "altered recordings" not in check_page(render_classification(found)).text
    for name, split in found["splits"].items():
        for seed, run in enumerate(split["runs"]):
            run |= {"accuracy": 0.75, "track_accuracy": 0.5 + 0.5 * seed}
            half = {"accuracy": 0.5, "track_accuracy": 0.25}
            run["robustness"] = {"quieter": half} if name == "track" or not seed else {}
    page = check_page(render_classification(found))
    start = next(i for i, row in enumerate(page.rows) if row[:2] == ["split", "test clips"])
    assert page.rows[start + 1 : start + 5] == [
        ["track split", "as they are", "75.0 ± 35.4 %", "", "75.0 ± 0.0 %", ""],
        ["track split", "quieter", "25.0 ± 0.0 %", f"{MINUS}50.0", "50.0 ± 0.0 %", f"{MINUS}25.0"],
        ["chunk split", "as they are", "", "", "75.0 %", ""],
        ["chunk split", "quieter", "", "", "50.0 %", f"{MINUS}25.0"],
    ]
