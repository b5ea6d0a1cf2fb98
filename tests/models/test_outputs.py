from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy
from torchvision.models.googlenet import GoogLeNetOutputs
from torchvision.models.inception import InceptionOutputs

from optuna_layerwise.models import (
    DigitsCNN,
    ModelSpec,
    logits_of,
    replace_head,
    reset_head,
    training_loss,
)
from optuna_layerwise.models.outputs import auxiliary_heads

LABELS = torch.tensor([0, 2, 1])
MAIN, FIRST, SECOND = torch.randn(3, 3, 3, generator=torch.Generator().manual_seed(0))


def network(name: str, **args: Any) -> nn.Module:
    return ModelSpec(name=name, args=args, weights=None).build(3)


@pytest.mark.parametrize(
    "outputs", [MAIN, (MAIN, FIRST), InceptionOutputs(MAIN, FIRST), [MAIN], None, ()]
)
def test_logits_are_the_tensor_or_the_first_of_a_tuple(outputs: Any) -> None:
    if isinstance(outputs, torch.Tensor) or (isinstance(outputs, tuple) and outputs):
        assert logits_of(outputs) is MAIN
    else:
        with pytest.raises(ValueError, match=f"with .logits, got {type(outputs).__name__}"):
            logits_of(outputs)


def test_loss_of_plain_logits_is_the_cross_entropy() -> None:
    assert training_loss(DigitsCNN(), MAIN, LABELS) == cross_entropy(MAIN, LABELS)
    assert training_loss(DigitsCNN(), (MAIN, FIRST), LABELS) == cross_entropy(MAIN, LABELS)


def test_auxiliary_classifiers_add_their_published_share_of_the_loss() -> None:
    main, first, second = (cross_entropy(logits, LABELS) for logits in (MAIN, FIRST, SECOND))
    model = network("inception_v3")
    loss = training_loss(model, InceptionOutputs(MAIN, FIRST), LABELS)
    torch.testing.assert_close(loss, main + 0.4 * first)
    wrapped = nn.Sequential(model)
    loss = training_loss(wrapped, InceptionOutputs(MAIN, FIRST), LABELS)
    torch.testing.assert_close(loss, main + 0.4 * first)
    model = network("googlenet", aux_logits=True)
    loss = training_loss(model, GoogLeNetOutputs(MAIN, SECOND, FIRST), LABELS)
    torch.testing.assert_close(loss, main + 0.3 * first + 0.3 * second)


def test_frozen_auxiliary_classifier_adds_no_loss() -> None:
    model = network("googlenet", aux_logits=True)
    model.aux2.requires_grad_(False)
    loss = training_loss(model, GoogLeNetOutputs(MAIN, SECOND, FIRST), LABELS)
    torch.testing.assert_close(
        loss, cross_entropy(MAIN, LABELS) + 0.3 * cross_entropy(FIRST, LABELS)
    )


@pytest.mark.parametrize(
    ("name", "args", "paths"),
    [
        ("inception_v3", {}, ["AuxLogits.fc"]),
        ("inception_v3", {"aux_logits": False}, []),
        ("googlenet", {"aux_logits": True}, ["aux1.fc2", "aux2.fc2"]),
        ("googlenet", {}, []),
    ],
)
def test_auxiliary_heads_are_replaced_and_reset_with_the_head(
    name: str, args: dict[str, Any], paths: list[str]
) -> None:
    spec = ModelSpec(name=name, args=args, weights=None)
    model = spec.build(3)
    assert sorted(auxiliary_heads(model).values()) == paths
    replace_head(model, 5)
    assert {model.get_submodule(path).out_features for path in ["fc", *paths]} == {5}
    twin = copy.deepcopy(model)
    blocks = spec.partition(model)
    reset_head(model, blocks, seed=1)
    for path in ["fc", *paths]:
        before, after = (m.get_submodule(path).weight for m in (twin, model))
        assert not torch.equal(before, after)
    reset_head(twin, blocks, seed=1)
    assert all(torch.equal(t, model.state_dict()[n]) for n, t in twin.state_dict().items())


def test_reset_of_auxiliary_heads_leaves_the_head_as_it_would_be_without_them() -> None:
    heads = []
    for aux_logits in (True, False):
        spec = ModelSpec(name="googlenet", args={"aux_logits": aux_logits}, weights=None)
        model = spec.build(3)
        reset_head(model, spec.partition(model), seed=2)
        heads.append(model.fc.weight)
    assert torch.equal(*heads)
