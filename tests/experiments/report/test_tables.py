"""CSV files, read back."""

import csv
import io

import pytest
from classify_results import fake_classification, fake_prediction
from html_page import HOSTILE

from experiments.report.tables import write_predictions_csv, write_tracks_csv


def read(path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"), newline="")))


def test_each_track_has_a_row_a_split_and_seed(tmp_path):
    results = fake_classification(("blues", "jazz"), seeds=2)
    path = tmp_path / "new" / "tracks.csv"
    write_tracks_csv(path, results)
    rows = read(path)
    assert list(rows[0]) == ["split", "seed", "track", "label", "predicted", "confidence",
                             "correct", "p_blues", "p_jazz"]  # fmt: skip
    assert [(row["split"], row["seed"]) for row in rows] == [
        (split, seed) for split in ("track", "chunk") for seed in "01" for _ in range(4)
    ]
    first, record = rows[0], results["splits"]["track"]["runs"][0]["tracks"][0]
    assert first["track"] == record["track"] == "blues.00000"
    assert float(first["confidence"]) == record["confidence"]
    assert [float(first["p_blues"]), float(first["p_jazz"])] == record["probabilities"]
    assert {row["correct"] for row in rows} <= {"True", "False"}
    for row in rows:
        assert (row["correct"] == "True") == (row["label"] == row["predicted"])


def test_refused_files_stay_with_their_reason(tmp_path):
    prediction = fake_prediction(("blues", "jazz"))
    prediction["files"][0] |= {"label": "jazz", "correct": False}
    write_predictions_csv(tmp_path / "p.csv", prediction)
    first, second, refused = read(tmp_path / "p.csv")
    columns = "file seconds sample_rate resampled_from trained_on label predicted confidence "
    assert list(first) == [*(columns + "correct refused").split(), "p_blues", "p_jazz"]
    assert (first["resampled_from"], second["resampled_from"]) == ("44100", "")
    assert (first["label"], first["correct"]) == ("jazz", "False")
    assert (second["label"], second["correct"], second["refused"]) == ("", "", "")
    assert float(second["p_jazz"]) == prediction["files"][1]["probabilities"][1]
    assert refused["file"] == "songs/short.wav"
    assert refused["refused"] == "0.2 s: a clip has 0.75 s"
    assert refused["predicted"] == refused["p_blues"] == ""


def test_names_with_commas_quotes_and_lines_come_back(tmp_path):
    labels = ('a, "b"\nc', "naïve ♪", HOSTILE[1])
    results = fake_classification(labels, seeds=1)
    write_tracks_csv(tmp_path / "t.csv", results)
    rows = read(tmp_path / "t.csv")
    assert [f"p_{label}" for label in labels] == list(rows[0])[-3:]
    assert {row["label"] for row in rows} == set(labels)


@pytest.mark.parametrize("results", [{}, {"splits": {"track": {"runs": [], "error": "x"}}}])
def test_without_tracks_the_file_has_its_head_alone(tmp_path, results):
    write_tracks_csv(tmp_path / "t.csv", results)
    text = (tmp_path / "t.csv").read_text(encoding="utf-8")
    assert text == "split,seed,track,label,predicted,confidence,correct\n"


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path):
    write_tracks_csv(tmp_path / "t.csv", fake_classification(("a", "b"), seeds=1))
    before = (tmp_path / "t.csv").read_bytes()
    with pytest.raises(TypeError):
        write_tracks_csv(tmp_path / "t.csv", {"splits": {"track": {"runs": [{"tracks": [1]}]}}})
    assert (tmp_path / "t.csv").read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["t.csv"]
