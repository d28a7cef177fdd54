"""The table of recipes in its three forms."""

import numpy as np
import pytest
from classify_results import fake_classification
from html_page import HOSTILE, Page, check_page

from experiments.report.recipes import (
    recipe_table_markdown,
    recipe_table_text,
    render_recipe_table,
)

FAILED = {"recipe": "cnn1", "error": "a clip of 3 s needs longer tracks",
          "published": {"accuracy": 0.723, "note": "chunks"}}  # fmt: skip


def result(recipe: str, track=(0.25, 0.375), chunk=(0.5, 0.75), *, clips=4) -> dict:
    """Results of two labels whose runs have these clip accuracies."""
    found = fake_classification(
        ("a", "b"), recipe=recipe, seeds=2, clips=clips, levels={"track": 0.3, "chunk": 0.6}
    )
    for name, accuracies in (("track", track), ("chunk", chunk)):
        for run, accuracy in zip(found["splits"][name]["runs"], accuracies, strict=True):
            run |= {"accuracy": accuracy, "track_accuracy": accuracy + 0.1}
    return found


def markdown(results) -> list[list[str]]:
    """Cells of the Markdown table."""
    lines = [line for line in recipe_table_markdown(results).splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


def test_a_row_says_what_was_published_and_what_came_out():
    heads, rule, row = markdown([result("net5")])
    assert heads == ["recipe", "published", "chunk split, by clip", "track split, by clip",
                     "track split, by track", "leak, points", "steps", "epochs", "seconds",
                     "comparable?"]  # fmt: skip
    assert len(rule) == len(heads)
    sds = [100 * np.std(pair, ddof=1) for pair in ((0.5, 0.75), (0.25, 0.375))]
    assert row == [
        "net5", "79.54 %", f"62.5 ± {sds[0]:.1f}", f"31.2 ± {sds[1]:.1f}",
        f"41.2 ± {sds[1]:.1f}",
        "+31.2 ± 8.8",  # of +25 and +37.5 points
        "400",
        "200",  # 112 training clips are two batches of 64
        "61",
        "chunks of a track on both sides; compare it with the chunk split only",
    ]  # fmt: skip


@pytest.mark.parametrize(("epochs", "said"), [(20, " of 40"), (40, ""), (None, "")])
def test_fewer_epochs_than_the_recipe_has_are_owned_up_to(epochs, said):
    found = result("cnn2")
    found["config"]["recipe"]["fit"]["epochs"] = epochs
    assert markdown([found])[2][7] == f"200{said}"


def test_a_step_over_all_clips_is_an_epoch():
    found = result("floor")
    found["config"]["recipe"]["fit"] |= {"epochs": 1000, "optimizer": "lbfgs"}
    assert markdown([found])[2][6:8] == ["400", "400"]


def test_all_three_forms_hold_the_same_numbers():
    results = [result("net5"), result("cnn1", (0.5, 0.5), (0.5, 0.75))]
    page = Page(render_recipe_table(results))
    text = recipe_table_text(results)
    for cells, shown in zip(markdown(results)[2:], page.rows[1:], strict=True):
        assert shown == cells[:-1]
        (line,) = [line for line in text.splitlines() if line.startswith(f"{cells[0]} ")
                   and "79.54" in line]  # fmt: skip
        assert line.split() == " ".join(cells[:-1]).split()
        assert page.text.count(cells[-1]) == len(results)


def test_recipes_come_in_their_own_order_unknown_ones_last():
    names = ["mine", "short_chunk_resnet", "net6", "cnn_rnn", "net1"]
    rows = markdown([{"recipe": name, "error": "x"} for name in names])[2:]
    found = [row[0].replace("\\", "") for row in rows]
    assert found == ["net1", "net6", "cnn_rnn", "short_chunk_resnet", "mine"]


def test_a_failed_recipe_stays_with_its_reason():
    results = [result("net5"), FAILED]
    row = markdown(results)[3]
    assert row[:2] == ["cnn1", "72.30 %"]
    assert row[2:9] == [""] * 7
    assert row[9] == "failed: a clip of 3 s needs longer tracks; chunks"
    text = " ".join(recipe_table_text(results).split())
    assert "cnn1 failed: a clip of 3 s needs longer tracks; chunks" in text
    page = check_page(render_recipe_table(results))
    assert "1 of 2 recipes failed." in page.text
    assert "failed: a clip of 3 s needs longer tracks" in page.text
    half = result("cnn2")
    half["splits"]["chunk"] = {"leaks": True, "runs": [], "error": "it diverged"}
    row = markdown([half])[2]
    assert (row[2], row[5]) == ("failed", "")
    assert row[9].startswith("failed: chunk split: it diverged; ")


def test_clips_that_are_whole_tracks_have_no_leak():
    whole = result("net3", clips=1)
    del whole["splits"]["chunk"]  # it would be the track split again
    row = markdown([whole])[2]
    assert row[5] == "none: a clip is a whole track"
    assert row[2] == row[3] != ""
    assert "none: whole track" in recipe_table_text([whole])
    page = check_page(render_recipe_table([whole, result("net5")]))
    assert "nonea clip is a whole track" in page.text
    assert "On average the leak adds +31.2 points of clip accuracy." in page.text
    assert "Over 1 recipe," in page.text


def test_one_seed_has_no_spread():
    found = result("net5")
    for split in found["splits"].values():
        del split["runs"][1]
    row = markdown([found])[2]
    assert row[2:6] == ["50.0", "25.0", "35.0", "+25.0"]
    assert "over 1 seed." in recipe_table_markdown([found])


def test_the_caption_says_on_what():
    for form in (recipe_table_text, recipe_table_markdown, render_recipe_table):
        text = " ".join(form([result("net5")]).split())
        assert "Data: music, 40 tracks." in text
        assert "over 2 seeds" in text
        assert "on 2 cores" in text


@pytest.mark.parametrize("results", [[], [{}], [{"recipe": "net5", "splits": {}}], [FAILED]],
                         ids=["none", "empty", "no splits", "failed"])  # fmt: skip
def test_what_is_missing_leaves_gaps(results):
    assert len(markdown(results)) == 2 + len(results)
    assert recipe_table_text(results).startswith("recipe")
    assert "None ran on both splits." in check_page(render_recipe_table(results)).text


def test_hostile_names_stay_text():
    results = [FAILED | {"recipe": name, "error": HOSTILE[0]} for name in (*HOSTILE, "a_b|c\nd")]
    page = check_page(render_recipe_table(results))
    assert page.all("img") == []
    assert all(name in page.text for name in HOSTILE)
    table = recipe_table_markdown(results)
    assert "\\<script\\>" in table
    assert "<script" not in table.replace("\\<", "")
    assert "a\\_b\\|c d" in table
    assert len(markdown(results)) == 6


def test_the_terminals_table_fits_a_wide_terminal():
    lines = recipe_table_text([result("short_chunk_resnet"), result("net1", clips=1)]).splitlines()
    assert max(map(len, lines)) <= 120
    assert len({len(line) for line in lines[2:4]}) == 1  # columns stand below each other


def test_axe_finds_nothing(faults_of):
    results = [result("net5"), result("cnn2"), result("net1", clips=1)]
    assert faults_of(render_recipe_table(results)) == []
