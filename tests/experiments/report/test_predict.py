"""The page of predictions, read back."""

import copy
import io

import numpy as np
import pytest
from classify_results import GENRES, fake_prediction
from html_page import HOSTILE, check_page
from PIL import Image

from experiments.report.predict import prediction_picture, render_predictions


@pytest.fixture(scope="module")
def prediction() -> dict:
    return fake_prediction()


def test_the_headline_names_one_files_label():
    one = fake_prediction(files=1)
    one["files"][0] |= {"predicted": "jazz", "confidence": 0.614}
    assert "song 0.mp3: jazz, 61 %." in check_page(render_predictions(one)).text


def test_the_headline_counts_the_labels_of_several():
    several = fake_prediction(files=3)
    for file, label in zip(several["files"], ("jazz", "pop", "jazz"), strict=True):
        file["predicted"] = label
    text = check_page(render_predictions(several)).text
    assert "3 files: “jazz” in 2 files and “pop” in 1." in text
    assert "Right:" not in text
    for file in several["files"]:
        file |= {"label": "jazz", "correct": file["predicted"] == "jazz"}
    page = check_page(render_predictions(several))
    assert "Right: 2 of 3 (66.7 %)." in page.text
    assert page.rows[0] == ["file", "truth", "predicted", "confidence", "length"]
    assert "In truth jazz: wrong." in page.text


def test_every_file_has_a_strip_a_label_in_the_order_of_their_means(prediction):
    page = check_page(render_predictions(prediction))
    assert len(page.all("svg", "strip")) == 2 * len(GENRES)
    names = [a["title"] for a in page.all("span") if "title" in a]
    for file, shown in zip(prediction["files"], (names[:10], names[10:]), strict=True):
        order = np.argsort(file["probabilities"])[::-1]
        assert shown == [GENRES[i] for i in order]
    first = prediction["files"][0]
    assert f"{100 * max(first['probabilities']):.1f} %" in page.text
    assert "0:10" in page.text
    links = {a["href"] for a in page.all("a")}
    assert {"#file-0", "#file-1"} <= links


def test_strips_say_in_words_what_they_show(prediction):
    page = check_page(render_predictions(prediction))
    values = np.array(prediction["files"][0]["over_time"])
    best = int(np.argmax(prediction["files"][0]["probabilities"]))
    low, high = 100 * values[:, best].min(), 100 * values[:, best].max()
    told = page.all("svg", "strip")[0]["aria-label"]
    assert told == f"{GENRES[best]}: from {low:.0f} to {high:.0f} percent"


def test_resampling_is_said_of_the_files_it_was_done_to(prediction):
    text = check_page(render_predictions(prediction)).text
    assert text.count("Resampled from 44,100 to 22,050 Hz") == 1
    assert text.count("30.3 s, 40 clips of 0.75 s.") == 2


def test_refused_files_stay_with_their_reason(prediction):
    found = copy.deepcopy(prediction)
    found["refused"][0]["file"] = "a_b.wav"
    text = check_page(render_predictions(found)).text
    assert "a_b.wav" in text
    assert "0.2 s: a clip has 0.75 s" in text
    assert "1 file could not be classified: see the end of the page." in text
    nothing = check_page(render_predictions(found | {"files": []})).text
    assert "None of 1 file could be classified." in nothing
    assert "0.2 s: a clip has 0.75 s" in nothing


def test_many_labels_show_the_most_probable_and_name_the_rest():
    labels = tuple(f"label {i:02}" for i in range(30))
    found = fake_prediction(labels, files=1)
    page = check_page(render_predictions(found))
    assert len(page.all("svg", "strip")) == 12
    assert all(label in page.text for label in labels)
    assert "Less probable: " in page.text


def test_digits_are_not_taken_for_counts():
    found = fake_prediction(tuple("0123456789"), files=8)
    for file, label in zip(found["files"], "77123450", strict=True):
        file["predicted"] = label
    text = check_page(render_predictions(found)).text
    assert "“7” in 2 files, “1” in 1, “2” in 1, “3” in 1, “4” in 1, “5” in 1 and others." in text


def test_hostile_names_stay_text():
    found = fake_prediction(HOSTILE, files=2)
    found |= {"run": HOSTILE[0], "refused": [{"file": HOSTILE[1], "reason": HOSTILE[0]}]}
    for file, name in zip(found["files"], HOSTILE[:2], strict=True):
        file |= {"file": name, "label": HOSTILE[2], "correct": False}
    page = check_page(render_predictions(found))
    assert page.all("img") == []
    assert all(name in page.text for name in HOSTILE)


@pytest.mark.parametrize("pieces", [1, 400])
@pytest.mark.parametrize("labels", [GENRES, ("rock", "a genre with a very long name" * 3)],
                         ids=["ten", "two"])  # fmt: skip
def test_a_picture_of_a_file_can_be_saved(pieces, labels):
    found = fake_prediction(labels, files=1, pieces=pieces)
    found["files"][0]["file"] = f"{'very ' * 30}long.wav"
    picture = Image.open(io.BytesIO(prediction_picture(found["files"][0], labels)))
    assert picture.format == "PNG"
    assert (picture.width, picture.height) == (1120, int(160 * (0.9 + 0.33 * len(labels))))


def test_the_same_prediction_gives_the_same_page_and_stays_as_it_is(prediction):
    before = copy.deepcopy(prediction)
    assert render_predictions(prediction) == render_predictions(prediction)
    assert prediction == before


def test_axe_finds_nothing(prediction, faults_of):
    assert faults_of(render_predictions(prediction)) == []
