import contextlib
import csv
import math

import pytest
from matplotlib.figure import Figure
from PIL import Image

from speechtl.study import curves
from speechtl.study.curves import Panel, Point, draw_curves, draw_panels, print_points, summary, write_panels, write_points

POINTS = [
    Point(policy, amount, seed, value + seed / 100)
    for policy, value in (("a", 0.5), ("b", 0.7))
    for amount in (10, 100)
    for seed in range(3)
]


def test_means_and_limits_are_those_of_students_t():
    policy, amount, mean, low, high = summary(POINTS)[0]
    assert (policy, amount) == ("a", 10)
    assert mean == pytest.approx(0.51)
    half = 4.302653 * 0.01 / math.sqrt(3)  # t of two degrees of freedom, 95 %, from a printed table
    assert (low, high) == pytest.approx((0.51 - half, 0.51 + half), abs=1e-5)


def test_one_seed_has_no_limits():
    assert math.isnan(summary(POINTS[:1])[0][3])


def test_every_training_is_a_line(tmp_path):
    write_points(tmp_path / "p.csv", POINTS, "accuracy")
    rows = list(csv.DictReader((tmp_path / "p.csv").open()))
    assert len(rows) == 12
    assert rows[0] == {"policy": "a", "examples": "10", "seed": "0", "accuracy": "0.5"}
    write_panels(tmp_path / "q.csv", [Panel("width", POINTS)], "auc")
    assert next(csv.DictReader((tmp_path / "q.csv").open()))["over"] == "width"


def test_pictures_are_png_of_a_readable_size(tmp_path):
    draw_curves(tmp_path / "c.png", POINTS, "title", "accuracy")
    draw_panels(tmp_path / "d.png", [Panel("one", POINTS), Panel("two", POINTS, logarithmic=False)], "title", "accuracy")
    sizes = [Image.open(tmp_path / name).size for name in ("c.png", "d.png")]
    assert sizes[0][0] >= 1000
    assert sizes[1][0] > sizes[0][0]


def test_names_with_the_dollars_of_formulas_are_drawn_and_listed_as_they_are(tmp_path, capsys):
    points = [Point(r"[red]$\foo$[/]", amount, 0, 0.5) for amount in (1, 2)]
    draw_panels(tmp_path / "a.png", [Panel(r"$\bar$", points)], r"[/] $\foo$", r"$\foo$")
    print_points(points, "[/]")
    listed = capsys.readouterr().out
    assert "[/]" in listed.splitlines()[1]
    assert r"[red]$\foo$[/]" in listed


@pytest.fixture
def drawn(monkeypatch) -> list[Figure]:
    """Figures, kept in place of written."""
    figures: list[Figure] = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, *args, **options: figures.append(figure))
    monkeypatch.setattr(curves, "writing", lambda path: contextlib.nullcontext(path))
    return figures


@pytest.mark.parametrize("logarithmic", [True, False])
def test_limits_of_several_policies_stand_beside_each_other(tmp_path, drawn, logarithmic):
    draw_panels(tmp_path / "a.png", [Panel("one", POINTS, logarithmic)], "title", "recall")
    (axes,) = drawn[0].axes
    bars = [bar for collection in axes.collections for bar in collection.get_segments()]
    assert len(bars) == 4
    assert (bars[0][0][1], bars[0][1][1]) == pytest.approx(summary(POINTS)[0][3:])
    drawn[0].draw_without_rendering()
    places = [line.get_transform().transform((10, 0.5))[0] for line in axes.lines]
    left, right = axes.bbox.intervalx
    assert len({round(place) for place in places}) == 2
    assert all(left < place < right for place in places)


def test_no_point_of_any_panel_lies_outside_the_picture(tmp_path, drawn):
    panels = [
        Panel("low", [Point("a", 10, 0, 0.2), Point("a", 20, 0, 0.5)]),
        Panel("high", [Point("a", 10, 0, 0.8), Point("a", 20, 0, 0.9)]),
    ]
    draw_panels(tmp_path / "a.png", panels, "title", "recall")
    for axes in drawn[0].axes:
        assert axes.get_ylim()[0] < 0.2 < 0.9 < axes.get_ylim()[1]


def test_a_way_has_one_colour_in_all_panels_and_the_legend_names_all(tmp_path, drawn):
    panels = [Panel("one", [point for point in POINTS if point.policy == "b"]), Panel("two", POINTS)]
    draw_panels(tmp_path / "a.png", panels, "title", "recall")
    first, second = drawn[0].axes
    colours = {line.get_label(): line.get_color() for line in second.lines if not line.get_label().startswith("_")}
    assert {line.get_color() for line in first.lines} == {colours["b"]}
    assert colours["a"] != colours["b"]
    (told,) = drawn[0].legends
    assert {text.get_text(): line.get_color() for text, line in zip(told.get_texts(), told.get_lines(), strict=True)} == colours
