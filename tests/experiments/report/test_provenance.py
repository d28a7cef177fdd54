"""How results came about, on a page."""

from classify_results import fake_classification
from html_page import HOSTILE, Page

from experiments.report.provenance import id_list, provenance


def test_all_that_repeats_a_run_is_there():
    page = Page(provenance(fake_classification(("blues", "my_jazz"), seeds=2)))
    for part in ("wavegan classify --recipe net5 --data music --seeds 2", "Files left out: 2",
                 "jazz.00054truncated: 3 of 30 s", "Too short for a clip: 1pop.00037",
                 "track split, seed 0", "track split, seed 1", "chunk split, seed 1",
                 "split seed1", "train clips420", "train: 10 tracks", "my_jazz.00020",
                 "fractions0.7, 0.2, 0.1", "hardware2 cores"):  # fmt: skip
        assert part in page.text, part
    assert len(page.all("details")) == 1 + 1 + 4 + 1 + 1


def test_what_is_not_there_is_left_out():
    assert provenance({}) == ""
    assert id_list("a", []) == ""
    only = Page(provenance({"splits": {"track": {"runs": [{}]}, "chunk": {}}, "command": "x"}))
    assert only.text == "x"


def test_names_stay_text():
    page = Page(id_list(HOSTILE[0], HOSTILE))
    assert page.all("script") == page.all("img") == []
    assert page.text == f"{HOSTILE[0]}{', '.join(HOSTILE)}"
