"""Amounts that no machine holds and numbers that mean nothing are refused before work begins."""

import math
import re
from dataclasses import dataclass
from types import SimpleNamespace

import pytest

from features import limits


@dataclass(frozen=True)
class Settings:
    rate: float = 1.0
    shares: tuple[float, ...] = ()


@pytest.mark.parametrize("settings", [Settings(math.nan), Settings(shares=(0.5, -math.inf))])
def test_numbers_that_are_none_are_refused_by_name(settings):
    with pytest.raises(
        ValueError, match=r"^(rate|shares) must be a finite number, found (nan|-inf)"
    ):
        limits.check_finite(settings)
    limits.check_finite(Settings(1e300, (0.0,)))


def test_rates_have_bounds():
    for rate in (0, -8, 999, 768_001, math.nan, math.inf):
        with pytest.raises(ValueError, match=r"--sample-rate must lie in 1,000 … 768,000 Hz"):
            limits.check_rate(rate, "--sample-rate")
    limits.check_rate(1_000)
    limits.check_rate(768_000)


def test_what_is_0_or_infinite_in_float32_is_not_positive():
    limits.check_positive(rate=1e-30, seconds=None)
    for value, said in ((0.0, "must be positive"), (-1.0, "must be"), (1e-45, "must lie in"),
                        (1e39, "must lie in 1.2e-38 … 3.4e+38")):  # fmt: skip
        with pytest.raises(ValueError, match=f"rate {re.escape(said)}.*found"):
            limits.check_positive(rate=value)


def test_memory_and_disk_are_told_with_the_estimate(tmp_path):
    assert limits.free_memory() > 1e6
    with pytest.raises(
        ValueError, match=r"memory: about 1,000,000\.0 GB for 9 clips, and .*: less"
    ):
        limits.check_memory(1e15, "9 clips", "less")
    with pytest.raises(ValueError, match=rf"disk in {tmp_path}: about .* GB for this run"):
        limits.check_disk(1e18, tmp_path / "not" / "there", "this run", "less")


def test_what_is_small_is_told_in_megabytes(tmp_path, monkeypatch):
    monkeypatch.setattr(limits.shutil, "disk_usage", lambda folder: SimpleNamespace(free=12_000))
    with pytest.raises(ValueError, match=r"about 3\.2 MB for this run, and 0\.0 MB are free: less"):
        limits.check_disk(3.2e6, tmp_path, "this run", "less")


def test_a_folder_to_write_to_is_none_below_a_file(tmp_path):
    (tmp_path / "file").touch()
    limits.check_folder(tmp_path / "new" / "folder", "--out")
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(ValueError, match=r"--out .*file is a file"):
            limits.check_folder(folder, "--out")
    limits.check_file(None, "--json")
    limits.check_file(tmp_path / "new" / "rows.json", "--json")
    with pytest.raises(ValueError, match=r"--json .*file is a file"):
        limits.check_file(tmp_path / "file" / "rows.json", "--json")
    with pytest.raises(ValueError, match=r"--json .* is a folder; give the name of a file in it"):
        limits.check_file(tmp_path, "--json")
    with pytest.raises(ValueError, match="a name of 300 bytes"):
        limits.check_folder(tmp_path / ("x" * 300), "--out")
