"""Pages from templates: everything that goes into one is escaped, and what is missing is an error.

A page is a template in ``templates/`` and a function that gives it plain values; ``base.html``
has the frame with style and script, ``macros.html`` the parts that pages share. It is one file of
HTML with every picture, sound and script inside, the same for the same values.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Mapping
from functools import lru_cache
from importlib import metadata
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, pass_eval_context
from jinja2.nodes import EvalContext
from markupsafe import Markup

from experiments import scores
from experiments.report import formats
from experiments.report.timeline import category_colours
from features.display import spectrogram_colours
from features.registry import Registry, check_takes
from features.soundness import QUIET_LEVEL
from features.splits import SIDES


def render(template: str, **values: Any) -> str:
    """The page or table of a template in ``templates/``; the same for the same values."""
    return _environment().get_template(template).render(values)


def _check(figure: Any) -> None:
    check_takes("a figure", figure, "results", gives="HTML or SVG")


# A user's own figures of a comparison's and a classification's page, under their titles: functions
# of ``results.json``'s content to HTML or SVG, to nothing where they have nothing to show.
FIGURES: Registry[Callable[[Mapping[str, Any]], str]] = Registry(
    "experiments.FIGURES", {}, _check, recipe="a function (results) -> HTML or SVG"
)


def render_results(template: str, results: scores.Record, **values: Any) -> str:
    """The page of a comparison or a classification, with what both of them show.

    Parameters
    ----------
    results : content of ``results.json``; what is missing is left out of the page.
    values : what the page's own parts show.
    """
    labels = results.get("data", {}).get("labels", [])
    return render(
        template,
        results=results,
        further=[(title, _drawn(title, results)) for title in FIGURES],
        version=results.get("version", ""),
        metrics=scores.METRICS,
        sides=SIDES,
        noun=scores.noun(labels),
        chance=scores.chance(labels),
        **values,
    )


def _drawn(title: str, results: scores.Record) -> Markup:
    """A user's own figure; where it fails, what it said, so that the rest of the page is there."""
    try:
        return Markup(FIGURES[title](results))
    except Exception as error:
        said = f"experiments.FIGURES[{title!r}] fails: {type(error).__name__}: {error}"
        warnings.warn(said, RuntimeWarning, stacklevel=2)
        return Markup('<p class="note">{}</p>').format(said)


@lru_cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("experiments.report"),
        autoescape=lambda name: name is not None and name.endswith(".html"),
        undefined=StrictUndefined,
        finalize=_finished,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        extensions=["jinja2.ext.do"],
    )
    for name in ("percent", "points", "whole", "number", "spread", "reach", "duration",
                 "counted", "joined", "capital"):  # fmt: skip
        environment.filters[name] = getattr(formats, name)
    environment.filters |= {"plain": _plain, "cell": _cell, "tex": _tex}
    environment.globals |= {"version": metadata.version("wavegan"), "quiet_level": QUIET_LEVEL}
    for function in (category_colours, spectrogram_colours):
        environment.globals[function.__name__] = function
    return environment


@pass_eval_context
def _finished(context: EvalContext, value: Any) -> Any:
    """``value`` as it is put in: None is nothing, on a page a number and its percent are one word.

    HTML has been through this when it was made.
    """
    if value is None:
        return ""
    if context.autoescape and isinstance(value, str) and not isinstance(value, Markup):
        return re.sub(r"(?<=\d) %", "\N{NO-BREAK SPACE}%", value)
    return value


def _plain(value: Any) -> str:
    """A setting in words."""
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_plain(item)}" for key, item in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_plain, value))
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def _cell(text: Any) -> str:
    """``text`` in a cell of a Markdown table: nothing in it is taken for Markdown or HTML."""
    return " ".join(re.sub(r"([\\|`*_\[\]<>&$~#])", r"\\\1", str(text)).split())


_TEX = {
    **{character: f"\\{character}" for character in "&%$#_{}"},
    "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "`": r"\textasciigrave{}", '"': "''",
    "[": "{[}", "]": "{]}", "*": "{*}",  # no options of the line break before them
    formats.MINUS: "$-$", "±": r"$\pm$",
}  # fmt: skip


def _tex(text: Any) -> str:
    """``text`` in a LaTeX table: nothing in it is taken for a command."""
    return "".join(_TEX.get(character, character) for character in " ".join(str(text).split()))
