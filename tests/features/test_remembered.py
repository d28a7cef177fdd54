import pytest

from features.remembered import recall, remember


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("WAVEGAN_CACHE", str(tmp_path))
    return tmp_path


def test_what_is_remembered_is_recalled():
    assert recall("a") is None
    assert remember("a", 0.5) == 0.5
    remember("b", 2.0)
    assert (recall("a"), recall("b")) == (0.5, 2.0)


@pytest.mark.parametrize("text", ["{", "[]", '{"a": "x"}', '{"a": -1}', '{"a": 1e9}'])
def test_a_damaged_file_remembers_nothing(text, cache):
    (cache / "seconds-a-step.json").write_text(text)
    assert recall("a") is None
    remember("b", 1.0)
    assert recall("b") == 1.0


def test_what_killed_processes_left_goes(cache):
    left = cache / ".seconds-a-step-abcdefgh.part.json"
    left.write_text("{")
    remember("a", 1.0)
    assert [path.name for path in cache.iterdir()] == ["seconds-a-step.json"]
