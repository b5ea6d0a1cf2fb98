"""Masks: what they search, and what the head's mode leaves of it."""

from __future__ import annotations

import numpy as np
import pytest

from optuna_layerwise.encodings import ENCODINGS, Encoding

BLOCKS = ("stem", "layer1", "layer2", "layer3", "layer4", "head")
NU = (0.85, 0.72, 0.45, 0.12, 0.68, 0.78)


def biotune_params(nu: tuple[float, ...], threshold: float) -> dict[str, float]:
    genes = {f"imp/{block}": value for block, value in zip(BLOCKS, nu, strict=True)}
    return {**genes, "imp/__threshold__": threshold}


def test_an_importance_equal_to_the_threshold_freezes() -> None:
    policy = Encoding.preset("biotune", BLOCKS, head="search").decode(biotune_params(NU, 0.45))
    assert policy["layer2"] == 0.0


def test_the_head_is_trained_below_the_threshold_unless_it_is_searched() -> None:
    params = biotune_params(NU, 1.0)
    always = Encoding.preset("biotune", BLOCKS)
    searched = Encoding.preset("biotune", BLOCKS, head="search")
    assert always.decode(params).trained == ("head",)
    assert always.valid(params)
    assert searched.decode(params).trained == ()
    assert not searched.valid(params)


def test_active_genes_are_the_gates_and_those_of_trained_blocks() -> None:
    encoding = Encoding.preset("biotune", BLOCKS)
    active = encoding.active(biotune_params(NU, 0.70))
    assert active == {"imp/stem", "imp/layer1", "imp/head", "imp/__threshold__"}
    assert encoding.gates == {"imp/__threshold__"}


@pytest.mark.parametrize("name", ["binary", "binary-fixed", "hybrid", "profile"])
def test_bits_are_gates_and_the_head_has_one_only_where_it_is_searched(name: str) -> None:
    bits = {f"train/{block}" for block in BLOCKS}
    assert Encoding.preset(name, BLOCKS, head="search").gates == bits
    always = Encoding.preset(name, BLOCKS)
    assert always.gates == bits - {"train/head"}
    frozen = {name: False if name in bits else d.low for name, d in always.search_space.items()}
    assert always.decode(frozen).trained == ("head",)


def test_rates_of_frozen_blocks_are_inactive_and_shared_ones_while_anything_is_trained() -> None:
    bits = {f"train/{block}": block == "layer2" for block in BLOCKS}
    for name, rates in (
        ("hybrid", {"lr/layer2"}),
        ("binary", {"lr"}),
        ("binary-fixed", set()),
        ("profile", {"lr", "slope", "curvature"}),
    ):
        encoding = Encoding.preset(name, BLOCKS, head="search")
        params = dict.fromkeys(encoding.search_space, 1e-3) | bits
        assert encoding.active(params) == {*bits, *rates}
        assert encoding.active(params | {"train/layer2": False}) == {*bits}


@pytest.mark.parametrize(("n", "frozen"), [(5, 0.5), (10, 0.3), (40, 0.2)])
def test_a_search_begins_with_three_blocks_frozen_a_fifth_at_least_and_half_at_most(
    n: int, frozen: float
) -> None:
    blocks = [*(f"block{i}" for i in range(n)), "head"]
    rng = np.random.Generator(np.random.Philox(0))
    encoding = Encoding.preset("biotune", blocks)
    draws = {
        name: np.clip(rng.normal(mean, std, 4000), 0, 1)
        for name, (mean, std) in encoding.initial_means.items()
    }
    trained = [
        float(np.mean(draws[f"imp/{block}"] > draws["imp/__threshold__"])) for block in blocks[:-1]
    ]
    assert trained == pytest.approx([1 - frozen] * n, abs=0.03)
    for name in ENCODINGS:
        for gene, chances in Encoding.preset(name, blocks).initial_probabilities.items():
            zero = 0.0 if gene.endswith("/head") else frozen
            assert 1 - sum(chances[-len(chances) + (zero > 0) :]) == pytest.approx(zero)
