from __future__ import annotations

import copy
import dataclasses
import re

import pytest
import torch
import torchvision
from networks import NETWORKS
from safetensors.torch import save_file
from torch import nn

from optuna_layerwise.models import DigitsCNN, ModelSpec, ResNet20, load_weights, partition
from optuna_layerwise.models.heads import find_heads


def equal(model: nn.Module, state: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())


def test_real_mobilenet_without_head_loads_and_keeps_the_new_head(shared_data):
    path = shared_data / "weights" / "mobilenet_v2_w035_imagenet_notop.pth"
    model = torchvision.models.mobilenet_v2(width_mult=0.35, num_classes=5)
    head = copy.deepcopy(model.classifier[1])
    load_weights(model, path)
    state = torch.load(path, map_location="cpu", weights_only=True)
    assert len(state) == 312
    assert all(torch.equal(model.state_dict()[name], tensor) for name, tensor in state.items())
    assert torch.equal(model.classifier[1].weight, head.weight)


def test_real_resnet20_checkpoint_is_unwrapped_and_splits_into_its_stages(shared_data):
    path = shared_data / "weights" / "resnet20-12fca82f.th"
    model = ResNet20()
    load_weights(model, path)
    state = torch.load(path, map_location="cpu", weights_only=True)["state_dict"]
    assert torch.equal(model.linear.weight, state["module.linear.weight"])
    assert torch.equal(model.layer3[2].bn2.running_var, state["module.layer3.2.bn2.running_var"])
    assert list(partition(model)) == ["stem", "layer1", "layer2", "layer3", "head"]
    assert len(partition(model, granularity="block")) == 11


def prefixed(prefix, state):
    return {f"{prefix}{name}": tensor for name, tensor in state.items()}


WRAPPED = {
    "plain": lambda state, other: state,
    "torchvision": lambda state, other: {"model": state, "optimizer": {}, "epoch": 3},
    "lightning": lambda state, other: {"state_dict": prefixed("model.", state), "epoch": 3},
    "parallel": lambda state, other: prefixed("module.", state),
    "compiled": lambda state, other: {"model_state_dict": prefixed("_orig_mod.", state)},
    "compiled, parallel": lambda state, other: prefixed("_orig_mod.module.", state),
    "backbone": lambda state, other: {"net": prefixed("module.backbone.", state)},
    "nested": lambda state, other: {"model": {"state_dict": state}},
    "average": lambda state, other: {
        "model": other,
        "model_ema": {"n_averaged": torch.tensor(7), **prefixed("module.", state)},
    },
    "average of another kind": lambda state, other: {
        "ema": {"decay": 0.9, "shadow_params": list(other.values())},
        "model": state,
    },
    "timm's average": lambda state, other: {"state_dict": other, "state_dict_ema": state},
}


@pytest.mark.parametrize("kind", WRAPPED)
def test_checkpoint_is_unwrapped_and_prefixes_are_stripped(tmp_path, kind):
    source, other, model = DigitsCNN(), DigitsCNN(), DigitsCNN()
    torch.save(WRAPPED[kind](source.state_dict(), other.state_dict()), tmp_path / "w.pt")
    load_weights(model, tmp_path / "w.pt")
    assert equal(model, source.state_dict())


@pytest.mark.parametrize("prefix", ["", "module.", "backbone."])
def test_safetensors_make_the_round_trip_with_and_without_prefix(tmp_path, prefix):
    source, model = ResNet20(), ResNet20()
    save_file(prefixed(prefix, source.state_dict()), tmp_path / "w.safetensors")
    load_weights(model, tmp_path / "w.safetensors")
    assert equal(model, source.state_dict())


def test_prefix_that_the_model_itself_has_stays(tmp_path):
    def wrapped():
        return nn.ModuleDict({"model": nn.Linear(2, 2), "head": nn.Linear(2, 2)})

    source, model = wrapped(), wrapped()
    torch.save(prefixed("module.", source.state_dict()), tmp_path / "w.pt")
    load_weights(model, tmp_path / "w.pt")
    assert equal(model, source.state_dict())


@pytest.mark.parametrize(
    ("name", "old"),
    [
        ("densenet121", lambda n: re.sub(r"(denselayer\d+\.)(norm|conv)(\d)", r"\1\2.\3", n)),
        (
            "vit_b_32",
            lambda n: n.replace("mlp.0.", "mlp.linear_1.").replace("mlp.3.", "mlp.linear_2."),
        ),
    ],
)
def test_names_of_files_that_torchvision_published_are_understood(tmp_path, name, old):
    source, model = (torchvision.models.get_model(name) for _ in range(2))
    state = {old(n): tensor for n, tensor in source.state_dict().items()}
    assert set(state) != set(source.state_dict())
    torch.save(state, tmp_path / "w.pth")
    load_weights(model, tmp_path / "w.pth")
    assert equal(model, source.state_dict())


def test_auxiliary_heads_of_another_size_and_unwanted_ones_are_left_alone(tmp_path):
    source = ModelSpec(name="inception_v3", weights=None).build(1000)
    torch.save(source.state_dict(), tmp_path / "w.pth")
    spec = ModelSpec(name="inception_v3", weights=tmp_path / "w.pth")
    model = spec.build(3)
    assert torch.equal(model.AuxLogits.conv1.conv.weight, source.AuxLogits.conv1.conv.weight)
    assert model.AuxLogits.fc.weight.shape == (3, 768)
    without = dataclasses.replace(spec, args={"aux_logits": False}).build(3)
    assert torch.equal(
        without.Mixed_7c.branch1x1.conv.weight, source.Mixed_7c.branch1x1.conv.weight
    )


@pytest.mark.parametrize("name", ["squeezenet1_1", "timm/deit_tiny_distilled_patch16_224"])
def test_heads_of_every_kind_are_left_alone_if_the_file_has_another_size(tmp_path, name):
    spec = NETWORKS[name].spec
    source = spec.build(7)
    torch.save(source.state_dict(), tmp_path / "w.pth")
    model = dataclasses.replace(spec, weights=tmp_path / "w.pth").build(3)
    heads = find_heads(model)
    assert [len(model.get_submodule(path).weight) for path in heads] == [3] * len(heads)
    state = source.state_dict()
    assert all(
        torch.equal(t, state[n])
        for n, t in model.state_dict().items()
        if n.rpartition(".")[0] not in heads
    )


@pytest.mark.parametrize("name", ["w.pth", "w.safetensors"])
def test_file_that_is_cut_short_is_refused_in_one_line(tmp_path, name):
    state = DigitsCNN().state_dict()
    (save_file if name.endswith("safetensors") else torch.save)(state, tmp_path / name)
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match="cannot read weights .* may be cut short") as caught:
        load_weights(DigitsCNN(), tmp_path / name)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["plain.pt", "wrapped.pth", "parallel.th", "safe.safetensors"])
def test_each_kind_of_file_gives_the_same_weights(tmp_path, kind):
    source, model = DigitsCNN(), DigitsCNN()
    state, path = source.state_dict(), tmp_path / kind
    if kind == "safe.safetensors":
        save_file(state, path)
    elif kind == "wrapped.pth":
        torch.save({"state_dict": state, "epoch": 3}, path)
    elif kind == "parallel.th":
        torch.save({f"module.{name}": tensor for name, tensor in state.items()}, path)
    else:
        torch.save(state, path)
    load_weights(model, path)
    assert equal(model, state)


@pytest.mark.parametrize("stored", ["other size", "bias only"])
def test_head_that_does_not_fit_is_left_alone(tmp_path, stored):
    state = DigitsCNN(num_classes=1000).state_dict()
    if stored == "bias only":
        del state["head.weight"]
        state["head.bias"] = torch.zeros(10)
    torch.save(state, tmp_path / "w.pt")
    model = DigitsCNN(num_classes=10)
    head = copy.deepcopy(model.head.state_dict())
    load_weights(model, tmp_path / "w.pt")
    assert equal(model, {**state, **{f"head.{name}": tensor for name, tensor in head.items()}})


def test_old_file_without_batch_counts_loads(tmp_path):
    state = {n: t for n, t in DigitsCNN().state_dict().items() if "num_batches" not in n}
    torch.save(state, tmp_path / "w.pt")
    model = DigitsCNN()
    load_weights(model, tmp_path / "w.pt")
    assert torch.equal(model.stage3[1].weight, state["stage3.1.weight"])


def test_weights_of_another_model_are_refused_with_the_keys_and_nothing_is_loaded(tmp_path):
    state = DigitsCNN().state_dict()
    state["stage1.0.weight"] = torch.zeros(7, 16, 3, 3)
    state["stage9.0.weight"] = state.pop("stage3.0.weight")
    torch.save(state, tmp_path / "w.pt")
    model = DigitsCNN()
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(ValueError, match="not of this DigitsCNN") as caught:
        load_weights(model, tmp_path / "w.pt")
    message = str(caught.value)
    assert "1 missing (stage3.0.weight)" in message
    assert "1 unexpected (stage9.0.weight)" in message
    assert "stage1.0.weight (7, 16, 3, 3) instead of (32, 16, 3, 3)" in message
    assert equal(model, before)


@pytest.mark.parametrize("lost", ["stage3.0.weight", "stem.1.running_mean"])
def test_file_that_only_lacks_a_weight_is_refused_and_nothing_is_loaded(tmp_path, lost):
    state = DigitsCNN().state_dict()
    del state[lost]
    torch.save(state, tmp_path / "w.pt")
    model = DigitsCNN()
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(ValueError, match=rf"1 missing \({lost}\), 0 unexpected, 0 of another"):
        load_weights(model, tmp_path / "w.pt")
    assert equal(model, before)


def test_many_wrong_keys_are_counted_and_a_few_are_named(tmp_path):
    torch.save(ResNet20().state_dict(), tmp_path / "w.pt")
    with pytest.raises(ValueError, match=r"20 missing \(stem.0.weight, [^)]*, \.\.\.\)"):
        load_weights(DigitsCNN(), tmp_path / "w.pt")


@pytest.mark.parametrize("name", ["w.pt", "w.safetensors"])
@pytest.mark.parametrize("content", [b"", b"not weights", bytes(range(256)) * 8])
def test_file_that_holds_no_weights_is_refused(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=f"cannot read weights from .*{name}"):
        load_weights(DigitsCNN(), tmp_path / name)


def test_pickled_model_is_refused_unread(tmp_path):
    torch.save(DigitsCNN(), tmp_path / "w.pt")
    with pytest.raises(ValueError, match="cannot read weights"):
        load_weights(DigitsCNN(), tmp_path / "w.pt")


@pytest.mark.parametrize("content", [[1, 2], {"lr": 0.1}, {"state_dict": {"stem": "x"}}])
def test_saved_object_that_is_no_state_dict_is_refused(tmp_path, content):
    torch.save(content, tmp_path / "w.pt")
    with pytest.raises(ValueError, match=r"to hold a state dict"):
        load_weights(DigitsCNN(), tmp_path / "w.pt")


def test_missing_file_is_a_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="none at .*nowhere.pt"):
        load_weights(DigitsCNN(), tmp_path / "nowhere.pt")
