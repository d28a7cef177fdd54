"""Which curves a page has, where they mark what, and the pictures that matplotlib makes."""

import re
import xml.etree.ElementTree as ET

import numpy as np

from experiments.report.curves import (
    GAN_CURVES,
    Curve,
    Line,
    Panel,
    classifier_figures,
    gan_figures,
    gan_panels,
    other_curves,
)
from experiments.report.kit import part

DISTANCE = "quality/kernel_distance"


def rows(**terms) -> list[dict[str, float]]:
    """A row for each value of the lists, ten steps apart."""
    names = {name.replace("__", "/"): values for name, values in terms.items()}
    count = len(next(iter(names.values())))
    return [
        {"gan/step": 10 * (i + 1)} | {n: v[i] for n, v in names.items() if v[i] is not None}
        for i in range(count)
    ]


def svg(*lines: Line, told="x", **options) -> str:
    return str(Panel("title", lines, told, **options).svg)


def words(picture: str) -> set[str]:
    return {text.text for text in ET.fromstring(picture.replace("xlink:", "")).iter("text")}


def test_terms_that_were_logged_have_a_picture_each():
    logged = rows(
        gan__critic_gap=[3.0, 2.0],
        gan__critic_gradient_norm=[1.0, 20.0],
        gan__generator_gradient_norm=[0.5, 0.1],
        gan__penalty=[0.0, 0.0],  # a loss without one
    )
    panels = gan_panels("a & b", logged, GAN_CURVES)
    assert [panel.title for panel in panels] == ["Critic's gap", "Gradient norms"]
    assert [panel.key for panel in panels] == [{}, {"blue": "critic", "orange": "generator"}]
    assert 'aria-label="Critic&#39;s gap of the GAN of a &amp; b over' in panels[0].svg
    assert gan_panels("a", [], GAN_CURVES) == gan_panels("a", [{"gan/step": 1}], GAN_CURVES) == []


def test_a_term_that_is_alone_of_two_is_named_all_the_same():
    (panel,) = gan_panels("a", rows(gan__rms_fake=[0.1, 0.2]), GAN_CURVES)
    assert panel.key == {"orange": "generated clips"}
    html = part("macros.html", "panels", [panel])
    assert '<i class="orange"></i>generated clips' in html


def test_terms_that_no_curve_knows_have_one_by_their_name():
    logged = rows(
        gan__critic_gap=[3.0], gan__mine=[1.0], quality__own=[2.0], quality__own_error=[0.1],
        quality__enough_since=[10],
    )  # fmt: skip
    assert [curve.title for curve in other_curves(logged, GAN_CURVES)] == [
        "gan/mine",
        "quality/own",
    ]


def test_every_panel_has_a_legend_of_its_own():
    history = {"steps": [1, 2], "train_loss": [2.0, 1.0], "valid_loss": [2.0, 1.5],
               "train_accuracy": [0.5, 0.6], "valid_accuracy": [0.4, 0.5]}  # fmt: skip
    run = {"history": history, "best_step": 2}
    found = classifier_figures({"real": {"runs": [run, run]}, "b": {"runs": []}})
    html = part("macros.html", "figures", found)
    assert [figure["title"] for figure in found] == ["real"]
    assert re.findall(r"<h4>(\w+)<span", html) == ["Loss", "Accuracy"]
    assert html.count("</i>validation</span>") == html.count("</i>training</span>") == 2
    (gan,) = gan_figures(
        {"a": rows(gan__critic_gap=[3.0], gan__rms_real=[0.1], gan__rms_fake=[0.2])}
    )
    assert [(p.title, p.key) for p in gan["panels"]] == [
        ("Critic's gap", {}),
        ("Loudness (rms)", {"blue": "real clips", "orange": "generated clips"}),
    ]


def test_a_metric_has_its_error_its_best_step_and_the_end_of_its_use():
    def marks(logged, **options) -> tuple[int, int, int]:
        (panel,) = gan_panels("a", logged, [Curve("Distance", {DISTANCE: ""})], **options)
        html = panel.svg
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


def test_curves_are_lean_and_take_the_colours_of_the_page():
    picture = svg(
        Line([0, 10, 20], [0.001, None, 0.0015], "blue", mark=20), Line([], [], "orange"),
        told="three steps",
    )  # fmt: skip
    root = ET.fromstring(picture.replace("xlink:", ""))
    assert {"step", "0.00120", "0.00150"} <= words(picture)  # no digit of a number is cut
    assert "var(--blue)" in picture
    assert "#0102" not in picture
    assert root.get("aria-label") == "three steps"
    assert root.get("viewBox")


def test_long_curves_are_thinned_to_means():
    steps = np.arange(100_000)
    assert len(svg(Line(steps, np.cos(steps), "blue"))) < 20_000


def test_each_picture_has_its_own_ids_and_the_same_bytes_twice():
    def ids(told: str) -> set[str]:
        line = Line([0, 1], [0, 1], "blue", mark=1)
        picture = svg(line, told=told)
        assert picture == svg(line, told=told)
        found = {e.get("id") for e in ET.fromstring(picture.replace("xlink:", "")).iter()} - {None}
        assert found
        return found

    assert ids("a").isdisjoint(ids("b"))


def test_a_logarithmic_scale_has_plain_labels():
    lines = [Line([0, 10, 20], [0.01, 1.0, None], "blue"), Line([0, 20], [0.1, 90.0], "orange")]
    assert {"0.1", "1", "10"} <= words(svg(*lines, log=True))
    lines[0].values[0] = 0.0  # has no place on one
    assert "20" in words(svg(*lines, log=True))


def test_a_band_lies_around_its_line():
    line = Line([0, 1, 2], [1.0, 2.0, 3.0], "blue", errors=[0.5, 0.5, None])
    ruled, plain = svg(line, limits=(0.0, 4.0), rule=1), svg(line, limits=(0.0, 4.0))
    assert ruled.count("fill-opacity: 0.2") == plain.count("fill-opacity: 0.2") == 1
    assert ruled.count("stroke-dasharray: 1.2") == 1
    assert plain.count("stroke-dasharray: 1.2") == 0
