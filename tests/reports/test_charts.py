"""Marks stand where the numbers say, whatever the numbers are."""

from __future__ import annotations

import pytest

from waterbed.reports.charts import (
    GUTTER,
    Row,
    Scale,
    interval_plot,
    nice_step,
    sparkline,
    stacked_bar,
)


def test_the_scale_always_shows_zero_and_every_margin() -> None:
    plot = interval_plot([Row(-0.001, -0.002, 0.001, 0.05), Row(0.001, 0.0, 0.002, 0.02)])
    assert plot.scale.low <= -0.05
    assert plot.scale.holds(0.0)
    assert GUTTER <= plot.zero <= 100 - GUTTER


def test_ticks_are_round_points_and_stay_inside_the_gutters() -> None:
    scale = interval_plot([Row(-0.068, -0.122, -0.014, 0.02)]).scale
    assert [t.label for t in scale.ticks] == ["−15", "−10", "−5", "0", "+5"]
    assert scale.ticks[0].x == GUTTER
    assert scale.ticks[-1].x == 100 - GUTTER


def test_small_steps_keep_their_decimals() -> None:
    labels = [t.label for t in interval_plot([Row(-0.001, -0.002, 0.001, 0.002)]).scale.ticks]
    assert labels == ["−0.3", "−0.2", "−0.1", "0", "+0.1", "+0.2"]


def test_one_huge_interval_is_clipped_with_an_arrow_instead_of_flattening_the_others() -> None:
    plot = interval_plot([Row(-0.01, -0.9, 0.9, 0.02), Row(-0.02, -0.03, -0.01, 0.02)])
    wide, narrow = plot.marks
    assert wide.clipped_left and wide.clipped_right
    assert (wide.x1, wide.x2) == (GUTTER, 100 - GUTTER)
    assert not narrow.clipped_left and not narrow.clipped_right
    assert narrow.x2 is not None and narrow.x1 is not None
    assert narrow.x2 - narrow.x1 > 10


def test_every_estimate_is_on_the_plot() -> None:
    plot = interval_plot([Row(d, d - 0.1, d + 0.1, 0.02) for d in (-0.95, -0.5, 0.0, 0.6)])
    assert not any(mark.off for mark in plot.marks)
    places = [mark.x for mark in plot.marks]
    assert places == sorted(places)


def test_what_has_no_estimate_has_no_mark_but_keeps_its_band() -> None:
    (mark,) = interval_plot([Row(None, None, None, 0.03)]).marks
    assert mark.x is None and mark.x1 is None
    assert mark.band_x is not None and mark.band_width is not None and mark.band_width > 0


def test_nothing_at_all_still_gives_an_axis() -> None:
    plot = interval_plot([])
    assert len(plot.scale.ticks) >= 3


@pytest.mark.parametrize(("rough", "step"), [(0.011, 0.02), (0.02, 0.02), (0.6, 1.0), (3.0, 5.0)])
def test_steps_are_one_two_or_five(rough: float, step: float) -> None:
    assert nice_step(rough) == pytest.approx(step)


def test_values_beyond_the_scale_stay_at_its_edge() -> None:
    scale = Scale(0.0, 1.0)
    assert scale.at(7.0) == 100 - GUTTER
    assert scale.at(-7.0) == GUTTER


def test_a_stacked_bar_fills_its_length_and_hides_no_small_part() -> None:
    parts = stacked_bar({"clean": 9999, "none": 0, "unscored": 1})
    assert [p.name for p in parts] == ["clean", "unscored"]
    assert parts[1].width > 0.7
    assert parts[-1].x + parts[-1].width == pytest.approx(100, abs=0.02)


def test_an_empty_stacked_bar_has_no_parts() -> None:
    assert stacked_bar({"clean": 0}) == ()


def test_a_sparkline_breaks_where_a_run_is_missing() -> None:
    line = sparkline([0.5, 0.6, None, 0.4, 0.7])
    assert line is not None
    assert len(line.lines) == 2
    assert line.last_x == pytest.approx(117)


def test_one_value_is_no_trend() -> None:
    assert sparkline([0.5, None]) is None


def test_a_flat_trend_divides_by_nothing() -> None:
    assert sparkline([0.5, 0.5]) is not None
