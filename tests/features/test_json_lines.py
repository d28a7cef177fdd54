import errno
import resource

import pytest

from features.json_lines import Log, append_row, read_rows, write_rows


def test_a_line_that_a_kill_has_cut_short_goes_before_the_next(tmp_path):
    file = tmp_path / "rows.jsonl"
    append_row(file, {"step": 1})
    append_row(file, {"step": 2})
    file.write_text(file.read_text()[:-4])
    append_row(file, {"step": 3})
    assert file.read_text() == '{"step": 1}\n{"step": 3}\n'


def test_a_file_that_is_one_cut_line_begins_anew(tmp_path):
    file = tmp_path / "rows.jsonl"
    file.write_text('{"st')
    append_row(file, {"step": 1})
    assert read_rows(file) == [{"step": 1}]


def test_a_full_disk_leaves_the_file_as_it_was_and_is_told_by_name(tmp_path):
    file = tmp_path / "rows.jsonl"
    append_row(file, {"step": 1})
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20, limits[1]))  # half a row fits
    try:
        with pytest.raises(OSError, match=r"could not write .*rows\.jsonl") as caught:
            append_row(file, {"step": 2})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert caught.value.errno == errno.EFBIG
    assert file.read_text() == '{"step": 1}\n'


@pytest.mark.parametrize("damage", ['{"step": 2', "[1, 2]", "1", "\udcff", "[" * 100_000])
def test_rows_end_before_a_damaged_one(damage, tmp_path):
    file = tmp_path / "rows.jsonl"
    text = f'{{"step": 1}}\n{damage}\n{{"step": 3}}\n'
    file.write_text(text, encoding="utf-8", errors="surrogateescape")
    assert read_rows(file) == [{"step": 1}]


def test_no_file_has_no_rows(tmp_path):
    assert read_rows(tmp_path / "rows.jsonl") == []


def test_a_task_that_goes_on_from_before_has_each_step_once(tmp_path):
    file = tmp_path / "rows.jsonl"
    one, other = {"gan": "a", "seed": 0}, {"gan": "b", "seed": 0}
    log = Log(file)
    for task in (one, other):
        for step in (1, 2, 3):
            log.append(task, {"gan/step": step, "killed": True})
    log = Log(file)  # of another process, that goes on after step 1
    for step in (2, 3, 4):
        log.append(other, {"gan/step": step})
    log.append({"arm": "real"}, {"classifier/step": 1})
    rows = read_rows(file)
    assert [row["gan/step"] for row in rows if row.get("gan") == "a"] == [1, 2, 3]
    of_other = [(row["gan/step"], "killed" in row) for row in rows if row.get("gan") == "b"]
    assert of_other == [(1, True), (2, False), (3, False), (4, False)]
    assert rows[-1] == {"arm": "real", "classifier/step": 1}


def test_a_new_task_leaves_the_file_of_the_others_alone(tmp_path):
    """A study has thousands of tasks: to write all rows again for each would be their square."""
    file = tmp_path / "rows.jsonl"
    log = Log(file)
    for task in range(3):
        log.append({"arm": "real", "seed": task}, {"classifier/step": 1})
        log.append({"arm": "real", "seed": task}, {"classifier/step": 2})
        if not task:
            inode = file.stat().st_ino
    assert file.stat().st_ino == inode  # nothing was put in its place
    assert len(read_rows(file)) == 6
    Log(file).append({"arm": "real", "seed": 1}, {"classifier/step": 2})
    assert file.stat().st_ino != inode
    assert [(row["seed"], row["classifier/step"]) for row in read_rows(file)] == [
        (0, 1), (0, 2), (1, 1), (2, 1), (2, 2), (1, 2)
    ]  # fmt: skip


def test_a_seed_that_begins_as_another_is_another(tmp_path):
    log = Log(tmp_path / "rows.jsonl")
    log.append({"seed": 10}, {"classifier/step": 1})
    Log(tmp_path / "rows.jsonl").append({"seed": 1}, {"classifier/step": 1})
    assert [row["seed"] for row in read_rows(tmp_path / "rows.jsonl")] == [10, 1]


def test_written_rows_are_read_back(tmp_path):
    write_rows(tmp_path / "rows.jsonl", [{"a": 1}, {"b": None}])
    assert read_rows(tmp_path / "rows.jsonl") == [{"a": 1}, {"b": None}]
