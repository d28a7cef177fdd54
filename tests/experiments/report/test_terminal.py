import io

from experiments.report.terminal import Progress, duration


class Terminal(io.StringIO):
    def isatty(self):
        return True


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


def test_quiet_says_nothing():
    out = io.StringIO()
    progress = Progress(out, quiet=True)
    progress.update("training", 1, 1)
    progress.say("x")
    assert out.getvalue() == ""


def test_durations():
    assert [duration(s) for s in (4.4, 60, 3599, 7800)] == [
        "4 s",
        "1 min 00 s",
        "59 min 59 s",
        "2 h 10 min",
    ]
