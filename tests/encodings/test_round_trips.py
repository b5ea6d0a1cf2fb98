"""Policies to parameters and back, for every pair of a mask and a rate."""

from __future__ import annotations

import ast
import itertools
from typing import Any

import pytest
from drawing import layouts, parameters, policies
from hypothesis import given, settings
from hypothesis import strategies as st

from optuna_layerwise.encodings import ENCODINGS, Decay, Encoding, Only
from optuna_layerwise.policy import Policy

MASKS = {type(mask).__name__: mask for mask, _ in ENCODINGS.values()} | {"Only": Only(("block0",))}
RATES = {str(rate): rate for rate in (*(rate for _, rate in ENCODINGS.values()), Decay())}
PAIRS = pytest.mark.parametrize(
    ("mask", "rate"),
    [
        pytest.param(MASKS[mask], RATES[rate], id=f"{mask}-{rate}")
        for mask, rate in itertools.product(MASKS, RATES)
    ],
)


def assert_close(policy: Policy, expected: Policy) -> None:
    assert tuple(policy) == tuple(expected)
    assert policy.trained == expected.trained
    assert tuple(policy.values()) == pytest.approx(tuple(expected.values()), rel=1e-12, abs=0)


@pytest.mark.sweep(6)
@PAIRS
@settings(max_examples=50)
@given(data=st.data())
def test_decode_inverts_encode(mask: Any, rate: Any, data: st.DataObject) -> None:
    encoding = Encoding(mask=mask, rate=rate, **data.draw(layouts()))
    policy = encoding.decode(data.draw(parameters(encoding.search_space)))
    params = encoding.encode(policy)
    assert_close(encoding.decode(params), policy)
    assert params.keys() == encoding.search_space.keys()
    for name, distribution in encoding.search_space.items():
        assert distribution._contains(distribution.to_internal_repr(params[name])), name


@pytest.mark.sweep(6)
@PAIRS
@settings(max_examples=50)
@given(data=st.data())
def test_what_cannot_be_expressed_is_refused_with_a_policy_that_can(
    mask: Any, rate: Any, data: st.DataObject
) -> None:
    encoding = Encoding(mask=mask, rate=rate, **data.draw(layouts()))
    policy = data.draw(policies(encoding))
    try:
        params = encoding.encode(policy)
    except ValueError as error:
        message = str(error)
        assert message.startswith(f"this encoding cannot express {policy}; the nearest policy is ")
        nearest = ast.literal_eval(message.partition("nearest policy is ")[2])
        assert_close(encoding.decode(encoding.encode(nearest)), Policy(nearest))
    else:
        assert_close(encoding.decode(params), Policy(policy))


@pytest.mark.sweep(6)
@PAIRS
@settings(max_examples=50)
@given(data=st.data())
def test_inactive_parameters_change_nothing(mask: Any, rate: Any, data: st.DataObject) -> None:
    encoding = Encoding(mask=mask, rate=rate, **data.draw(layouts()))
    params = data.draw(parameters(encoding.search_space))
    others = data.draw(parameters(encoding.search_space))
    active = encoding.active(params)
    assert active <= params.keys()
    assert encoding.gates <= active
    inactive = params.keys() - active
    # A threshold compares importances: another one must stay frozen to stay without effect.
    frozen = {
        n: params.get("imp/__threshold__", 1) * others[n] for n in inactive if n[:4] == "imp/"
    }
    changed = params | {name: others[name] for name in inactive} | frozen
    assert encoding.decode(changed) == encoding.decode(params)
    assert encoding.valid(params) == bool(encoding.decode(params).trained)
