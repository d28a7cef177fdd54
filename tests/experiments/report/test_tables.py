"""CSV, Markdown and LaTeX, read back."""

import csv
import io
import re

import pytest
from classify_results import fake_classification, fake_prediction
from html_page import HOSTILE

from experiments.report.tables import (
    comparison_latex,
    comparison_markdown,
    write_comparison,
    write_predictions_csv,
    write_tracks_csv,
)

# Three runs of which one arm failed, with the figures that the tables must have.
RESULTS = {
    "data": {"clips": {"train": 100}},
    "split": {"test": ["a", "b", "c"], "test_groups": 2},
    "gan": {"seeds": 1, "seconds": [61.0]},
    "arms": {
        "real": {
            "runs": [
                {"classifier_seed": 0, "gan_seed": 0, "steps": 40, "best_step": 30,
                 "track_accuracy": 0.5, "accuracy": 0.4, "macro_f1": 0.3, "seconds": 2.0,
                 "train_clips": 100, "confusion": [[1]]},
                {"classifier_seed": 1, "gan_seed": 0, "steps": 40, "best_step": 10,
                 "track_accuracy": 0.7, "accuracy": 0.4, "macro_f1": 0.3, "seconds": 4.0,
                 "train_clips": 100},
            ],
        },
        "real+synthetic": {
            "generated": True,
            "runs": [{"steps": 40, "track_accuracy": 0.75, "train_clips": 150, "seconds": 5.0}],
        },
        "broken": {"runs": [], "error": "loss is NaN, at step 3"},
    },
    "differences": [
        {"arm": "real+synthetic", "against": "real", "metric": "track_accuracy", "mean": -0.015,
         "ci95": [-0.25, 0.22], "p": 0.5, "p_equivalent": 0.25, "verdict": "undecided",
         "primary": True, "positive_control": False, "detectable": 0.4},
    ],
    "per_label": [
        {"arm": "real+synthetic", "against": "real", "label": "blues", "mean": 0.5,
         "ci95": [0.25, 0.75], "p": 0.001, "verdict": "benefit"},
    ],
}  # fmt: skip


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
    columns = "file seconds sample_rate resampled_from trained_on label predicted nearest "
    assert list(first) == [*(columns + "confidence correct refused").split(), "p_blues", "p_jazz"]
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


# --- a comparison ---------------------------------------------------------------------------------


def test_each_run_of_an_arm_has_a_row_and_a_failed_arm_its_reason(tmp_path):
    write_comparison(tmp_path / "new", RESULTS)
    rows = read(tmp_path / "new" / "runs.csv")
    assert list(rows[0]) == ["recipe", "amount", "arm", "classifier_seed", "gan_seed", "fold",
                             "draw", "steps", "best_step", "train_clips", "track_accuracy",
                             "accuracy", "macro_f1", "loss", "seconds", "error"]  # fmt: skip
    assert [row["arm"] for row in rows] == ["real", "real", "real+synthetic", "broken"]
    first = RESULTS["arms"]["real"]["runs"][0]
    named = ("recipe", "arm")
    assert {name: float(x) for name, x in rows[0].items() if x and name not in named} == {
        name: x for name, x in first.items() if name != "confusion"
    }
    assert rows[2]["accuracy"] == rows[2]["error"] == ""
    assert (rows[3]["error"], rows[3]["steps"]) == ("loss is NaN, at step 3", "")


def test_each_difference_has_a_row_those_of_classes_too(tmp_path):
    write_comparison(tmp_path, RESULTS)
    main, blues = read(tmp_path / "differences.csv")
    assert list(main) == ["recipe", "amount", "arm", "against", "metric", "label", "mean", "low",
                          "high", "p", "p_equivalent", "verdict", "primary", "detectable",
                          "holds", "positive_control"]  # fmt: skip
    assert list(main.values()) == [
        RESULTS.get("recipe", ""), "", "real+synthetic", "real", "track_accuracy", "", "-0.015",
        "-0.25", "0.22", "0.5", "0.25", "undecided", "True", "0.4",
        "for this GAN and for these 2 artists or speakers", "False",
    ]  # fmt: skip
    assert (blues["metric"], blues["label"], blues["low"]) == ("recall", "blues", "0.25")
    assert blues["detectable"] == blues["p_equivalent"] == blues["primary"] == ""


def test_other_amounts_have_rows_and_tables_of_their_own(tmp_path):
    part = {name: RESULTS[name] for name in ("arms", "differences")} | {
        "amount": "20 tracks a class"
    }
    results = {**RESULTS, "amount": "5 tracks a class", "amounts": [part]}
    write_comparison(tmp_path, results)
    for file, rows in (("runs.csv", [4, 4]), ("differences.csv", [2, 1])):
        amounts = [row["amount"] for row in read(tmp_path / file)]
        few, more = rows
        assert amounts == ["5 tracks a class"] * few + ["20 tracks a class"] * more
    text = (tmp_path / "table.md").read_text(encoding="utf-8")
    assert (
        text.count("Arms, of 5 tracks a class:") == text.count("Arms, of 20 tracks a class:") == 1
    )


def markdown_tables(text: str) -> list[list[list[str]]]:
    """The cells of each table without its rule, read as GitHub does."""
    found: list[list[list[str]]] = []
    for above, line in zip(["", *text.splitlines()], text.splitlines(), strict=False):
        if line.startswith("|"):
            if not above.startswith("|"):
                found.append([])
            cells = re.split(r"(?<!\\)\|", line)[1:-1]
            found[-1].append([re.sub(r"\\([^a-zA-Z0-9\s])", r"\1", cell).strip() for cell in cells])
    return [[table[0], *table[2:]] for table in found]


def latex_tables(text: str) -> list[list[list[str]]]:
    """The cells of each tabular, read as LaTeX does; fails where braces or cells don't match."""
    assert len(re.findall(r"(?<!\\)\{", text)) == len(re.findall(r"(?<!\\)\}", text))
    found = []
    for columns, body in re.findall(
        r"\\begin\{tabular\}\{([lr]+)\}\n(.*?)\\end\{tabular\}", text, re.DOTALL
    ):
        rules = re.findall(r"^\\\w+$", body, re.MULTILINE)
        assert rules == [r"\toprule", r"\midrule", r"\bottomrule"]
        rows = re.sub(r"^\\\w+\n", "", body, flags=re.MULTILINE).splitlines()
        assert all(row.endswith(r" \\") for row in rows)
        cells = [re.split(r"(?<!\\)&", row[:-2]) for row in rows]
        assert {len(row) for row in cells} == {len(columns)}
        found.append([[plain(cell.strip()) for cell in row] for row in cells])
    return found


def plain(latex: str) -> str:
    """What LaTeX prints; fails for a command or special character that a name brought in."""
    printed = {"textless": "<", "textgreater": ">", "textbar": "|", "textbackslash": "\\",
               "textasciitilde": "~", "textasciicircum": "^", "textasciigrave": "`"}  # fmt: skip
    tokens = r"\\([&%$#_{}])|\\(\w+)\{\}|\{([][*])\}|(\$-\$)|(\$\\pm\$)|([^\\&%$#_{}~^`\"<>|])"
    assert re.fullmatch(f"(?:{tokens})*", latex), latex
    return re.sub(
        tokens,
        lambda m: (
            m[1] or printed.get(m[2] or "") or m[3] or (m[4] and "-") or (m[5] and "±") or m[6]
        ),
        latex,
    )


@pytest.mark.parametrize("form", ["md", "tex"])
def test_the_tables_of_a_paper_have_arms_costs_and_differences(tmp_path, form):
    write_comparison(tmp_path, RESULTS)
    text = (tmp_path / f"table.{form}").read_text(encoding="utf-8")
    read_back = {"md": markdown_tables, "tex": latex_tables}[form]
    minus = {"md": "\N{MINUS SIGN}", "tex": "-"}[form]
    arms, cost, differences = read_back(text)
    assert arms == [
        ["arm", "track accuracy", "clip accuracy", "macro-F1", "best step", "runs"],
        ["real", "60.0 ± 14.1", "40.0 ± 0.0", "30.0 ± 0.0", "20 ± 14", "2"],
        ["real+synthetic", "75.0", "not known", "not known", "not known", "1"],
        ["broken (failed: loss is NaN, at step 3)", "", "", "", "", ""],
    ]
    assert cost[1:] == [
        ["real", "100", "40", "3.0 s", "6.0 s"],
        ["real+synthetic", "150", "40", "5.0 s", "5.0 s"],
    ]
    assert differences[1:] == [
        ["real+synthetic against real", "track accuracy", f"{minus}1.5",
         f"{minus}25.0 to +22.0",
         "undecided (primary), for this GAN and for these 2 artists or speakers"],
    ]  # fmt: skip
    assert "1 GAN took about 1 min 01 s of training each." in text


NASTY = (*HOSTILE, r"\input{/etc/passwd} 50% #1 ~^ a_b", "[2em] * `x` {", "a\n\nb", "{}}{\\")


@pytest.mark.parametrize("name", NASTY)
def test_names_stay_text_in_a_paper(name):
    run = {"track_accuracy": 0.5, "steps": 1}
    results = {
        "arms": {name: {"runs": [run]}, "broken": {"runs": [], "error": name}},
        "differences": [RESULTS["differences"][0] | {"arm": name, "verdict": name}],
    }
    whole = " ".join(name.split())
    for tables in (
        markdown_tables(comparison_markdown(results)),
        latex_tables(comparison_latex(results)),
    ):
        arms, cost, differences = tables
        found = [arms[1][0], arms[2][0], cost[1][0], differences[1][0]]
        wanted = [whole, f"broken (failed: {whole})", whole, f"{whole} against real"]
        assert [cell.replace("''", '"') for cell in found] == wanted
    assert not re.search(r"(?<!\\)[<$]", comparison_markdown(results))


def test_results_without_arms_leave_heads_alone(tmp_path):
    write_comparison(tmp_path, {})
    assert read(tmp_path / "runs.csv") == read(tmp_path / "differences.csv") == []
    assert (tmp_path / "table.md").read_text() == ""
    assert r"\begin{table}" not in (tmp_path / "table.tex").read_text()
