"""`wavegan`, and `python -m experiments`: the command line, which Ctrl-C ends quietly."""

from __future__ import annotations

import os
import signal
import sys

from experiments import TYPE_CHECKING

if TYPE_CHECKING:
    from types import FrameType
    from typing import Any, NoReturn


def main() -> int:
    """As `experiments.cli.main`, quiet also while that is imported."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # a job's may be ignored
        signal.signal(signal.SIGINT, _interrupt)
        sys.unraisablehook = _lost
    from experiments.cli import main

    return main()


def _interrupt(number: int, frame: FrameType | None) -> None:
    while frame:  # a compiled module that is being imported takes an exception for its own, or dies
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            _leave()
        frame = frame.f_back
    raise KeyboardInterrupt


def _lost(ignored: Any) -> None:
    if ignored.exc_type is KeyboardInterrupt:  # in a callback, which ends nothing
        _leave()
    sys.__unraisablehook__(ignored)


def _leave() -> NoReturn:
    os.write(2, b"\nstopped\n")
    os._exit(130)


if __name__ == "__main__":
    sys.exit(main())
