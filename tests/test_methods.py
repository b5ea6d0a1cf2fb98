from __future__ import annotations

import dataclasses
import json
import re

import pytest

from optuna_layerwise.recipe import Recipe
from optuna_layerwise.recipe_methods import (
    METHODS,
    GradientNorms,
    LowRank,
    Method,
    Penalty,
    Regression,
    Unfreezing,
    method_from,
)

ALL: list[Method] = [
    Penalty(name="l1-sp", weight=0.5),
    Unfreezing(name="first-to-last", every=0.5),
    GradientNorms(every="once", norms=True),
    LowRank(rank=3, alpha=6.0),
    Regression(),
]


@pytest.mark.parametrize("method", ALL, ids=lambda method: method.name)
def test_a_recipe_with_a_method_comes_back_from_json(method: Method) -> None:
    recipe = Recipe(lr=0.1, method=method, head_start="fitted")
    assert Recipe.from_json(recipe.to_json()) == recipe
    assert Recipe.from_json(recipe.to_json()).method == method
    assert hash(recipe) == hash(Recipe.from_json(recipe.to_json()))


def test_a_recipe_without_one_reads_and_writes_as_before_there_were_any() -> None:
    content = json.loads(Recipe().to_json())
    assert "method" not in content
    assert Recipe.from_dict(content) == Recipe.from_dict({**content, "method": None}) == Recipe()


def test_changes_reach_the_method_and_name_what_is_not_there() -> None:
    recipe = Recipe(method=LowRank(rank=8))
    changed = recipe.changed({"method.rank": 4, "weight_decay": 0.1})
    assert changed == Recipe(weight_decay=0.1, method=LowRank(rank=4))
    assert recipe.method == LowRank(rank=8)
    with pytest.raises(ValueError, match=re.escape("has no method, so no 'method.rank' to set")):
        Recipe().changed({"method.rank": 4})
    with pytest.raises(ValueError, match=re.escape("unknown fields ['weight']; method lora has")):
        recipe.changed({"method.weight": 4})
    with pytest.raises(ValueError, match=re.escape("unknown fields ['warmup']")):
        recipe.changed({"warmup": 4})


@pytest.mark.parametrize(
    ("kind", "fields", "message"),
    [
        (Penalty, {"name": "l3-sp"}, "name must be one of ['l2-sp', 'l1-sp'], got 'l3-sp'"),
        (Penalty, {"weight": -1.0}, "weight must be finite and at least 0, got -1.0"),
        (Penalty, {"head_weight": float("nan")}, "head_weight must be finite and at least 0"),
        (Unfreezing, {"every": 0}, "every must be finite and above 0, got 0"),
        (Unfreezing, {"name": "both"}, "name must be one of ['last-to-first', 'first-to-last']"),
        (GradientNorms, {"batches": 0}, "batches must be a whole number, at least 1, got 0"),
        (GradientNorms, {"norms": 1}, "norms must be true or false, got 1"),
        (GradientNorms, {"every": "step"}, "every must be one of ['epoch', 'once'], got 'step'"),
        (LowRank, {"rank": 1.5}, "rank must be a whole number, at least 1, got 1.5"),
        (LowRank, {"alpha": "x"}, "alpha must be finite and above 0, got 'x'"),
    ],
)
def test_what_is_out_of_range_is_named(
    kind: type[Method], fields: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        kind(**fields)  # type: ignore[arg-type]


def test_what_is_no_method_is_refused() -> None:
    with pytest.raises(ValueError, match="a method's name must be one of .*'lora'.*, got 'lore'"):
        method_from({"name": "lore"})
    with pytest.raises(ValueError, match="method must be None or one of .*'Penalty'.*, got 'lora"):
        Recipe(method="lora")  # type: ignore[arg-type]
    assert {kind for kind in METHODS.values()} == {type(method) for method in ALL}
    for name, kind in METHODS.items():
        assert method_from({"name": name}) == kind(name=name)  # type: ignore[arg-type, call-arg]
        assert dataclasses.asdict(kind(name=name))["name"] == name  # type: ignore[arg-type, call-arg]
