"""What answers say, on cases whose answer is known: keen ears, luck, a published alpha."""

import json

import numpy as np
import pytest
from html_page import check_page

from experiments.listening.answers import (
    Answers,
    Key,
    alpha,
    analysed,
    read_answers,
    read_key,
    seal,
)
from experiments.report.listen import render_answers
from experiments.statistics import crossed_mean
from features.storage import write_json

LABELS = ("a", "b", "c")


def key(kind: str, sources: tuple[str, ...], count: int = 12, checks: int = 1) -> Key:
    """A test of so many trials of each source (of a pair of two)."""
    trials = {}

    def sound(number: str, source: str, i: int) -> dict:
        return {"sound": number, "source": source, "label": LABELS[i % 3], "name": f"{source} {i}"}

    for i in range(count):
        if kind == "ab":
            both = [sound(f"{source}{i}", source, i) for source in sources]
            choices = [one["sound"] for one in both]
            trials[f"t{i}"] = {"trial": f"t{i}", "choices": choices, "right": None, "sounds": both}
            continue
        for source in sources:
            choices = list("12345" if kind == "mos" else LABELS)
            trials[f"{source}-{i}"] = {
                "trial": f"{source}-{i}", "choices": choices, "right": None,
                "sounds": [sound(f"{source}{i}", source, i)],
            }  # fmt: skip
    for i in range(checks):
        beeps = [{"sound": f"c{i}", "source": "check", "label": "", "name": "2 beeps"}]
        trials[f"c{i}"] = {"trial": f"c{i}", "choices": ["1", "2"], "right": "2", "sounds": beeps}
    return Key("abc", kind, LABELS, sources, trials)


def listeners(of: Key, answer, count: int = 5, check: str = "2") -> list[Answers]:
    """Such as say ``answer(listener, trial)``."""
    said = [
        {name: check if one["right"] else answer(i, one) for name, one in of.trials.items()}
        for i in range(count)
    ]
    return [Answers(f"l{i}", one) for i, one in enumerate(said)]


def chosen(source: str):
    return lambda i, one: next(s["sound"] for s in one["sounds"] if s["source"] == source)


def test_keen_ears_find_every_recording():
    of = key("ab", ("real", "gan"))
    (pair,) = analysed(of, listeners(of, chosen("real")))["pairs"]
    assert (pair["chosen"], pair["hits"], pair["count"], pair["share"]) == ("real", 60, 60, 1.0)
    assert pair["exact"] == pytest.approx([0.9404, 1.0], abs=1e-4)  # 0.025 ** (1 / 60)
    assert 0.5 < pair["ci95"][0] < 1
    assert pair["p"] == pytest.approx(2 * 0.5**60)
    (pair,) = analysed(of, listeners(of, chosen("gan")))["pairs"]
    assert pair["share"] == 0
    assert pair["ci95"][1] < 0.5


def test_of_two_generators_the_second_is_counted():
    of = key("ab", ("one", "two"))
    (pair,) = analysed(of, listeners(of, chosen("one")))["pairs"]
    assert (pair["one"], pair["other"], pair["chosen"], pair["share"]) == ("one", "two", "two", 0)


def test_scores_are_means_and_their_counts():
    of = key("mos", ("real", "gan"), count=4)
    said = {"real": "4", "gan": "2"}
    found = analysed(of, listeners(of, lambda i, one: said[one["sounds"][0]["source"]]))
    real, gan = found["scores"]
    assert (real["mean"], gan["mean"]) == (4.0, 2.0)
    assert real["counts"] == [0, 0, 0, 20, 0]
    assert found["agreement"] == 1.0
    raised = analysed(of, listeners(of, lambda i, one: "5" if i < 4 else "1"))
    assert raised["scores"][0]["mean"] == pytest.approx(4.2)
    low, high = raised["scores"][0]["ci95"]
    assert low < 3
    assert high == 5.0  # one listener of five heard it otherwise


def test_classes_that_are_heard_and_mistaken():
    of = key("genre", ("real", "gan"), count=6)

    def answer(i: int, one: dict) -> str:
        sound = one["sounds"][0]
        return sound["label"] if sound["source"] == "real" else "a"

    real, gan = analysed(of, listeners(of, answer))["classes"]
    assert real["share"] == 1
    assert gan["share"] == pytest.approx(1 / 3)
    assert real["counts"] == [[10, 0, 0], [0, 10, 0], [0, 0, 10]]
    assert gan["counts"] == [[10, 0, 0], [10, 0, 0], [10, 0, 0]]


def test_who_does_not_listen_does_not_count():
    of = key("ab", ("real", "gan"))
    awake, asleep = listeners(of, chosen("real"), 2), listeners(of, chosen("gan"), 3, check="1")
    asleep = [Answers(f"z{one.listener}", one.said) for one in asleep]
    found = analysed(of, [*awake, *asleep])
    assert [one["counts"] for one in found["listeners"]] == [True, True, False, False, False]
    assert found["pairs"][0]["share"] == 1
    assert found["trials"] == 12
    with pytest.raises(ValueError, match="all 3 listeners got a check wrong"):
        analysed(of, asleep)


# --- known answers of the statistics -------------------------------------------------------------


def test_alpha_of_the_published_examples():
    """Krippendorff 2011, example C: four observers, twelve units, some missing."""
    text = """1 2 3 3 2 1 4 1 2 . . .
              1 2 3 3 2 2 4 1 2 5 . 3
              . 3 3 3 2 3 4 2 2 5 1 .
              1 2 3 3 2 4 4 1 2 5 1 ."""
    table = [[float(x.replace(".", "nan")) for x in row.split()] for row in text.splitlines()]
    assert alpha(table, ordered=False) == pytest.approx(0.743, abs=5e-4)
    assert alpha(table, ordered=True) == pytest.approx(0.849, abs=5e-4)
    assert alpha([[1.0, 1.0], [1.0, 1.0]], ordered=False) is None
    coins = np.random.default_rng(0).integers(0, 2, (6, 4000))
    for ordered in (False, True):  # of two values both are the same
        assert alpha(coins, ordered=ordered) == pytest.approx(0, abs=0.02)
    assert alpha(np.full((2, 3), 0.1), ordered=True) is None
    assert alpha([[np.nan, 1.0], [2.0, np.nan]], ordered=True) is None


def test_alpha_is_that_of_all_pairs():
    table = np.random.default_rng(1).integers(1, 6, (4, 9)).astype(float)
    table[0, :3] = np.nan
    units = [unit[~np.isnan(unit)] for unit in table.T]
    every = np.concatenate(units)
    for ordered in (False, True):
        apart = (lambda x, y: (x - y) ** 2) if ordered else (lambda x, y: float(x != y))
        observed = sum(apart(x, y) / (len(u) - 1) for u in units for x in u for y in u)
        expected = sum(apart(x, y) for x in every for y in every)
        found = alpha(table, ordered=ordered)
        assert found == pytest.approx(1 - observed * (len(every) - 1) / expected)


@pytest.mark.parametrize(("listener", "clip"), [(0.0, 0.0), (1.0, 0.0), (0.0, 1.0), (0.7, 0.7)])
def test_intervals_hold_for_other_listeners_and_other_clips(listener, clip):
    """Of 400 tests with luck of either kind, the true share is in the interval as often as said."""
    rng = np.random.default_rng(1)
    inside = 0
    for _ in range(400):
        leaning = listener * rng.normal(size=(10, 1)) + clip * rng.normal(size=(1, 20))
        table = (leaning + rng.normal(size=(10, 20)) > 0).astype(float)  # half on average
        low, high = crossed_mean(table, within=(0.0, 1.0))[1]
        inside += low <= 0.5 <= high
    assert inside >= 0.93 * 400


@pytest.mark.parametrize(
    ("listeners", "clips", "right", "alike"),
    [(10, 6, 0.9, 0.9), (5, 8, 0.9, 1.0), (10, 20, 0.97, 0.9), (2, 20, 0.03, 0.5)],
)
def test_intervals_hold_where_nearly_all_are_right_or_wrong(listeners, clips, right, alike):
    """Of 200 tests in which so many answers on a clip are everybody's, others one's own."""
    rng = np.random.default_rng(2)
    inside = 0
    for _ in range(200):
        same = rng.random((listeners, clips)) < alike
        own, of_clip = rng.random((listeners, clips)) < right, rng.random((1, clips)) < right
        low, high = crossed_mean(np.where(same, of_clip, own) * 1.0, within=(0.0, 1.0))[1]
        inside += low <= right <= high
    assert inside >= 0.93 * 200


@pytest.mark.parametrize("listeners", [2, 10])
def test_who_guesses_is_not_told_from_who_does_not(listeners):
    rng = np.random.default_rng(3)
    apart = 0
    for _ in range(200):
        coins = rng.integers(0, 2, (listeners, 12)).astype(float)
        low, high = crossed_mean(coins, within=(0.0, 1.0))[1]
        apart += not low <= 0.5 <= high
    assert apart <= 0.05 * 200


def test_a_single_answer_tells_nothing_and_one_mind_not_all():
    assert crossed_mean(np.ones((1, 1)), within=(0.0, 1.0)) == (1.0, (0.0, 1.0))
    mean, (low, high) = crossed_mean(np.ones((4, 8)), within=(0.0, 1.0))
    assert (mean, high) == (1.0, 1.0)
    assert low == pytest.approx(1 - 2.3646 / 8, abs=1e-4)  # t with 7 degrees, times the error 1/8
    assert crossed_mean(np.zeros((4, 8)), within=(0.0, 1.0))[1] == pytest.approx((0, 1 - low))
    opinions = np.full((4, 8), 4.0)
    assert crossed_mean(opinions, within=(1.0, 5.0))[1] == pytest.approx(
        (4 - 3 * (1 - low), 4 + 3 * (1 - low))
    )
    opinions[0] = 3.0  # values that vary are as they are
    spread = crossed_mean(opinions, within=(1.0, 5.0))[1]
    assert spread == pytest.approx(crossed_mean(opinions, within=(0.0, 9.0))[1])


def test_one_listener_is_none_of_all():
    of = key("ab", ("real", "gan"))
    several, alone = (analysed(of, listeners(of, chosen("real"), count)) for count in (2, 1))
    assert several["holding_for"] == "other listeners and other clips"
    assert alone["holding_for"] == "this listener alone and other clips"


@pytest.mark.parametrize("kind", ["ab", "mos", "genre"])
def test_one_clip_of_each_source_is_none_of_others(kind):
    of = key(kind, ("real", "gan"), count=1)
    several, alone = (
        analysed(of, listeners(of, lambda i, one: one["choices"][0], count)) for count in (2, 1)
    )
    assert several["holding_for"] == "other listeners and one clip of each alone"
    assert alone["holding_for"] == "this listener alone and one clip of each alone"
    said, told = (check_page(render_answers(found)).text for found in (several, alone))
    assert "For one clip of each: " in said
    assert "For this listener alone and one clip of each: " in told
    assert "other clips" not in said + told


@pytest.mark.parametrize("right", [0, 9, 12])
@pytest.mark.parametrize("one", ["listener", "clip"])
def test_answers_of_one_listener_or_about_one_clip_have_the_exact_interval(right, one):
    """Clopper and Pearson's, from quantiles of the beta distribution: 12 of 12 from .025^(1/12)."""
    count, clips = (1, 12) if one == "listener" else (12, 1)
    of, turn = key("ab", ("real", "gan"), count=clips), iter(range(12))
    given = listeners(of, lambda i, trial: trial["choices"][int(next(turn) >= right)], count)
    (pair,) = analysed(of, given)["pairs"]
    assert (pair["hits"], pair["count"]) == (right, 12)
    ends = {0: [0, 1 - 0.025 ** (1 / 12)], 9: [0.428142, 0.945139], 12: [0.025 ** (1 / 12), 1]}
    assert pair["ci95"] == pytest.approx(ends[right], abs=1e-5)
    assert pair["ci95"] == pair["exact"]


# --- files ---------------------------------------------------------------------------------------


def saved(of: Key, **changes) -> dict:
    rows = [{"trial": name, "choice": one["right"] or one["choices"][0], "milliseconds": 900,
             "plays": 2} for name, one in of.trials.items()]  # fmt: skip
    content = {"format": "wavegan answers", "version": 1, "test": of.test, "listener": "l",
               "started": "2026-01-01T00:00:00Z", "ended": "2026-01-01T00:01:00Z",
               "answers": rows}  # fmt: skip
    content |= changes
    return content | {"seal": seal(content)}


def test_the_seal_is_fnv_1a():
    empty = {"test": "", "listener": "", "started": "", "ended": "", "answers": []}
    found = 0xCBF29CE484222325
    for _ in range(3):  # its three line breaks
        found = (found ^ 10) * 0x100000001B3 % 2**64
    assert seal(empty) == f"{found:016x}"


def test_answers_are_read_as_they_were_saved(tmp_path):
    of = key("ab", ("real", "gan"))
    write_json(tmp_path / "a.json", saved(of))
    found = read_answers(tmp_path / "a.json", of)
    assert found.listener == "l"
    assert found.said["t0"] == "real0"
    assert found.wrong(of) == 0


def edited(content: dict, sealed: bool) -> dict:
    content["answers"][0]["choice"] = "gan0"
    return content | ({"seal": seal(content)} if sealed else {})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda c: edited(c, sealed=False), "somebody has changed them"),
        (lambda c: {**c, "listener": "m"}, "somebody has changed them"),
        (lambda c: {**c, "test": "xyz"}, "answers to the test 'xyz', not to abc"),
        (lambda c: {**c, "version": 2}, "no answers of version 1"),
        (lambda c: {k: v for k, v in c.items() if k != "seal"}, "damaged"),
        (lambda c: [c], "must"),
        (lambda c: {**c, "answers": "all"}, "damaged"),
    ],
)
def test_answers_that_are_not_those_of_the_page(change, said, tmp_path):
    of = key("ab", ("real", "gan"))
    (tmp_path / "a.json").write_text(json.dumps(change(saved(of))))
    with pytest.raises(ValueError, match=r"a\.json") as caught:
        read_answers(tmp_path / "a.json", of)
    assert said in str(caught.value) or said == "must"


def test_answers_that_lack_some_or_answer_what_is_not_asked(tmp_path):
    of, file = key("ab", ("real", "gan")), tmp_path / "a.json"
    rows = saved(of)["answers"]
    for changed, said in {
        "fewer": (rows[1:], "1 of 13 trials have no answer"),
        "twice": ([*rows, rows[0]], "answered twice"),
        "strange": ([{**rows[0], "choice": "none"}, *rows[1:]], "'none' is no answer to the trial"),
    }.values():
        write_json(file, saved(of, answers=changed))
        with pytest.raises(ValueError, match=said):
            read_answers(file, of)


def test_a_key_is_read_back_and_another_file_is_none(tmp_path):
    of = key("mos", ("real",), count=2)
    content = {"format": "wavegan listening test", "version": 1, "test": "abc", "kind": "mos",
               "labels": list(LABELS), "sources": ["real"],
               "trials": list(of.trials.values())}  # fmt: skip
    write_json(tmp_path / "key.json", content)
    assert read_key(tmp_path / "key.json") == of
    for change in ({"format": "x"}, {"trials": [{"trial": 1}]}, {"trials": 7}, {"labels": None}):
        (tmp_path / "key.json").write_text(json.dumps(content | change))
        with pytest.raises(ValueError, match=r"key\.json"):
            read_key(tmp_path / "key.json")
