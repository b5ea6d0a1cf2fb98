"""Known recipes as first evaluations."""

from __future__ import annotations

from typing import Any

import pytest

from optuna_layerwise.encodings import ENCODINGS, Encoding

BLOCKS = ("stem", "layer1", "layer2", "head")
FULL = (1.0, 1.0, 1.0, 1.0)
HEAD = (0.0, 0.0, 0.0, 1.0)
DECAY = tuple(10 ** (i / 3 - 1) for i in range(4))
LAST_2 = (0.0, 0.0, 1.0, 1.0)
LAST_3 = (0.0, 1.0, 1.0, 1.0)
ALL = [FULL, HEAD, DECAY, LAST_2, LAST_3]


def policies(encoding: Encoding) -> list[tuple[float, ...]]:
    return [tuple(encoding.decode(params).values()) for params in encoding.recipes()]


def slower(shapes: list[tuple[float, ...]]) -> list[tuple[float, ...]]:
    return [tuple(value / 10 for value in shape) for shape in shapes]


def close(expected: list[tuple[float, ...]]) -> list[Any]:
    return [pytest.approx(policy, rel=1e-9) for policy in expected]


@pytest.mark.parametrize("name", ["hybrid", "profile", "continuous-multiplier"])
def test_all_known_recipes_come_at_two_rates_the_most_useful_first(name: str) -> None:
    expected = [*ALL[:4], *slower(ALL[:4]), LAST_3, *slower([LAST_3])]
    assert policies(Encoding.preset(name, BLOCKS)) == close(expected)


def test_what_an_encoding_cannot_express_is_left_out() -> None:
    uniform = [FULL, HEAD, LAST_2]
    expected = [*uniform, *slower(uniform), LAST_3, *slower([LAST_3])]
    for name in ("binary", "set"):
        assert policies(Encoding.preset(name, BLOCKS)) == close(expected)
    expected = [FULL, DECAY, *slower([FULL, DECAY])]
    assert policies(Encoding.preset("continuous", BLOCKS)) == close(expected)
    expected = [*ALL[:4], *slower(uniform), LAST_3, *slower([LAST_3])]  # 0.01 is too low
    assert policies(Encoding.preset("biotune", BLOCKS)) == close(expected)


def test_a_rate_that_cannot_be_had_is_the_nearest_one_and_comes_once() -> None:
    assert policies(Encoding.preset("binary-fixed", BLOCKS)) == [FULL, HEAD, LAST_2, LAST_3]
    fast = Encoding.preset("set", BLOCKS, lr=3.0)
    assert policies(fast) == close(
        [tuple(v / 300 for v in p) for p in (FULL, HEAD, LAST_2, LAST_3)]
    )


@pytest.mark.sweep(6)
@pytest.mark.parametrize("name", ENCODINGS)
@pytest.mark.parametrize("head", ["always", "search"])
@pytest.mark.parametrize("n", [2, 7, 54])
def test_recipes_are_different_valid_and_expressed_by_their_parameters(
    name: str, head: Any, n: int
) -> None:
    encoding = Encoding.preset(name, [f"{i}" for i in range(n)], head=head)
    recipes = encoding.recipes()
    assert 1 <= len(recipes) <= 2 * (n + 1)
    assert len(set(policies(encoding))) == len(recipes)
    for params in recipes:
        assert params.keys() == encoding.search_space.keys()
        assert encoding.valid(params)
        again = encoding.decode(encoding.encode(encoding.decode(params)))
        assert [*again.values()] == pytest.approx([*encoding.decode(params).values()], rel=1e-12)
