"""Encodings: the equations, the round trip, the head."""

from __future__ import annotations

import optuna
import pytest

from optuna_layerwise.encodings import ENCODINGS, Encoding

BLOCKS = ("stem", "layer1", "layer2", "layer3", "layer4", "head")
NU = (0.85, 0.72, 0.45, 0.12, 0.68, 0.78)


def biotune_params(nu: tuple[float, ...], threshold: float) -> dict[str, float]:
    genes = {f"imp/{block}": value for block, value in zip(BLOCKS, nu, strict=True)}
    return {**genes, "imp/__threshold__": threshold}


def test_biotune_decodes_the_papers_example() -> None:
    policy = Encoding.preset("biotune", BLOCKS, head="search").decode(biotune_params(NU, 0.40))
    expected = (5.012, 2.754, 0.794, 0.0, 2.291, 3.631)
    assert tuple(policy.values()) == pytest.approx(expected, abs=5e-4)
    assert policy.trained == ("stem", "layer1", "layer2", "layer4", "head")


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


@pytest.mark.parametrize("name", ENCODINGS)
def test_suggest_asks_for_the_search_space_and_nothing_else(name: str) -> None:
    encoding = Encoding.preset(name, BLOCKS)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    trial = study.ask()
    policy = encoding.suggest(trial)
    assert trial.distributions == encoding.search_space
    assert encoding.decode(trial.params) == policy


def test_a_policy_that_cannot_be_expressed_is_refused_with_the_nearest_one() -> None:
    encoding = Encoding.preset("biotune", BLOCKS)
    policy = dict.fromkeys(BLOCKS, 1.0) | {"layer1": 50.0}
    with pytest.raises(ValueError, match=r"nearest policy is .*'layer1': 10\.0"):
        encoding.encode(policy)
    with pytest.raises(ValueError, match="nearest policy is .*'head': 0.1"):
        encoding.encode(dict.fromkeys(BLOCKS, 0.0))


def test_an_unknown_encoding_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(ValueError, match="did you mean 'biotune'"):
        Encoding.preset("biotun", BLOCKS)
