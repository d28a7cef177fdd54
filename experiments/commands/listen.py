"""Blind listening tests: a page that asks, and what the answers say."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

from experiments.config import ListenConfig
from experiments.listening.answers import analysed, read_answers, read_key
from experiments.listening.blind_tests import REAL, SCALE, BlindTest, blind_test
from experiments.report.listen import CONSENT, render_answers, render_test
from experiments.report.tables import write_answers_csv
from experiments.report.terminal import Progress
from experiments.run import own_folder
from features.limits import check_folder
from features.saving import save_audio
from features.storage import inside, read_text, write_json, write_text

KEY, PAGE = "key.json", "test.html"
RESULTS = ("listening.json", "listening.csv", "listening.html")


def listen(
    config: ListenConfig, out: str | Path | None = None, *, progress: Progress | None = None
) -> Path:
    """Write a blind test's page and its key into ``out`` (RUN/listen-TEST if None).

    Give listeners `PAGE` alone; `KEY` says what its sounds are.

    Raises
    ------
    ValueError
        Where clips are missing that the test needs, or ``out`` holds another test's key.
    """
    progress = progress or Progress(quiet=True)
    out = own_folder(out, config.run[0], f"listen-{config.test}")
    if (out / KEY).exists():
        raise ValueError(
            f"--out {out} holds the key of a test, without which its answers say nothing: choose "
            "another folder"
        )
    consent = CONSENT
    if config.consent is not None:
        if not config.consent.is_file():
            raise ValueError(f"--consent {config.consent}: no such file")
        if not (consent := read_text(config.consent, "give a text file").strip()):
            raise ValueError(f"--consent {config.consent} is empty: give a text, or leave it out")
    test = blind_test(config, progress)
    page = render_test(test, consent)
    write_json(out / KEY, test.key())
    try:
        if config.webmushra:
            _write_webmushra(out / "webmushra", test, consent)
        write_text(out / PAGE, page)
    except BaseException:  # a key without its test would bar the folder
        (out / KEY).unlink()
        raise
    return out / PAGE


def analyse(
    answers: Sequence[str | Path], out: str | Path | None = None, *, key: str | Path | None = None
) -> dict[str, Any]:
    """What the answers to a test say, as `experiments.listening.answers.analysed` gives it.

    A page, a table of all answers and JSON are written into ``out`` (the key's folder if None).

    Parameters
    ----------
    answers : files that the test's page saved, or folders of them.
    key : of the test; None takes a key.json beside the answers, or in the folder above.

    Raises
    ------
    ValueError
        For answers of another test, that somebody changed or that are not complete, for those of
        a listener twice, and where no listener got the checks right.
    """
    files = [file for path in map(Path, answers) for file in _files(path)]
    key_file = _key_of(files, key)
    known = read_key(key_file)
    said = [read_answers(file, known) for file in files]
    names = [one.listener for one in said]
    for name, file in zip(names, files, strict=True):
        if names.count(name) > 1:
            raise ValueError(f"{file}: the listener {name!r:.40} is there twice: leave one out")
    out = Path(out) if out is not None else key_file.parent
    check_folder(out, "--out")
    found = analysed(known, said)
    write_json(out / RESULTS[0], found)
    write_answers_csv(out / RESULTS[1], known, said)
    write_text(out / RESULTS[2], render_answers(found))
    return found


def _files(path: Path) -> list[Path]:
    """A file of answers, or those in a folder."""
    if not path.is_dir():
        if not path.exists():
            raise ValueError(f"{path}: no such file or folder")
        return [path]
    if not (found := sorted(path.glob("answers-*.json"))):
        raise ValueError(f"{path} holds no answers-*.json, as the page of a test saves them")
    return found


def _key_of(files: Sequence[Path], key: str | Path | None) -> Path:
    """The file of the key."""
    if key is not None:
        if not Path(key).is_file():
            raise ValueError(f"--key {key}: no such file")
        return Path(key)
    if not files:
        raise ValueError("give the files that the page of a test saved")
    places = [files[0].absolute().parent / KEY, files[0].absolute().parent.parent / KEY]
    if (found := next((place for place in places if place.is_file()), None)) is None:
        raise ValueError(
            f"no {KEY} beside {files[0]}: give --key, which `wavegan listen` wrote beside the page"
        )
    return found


def _write_webmushra(folder: Path, test: BlindTest, consent: str) -> None:
    """A configuration and its files, to be put into the folder of a webMUSHRA server."""
    at = f"configs/resources/{test.number}"
    for sound in (sound for trial in test.trials for sound in trial.sounds):
        save_audio(inside(folder, f"{at}/{sound.number}.wav"), sound.audio, test.sample_rate)
    pages: list[Any] = [
        {"type": "generic", "id": "consent", "name": "A listening test", "content": consent}
    ]
    asked = []
    for trial in test.trials:
        page: dict[str, Any] = {
            "id": trial.number,
            "name": trial.question,
            "content": trial.question,
        }
        first, *rest = sorted(trial.sounds, key=lambda sound: sound.source != REAL)
        if rest:
            page |= {"type": "paired_comparison", "reference": f"{at}/{first.number}.wav"}
            page |= {"showWaveform": False, "enableLooping": True}
            page["stimuli"] = {"C1": f"{at}/{rest[0].number}.wav"}
        else:
            page |= {"type": "likert_single_stimulus"}
            page["stimuli"] = {"C1": f"{at}/{first.number}.wav"}
            names = SCALE if test.kind == "mos" and trial.right is None else trial.choices
            page["response"] = [{"value": value, "label": text} for value, text in names.items()]
        asked.append(page)
    pages += [["random", *asked], {"type": "finish", "name": "Thank you", "content": "Thank you",
                                   "showResults": False, "writeResults": True}]  # fmt: skip
    content = {"testname": "A listening test", "testId": test.number, "bufferSize": 2048,
               "stopOnErrors": True, "showButtonPreviousPage": False,
               "remoteService": "service/write.php", "pages": pages}  # fmt: skip
    text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
    write_text(inside(folder, f"configs/{re.sub(r'[^0-9a-f]', '', test.number)}.yaml"), text)
