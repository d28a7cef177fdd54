"""Splits as properties of any data set, and on real ones."""

import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.clips import Clips
from features.dataset import Track, scan_tracks
from features.identity import Identity
from features.splits import (
    SPLITS,
    LeakError,
    LeakWarning,
    Split,
    check_disjoint,
    register_split,
    split_clips,
    split_folds,
    split_tracks,
)


def track(label: str, name: str, group: str | None = None) -> Track:
    return Track(Path(f"{label}/{name}.wav"), label, f"{label}/{name}", group or f"{label}/{name}")


def data_set(sizes: dict[str, int]) -> list[Track]:
    return [track(label, str(i)) for label, size in sizes.items() for i in range(size)]


def labels(side: tuple[Track, ...]) -> Counter:
    return Counter(t.label for t in side)


sizes = st.dictionaries(st.sampled_from("abcdef"), st.integers(3, 40), min_size=2)
fractions = st.sampled_from([(0.7, 0.2, 0.1), (0.8, 0.1, 0.1), (0.5, 0.25, 0.25), (1 / 3,) * 3])


@given(sizes, fractions, st.integers(0, 2**32), st.randoms())
def test_a_split_by_track(sizes, fractions, seed, random):
    tracks = data_set(sizes)
    split = split_tracks(tracks, fractions=fractions, seed=seed)
    sides = (split.train, split.valid, split.test)
    assert sorted(t.track_id for side in sides for t in side) == sorted(t.track_id for t in tracks)
    for label, size in sizes.items():
        for side, fraction in zip(sides, fractions, strict=True):
            assert labels(side)[label] >= 1
            assert abs(labels(side)[label] - fraction * size) < 2
    random.shuffle(tracks)
    assert split_tracks(tracks, fractions=fractions, seed=seed) == split
    assert (split.by, split.leaks) == ("track", False)


@given(st.integers(2, 50), st.sampled_from([(0.8, 0.0, 0.2), (0.5, 0.0, 0.5)]))
def test_without_a_validation_side(size, fractions):
    split = split_tracks(data_set({"a": size, "b": size}), fractions=fractions)
    assert split.valid == ()
    assert abs(labels(split.test)["a"] - fractions[2] * size) < 1 or size < 5
    assert labels(split.train)["b"] >= 1


@pytest.mark.parametrize(
    ("size", "expected"), [(3, (1, 1, 1)), (8, (6, 1, 1)), (10, (7, 2, 1)), (100, (70, 20, 10))]
)
def test_counts(size, expected):
    split = split_tracks(data_set({"a": size, "b": size}))
    assert tuple(labels(s)["a"] for s in (split.train, split.valid, split.test)) == expected


def test_seeds_differ_and_a_new_class_changes_no_other():
    tracks = data_set({"a": 30, "b": 30})
    tests = {split_tracks(tracks, seed=seed).test for seed in range(10)}
    assert len(tests) == 10
    more = split_tracks([*tracks, *data_set({"c": 9})]).test
    assert tuple(t for t in more if t.label != "c") == split_tracks(tracks).test


def test_the_order_of_chance_is_fixed_for_good():
    """Results name their split by seed alone, so that no later version may change it."""
    split = split_tracks(data_set({"a": 10, "b": 10}), seed=1)
    assert [t.track_id for t in split.test] == ["a/9", "b/8"]


@given(
    st.lists(st.integers(1, 12), min_size=3, max_size=8),
    st.lists(st.integers(1, 12), min_size=3, max_size=8),
    st.integers(0, 9),
)
def test_a_split_by_group_keeps_groups_whole(first, second, seed):
    tracks = [
        track(label, f"{g}.{i}", f"{label}{g}")
        for label, groups in (("a", first), ("b", second))
        for g, size in enumerate(groups)
        for i in range(size)
    ]
    split = split_tracks(tracks, by="group", seed=seed)
    sides = (split.train, split.valid, split.test)
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert not {t.group for t in sides[one]} & {t.group for t in sides[other]}
    assert sum(map(len, sides)) == len(tracks)
    assert all(set(labels(side)) == {"a", "b"} for side in sides)
    assert split_tracks(tracks[::-1], by="group", seed=seed) == split


def test_many_small_groups_come_near_the_fractions():
    tracks = [track("ab"[g % 2], f"{g}.{i}", f"g{g}") for g in range(100) for i in range(1 + g % 4)]
    split = split_tracks(tracks, by="group")
    for label, total in labels(tuple(tracks)).items():
        for side, fraction in zip(("train", "valid", "test"), (0.7, 0.2, 0.1), strict=True):
            assert abs(labels(getattr(split, side))[label] / total - fraction) < 0.05


def test_too_few_tracks_or_groups_name_the_class():
    with pytest.raises(ValueError, match="class 'b' has 2 tracks, 3 are needed"):
        split_tracks(data_set({"a": 9, "b": 2}))
    tracks = [*data_set({"a": 9}), *(track("b", str(i), "Bach") for i in range(9))]
    with pytest.raises(ValueError, match=r"class 'b' has 1 group\(s\) \(Bach\), 3 are needed"):
        split_tracks(tracks, by="group")


def test_groups_over_classes_may_leave_no_way():
    """Each class has three groups, but x and y fill two sides for a and b at once."""
    members = {"a": "xyz", "b": "xyw", "c": "zwv"}
    tracks = [track(label, g, g) for label, groups in members.items() for g in groups]
    with pytest.raises(ValueError, match="no way found to put the 5 groups on 3 sides"):
        split_tracks(tracks, by="group")


@pytest.mark.parametrize(
    "bad",
    [
        (0.7, 0.3),
        (0.7, 0.2, 0.2),
        (0.9, 0.1, 0.0),
        (0.0, 0.5, 0.5),
        (1.2, -0.3, 0.1),
        (float("nan"),) * 3,
    ],
)
def test_fractions_that_are_none(bad):
    for by in ("track", "group"):
        with pytest.raises(ValueError, match=re.escape(f"fractions={bad}")):
            split_tracks(data_set({"a": 9, "b": 9}), fractions=bad, by=by)


def test_other_misuse():
    with pytest.raises(ValueError, match="by='chunk': use 'track', 'group' or 'gtzan-filtered'"):
        split_tracks(data_set({"a": 9}), by="chunk")
    with pytest.raises(ValueError, match="no tracks to split"):
        split_tracks([])
    with pytest.raises(ValueError, match="one track_id twice"):
        split_tracks(data_set({"a": 9}) * 2)


@pytest.fixture
def lists(tmp_path):
    for i, side in enumerate(("train", "valid", "test")):
        names = [f"{g}/{g}.{n:05d}.wav" for g in ("blues", "hiphop") for n in (i, i + 10, i + 500)]
        (tmp_path / f"{side}_filtered.txt").write_text("\n".join(names) + "\n")
    return tmp_path


@pytest.mark.parametrize("spelling", ["hiphop", "hip-hop"])
def test_gtzan_filtered(lists, spelling):
    tracks = [
        Track(Path(f"{folder}/{folder}.{i:05d}.au"), label, f"{folder}.{i:05d}", "x")
        for label, folder in (("blues", "blues"), ("hiphop", spelling))
        for i in range(20)
    ]
    split = split_tracks(tracks, by="gtzan-filtered", lists=lists)
    assert [t.track_id for t in split.valid] == [
        *("blues.00001", "blues.00011", f"{spelling}.00001", f"{spelling}.00011")
    ]
    assert (len(split.train), len(split.test), split.by) == (4, 4, "gtzan-filtered")


def test_gtzan_filtered_misuse(lists):
    tracks = [track(g, f"{g}.{i:05d}") for g in ("blues", "hiphop") for i in range(20)]
    with pytest.raises(ValueError, match="needs lists="):
        split_tracks(tracks, by="gtzan-filtered")
    with pytest.raises(FileNotFoundError, match=r"none/train_filtered.txt: no such list"):
        split_tracks(tracks, by="gtzan-filtered", lists=lists / "none")
    few = [t for t in tracks if t.label == "blues" or t.path.stem.endswith("0")]
    with pytest.raises(ValueError, match=r"class 'hiphop' has none .*valid_filtered.txt"):
        split_tracks(few, by="gtzan-filtered", lists=lists)
    with (lists / "test_filtered.txt").open("a") as file:
        file.write("blues/blues.00000.wav\n")
    with pytest.raises(LeakError, match=r"both train and test: blues/blues\.00000"):
        split_tracks(tracks, by="gtzan-filtered", lists=lists)


def test_leaks_are_named():
    a, b, c = data_set({"a": 3})
    check_disjoint(Split((a,), (b,), (c,), "track"), groups=True)
    with pytest.raises(LeakError, match="1 tracks are in both valid and test: a/1"):
        check_disjoint(Split((a,), (b,), (b, c), "track"))
    ann = tuple(track("a", str(i), "Ann") for i in range(2))
    check_disjoint(Split(ann[:1], (), ann[1:], "track"))
    with pytest.raises(LeakError, match="1 groups are in both train and test: Ann"):
        check_disjoint(Split(ann[:1], (), ann[1:], "track"), groups=True)


def test_the_split_by_chunk_warns_and_leaks():
    n = 60
    clips = Clips(
        audio=np.arange(n, dtype=np.float32).reshape(n, 1, 1),
        labels=(np.arange(n) % 3).astype(np.int32),
        track_ids=np.array([f"t{i % 6}" for i in range(n)]),
        label_names=("a", "b", "c"),
        sample_rate=8000,
        digests=np.array([""] * n),
        starts=np.arange(n) // 6,
    )
    with pytest.warns(LeakWarning, match="too high"):
        split = split_clips(clips, seed=3)
    assert split.leaks
    assert [len(s) for s in (split.train, split.valid, split.test)] == [42, 12, 6]
    assert np.bincount(split.test.labels).tolist() == [2, 2, 2]
    together = np.concatenate([s.audio.ravel() for s in (split.train, split.valid, split.test)])
    assert sorted(together) == list(range(n))
    with pytest.raises(LeakError, match="tracks are in both train and valid"):
        check_disjoint(split)


def test_gtzan_mini_by_track(gtzan_mini):
    split = split_tracks(scan_tracks(gtzan_mini))
    assert [len(s) for s in (split.train, split.valid, split.test)] == [60, 10, 10]
    assert set(labels(split.test).values()) == {1}


def test_gtzan_mini_by_artist_names_what_lacks(gtzan_mini, shared_data):
    if not (shared_data / "gtzan-splits").is_dir():
        pytest.skip(f"no gtzan-splits in {shared_data}")
    lists = shared_data / "gtzan-splits"
    tracks = scan_tracks(gtzan_mini, artist_index=lists / "GTZANindex.txt")
    with pytest.raises(ValueError, match=r"'blues' has 1 group\(s\) \(John Lee Hooker\)"):
        split_tracks(tracks, by="group")
    with pytest.raises(ValueError, match="class 'blues' has none of its tracks"):
        split_tracks(tracks, by="gtzan-filtered", lists=lists)


def test_the_filtered_lists_take_all_of_gtzan(shared_data, tmp_path):
    lists = shared_data / "gtzan-splits"
    if not lists.is_dir():
        pytest.skip(f"no gtzan-splits in {shared_data}")
    index = (lists / "GTZANindex.txt").read_text(encoding="utf-8").splitlines()
    for line in index:
        name = line.split(" ")[0]
        path = tmp_path / name.split(".")[0] / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    tracks = scan_tracks(tmp_path, artist_index=lists / "GTZANindex.txt")
    split = split_tracks(tracks, by="gtzan-filtered", lists=lists)
    assert [len(s) for s in (split.train, split.valid, split.test)] == [443, 197, 290]
    by_artist = split_tracks(tracks, by="group")
    for label in labels(by_artist.test):
        assert labels(by_artist.train)[label] in range(55, 86), label


def test_fsdd_by_speaker(shared_data):
    if not (shared_data / "fsdd").is_dir():
        pytest.skip(f"no fsdd in {shared_data}")
    split = split_tracks(scan_tracks(shared_data / "fsdd"), by="group")
    assert [len({t.group for t in s}) for s in (split.train, split.valid, split.test)] == [4, 1, 1]
    assert set(labels(split.test).values()) == {50}


@pytest.fixture
def splits():
    """The entries as they were, whatever a test registers."""
    before = dict(SPLITS)
    yield SPLITS
    SPLITS.clear()
    SPLITS.update(before)


def backwards(tracks, fractions, seed, lists):
    """The last tracks of each label first."""
    order = sorted(tracks, key=lambda t: int(t.track_id[2:]), reverse=True)
    return [order[:14], order[14:18], order[18:]]


# --- folds ---------------------------------------------------------------------------------------


@given(sizes, st.integers(2, 3), st.integers(0, 99), st.randoms())
def test_each_track_is_tested_in_one_fold(sizes, folds, seed, random):
    sizes = {label: size + 3 for label, size in sizes.items()}
    tracks = data_set(sizes)
    found = split_folds(tracks, folds=folds, seed=seed)
    assert sorted(t.track_id for split in found for t in split.test) == sorted(
        t.track_id for t in tracks
    )
    for split in found:
        check_disjoint(split)
        assert len(split.train) + len(split.valid) + len(split.test) == len(tracks)
        for label, size in sizes.items():
            assert abs(labels(split.test)[label] - size / folds) < 1
            assert abs(labels(split.valid)[label] - (size - size / folds) * 2 / 9) < 2
    random.shuffle(tracks)
    assert split_folds(tracks, folds=folds, seed=seed) == found


def test_what_folds_leave_over_is_tested_in_the_first_ones():
    """Recorded studies have these folds."""
    found = split_folds(data_set({"a": 17, "b": 11}), folds=5)
    assert [labels(split.test)["a"] for split in found] == [4, 4, 3, 3, 3]
    assert [labels(split.test)["b"] for split in found] == [3, 2, 2, 2, 2]


def test_as_many_folds_as_speakers_leave_each_out_once():
    tracks = [
        track(label, f"{speaker}{i}", group=speaker)
        for label in "abc"
        for speaker in "uvwxyz"
        for i in range(4)
    ]
    found = split_folds(tracks, folds=6, by="group")
    assert sorted([*{t.group for t in split.test}] for split in found) == [[s] for s in "uvwxyz"]
    for split in found:
        sides = [{t.group for t in side} for side in (split.train, split.valid, split.test)]
        assert [len(side) for side in sides] == [4, 1, 1]
        assert not sides[0] & sides[1]


def test_folds_that_cannot_be():
    tracks = [track("a", str(i), f"s{i % 3}") for i in range(9)] + data_set({"b": 9})
    with pytest.raises(
        ValueError, match=r"5 folds: class 'a' has 3 group\(s\) \(s0, s1, s2\), 5 are"
    ):
        split_folds(tracks, folds=5, by="group")
    with pytest.raises(ValueError, match="10 folds: class 'a' has 9 tracks, 10 are needed"):
        split_folds(tracks, folds=10)
    for by, folds in (("gtzan-filtered", 3), ("track", 1)):
        with pytest.raises(ValueError, match="two folds or more"):
            split_folds(tracks, folds=folds, by=by)


def of_ten():
    return [Track(Path(f"{g}.{i}.wav"), g, f"{g}.{i}", f"{g}.{i}") for g in "ab" for i in range(10)]


def test_a_users_own_split_is_one_entry(splits):
    register_split("backwards", "the last first")(backwards)
    found = split_tracks(of_ten(), by="backwards")
    assert (found.by, found.leaks) == ("backwards", False)
    assert [len(side) for side in (found.train, found.valid, found.test)] == [14, 4, 2]
    with pytest.raises(ValueError, match=r"by='backward': use 'track', .* or 'backwards'"):
        split_tracks(of_ten(), by="backward")


def test_a_users_own_split_is_checked_like_any_other(splits):
    register_split("leaky", "x")(lambda tracks, fractions, seed, lists: [tracks, [], tracks[:1]])
    with pytest.raises(LeakError, match="1 tracks are in both train and test"):
        split_tracks(of_ten(), by="leaky")
    register_split("strange", "x")(lambda *given: [1, 2])
    with pytest.raises(ValueError, match=r"'strange' gave .* a list of the tracks"):
        split_tracks(of_ten(), by="strange")
    register_split("listed", "x", needs=("lists",))(lambda *given: backwards(*given))
    with pytest.raises(ValueError, match="by='listed' needs lists="):
        split_tracks(of_ten(), by="listed")


def test_a_split_that_is_no_entry(splits):
    with pytest.raises(ValueError, match=r"split 'track' already, features\.splits\._by_track"):
        register_split("track", "mine")(backwards)
    with pytest.raises(ValueError, match="of='songs'"):
        register_split("mine", "mine", of="songs")
    with pytest.raises(TypeError, match=r"is a function \(tracks, fractions, seed, lists\)"):
        register_split("mine", "mine")(lambda tracks: tracks)
    with pytest.raises(TypeError, match=r"split 'mine' is a function \(clips, fractions, seed\)"):
        register_split("mine", "mine", of="clips")(backwards)
    assert list(splits) == ["track", "group", "gtzan-filtered", "chunk"]
    assert [name for name, rule in splits.items() if rule.leaks] == ["chunk"]


def test_errors_speak_of_arguments_not_of_options(tmp_path):
    with pytest.raises(ValueError, match="by='track'") as error:
        split_tracks([replace(t, group=t.label) for t in of_ten()], by="group")
    assert "--" not in str(error.value)


def test_one_recording_on_two_sides_is_a_leak_whatever_its_names():
    tracks = data_set({"a": 3, "b": 3})
    split = Split(*(tuple(t for t in tracks if t.track_id[-1] == n) for n in "012"), "mine")
    known = {t.track_id: Identity(f"{i:032x}") for i, t in enumerate(tracks)}
    check_disjoint(split, identities=known)
    check_disjoint(split, identities={**known, "elsewhere": known["a/0"]})
    copied = {**known, "b/2": known["a/1"]}
    with pytest.raises(LeakError, match=r"1 recordings are .* a/1 \(valid\) and b/2 \(test\)"):
        check_disjoint(split, identities=copied)
    check_disjoint(split, identities={**known, "b/1": known["a/1"]})  # on one side
