"""Which curves a page has, and what they mark."""

import re

from html_page import Page, part

from experiments.report.curves import (
    GAN_CURVES,
    Curve,
    classifier_figures,
    gan_figures,
    gan_panels,
    other_curves,
    quality_panel,
    response_panels,
)
from experiments.report.plots import Panel

DISTANCE = "quality/kernel_distance"


def rows(**terms) -> list[dict[str, float]]:
    """A row for each value of the lists, ten steps apart."""
    names = {name.replace("__", "/"): values for name, values in terms.items()}
    count = len(next(iter(names.values())))
    return [
        {"gan/step": 10 * (i + 1)} | {n: v[i] for n, v in names.items() if v[i] is not None}
        for i in range(count)
    ]


def drawn(panel: Panel) -> str:
    return part("macros.html", "drawn", panel)


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
    assert 'aria-label="Critic&#39;s gap of the GAN of a &amp; b over' in drawn(panels[0])
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
    assert re.findall(r"<p class=\"name\">(\w+)<span", html) == ["Loss", "Accuracy"]
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
        page = Page(drawn(panel))
        return tuple(
            len(page.all(*kind))
            for kind in (("path", "band"), ("circle", "blue"), ("path", "rule"))
        )

    logged = rows(quality__kernel_distance=[0.3, None, 0.1])
    assert marks(logged) == (0, 1, 0)
    for row in logged:
        row[f"{DISTANCE}_error"] = 0.05
    assert marks(logged) == (1, 1, 0)
    assert marks(logged, enough_since=20) == (1, 1, 1)


def arm(name: str, *points: tuple) -> dict:
    keys = ("x", "mean", "ci95")
    return {"name": name, "points": [dict(zip(keys, point, strict=True)) for point in points]}


def test_each_arm_has_a_line_a_band_and_points_that_say_their_values():
    series = [
        arm("real", (0, 0.5, [0.4, 0.6]), (4, 0.55, None)),
        arm("a<b", (4, 0.7, [0.65, 0.75]), (0.25, 0.6, [0.55, 0.65]), (1, None, None)),
    ]
    (panel,) = response_panels([{"over": "ratio", "metric": "track_accuracy", "series": series}])
    page = Page(html := drawn(panel))
    assert panel.title == "Track accuracy, percent"
    told = page.all("svg", "curves")[0]["aria-label"]
    assert told == "Track accuracy, percent over ratio, with 95\N{NO-BREAK SPACE}% intervals"
    found = re.findall(r"<circle[^>]*/><text>([^<]*)<", html)
    assert found == ["real at 0: 50 (40 to 60)", "real at 4: 55", "a&lt;b at 0.25: 60 (55 to 65)",
                     "a&lt;b at 4: 70 (65 to 75)"]  # fmt: skip
    assert len(page.all("path", "band")) == 2
    assert list(panel.places.values()) == ["0", "0.25", "1", "4"]
    assert panel.key == {"c0": "real", "c1": "a<b"}
    # The same x lies at the same place, whichever arm has it.
    assert panel.points[1][1] == panel.points[3][1] > panel.points[2][1]


def test_what_is_no_share_keeps_its_unit_and_an_empty_curve_has_no_picture():
    found = [
        {"over": "shots", "metric": "kernel_distance",
         "series": [arm("a", (5, 0.25, [0.2, 0.3]))]},
        {"over": "ratio", "metric": "accuracy", "series": [arm("a")]},
        {"over": "ratio", "metric": "accuracy", "series": []},
    ]  # fmt: skip
    (panel,) = response_panels(found)
    assert panel.title == "Kernel distance"
    assert panel.points[0][3] == "a at 5: 0.25 (0.2 to 0.3)"


def test_more_arms_than_colours_are_all_named():
    series = [arm(f"arm {i}", (1, 0.5, None)) for i in range(12)]
    (panel,) = response_panels([{"over": "ratio", "metric": "accuracy", "series": series}])
    assert panel.key["c1"] == "arm 1, arm 11"
    assert len(panel.points) == 12


def test_each_gan_has_a_dot_that_says_its_quality_and_gain():
    points = [{"gan": 0, "quality": 0.3, "gain": -0.02}, {"gan": 1, "quality": 0.1, "gain": 0.05}]
    panel = quality_panel({"metric": "kernel_distance", "points": points})
    assert [tip for *_, tip in panel.points] == [
        "GAN 1: kernel distance 0.1, +5.0 points",
        "GAN 0: kernel distance 0.3, \N{MINUS SIGN}2.0 points",
    ]
    (_, left, high, _), (_, right, low, _) = panel.points
    assert left < right
    assert high < panel.y.at(0.0) < low  # downwards in a picture
    assert panel.below == "kernel distance"
    page = Page(drawn(quality_panel({"metric": "own", "points": points[:1]})))
    assert "GAN 0: own 0.3" in page.text
