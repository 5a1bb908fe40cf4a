"""Scales, ticks and curves."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentkd.report.svg import linear, linear_ticks, log_ticks, logarithmic
from agentkd.report.training_chart import smoothed, thinned
from agentkd.report.training_log import LogPoint


@given(st.floats(-1e9, 1e9), st.floats(1e-6, 1e9), st.integers(2, 9))
def test_linear_ticks_cover_the_data(low: float, extent: float, most: int) -> None:
    high = low + extent
    ticks = linear_ticks(low, high, most)
    slack = 1e-9 * max(abs(low), abs(high))
    assert ticks[0] <= low + slack and ticks[-1] >= high - slack
    assert 2 <= len(ticks) <= most + 1


@given(st.floats(1e-9, 1e9), st.floats(1, 1e6))
def test_log_ticks_cover_the_data(low: float, ratio: float) -> None:
    ticks = log_ticks(low, low * ratio)
    assert ticks[0] <= low and ticks[-1] >= low * ratio
    assert ticks == sorted(set(ticks)) and 2 <= len(ticks) <= 8


def test_ticks_of_usual_curves() -> None:
    assert linear_ticks(0, 1800, 7) == [0, 500, 1000, 1500, 2000]
    assert log_ticks(0.034, 5.2) == [0.03, 0.1, 0.3, 1, 3, 10]


def test_scales() -> None:
    assert linear((0, 10), (100, 200))(5) == 150
    assert linear((3, 3), (100, 200))(3) == 150
    assert logarithmic((0.01, 1), (0, 100))(0.1) == pytest.approx(50)


def test_smoothing_keeps_length_and_mean_level() -> None:
    points = [LogPoint(step, 1.0 + step % 2) for step in range(1000)]
    smooth = smoothed(points)
    assert [point.step for point in smooth] == [point.step for point in points]
    assert all(1.4 < point.loss < 1.6 for point in smooth)
    few = points[:50]
    assert smoothed(few) is few


def test_thinning_keeps_ends_and_extremes() -> None:
    points = [LogPoint(step, float(step % 7)) for step in range(10_000)]
    points[4321] = LogPoint(4321, 99.0)
    thin = thinned(points)
    assert len(thin) <= 310
    assert thin[0] is points[0] and thin[-1] is points[-1] and points[4321] in thin
