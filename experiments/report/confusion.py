"""Confusion matrices on a page: rows are the truth, columns the answer."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np
from jaxtyping import Num

CAPTION = (
    "Rows: the true genre. Columns: the answer, darker for a larger share of the row. Framed: "
    "right."
)


def confusion_figure(
    title: str, note: str, labels: Sequence[str], counts: Num[np.ndarray, "k k"], *, numbers: str
) -> str:
    """A matrix with its title, as HTML.

    Parameters
    ----------
    title, note : plain text above it, the note in small type.
    labels : (K,) names of the rows and columns, plain text.
    counts : (K, K), or a sum of such counts over runs; rows are the truth.
    numbers : "counts" in the cells, or "percent" of the row. Colours are shares of the row.

    Raises
    ------
    ValueError
        Counts that are not of these labels, or other ``numbers``.
    """
    if numbers not in ("counts", "percent"):
        raise ValueError(f"numbers={numbers!r}: a matrix shows 'counts' or 'percent'")
    if counts.shape != (len(labels), len(labels)):
        raise ValueError(f"{title}: counts {counts.shape} are not of {len(labels)} labels")
    names = [escape(label) for label in labels]
    head = "".join(f'<th scope="col" title="{name}"><span>{name}</span></th>' for name in names)
    body = []
    for i, (name, row) in enumerate(zip(names, counts, strict=True)):
        total = row.sum()
        cells = []
        for j, count in enumerate(row):
            share = count / max(total, 1)
            number = 100 * share if numbers == "percent" else count
            classes = " ".join(["right"] * (i == j) + ["deep"] * bool(share > 0.85))
            cells.append(
                f'<td class="{classes}" style="--v:{share:.2f}" '
                f'title="{name} taken for {names[j]}: {count:.0f} of {total:.0f}">'
                f"{f'{number:.0f}' if number >= 0.5 else ''}</td>"
            )
        body.append(f'<tr><th scope="row" title="{name}">{name}</th>{"".join(cells)}</tr>')
    return (
        f"<figure><figcaption>{escape(title)}<small>{escape(note)}</small></figcaption>"
        f'<table class="confusion"><thead><tr><td></td>{head}</tr></thead>'
        f"<tbody>{''.join(body)}</tbody></table></figure>"
    )
