"""In what the settings kept in a folder differ from those of a call, and how that is told."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from features.storage import LONGEST

_DIGEST = re.compile("[0-9a-f]{12,}")


def differences(
    found: Mapping[str, Any], wanted: Mapping[str, Any], defaults: Mapping[str, Any] | None = None
) -> dict[str, tuple[Any, Any]]:
    """In what the settings kept in a folder differ from those of a call.

    They are compared as JSON keeps them (a tuple is a list), and a setting that is missing is one
    of None.

    Parameters
    ----------
    found, wanted : settings of the folder and of the call, nested or not.
    defaults : what stands for a setting that ``found`` does not have.

    Returns
    -------
    dict
        From the dotted name of each setting that differs to its values (found, wanted), sorted.
    """
    there, here = _flat(defaults or {}) | _flat(found), _flat(wanted)
    return {
        name: (there.get(name), here.get(name))
        for name in sorted(there.keys() | here.keys())
        if there.get(name) != here.get(name)
    }


def another(
    holder: str, kind: str, differing: Mapping[str, tuple[Any, Any]], advice: str
) -> ValueError:
    """The error of a folder that holds the work of other settings, to be raised.

    Parameters
    ----------
    holder : the folder, and the option that named it, if any.
    kind : what it holds: "run", "fit".
    differing : what `differences` found, one setting or more.
    advice : what to do, a sentence without its end.
    """
    said = "; ".join(_compared(name, *values) for name, values in differing.items())
    return ValueError(f"{holder} holds another {kind}: {said}. {advice}")


def _compared(name: str, there: Any, here: Any) -> str:
    there, here = str(there), str(here)
    if _DIGEST.fullmatch(there) and _DIGEST.fullmatch(here):
        return f"{name} is not the same"  # the digits would tell nobody anything
    shown = (text if len(text) <= LONGEST else text[:LONGEST] + "…" for text in (there, here))
    return "{} is {} there and {} here".format(name, *shown)


def _flat(value: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, item in value.items():
        if isinstance(item, Mapping):
            flat |= _flat(item, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = json.loads(json.dumps(item))
    return flat
