"""What a folder of another generator's clips is told to be from, whoever told it."""

import json

import numpy as np
import pytest

from experiments.recipes import RECIPES
from experiments.stages.folders import PROVENANCE, open_folder
from features import save_audio

HASH = "0f" * 16
SOUND = f"1:{HASH}:"
OF_TRACKS = [
    *({"tracks": said} for said in (None, 7, "x", ["x"], {"x": 7}, {"x": {"y": HASH}})),
    *({"judged_by": said} for said in (None, ["x"], {"x": None})),
    *({"sounds": said} for said in (None, [SOUND], {"x": 7}, {"x": ""}, {"x": SOUND[:-2]})),
    {"sounds": {"another": SOUND}},
    *({"sounds": {"x": said}} for said in (f"2{SOUND[1:]}", f"{SOUND}AAAA", "1:\ud800:")),
]


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """A folder of clips of two classes."""
    root = tmp_path_factory.mktemp("clips")
    for label in ("a", "b"):
        audio = np.random.default_rng(0).uniform(-0.5, 0.5, (100, 1)).astype(np.float32)
        save_audio(root / label / "0.wav", audio, 4000)
    return root


def opened(clips, text):
    (clips / PROVENANCE).write_text(text, encoding="utf-8")
    return open_folder(f"mine={clips}", ("a", "b"), RECIPES["demo"], 100).gans


def test_it_is_from_one_generator_named_as_the_arm(clips):
    told = {"tracks": {"x": HASH}, "sounds": {"x": SOUND}, "label": "../x"}
    (gan,) = opened(clips, json.dumps(told))
    ((name, digest, identity),) = gan.told("tracks")
    assert (gan.labels, name, digest, str(identity)) == (("mine",), "x", HASH, SOUND)
    assert gan.unknown == []


@pytest.mark.parametrize(
    "said",
    [
        *OF_TRACKS,
        *({"ancestors": [{"name": "x", "tracks": {"x": HASH}, **said}]} for said in OF_TRACKS),
        *({"ancestors": said} for said in (None, "x", {"name": "x"}, [7], [{}], [{"name": 7}])),
        *({"labels": said} for said in ("../x", ["../../x"], ["x" * 300], {"x": 1}, ["x", "y"], 7)),
        *({"seed": said} for said in (0.5, "0", None, True)),
        *({"sample_rate": said} for said in (-1, 10**300, "16000", [16000], True)),
    ],
    ids=lambda said: json.dumps(said)[:60],
)
def test_what_is_none_is_refused_by_the_name_of_the_file(clips, said):
    advice = "write it again|train or export it again|give a name"
    with pytest.raises(ValueError, match=rf"{PROVENANCE}.*({advice})"):
        opened(clips, json.dumps({"tracks": {"x": HASH}, **said}))


@pytest.mark.parametrize(
    "text",
    ["[" * 100_000, '{"a":' * 100_000, '{"seed": NaN}', '{"seed": ' + "9" * 5000 + "}", "7", ""],
    ids=["array", "object", "nan", "digits", "number", "empty"],
)
def test_text_that_is_no_description_is_refused_by_the_name_of_the_file(clips, text):
    with pytest.raises(ValueError, match=rf"{PROVENANCE} is damaged .*: write it again"):
        opened(clips, text)
