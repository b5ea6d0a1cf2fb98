"""Policies and recipes: values that travel through JSON unchanged, and errors that name names."""

from __future__ import annotations

import copy
import dataclasses
import json
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from optuna_layerwise import policy as policy_module
from optuna_layerwise.experiments.presets import BIOTUNE_RECIPE
from optuna_layerwise.policy import Policy
from optuna_layerwise.recipe import OPTIMIZERS, BatchNorm, Metric, Recipe, Schedule

multipliers = st.floats(0, allow_nan=False, allow_infinity=False)
policies = st.dictionaries(st.text(), multipliers, min_size=1).map(Policy)
positive = st.floats(0, exclude_min=True, allow_nan=False, allow_infinity=False)
whole = st.integers(1, 2**53)
recipes = st.builds(
    Recipe,
    optimizer=st.sampled_from(sorted(OPTIMIZERS)),
    lr=positive,
    max_lr=positive,
    weight_decay=multipliers,
    decay_norms_and_biases=st.booleans(),
    momentum=multipliers,
    schedule=st.sampled_from(get_args(Schedule)),
    cosine_epochs=st.none() | whole,
    epochs=whole,
    patience=st.none() | whole,
    batch_size=whole,
    metric=st.sampled_from(get_args(Metric)),
    bn=st.sampled_from(get_args(BatchNorm)),
)


@given(policies)
def test_a_policy_survives_json_with_its_order_and_every_bit(policy: Policy) -> None:
    again = Policy.from_json(policy.to_json())
    assert list(again.items()) == list(policy.items())
    assert again == policy
    assert hash(again) == hash(policy)


@given(recipes)
def test_a_recipe_survives_json_with_every_bit(recipe: Recipe) -> None:
    assert Recipe.from_json(recipe.to_json()) == recipe


@given(policies, recipes)
def test_json_is_standard_json_without_nan_or_infinity(policy: Policy, recipe: Recipe) -> None:
    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    json.loads(policy.to_json(), parse_constant=refuse)
    json.loads(recipe.to_json(), parse_constant=refuse)


def test_a_recipe_read_from_part_of_the_fields_has_the_defaults_for_the_rest() -> None:
    assert Recipe.from_json('{"lr": 0.5}') == Recipe(lr=0.5)


def test_later_changes_of_the_callers_dict_do_not_show() -> None:
    own = {"stem": 0.0, "head": 1.0}
    policy = Policy(own)
    own["stem"] = 5.0
    own["new"] = 1.0
    assert dict(policy) == {"stem": 0.0, "head": 1.0}


def test_policies_and_recipes_cannot_be_assigned_to() -> None:
    policy: Any = Policy({"head": 1})
    with pytest.raises(dataclasses.FrozenInstanceError):
        policy.multipliers = {"head": 2.0}
    with pytest.raises(TypeError):
        policy["head"] = 2.0
    recipe: Any = Recipe()
    with pytest.raises(dataclasses.FrozenInstanceError):
        recipe.lr = 1.0


def test_a_policy_is_a_mapping_in_forward_order() -> None:
    policy = Policy({"stem": 0, "layer1": 0.5, "head": 1})
    assert list(policy) == ["stem", "layer1", "head"]
    assert len(policy) == 3
    assert policy["layer1"] == 0.5
    assert "layer2" not in policy
    assert policy.trained == ("layer1", "head")
    with pytest.raises(KeyError, match="layer2"):
        policy["layer2"]


@given(policies)
def test_equal_policies_have_equal_hashes_whatever_the_order(policy: Policy) -> None:
    backwards = Policy(dict(reversed(list(policy.items()))))
    assert backwards == policy
    assert hash(backwards) == hash(policy)


def test_policies_differ_by_any_multiplier_and_any_block() -> None:
    policy = Policy({"stem": 0, "head": 1})
    others = [Policy({"stem": 1e-9, "head": 1}), Policy({"stem1": 0, "head": 1})]
    assert len({policy, *others, Policy({"stem": 0.0, "head": 1.0})}) == 3


@given(policies)
def test_copies_and_pickles_equal_the_policy(policy: Policy) -> None:
    assert copy.deepcopy(policy) == pickle.loads(pickle.dumps(policy)) == policy


def test_uniform_trains_all_blocks_or_the_named_ones_at_the_recipes_rate() -> None:
    blocks = ("stem", "layer1", "head")
    assert dict(Policy.uniform(blocks)) == {"stem": 1.0, "layer1": 1.0, "head": 1.0}
    assert dict(Policy.uniform(iter(blocks), iter(["head"]))) == {
        "stem": 0.0,
        "layer1": 0.0,
        "head": 1.0,
    }
    assert Policy.uniform(blocks, ()).trained == ()


def test_uniform_refuses_unknown_blocks_and_lists_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"unknown blocks \['hed'\].*\['stem', 'head'\]"):
        Policy.uniform(["stem", "head"], ["hed"])


@pytest.mark.parametrize("value", [-1e-9, float("nan"), float("inf"), None, "fast", [1.0]])
def test_a_multiplier_that_is_no_finite_number_from_0_names_its_block(value: Any) -> None:
    with pytest.raises(ValueError, match="'layer1'.*at least 0"):
        Policy({"head": 1.0, "layer1": value})


def test_multipliers_of_numpy_become_plain_floats() -> None:
    numbers: Any = {"stem": np.float32(0.5), "head": np.int64(1)}
    policy = Policy(numbers)
    assert policy.to_json() == '{"stem": 0.5, "head": 1.0}'


def test_a_policy_without_blocks_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one block"):
        Policy({})


@pytest.mark.parametrize(
    "text",
    [
        *(
            "[1, 2]",
            "3",
            "null",
            '"head"',
            "",
            "{'head': 1}",
            "\x89PNG",
            '{"head": %s}' % ("1" * 5000),
        ),
        *('{"head": ' * 5000 + "1" + "}" * 5000, '{"head": ' + "[" * 200 + "]" * 200 + "}"),
    ],
)
def test_json_that_is_no_object_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="a policy is a JSON object"):
        Policy.from_json(text)
    with pytest.raises(ValueError, match="a recipe is a JSON object"):
        Recipe.from_json(text)


LAUGHS = "a: &a [1]\n" + "".join(
    f"{name}: &{name} [{f'*{before}, ' * 9}]\n"
    for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)
"""A list of lists of lists: 400 million numbers, if they are written out."""


@pytest.mark.parametrize(
    ("name", "text"),
    [
        *((f"plan.{kind}", "[" * 10_000) for kind in ("json", "yaml")),
        *((f"plan.{kind}", '{"policy": {"head": NaN}}') for kind in ("json", "yaml")),
        *((f"plan.{kind}", '{"head": %s}' % ("[" * 300 + "]" * 300)) for kind in ("json", "yaml")),
        ("plan.yaml", LAUGHS),
        ("plan.json", "{"),
    ],
)
def test_a_file_that_holds_no_policy_is_one_short_line_with_its_name(
    name: str, text: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=rf"^\S*{name}") as error:
        Policy.load(tmp_path / name)
    assert "recursion" not in str(error.value)
    assert len(str(error.value)) < 400
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("optimizer", "rmsprop"),
        ("schedule", "linear"),
        ("metric", "f1"),
        ("bn", "frozen"),
        ("epochs", 0),
        ("epochs", 1.5),
        ("epochs", None),
        ("epochs", "3"),
        ("epochs", True),
        ("batch_size", 0),
        ("batch_size", None),
        ("patience", 0),
        ("patience", 2.5),
        ("cosine_epochs", 0),
        ("weight_decay", -1e-9),
        ("weight_decay", float("inf")),
        ("weight_decay", None),
        ("momentum", -0.1),
        ("momentum", float("nan")),
        ("momentum", "0.9"),
        ("lr", 0.0),
        ("lr", float("nan")),
        ("lr", "fast"),
        ("lr", None),
        ("max_lr", float("inf")),
        ("max_lr", 0.0),
        ("decay_norms_and_biases", "no"),
        ("label_smoothing", 1.0),
        ("label_smoothing", -0.1),
        ("label_smoothing", None),
        ("class_weights", "rare"),
        ("metric", "ece"),
        ("augment", "mixup"),
        ("views", 0),
    ],
)
def test_a_recipes_value_out_of_range_or_type_is_refused_by_name(field: str, value: Any) -> None:
    values: dict[str, Any] = {field: value}
    with pytest.raises(ValueError, match=rf"^{field} must be .*got {value!r}"):
        Recipe(**values)


def test_an_unknown_field_is_named_however_long_the_recipe_is() -> None:
    content = {**json.loads(Recipe().to_json()), "warmup": 3}
    with pytest.raises(ValueError, match=r"\['warmup'\]"):
        Recipe.from_json(json.dumps(content))


def test_biotunes_recipe_is_that_of_its_code() -> None:
    expected = Recipe(
        optimizer="adam",
        lr=1e-3,
        weight_decay=0.0,
        schedule="cosine",
        cosine_epochs=100,
        epochs=30,
        patience=3,
        batch_size=96,
        metric="balanced_accuracy",
        bn="train",
    )
    assert expected == BIOTUNE_RECIPE


def test_policies_and_methods_need_nothing_but_the_standard_library() -> None:
    """Loaded from their files, so that the package's own imports do not count."""
    room = str(Path(policy_module.__file__).parent)
    code = (
        "import runpy, sys, types\n"
        "sys.modules['optuna_layerwise'] = bare = types.ModuleType('optuna_layerwise')\n"
        f"bare.__path__ = [{room!r}]\n"
        "before = set(sys.modules)\n"
        f"runpy.run_path({policy_module.__file__!r})\n"
        "new = set(sys.modules) - before - {'optuna_layerwise'}\n"
        "print(*(n for n in new if n.partition('.')[0] not in sys.stdlib_module_names))\n"
    )
    result = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=True
    )
    ours = {"io", "io.fields", "io.files", "io.plain", "recipe", "recipe_methods"}
    assert set(result.stdout.split()) == {f"optuna_layerwise.{name}" for name in ours}
