"""Which curves a GAN's pictures have, and where they mark what."""

import re
from html import unescape

from experiments.report.curves import GAN_CURVES, Curve, gan_figures

DISTANCE = "quality/kernel_distance"


def rows(**terms) -> list[dict[str, float]]:
    """A row for each value of the lists, ten steps apart."""
    names = {name.replace("__", "/"): values for name, values in terms.items()}
    count = len(next(iter(names.values())))
    return [
        {"gan/step": 10 * (i + 1)} | {n: v[i] for n, v in names.items() if v[i] is not None}
        for i in range(count)
    ]


def captions(html: str) -> list[str]:
    return [unescape(name) for name in re.findall(r"<figcaption>([^<]*)", html)]


def test_terms_that_were_logged_have_a_picture_each():
    logged = rows(
        gan__critic_gap=[3.0, 2.0],
        gan__critic_gradient_norm=[1.0, 20.0],
        gan__generator_gradient_norm=[0.5, 0.1],
        gan__penalty=[0.0, 0.0],  # a loss without one
    )
    html = gan_figures("a & b", logged, GAN_CURVES)
    assert captions(html) == ["Critic's gap", "Gradient norms"]
    assert html.count("</i>critic</span>") == html.count("</i>generator</span>") == 1
    assert "Critic&#x27;s gap of the GAN of a &amp; b" in html
    assert gan_figures("a", [], GAN_CURVES) == ""
    assert gan_figures("a", [{"gan/step": 1}], GAN_CURVES) == ""


def test_a_metric_has_its_error_its_best_step_and_the_end_of_its_use():
    def marks(logged, **options) -> tuple[int, int, int]:
        html = gan_figures("a", logged, [Curve("Distance", {DISTANCE: ""}, "")], **options)
        return (
            len(re.findall("fill-opacity: 0.2", html)),  # the band
            len(re.findall("<use [^>]*stroke: var\\(--blue\\)", html)),  # the dot
            len(re.findall("stroke-dasharray: 1.2", html)),  # the dotted line
        )

    logged = rows(quality__kernel_distance=[0.3, None, 0.1])
    assert marks(logged) == (0, 1, 0)
    for row in logged:
        row[f"{DISTANCE}_error"] = 0.05
    assert marks(logged) == (1, 1, 0)
    assert marks(logged, enough_since=20) == (1, 1, 1)
