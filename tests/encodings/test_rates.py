"""Rates: the equations, their units, and where a search begins."""

from __future__ import annotations

import ast
import math
from typing import Any

import pytest

from optuna_layerwise.encodings import (
    ENCODINGS,
    All,
    Bits,
    Encoding,
    Fixed,
    FromSet,
    Global,
    Linear,
    PerBlock,
    Profile,
    Rate,
)

BLOCKS = ("stem", "layer1", "layer2", "layer3", "layer4", "head")
NU = (0.85, 0.72, 0.45, 0.12, 0.68, 0.78)


def rates(encoding: Encoding, params: dict[str, Any]) -> list[float]:
    """Learning rates."""
    return [value * encoding.lr for value in encoding.decode(params).values()]


def test_biotune_decodes_the_papers_example() -> None:
    genes = {f"imp/{block}": value for block, value in zip(BLOCKS, NU, strict=True)}
    encoding = Encoding.preset("biotune", BLOCKS, head="search")
    policy = encoding.decode({**genes, "imp/__threshold__": 0.40})
    expected = (5.012, 2.754, 0.794, 0.0, 2.291, 3.631)
    assert tuple(policy.values()) == pytest.approx(expected, abs=5e-4)
    assert policy.trained == ("stem", "layer1", "layer2", "layer4", "head")


@pytest.mark.parametrize("lr", [1e-3, 0.02])
def test_searched_learning_rates_are_what_trains_whatever_the_recipes_rate(lr: float) -> None:
    def of(rate: Rate, params: dict[str, Any]) -> list[float]:
        return rates(Encoding(("a", "b", "head"), All(), rate, lr=lr), params)

    each = {"a": 1e-4, "b": 3e-3, "head": 1e-2}
    genes = {f"lr/{block}": value for block, value in each.items()}
    assert of(Global(), {"lr": 3e-4}) == pytest.approx([3e-4] * 3)
    assert of(PerBlock(), genes) == pytest.approx([*each.values()])
    assert of(Linear(absolute=True), genes) == pytest.approx([*each.values()])
    assert of(FromSet(), {f"lr_set/{b}": v for b, v in each.items()}) == pytest.approx(
        [*each.values()]
    )
    assert of(Linear(), genes) == pytest.approx([lr * value for value in each.values()])
    assert of(Fixed(2.0), {}) == pytest.approx([2 * lr] * 3)
    flat = {"lr": 3e-4, "slope": 0.0, "curvature": 0.0}
    assert of(Profile(), flat) == pytest.approx([3e-4] * 3)


def test_a_rate_of_zero_freezes() -> None:
    for name, gene in (
        ("set", "lr_set/{}"),
        ("continuous-multiplier", "lr/{}"),
        ("continuous-linear", "lr/{}"),
    ):
        encoding = Encoding.preset(name, BLOCKS, head="search")
        genes = {gene.format(block): 0.01 * (block == "layer3") for block in BLOCKS}
        assert encoding.decode(genes).trained == ("layer3",)
        assert encoding.active(genes) == {*genes}
        assert not encoding.valid(dict.fromkeys(genes, 0.0))


def test_a_head_that_is_always_trained_cannot_get_the_rate_zero() -> None:
    space = Encoding.preset("set", BLOCKS).search_space
    assert space["lr_set/head"].choices == (1e-4, 1e-3, 1e-2)  # type: ignore[attr-defined]
    assert space["lr_set/stem"].choices == (0.0, 1e-4, 1e-3, 1e-2)  # type: ignore[attr-defined]
    for name in ("continuous-multiplier", "continuous-linear"):
        space = Encoding.preset(name, BLOCKS).search_space
        assert space["lr/head"].low > 0 == space["lr/stem"].low  # type: ignore[attr-defined]


# --- profile -------------------------------------------------------------------------------------


def profile(n: int, lr: float, slope: float, curvature: float) -> list[float]:
    """Logarithms of the rates of n blocks."""
    encoding = Encoding(tuple(f"{i}" for i in range(n)), All(), Profile())
    params = {"lr": lr, "slope": slope, "curvature": curvature}
    return [math.log10(rate) for rate in rates(encoding, params)]


def test_a_profile_is_a_parabola_over_depth() -> None:
    # n = 5: t - 1/2 = -.5, -.25, 0, .25, .5, and c = 6 / 12
    assert profile(5, 1e-3, 1.0, 0.0) == pytest.approx([-3.5, -3.25, -3, -2.75, -2.5])
    assert profile(5, 1e-3, 0.0, 0.4) == pytest.approx([-2.8, -3.1, -3.2, -3.1, -2.8])
    assert profile(5, 1e-3, -1.0, 0.4) == pytest.approx([-2.3, -2.85, -3.2, -3.35, -3.3])


@pytest.mark.parametrize("n", [2, 3, 4, 7, 54])
def test_a_profiles_lr_is_the_geometric_mean_and_its_parts_are_orthogonal(n: int) -> None:
    line = [value + 3 for value in profile(n, 1e-3, 0.7, 0.0)]
    parabola = [value + 3 for value in profile(n, 1e-3, 0.0, -0.6)]
    assert sum(line) == pytest.approx(0, abs=1e-12)
    assert sum(parabola) == pytest.approx(0, abs=1e-12)
    assert sum(a * b for a, b in zip(line, parabola, strict=True)) == pytest.approx(0, abs=1e-12)
    assert line[-1] - line[0] == pytest.approx(0.7)


def test_a_profile_is_clipped() -> None:
    assert profile(3, 1e-1, 2.0, 0.0) == pytest.approx([-2, -1, -1])
    assert profile(3, 1e-5, 2.0, 0.0) == pytest.approx([-5, -5, -4])


def test_the_nearest_profile_has_the_least_squares_on_a_log_scale() -> None:
    blocks = ("a", "b", "c", "head")
    encoding = Encoding(blocks, Bits(), Profile())
    with pytest.raises(ValueError, match="nearest policy is") as error:
        encoding.encode(dict(zip(blocks, (1.0, 10.0, 0.1, 1.0), strict=True)))
    nearest = ast.literal_eval(str(error.value).partition("nearest policy is ")[2])
    # In decades (0, 1, -1, 0) minus its cubic part, 0.3 times the orthogonal (-1, 3, -3, 1)
    expected = [10**value for value in (0.3, 0.1, -0.1, -0.3)]
    assert [*nearest.values()] == pytest.approx(expected)


# --- where a search begins -----------------------------------------------------------------------


@pytest.mark.parametrize("lr", [1e-3, 1e-2])
def test_rates_begin_at_the_recipes(lr: float) -> None:
    for name in ("binary", "continuous", "hybrid", "profile"):
        encoding = Encoding.preset(name, BLOCKS, lr=lr)
        start = {name: value for name, (value, _) in encoding.initial_means.items()}
        bits = dict.fromkeys(encoding.initial_probabilities, True)
        assert rates(encoding, start | bits) == pytest.approx([lr] * len(BLOCKS))


def test_a_start_outside_of_what_is_searched_is_at_its_end() -> None:
    for name, gene in (("binary", "lr"), ("continuous", "lr/stem"), ("profile", "lr")):
        assert Encoding.preset(name, BLOCKS, lr=0.5).initial_means[gene][0] == 0.1


def test_a_shared_rate_begins_with_half_a_decade() -> None:
    start = Encoding.preset("binary", BLOCKS).initial_means
    assert start == {"lr": (1e-3, 0.5 / 4)}


@pytest.mark.parametrize(("n", "std"), [(2, 0.2), (6, 0.2), (20, 0.1095), (54, 1 / 12)])
def test_more_rates_begin_closer_together(n: int, std: float) -> None:
    encoding = Encoding.preset("continuous", [f"{i}" for i in range(n)])
    assert encoding.initial_means["lr/0"][1] == pytest.approx(std, abs=1e-4)


@pytest.mark.parametrize("name", ENCODINGS)
@pytest.mark.parametrize("head", ["always", "search"])
def test_every_parameter_has_a_start_in_its_range(name: str, head: Any) -> None:
    encoding = Encoding.preset(name, BLOCKS, head=head)
    means, chances = encoding.initial_means, encoding.initial_probabilities
    space = encoding.search_space
    assert means.keys() | chances.keys() == space.keys()
    assert not means.keys() & chances.keys()
    for gene, (value, std) in means.items():
        assert space[gene].low <= value <= space[gene].high  # type: ignore[attr-defined]
        assert 0 < std < 0.5
    for gene, each in chances.items():
        assert len(each) == len(space[gene].choices)  # type: ignore[attr-defined]
        assert sum(each) == pytest.approx(1) and min(each) > 0


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda: Fixed(0.0), "fixed multiplier must be finite and above 0, got 0"),
        (lambda: Global(1e-1, 1e-5), "expected 0 < low < high, both finite, got 0.1 and 1e-05"),
        (lambda: PerBlock(low=0.0), "expected 0 < low < high"),
        (lambda: Linear(high=-1.0), "expected 0 < low < high"),
        (lambda: FromSet((0.0,)), "not all 0"),
        (lambda: FromSet((1.0, 1.0)), "different learning rates"),
        (lambda: Profile(slope=0.0), "slope must be finite and above 0"),
        (lambda: Encoding.preset("binary", BLOCKS, lr=0.0), "lr must be finite and above 0"),
    ],
)
def test_values_out_of_range_are_refused(make: Any, expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        make()
