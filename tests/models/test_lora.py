"""LoRA: nothing at first, exact when merged, PEFT's numbers, and a model left as it was."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from networks import NETWORKS, SMALL
from PIL import Image
from torch import nn
from torch.nn.functional import cross_entropy

from optuna_layerwise.models import (
    Blocks,
    DigitsCNN,
    ModelSpec,
    adapted,
    check_partition,
    frozen,
    logits_of,
    param_groups,
    partition,
    reset_head,
)
from optuna_layerwise.models.cutting import find_cut
from optuna_layerwise.models.flops import block_flops
from optuna_layerwise.models.lora import LowRank
from optuna_layerwise.models.seeding import seeded

CPU = torch.device("cpu")
REAL = {
    "mobilenet": ("mobilenet_v2", "mobilenet_v2_w035_imagenet_notop.pth", {"width_mult": 0.35}),
    "resnet": ("resnet20", "resnet20-12fca82f.th", {}),
}


@pytest.fixture(params=REAL)
def pretrained(request: pytest.FixtureRequest, shared_data: Path) -> nn.Module:
    name, file, args = REAL[request.param]
    model = ModelSpec(name=name, weights=shared_data / "weights" / file, args=args).build(3)
    reset_head(model, partition(model), seed=0)
    return model


@pytest.fixture
def images(shared_data: Path) -> torch.Tensor:
    """Eight breast scans as both networks take them, about: in [-1, 1]."""
    paths = sorted((shared_data / "busi" / "benign").glob("*.jpg"))[:8]
    pixels = [np.asarray(Image.open(p).convert("RGB").resize((64, 64))) for p in paths]
    return torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2).contiguous() / 127.5 - 1


LABELS = torch.arange(8) % 3


def network(name: str) -> tuple[nn.Module, Blocks, torch.Tensor]:
    """With random weights that images reach the head through, its blocks, and three images."""
    with seeded(0, CPU):
        spec = NETWORKS[name].spec
        model = spec.build(5)
        blocks = spec.partition(model)
        reset_head(model, blocks, seed=0)
        images = torch.randn(3, 3, spec.image_size, spec.image_size)
        norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
        for norm in norms:  # with statistics of ones, nothing would reach the head
            norm.momentum = 1.0
        if norms:
            model.train()(images)
        return model.eval(), blocks, images


def adapters(model: nn.Module) -> dict[str, LowRank]:
    """By the layer's path."""
    found = {n: m for n, m in model.named_modules() if isinstance(m, LowRank)}
    return {n.removesuffix(".parametrizations.weight.0"): m for n, m in found.items()}


@torch.no_grad()
def move(model: nn.Module) -> None:
    """As far as a training might."""
    generator = torch.Generator().manual_seed(1)
    for adapter in adapters(model).values():
        adapter.up.copy_(0.05 * torch.randn(adapter.up.shape, generator=generator))


def train(model: nn.Module, groups: Any, images: torch.Tensor, steps: int = 3) -> None:
    optimizer = torch.optim.AdamW(groups, weight_decay=0.1)
    for _ in range(steps):
        model.train()
        optimizer.zero_grad()
        cross_entropy(model(images), LABELS).backward()
        optimizer.step()


def changed(model: nn.Module, before: Mapping[str, torch.Tensor]) -> set[str]:
    return {n for n, t in model.state_dict().items() if not torch.equal(t, before[n])}


def state(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def identity(model: nn.Module) -> list[Any]:
    """Everything of a model but its numbers; equal lists are of the same objects."""
    parameters = [(n, id(p), p.requires_grad, p.stride()) for n, p in model.named_parameters()]
    modules = [(n, id(m), type(m), m.training, list(m.__dict__)) for n, m in model.named_modules()]
    return [*parameters, *modules, list(model.state_dict())]


@pytest.mark.sweep(name=SMALL)
@pytest.mark.parametrize("name", NETWORKS)
@torch.no_grad()
def test_every_network_starts_unchanged_merges_exactly_and_is_left_as_it_was(name: str) -> None:
    model, blocks, inputs = network(name)
    was, weights, untouched = identity(model), state(model), logits_of(model(inputs))
    with adapted(model, blocks, rank=3, alpha=6, trained=blocks) as lora:
        assert torch.equal(logits_of(model(inputs)), untouched)
        check_partition(model, lora.blocks)
        moved = {f"{path}.weight" for path in adapters(model)}
        move(model)
        inside, sums = (
            logits_of(model(inputs)),
            {n: model.get_submodule(n).weight for n in adapters(model)},
        )
    assert identity(model) == was
    assert changed(model, weights) == moved
    assert all(torch.equal(model.get_submodule(n).weight, w) for n, w in sums.items())
    assert not torch.allclose(inside, untouched)
    torch.testing.assert_close(logits_of(model(inputs)), inside, rtol=1e-5, atol=1e-5)


@pytest.mark.sweep
def test_real_networks_give_the_same_before_and_after_merging(pretrained, images):
    blocks = partition(pretrained)
    with adapted(pretrained, blocks, rank=8, alpha=16, trained=blocks) as lora:
        policy = dict.fromkeys(blocks, 1.0)
        groups = param_groups(pretrained, lora.blocks, policy, lr=1e-2)
        before = pretrained.eval()(images)
        train(pretrained, groups, images)
        trained = pretrained.eval()(images)
    assert (trained - before).abs().max() > 0.1
    assert (pretrained(images) - trained).abs().max() <= 1e-5


def test_training_changes_only_adapters_and_head(pretrained, images):
    blocks = partition(pretrained)
    policy = {block: float(block in [*blocks][-2:]) for block in blocks}
    before = state(pretrained)
    with (
        frozen(pretrained, blocks, policy, bn="eval_all"),
        adapted(pretrained, blocks, rank=2, alpha=4, trained=[*blocks][-2:]) as lora,
    ):
        groups = param_groups(pretrained, lora.blocks, policy, lr=1e-2)
        inside = state(pretrained)
        train(pretrained, groups, images)
        names = {name for names in lora.trained.values() for name in names}
        assert changed(pretrained, inside) == names
        assert {n for n, p in pretrained.named_parameters() if p.requires_grad} == names
        assert {n for group in groups for n in group["param_names"]} == names
        assert len(names) == sum(p.numel() > 0 for group in groups for p in group["params"])
        paths = set(adapters(pretrained))
    weights = {f"{path}.weight" for path in paths}
    assert weights and weights < {*blocks[[*blocks][-2]]}
    assert changed(pretrained, before) == {*weights, *blocks["head"]}


def test_norms_of_trained_blocks_move_their_statistics_and_not_their_weights(images, shared_data):
    model = ModelSpec(name="resnet20", weights=None).build(3)
    blocks = partition(model)
    policy = {block: float(block in ("layer3", "head")) for block in blocks}
    before = state(model)
    with (
        frozen(model, blocks, policy),
        adapted(model, blocks, rank=2, alpha=4, trained=["layer3", "head"]) as lora,
    ):
        train(model, param_groups(model, lora.blocks, policy, lr=1e-2), images)
    norms = {n for n, m in model.named_modules() if isinstance(m, nn.BatchNorm2d)}
    moved = {n for n in changed(model, before) if n.rpartition(".")[0] in norms}
    assert {n.split(".")[0] for n in moved} == {"layer3"}
    assert {n.rpartition(".")[2] for n in moved} == {
        "running_mean",
        "running_var",
        "num_batches_tracked",
    }


@pytest.mark.sweep
def test_real_networks_have_the_outputs_gradients_and_weights_of_peft(pretrained, images):
    compare_with_peft(pretrained.eval(), partition(pretrained), images)


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")  # peft asks
def test_linear_layers_have_the_outputs_gradients_and_weights_of_peft() -> None:
    compare_with_peft(*network("transformers/vit"))


def compare_with_peft(model: nn.Module, blocks: Blocks, inputs: torch.Tensor) -> None:
    """In double precision, so that what differs is not the order of the sums."""
    peft = pytest.importorskip("peft")
    model, inputs = model.double(), inputs.double()
    head = blocks["head"][0].rpartition(".")[0]
    original = copy.deepcopy(model)
    with adapted(model, blocks, rank=4, alpha=6, trained=blocks):
        config = peft.LoraConfig(
            r=4, lora_alpha=6, target_modules=[*adapters(model)], modules_to_save=[head]
        )
        theirs = peft.get_peft_model(original, config).eval()
        move(model)
        pairs = {}
        for path, adapter in adapters(model).items():
            layer = theirs.base_model.model.get_submodule(path)
            pairs[f"{path}.down"] = (adapter.down, layer.lora_A["default"].weight)
            pairs[f"{path}.up"] = (adapter.up, layer.lora_B["default"].weight)
        kept = theirs.base_model.model.get_submodule(head).modules_to_save["default"]
        for kind, parameter in kept.named_parameters():
            pairs[kind] = (model.get_parameter(f"{head}.{kind}"), parameter)
        with torch.no_grad():
            for ours, other in pairs.values():
                other.copy_(ours)
        outputs = [logits_of(m(inputs)) for m in (model, theirs)]
        torch.testing.assert_close(*outputs, rtol=0, atol=1e-9)
        for output in outputs:
            cross_entropy(output, torch.arange(len(inputs)) % 3).backward()
        for ours, other in pairs.values():
            torch.testing.assert_close(ours.grad, other.grad, rtol=0, atol=1e-9)
        counts = [p.numel() for p in model.parameters() if p.requires_grad]
        assert theirs.get_nb_trainable_parameters()[0] == sum(counts)
    merged = theirs.merge_and_unload().state_dict()
    assert merged.keys() == model.state_dict().keys()
    for key, tensor in model.state_dict().items():
        torch.testing.assert_close(tensor, merged[key], rtol=0, atol=1e-9)


def test_stem_grouped_convolutions_and_head_are_left_out() -> None:
    model, blocks, _ = network("mobilenet_v2")
    with adapted(model, blocks, rank=2, alpha=2, trained=blocks) as lora:
        paths = set(adapters(model))
        layers = {n: m for n, m in model.named_modules() if isinstance(m, nn.Conv2d)}
    stem = {name.rpartition(".")[0] for name in blocks["stem"]}
    depthwise = {name for name, layer in layers.items() if layer.groups > 1}
    assert len(depthwise) == 17
    assert paths == layers.keys() - depthwise - stem
    assert lora.trained["stem"] == ()
    assert lora.trained["head"] == blocks["head"]


def test_only_blocks_that_train_have_adapters() -> None:
    model, blocks, _ = network("resnet18")
    with adapted(model, blocks, rank=2, alpha=2, trained=["layer2", "head"]) as lora:
        assert {path.partition(".")[0] for path in adapters(model)} == {"layer2"}
        assert list(lora.trained) == ["layer2", "head"]
        assert lora.blocks["layer3"] == blocks["layer3"]


def test_auxiliary_classifiers_train_whole() -> None:
    model, blocks, _ = network("googlenet")
    with adapted(model, blocks, rank=2, alpha=2, trained=["aux1"]) as lora:
        own = [name for name in lora.trained["aux1"] if not name.endswith((".up", ".down"))]
        assert own == ["aux1.fc2.weight", "aux1.fc2.bias"]
        assert set(adapters(model)) == {"aux1.conv.conv", "aux1.fc1"}


def test_shared_and_computed_weights_are_left_alone() -> None:
    shared, computed = nn.Linear(4, 4), nn.utils.parametrizations.weight_norm(nn.Linear(4, 4))
    biased, tied = nn.Linear(4, 4), nn.Linear(4, 4)
    nn.utils.parametrize.register_parametrization(biased, "bias", nn.Identity())
    tied.weight = shared.weight
    model = nn.Sequential(nn.Linear(4, 4), shared, tied, computed, biased, nn.Linear(4, 2))
    blocks, was = partition(model), identity(model)
    with adapted(model, blocks, rank=1, alpha=1, trained=blocks):
        assert set(adapters(model)) == {"0"}
    assert identity(model) == was


@pytest.mark.parametrize("rank", [1, 64])
def test_a_rank_above_the_sides_of_a_weight_is_allowed(rank: int) -> None:
    model, blocks, inputs = network("digits_cnn")
    with adapted(model, blocks, rank=rank, alpha=1, trained=["stage1"]):
        (adapter, *_) = adapters(model).values()
        assert len(adapter.down) == rank
        move(model)
        inside = model(inputs)
    torch.testing.assert_close(model(inputs), inside, rtol=0, atol=1e-5)


def test_equal_seeds_give_equal_adapters_in_the_bounds_of_kaiming_and_move_no_generator() -> None:
    model, blocks, _ = network("resnet18")
    drawn = []
    generator = torch.get_rng_state()
    for seed in (7, 7, 8):
        with (
            seeded(seed, CPU),
            adapted(model, blocks, rank=4, alpha=4, trained=["layer4"]),
        ):
            drawn.append([a.down.detach().clone() for a in adapters(model).values()])
    assert all(torch.equal(a, b) for a, b in zip(drawn[0], drawn[1], strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(drawn[0], drawn[2], strict=True))
    for down in drawn[0]:  # sqrt(6 / ((1 + a^2) fan_in)) with a^2 = 5
        bound = down[0].numel() ** -0.5
        assert 0.95 * bound < down.abs().max() <= bound
    assert torch.equal(torch.get_rng_state(), generator)


def test_an_error_inside_leaves_the_model_whole_with_its_current_weights() -> None:
    model, blocks, inputs = network("resnet20")
    was = identity(model)
    with pytest.raises(KeyboardInterrupt), adapted(model, blocks, rank=2, alpha=2, trained=blocks):
        move(model)
        inside = model(inputs)
        raise KeyboardInterrupt
    assert identity(model) == was
    torch.testing.assert_close(model(inputs), inside, rtol=0, atol=1e-5)


def test_an_error_while_attaching_leaves_the_model_as_it_was() -> None:
    model, blocks, _ = network("resnet20")
    integers = torch.zeros(64, 64, 3, 3, dtype=torch.int8)
    model.layer3[2].conv2.weight = nn.Parameter(integers, requires_grad=False)
    was = identity(model)
    with (
        pytest.raises(RuntimeError, match="floating point"),
        adapted(model, blocks, rank=2, alpha=2, trained=blocks),
    ):
        pass
    assert identity(model) == was


def test_contexts_nest_in_every_order() -> None:
    model, blocks, inputs = network("resnet20")
    policy = {block: float(block in ("layer3", "head")) for block in blocks}
    was = identity(model)
    with (
        frozen(model, blocks, policy),
        adapted(model, blocks, rank=2, alpha=2, trained=["layer3", "head"]) as outer,
    ):
        between = identity(model)
        with adapted(model, outer.blocks, rank=1, alpha=1, trained=["layer2"]) as inner:
            assert {p.partition(".")[0] for p in adapters(model)} == {"layer2", "layer3"}
            trained = {n for n, p in model.named_parameters() if p.requires_grad}
            assert trained == {*inner.trained["layer2"]}
            with frozen(model, inner.blocks, policy):
                assert not model.train().layer1[0].bn1.training
        assert identity(model) == between
    assert identity(model) == was


def test_copies_made_inside_stay_adapted_and_pickles_are_of_merged_models() -> None:
    model, blocks, inputs = network("resnet20")
    with adapted(model, blocks, rank=2, alpha=2, trained=blocks):
        move(model)
        copied, inside = copy.deepcopy(model), model(inputs)
        with pytest.raises(RuntimeError, match="only supported through state_dict"):
            pickle.dumps(model)
    assert torch.equal(copied(inputs), inside)
    assert len(adapters(copied)) == 18
    again = pickle.loads(pickle.dumps(model))
    assert torch.equal(again(inputs), model(inputs))


@pytest.mark.sweep(name="resnet20")
@pytest.mark.parametrize("name", ["resnet20", "mobilenet_v2", "transformers/vit", "vit_b_32"])
def test_what_is_below_the_lowest_adapter_is_a_fixed_prefix(name: str) -> None:
    model, blocks, inputs = network(name)
    last = [*blocks][-2:]
    policy = {block: float(block in last) for block in blocks}
    with (
        frozen(model, blocks, policy),
        adapted(model, blocks, rank=2, alpha=2, trained=last),
    ):
        cut, where = find_cut(model, inputs)
        assert cut is not None, where
        features = cut.prefix(model, inputs)
        move(model)
        assert torch.equal(cut.prefix(model, inputs), features)
        outputs = [logits_of(m) for m in (model(inputs), cut.suffix(model, features))]
        assert torch.equal(*outputs)
        firsts = [next(iter(adapters(model).values())).up]
        grads = [torch.autograd.grad(out.sum(), firsts)[0] for out in outputs]
        assert torch.equal(*grads)
        assert grads[0].abs().max() > 0


def test_operations_count_in_the_blocks_of_the_adapted_model() -> None:
    model, blocks, _ = network("resnet18")
    inputs = torch.zeros(1, 3, 224, 224)
    plain = block_flops(model, blocks, inputs)
    with adapted(model, blocks, rank=8, alpha=16, trained=["layer3"]) as lora:
        flops = block_flops(model, lora.blocks, inputs)
        products = sum(2 * 8 * a.up.shape[0] * a.down[0].numel() for a in adapters(model).values())
    assert flops == {**plain, "layer3": plain["layer3"] + products}


def test_memory_order_is_kept_and_autocast_does_not_round_the_update() -> None:
    model, blocks, inputs = network("resnet18")
    model.to(memory_format=torch.channels_last)
    with adapted(model, blocks, rank=2, alpha=2, trained=blocks):
        move(model)
        layer = model.layer2[0].conv1
        assert layer.weight.is_contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16):
            effective, inside = layer.weight, model(inputs)
    assert effective.dtype == torch.float32
    assert torch.equal(layer.weight, effective)
    assert layer.weight.is_contiguous(memory_format=torch.channels_last)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(model(inputs), inside)


def test_the_head_alone_trains_where_no_chosen_block_has_a_target() -> None:
    model, blocks, _ = network("resnet20")
    with adapted(model, blocks, rank=2, alpha=2, trained=["stem", "head"]) as lora:
        assert lora.blocks == blocks
        assert lora.trained == {"stem": (), "head": blocks["head"]}


class Depthwise(nn.Sequential):
    def __init__(self) -> None:
        grouped = nn.Conv2d(8, 8, 3, groups=8)
        super().__init__(nn.Conv2d(3, 8, 3), grouped, nn.Flatten(), nn.Linear(8, 2))


@pytest.mark.parametrize(
    ("model", "arguments", "message"),
    [
        (DigitsCNN, {"rank": 0}, "rank must be a whole number, at least 1, got 0"),
        (DigitsCNN, {"rank": 2.0}, "rank must be a whole number, at least 1, got 2.0"),
        (DigitsCNN, {"alpha": 0}, "alpha must be finite and above 0, got 0"),
        (DigitsCNN, {"alpha": float("nan")}, "alpha must be finite"),
        (DigitsCNN, {"trained": ["stage9"]}, r"trained names \['stage9'\]; the blocks .*'stem'"),
        (DigitsCNN, {"trained": ["stem"]}, r"nothing would train; add one of \['stage1', 'stage"),
        (DigitsCNN, {"trained": []}, "nothing would train"),
        (
            Depthwise,
            {"trained": ["1", "head"]},
            "this Depthwise but its last has a layer for LoRA",
        ),
    ],
)
def test_what_cannot_be_adapted_is_refused_and_left_as_it_was(
    model: Any, arguments: dict[str, Any], message: str
) -> None:
    network = model()
    blocks, was = partition(network), identity(network)
    with (
        pytest.raises(ValueError, match=message),
        adapted(network, blocks, **{"rank": 2, "alpha": 4, "trained": ["head"], **arguments}),
    ):
        pass
    assert identity(network) == was


def test_blocks_of_another_model_are_refused() -> None:
    model, blocks, _ = network("resnet20")
    with (
        pytest.raises(ValueError, match="which this DigitsCNN does not have"),
        adapted(DigitsCNN(), blocks, rank=2, alpha=2, trained=blocks),
    ):
        pass
