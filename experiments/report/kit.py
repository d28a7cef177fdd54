"""The frame of the report pages, and what they share; the template has style and script."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from html import escape
from importlib.resources import files
from string import Template
from typing import Any

from experiments.report.plots import spectrogram_colours
from experiments.report.timeline import category_colours


def fill_page(
    *,
    title: str,
    kicker: str,
    head: str,
    parts: Mapping[str, str],
    version: str,
    banner: str = "",
) -> str:
    """A page that needs nothing but itself.

    Parameters
    ----------
    title, kicker : plain text, of the window and above the headline.
    head, banner : HTML of the headline, and of what stands above everything.
    parts : name and HTML of each section, in order; one without content is left out.
    version : of wavegan.
    """
    parts = {name: body for name, body in parts.items() if body}
    page = Template(
        files("experiments")
        .joinpath("report", "templates", "page.html")
        .read_text(encoding="utf-8")
    )
    return page.substitute(
        title=escape(title),
        banner=banner,
        kicker=escape(kicker),
        verdict=_unbroken(head),
        contents="".join(f'<a href="#part-{i}">{escape(n)}</a>' for i, n in enumerate(parts)),
        body="\n".join(
            f'<section id="part-{i}"><h2>{escape(name)}</h2>\n{_unbroken(body)}\n</section>'
            for i, (name, body) in enumerate(parts.items())
        ),
        colours=spectrogram_colours(),
        categories=category_colours(dark=False),
        categories_dark=category_colours(dark=True),
        footer=escape(f"wavegan {version}"),
    )


def tiles(facts: Mapping[str, Any]) -> str:
    """Numbers in large type, each above what it is; empty ones are left out."""
    shown = "".join(
        f"<div><b>{escape(str(value))}</b><span>{escape(what)}</span></div>"
        for what, value in facts.items()
        if value
    )
    return f'<div class="facts">{shown}</div>'


def definitions(
    facts: Mapping[str, Any], without: Sequence[str] = (), *, verbatim: bool = False
) -> str:
    """Names and values, one below the other; None is left out.

    Underscores of names become spaces, if not ``verbatim``: names of files and tracks keep them.
    """
    rows = "".join(
        f"<dt>{escape(name if verbatim else name.replace('_', ' '))}</dt>"
        f"<dd>{escape(_plain(value))}</dd>"
        for name, value in facts.items()
        if name not in without and value is not None
    )
    return f"<dl>{rows}</dl>" if rows else ""


def table(
    heads: Sequence[str], rows: Iterable[Sequence[str]], *, words: Collection[int] = ()
) -> str:
    """A table of HTML cells, the first of a row its head; ``words`` are columns of text."""
    kinds = [' class="words"' if i in words else "" for i in range(len(heads))]
    body = "".join(
        f'<tr><th scope="row">{name}</th>'
        + "".join(f"<td{kind}>{cell}</td>" for kind, cell in zip(kinds[1:], cells, strict=True))
        + "</tr>"
        for name, *cells in rows
    )
    head = "".join(
        f'<th scope="col"{kind}>{escape(name)}</th>'
        for kind, name in zip(kinds, heads, strict=True)
    )
    return (
        f'<div class="scroll"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def folded(parts: Mapping[str, str]) -> str:
    """Parts that open when pressed, under names in HTML; one without content is left out."""
    return "".join(
        f"<details><summary>{name}</summary>{body}</details>"
        for name, body in parts.items()
        if body
    )


def counted(number: int, thing: str) -> str:
    """The number and the thing, which takes an s."""
    return f"{number} {thing}{'' if number == 1 else 's'}"


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_plain(item)}" for key, item in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_plain, value))
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def _unbroken(html: str) -> str:
    """``html`` with no line break between a number and its percent sign."""
    return re.sub(r"(?<=\d) %", "&nbsp;%", html)
