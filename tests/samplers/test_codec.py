from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from optuna_layerwise.samplers._codec import from_gene, n_choices, to_gene

GENES = st.floats(0, 1)
FINITE = st.floats(-1e100, 1e100)
WHOLE = st.integers(-(2**51), 2**51)


@st.composite
def ints(draw: st.DrawFn) -> tuple[IntDistribution, int]:
    low, levels, step = draw(WHOLE), draw(st.integers(1, 2**40)), draw(st.integers(1, 1000))
    distribution = IntDistribution(low, low + (levels - 1) * step, step=step)
    return distribution, low + draw(st.integers(0, levels - 1)) * step


@st.composite
def log_ints(draw: st.DrawFn) -> tuple[IntDistribution, int]:
    low = draw(st.integers(1, 10**9))
    distribution = IntDistribution(low, low + draw(st.integers(0, 10**12)), log=True)
    return distribution, draw(st.integers(distribution.low, distribution.high))


@st.composite
def float_steps(draw: st.DrawFn) -> tuple[FloatDistribution, float]:
    low = draw(st.decimals(-1000, 1000, places=2))
    step = draw(st.decimals("0.01", "7.5", places=2))
    levels = draw(st.integers(1, 1000))
    distribution = FloatDistribution(
        float(low), float(low + (levels - 1) * step), step=float(step)
    )
    value = distribution.low + draw(st.integers(0, levels - 1)) * float(step)
    return distribution, min(value, distribution.high)


@st.composite
def categories(draw: st.DrawFn) -> tuple[CategoricalDistribution, Any]:
    choice = st.one_of(st.none(), st.booleans(), st.text(max_size=3), st.integers(2, 9))
    choices = draw(st.lists(choice, min_size=1, max_size=8, unique=True))
    return CategoricalDistribution(choices), draw(st.sampled_from(choices))


@st.composite
def floats(draw: st.DrawFn, *, log: bool) -> tuple[FloatDistribution, float]:
    bound = st.floats(1e-300, 1e300) if log else FINITE
    low, high = sorted((draw(bound), draw(bound)))
    assume(low < high)
    return FloatDistribution(low, high, log=log), draw(st.floats(low, high))


LEVELLED = st.one_of(ints(), log_ints(), float_steps(), categories())
ANY = st.one_of(LEVELLED, floats(log=False), floats(log=True))


@given(LEVELLED)
def test_level_survives_the_round_trip_exactly(pair: tuple[BaseDistribution, Any]) -> None:
    distribution, value = pair
    assert from_gene(to_gene(value, distribution), distribution) == value


@given(floats(log=False))
def test_float_survives_the_round_trip_to_1e_12_of_its_range(
    pair: tuple[FloatDistribution, float],
) -> None:
    distribution, value = pair
    scale = max(abs(distribution.low), abs(distribution.high))
    again = from_gene(to_gene(value, distribution), distribution)
    assert again == pytest.approx(value, rel=0, abs=1e-12 * scale)


@given(floats(log=True))
def test_log_float_survives_the_round_trip_to_1e_12(pair: tuple[FloatDistribution, float]) -> None:
    distribution, value = pair
    assert from_gene(to_gene(value, distribution), distribution) == pytest.approx(value, rel=1e-12)


@given(ANY, GENES)
def test_any_gene_is_a_native_value_of_the_distribution(
    pair: tuple[BaseDistribution, Any], gene: float
) -> None:
    distribution, _ = pair
    for number in (gene, np.float64(gene)):
        value = from_gene(number, distribution)
        assert distribution._contains(distribution.to_internal_repr(value))
        if isinstance(distribution, IntDistribution):
            assert type(value) is int
        elif isinstance(distribution, FloatDistribution):
            assert type(value) is float
        else:
            assert isinstance(distribution, CategoricalDistribution)
            assert any(value is choice for choice in distribution.choices)


@given(ANY)
def test_gene_of_a_value_is_in_the_unit_interval(pair: tuple[BaseDistribution, Any]) -> None:
    distribution, value = pair
    assume(not distribution.single())
    gene = to_gene(value, distribution)
    assert type(gene) is float and 0 <= gene <= 1


@pytest.mark.parametrize(
    "distribution",
    [
        IntDistribution(3, 7),
        IntDistribution(10, 30, step=5),
        FloatDistribution(-1, 1, step=0.5),
        CategoricalDistribution(["a", "b", "c", "d", "e"]),
    ],
)
def test_levels_sit_at_the_centres_of_equal_cells(distribution: BaseDistribution) -> None:
    levels = [from_gene(gene, distribution) for gene in (0.1, 0.3, 0.5, 0.7, 0.9)]
    assert [to_gene(level, distribution) for level in levels] == pytest.approx(
        [0.1, 0.3, 0.5, 0.7, 0.9], abs=1e-15
    )
    edges = [from_gene(gene, distribution) for gene in (0.0, 0.199, 0.201, 0.999, 1.0)]
    assert edges == [levels[0], levels[0], levels[1], levels[4], levels[4]]


def test_log_int_has_half_a_level_beyond_its_bounds() -> None:
    distribution = IntDistribution(1, 100, log=True)
    share = math.log(1.5 / 0.5) / math.log(100.5 / 0.5)  # of the axis, that level 1 takes
    assert from_gene(share - 1e-9, distribution) == 1
    assert from_gene(share + 1e-9, distribution) == 2


def test_bounds_are_the_ends_of_a_float() -> None:
    for distribution in (FloatDistribution(-3, 5), FloatDistribution(1e-5, 1e-1, log=True)):
        assert from_gene(0.0, distribution) == pytest.approx(distribution.low, rel=1e-14)
        assert from_gene(1.0, distribution) == pytest.approx(distribution.high, rel=1e-14)
    assert from_gene(0.5, FloatDistribution(1e-5, 1e-1, log=True)) == pytest.approx(1e-3)


@pytest.mark.parametrize(
    "value, distribution",
    [
        ("z", CategoricalDistribution(["a", "b"])),
        (0.0, FloatDistribution(1e-5, 1e-1, log=True)),
        (-1, IntDistribution(1, 10, log=True)),
        (math.nan, FloatDistribution(0, 1)),
        (math.nan, FloatDistribution(0, 1, step=0.25)),
        ("sgd", FloatDistribution(0, 1)),
        (None, IntDistribution(0, 5)),
    ],
)
def test_value_that_has_no_place_is_nan(value: Any, distribution: BaseDistribution) -> None:
    assert math.isnan(to_gene(value, distribution))


@pytest.mark.parametrize(
    "value, distribution, gene",
    [
        (9.0, FloatDistribution(0, 1), 1.0),
        (-9, IntDistribution(0, 3), 0.125),
        (9, IntDistribution(0, 3), 0.875),
        (1e9, FloatDistribution(1e-5, 1e-1, log=True), 1.0),
    ],
)
def test_value_outside_the_range_is_at_its_nearest_end(
    value: float, distribution: BaseDistribution, gene: float
) -> None:
    assert to_gene(value, distribution) == gene


def test_only_categories_have_choices() -> None:
    assert n_choices(CategoricalDistribution(["a", "b", "c"])) == 3
    assert n_choices(IntDistribution(0, 5)) == n_choices(FloatDistribution(0, 1)) == 0
