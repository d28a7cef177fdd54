"""What a terminal shows, and what a pipe gets instead."""

import io
from contextlib import redirect_stdout
from pathlib import Path

import pytest

from experiments.report import printed
from experiments.report.terminal import Progress, plain_table, text_table

RUN = {"track_accuracy": 0.5, "accuracy": 0.25, "macro_f1": 0.3}


class Terminal(io.StringIO):
    def isatty(self):
        return True


def last_line(text: str) -> str:
    """What stands on the terminal's line in the end."""
    return text.split("\r")[-1].removeprefix("\x1b[2K").rstrip("\n")


def test_plain_lines_where_there_is_no_terminal(monkeypatch):
    clock = iter([0.0, 0.0, 1.0, 20.0, 40.0])
    monkeypatch.setattr("time.monotonic", lambda: next(clock))
    out = io.StringIO()
    progress = Progress(out)
    next(clock)
    for done in (1, 2, 3, 4):
        progress.update("training", done, 4, note=f"loss {done}")
    lines = out.getvalue().splitlines()
    assert "\r" not in out.getvalue()
    assert lines[0].startswith("training  1/4")
    assert lines[-1].startswith("training  4/4")
    assert lines[-1].endswith("done  loss 4")
    assert "left" in lines[1]
    assert len(lines) == 3  # the one a second after the first is not shown


def test_a_task_that_begins_again_has_a_rate_of_its_own(monkeypatch):
    clock = iter([0.0, 100.0, 200.0, 300.0, 310.0])
    monkeypatch.setattr("time.monotonic", lambda: next(clock))
    stream = io.StringIO()
    progress = Progress(stream)
    for done in (1, 2, 3, 1, 2):
        progress.update("fits", done, 3, unit="fit")
    assert stream.getvalue().splitlines()[2:] == [
        "fits  3/3  100 s/fit  done",
        "fits  1/3",
    ]


def test_a_bar_on_a_terminal_and_lines_that_stay():
    out = Terminal()
    progress = Progress(out)
    progress.update("training", 1, 2)
    progress.say("a line")
    progress.update("training", 2, 2)
    text = out.getvalue()
    assert "━" in text
    assert "a line\n" in text
    assert text.endswith("\n")


@pytest.mark.parametrize("width", [20, 40, 80, 200])
def test_a_line_holds_at_any_width(width, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(width))
    out = Terminal()
    Progress(out).update("GAN 1/6 音楽", 1, 300, note="gap 0.123  penalty 4.56  kernel distance 7")
    line = last_line(out.getvalue())
    wide = sum(2 if x in "音楽" else 1 for x in line)
    assert wide < width
    assert line.endswith("…") == (width < 100)


def test_compiling_is_said_until_the_first_step(monkeypatch):
    clock = iter([100.0, 110.0])
    monkeypatch.setattr("time.monotonic", lambda: next(clock))
    for out in (io.StringIO(), Terminal()):
        clock = iter([100.0, 110.0])
        progress = Progress(out)
        progress.compiling("training")
        assert last_line(out.getvalue()).endswith("training  compiling …")
        progress.update("training", 1, 3)
        progress.update("training", 3, 3)
        text = out.getvalue()
        assert "going on" not in text
        assert "5 s/step" in text or "0.2 steps/s" in text  # not of the compilation


def test_it_is_said_where_a_training_goes_on():
    out = io.StringIO()
    Progress(out).compiling("training", 150, 1300)
    assert out.getvalue().splitlines() == [
        "training  going on at step 150 of 1,300", "training  compiling …",
    ]  # fmt: skip


def test_names_cannot_steer_the_terminal():
    for out in (io.StringIO(), Terminal()):
        progress = Progress(out)
        progress.say("a \x1b[31mred\x1b[0m [bold]name[/bold] :smile: \udcff\nnext")
        progress.update("\x1b]0;title\x07", 1, 1, note="a\nb\u202e")
        text = out.getvalue().replace("\r\x1b[2K", "")
        assert "\x1b" not in text
        assert "\x07" not in text
        assert "a \\x1b[31mred\\x1b[0m [bold]name[/bold] :smile: \\udcff\nnext\n" in text
        assert "a\\nb\\u202e" in text


def test_quiet_says_nothing():
    out = io.StringIO()
    progress = Progress(out, quiet=True)
    progress.compiling("training", 1, 2)
    progress.update("training", 1, 1)
    progress.say("x")
    assert out.getvalue() == ""


def test_a_comparison_in_a_pipe_has_a_line_each():
    results = {
        "arms": {"real": {"runs": [RUN, RUN]},
                 "real+synthetic": {"runs": [], "error": "silent [bold]at[/bold] step 4"}},
        "differences": [{"arm": "a", "against": "b", "metric": "accuracy", "mean": 0.1,
                         "ci95": [-0.1, 0.2], "verdict": "undecided"}],
        "environment": {"session_seconds": 500},
    }  # fmt: skip
    out = io.StringIO()
    with redirect_stdout(out):
        printed.compare(results, Path("run"))
    first, *lines, last, page = [" ".join(line.split()) for line in out.getvalue().splitlines()]
    assert first == last == ""
    assert page == "report: run/report.html"
    assert lines[0] == "arm runs track accuracy clip accuracy macro-F1"
    assert lines[2:5] == [
        "real 2 50.0 % 25.0 % 30.0 %",
        "real+synthetic 0",
        "real+synthetic failed: silent [bold]at[/bold] step 4",
    ]
    minus = "\N{MINUS SIGN}"
    assert "difference in clip accuracy points 95 % interval verdict" in lines
    assert f"a against b +10.0 {minus}10.0 to +20.0 undecided, for this run of each" in lines
    assert "all 1 differences: run/differences.csv" in lines
    assert lines[-1] == "this session took 8 min 20 s"


def test_a_leak_is_told_of_below_the_table():
    splits = {"track": {"leaks": False, "runs": [RUN]}, "chunk": {"leaks": True, "runs": [RUN]}}
    for file in (io.StringIO(), Terminal()):
        published = {"accuracy": 0.7954, "note": "chunks"}
        with redirect_stdout(file):
            printed.classify({"splits": splits, "published": published}, Path("run"))
        text = file.getvalue().removesuffix("\nreport: run/report.html\n")
        assert "the chunk split leaks: clips of a track on both sides\n" in text
        assert text.endswith("published: 79.54 %; chunks\n")
        assert text.count("50.0 %") == 2


def test_a_table_has_its_columns_below_each_other():
    rows = [("a" * 30, "1", "long " * 60), ("b", "100", "short")]
    table = text_table(("name", "n", "why"), rows, words=(2,))
    head, _, first, second = plain_table(table).splitlines()
    assert first.index("long") == second.index("short") == head.index("why")
    assert first.index(" 1 ") + 1 == second.index("100") + 2


def test_what_a_verdict_does_not_rest_on_is_printed_with_it(capsys):
    results = {
        "arms": {"real": {"runs": [RUN]}},
        "differences": [],
        "answer": {"verdict": "benefit", "because": [], "untried": ["noise", "others (x failed)"]},
        "missing_readings": [{"reading": "equal steps", "because": "--steps was given"}],
        "environment": {"session_seconds": 1},
    }
    printed.compare(results, Path("run"))
    said = capsys.readouterr().out
    assert "no arm tried noise or others (x failed), so this does not say whether" in said
    assert "no reading at equal steps: --steps was given" in said
    del results["missing_readings"], results["answer"]  # as older results are
    printed.compare(results, Path("run"))
    assert "no reading" not in capsys.readouterr().out


def test_shared_artists_and_a_persons_word_are_printed_with_the_verdict(capsys):
    results = {
        "arms": {"real": {"runs": [RUN]}},
        "differences": [],
        "split": {"by": "track", "shared_groups": ["Bach", *"abcde"]},
        "gan": {"vouched": ["theirs"]},
        "environment": {"session_seconds": 1},
    }
    printed.compare(results, Path("run"))
    said = capsys.readouterr().out
    assert "the track split has 6 artists or speakers on two sides: Bach, a, b, c, d, …" in said
    assert "what theirs heard is one person's word (--vouch)" in said
