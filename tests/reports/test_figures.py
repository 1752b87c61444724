"""Numbers are written for people, and say nothing that the value does not."""

from __future__ import annotations

import pytest

from waterbed.reports.figures import (
    count,
    duration,
    interval,
    moment,
    p_value,
    parameters,
    percent,
    points,
    rate,
    size,
    storage,
)


@pytest.mark.parametrize(
    ("value", "shown"),
    [(-0.068, "−6.8"), (0.019, "+1.9"), (0.0, "0.0"), (-0.0, "0.0"), (1.0, "+100.0"), (None, "–")],
)
def test_a_difference_is_in_points_and_signed(value: float | None, shown: str) -> None:
    assert points(value) == shown


def test_rounding_never_hides_on_which_side_of_zero_a_bound_lies() -> None:
    assert points(-0.0004) == "−0.04"
    assert points(0.0004) == "+0.04"
    assert points(-1e-9) == "0.00"


def test_scores_and_sizes_carry_no_plus() -> None:
    assert percent(0.68) == "68.0"
    assert size(0.03) == "3.0"


def test_an_interval_needs_both_ends() -> None:
    assert interval(-0.096, -0.041) == "[−9.6, −4.1]"
    assert interval(None, 0.1) == "–"


@pytest.mark.parametrize(
    ("p", "shown"),
    [(0.0412, "0.041"), (0.00004, "4e−5"), (1e-9, "< 1e−7"), (0.0, "< 1e−7"), (1.0, "1.000"), (None, "–")],
)  # fmt: skip
def test_a_p_value_below_the_search_floor_is_only_bounded(p: float | None, shown: str) -> None:
    assert p_value(p) == shown


def test_counts_separate_thousands() -> None:
    assert count(1319) == "1,319"
    assert count(None) == "–"


def test_a_duration_has_its_two_largest_units() -> None:
    assert duration(4.25) == "4.2 s"
    assert duration(61) == "1 min 01 s"
    assert duration(7440) == "2 h 04 min"


@pytest.mark.parametrize(
    ("number", "on_disk", "weights"),
    [
        (999, "999 B", "999"),
        (999.6, "1.00 kB", "1.00k"),
        (320_064, "320 kB", "320k"),
        (1_284_224, "1.28 MB", "1.28M"),
        (7_615_616_512, "7.62 GB", "7.62B"),
        (None, "–", "–"),
    ],
)
def test_sizes_have_three_digits_and_the_unit_that_fits(
    number: float | None, on_disk: str, weights: str
) -> None:
    assert (storage(number), parameters(number)) == (on_disk, weights)


def test_a_rate_has_no_more_digits_than_it_is_worth() -> None:
    assert [rate(x) for x in (4726.3, 99.51, 0.1234, None)] == ["4,726", "99.5", "0.123", "–"]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("2026-11-20T18:24:49+00:00", "2026-11-20 18:24 UTC"),
        ("2026-11-20T19:24:49+01:00", "2026-11-20 18:24 UTC"),
        ("2026-11-20", "2026-11-20"),
        ("yesterday", "yesterday"),
        ("0001-01-01T00:00:00+01:00", "0001-01-01T00:00:00+01:00"),
    ],
)
def test_a_moment_is_read_from_iso_and_anything_else_left_alone(text: str, shown: str) -> None:
    assert moment(text) == shown
