from __future__ import annotations

import pytest
import torch
import torchvision
from torch import nn

from optuna_layerwise.models import DigitsCNN, check_partition, partition
from optuna_layerwise.models.layers import split_layers

COUNTS = {
    "alexnet": {"stage": 4, "block": 6, "layer": 8},
    "maxvit_t": {"stage": 6, "block": 13, "layer": 151},
    "mnasnet1_0": {"stage": 7, "block": 19, "layer": 53},
    "squeezenet1_1": {"stage": 5, "block": 10, "layer": 26},
    "resnet18": {"stage": 6, "block": 10, "layer": 21},
    "resnet50": {"stage": 6, "block": 18, "layer": 54},
    "mobilenet_v2": {"stage": 7, "block": 20, "layer": 53},
    "densenet121": {"stage": 9, "block": 63, "layer": 121},
    "vgg19": {"stage": 6, "block": 17, "layer": 19},
    "inception_v3": {"stage": 14, "block": 18, "layer": 98},
    "googlenet": {"stage": 13, "block": 15, "layer": 64},
    "convnext_tiny": {"stage": 6, "block": 23, "layer": 59},
    "efficientnet_b0": {"stage": 7, "block": 19, "layer": 82},
    "mobilenet_v3_large": {"stage": 7, "block": 18, "layer": 64},
    "shufflenet_v2_x1_0": {"stage": 6, "block": 19, "layer": 57},
    "regnet_y_8gf": {"stage": 6, "block": 19, "layer": 91},
    "vit_b_16": {"stage": 6, "block": 14, "layer": 50},
    "swin_t": {"stage": 6, "block": 17, "layer": 53},
    "swin_v2_t": {"stage": 6, "block": 17, "layer": 77},
}
CASES = [(name, depth, count) for name, row in COUNTS.items() for depth, count in row.items()]


class Tied(nn.Module):
    """An encoder, a norm, and a decoder that shares the encoder's weight."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))
        self.encoder = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4))
        self.norm = nn.LayerNorm(4)
        self.drop = nn.Dropout()
        self.decoder = nn.Linear(4, 4)
        self.decoder.weight = self.encoder[0].weight


# Their blocks are in forward order as well, which is not the order of registration.
REGISTERED_OTHERWISE = {"googlenet", "vit_b_16", "swin_v2_t"}


def torchvision_model(name: str) -> nn.Module:
    args = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
    # RegNet computes its widths with tensors.
    with torch.device("cpu" if name.startswith("regnet") else "meta"):
        model: nn.Module = torchvision.models.get_model(name, **args)
    return model


@pytest.mark.sweep(8)
@pytest.mark.parametrize(("name", "granularity", "count"), CASES)
def test_blocks_are_as_many_as_published_and_hold_every_parameter_in_forward_order(
    name, granularity, count
):
    model = torchvision_model(name)
    blocks = partition(model, granularity=granularity)
    assert len(blocks) == count
    names = [n for members in blocks.values() for n in members]
    registered = [n for n, _ in model.named_parameters()]
    assert sorted(names) == sorted(registered)
    assert (names == registered) == (name not in REGISTERED_OTHERWISE)
    assert list(blocks)[-1] == "head"
    if name in ("resnet18", "resnet50", "mobilenet_v2"):
        assert list(blocks)[0] == "stem"


def test_stages_are_the_groups_of_biotune():
    """Parameters by number, as ranges that BioTune's code lists."""
    sizes = {
        name: [len(members) for members in partition(torchvision_model(name)).values()]
        for name in ("densenet121", "vgg19", "inception_v3")
    }
    assert sizes["vgg19"] == [4, 4, 8, 8, 8, 6]
    assert sizes["densenet121"] == [3, 36, 3, 72, 3, 144, 3, 98, 2]
    blocks = partition(torchvision_model("inception_v3"))
    assert list(blocks)[0::9] == ["stem", "AuxLogits"] and list(blocks)[-1] == "head"
    assert sizes["inception_v3"] == [15, 21, 21, 21, 12, 30, 30, 30, 30, 8, 18, 27, 27, 2]


def test_norms_that_come_first_belong_to_the_layer_behind_them():
    dense = partition(torchvision_model("densenet121"), granularity="layer")
    inside = "features.denseblock2.denselayer3"
    assert dense[f"{inside}.conv2"] == (
        f"{inside}.norm2.weight",
        f"{inside}.norm2.bias",
        f"{inside}.conv2.weight",
    )
    last = "features.denseblock4.denselayer16.conv2"
    assert dense[last][-2:] == ("features.norm5.weight", "features.norm5.bias")
    vit = partition(torchvision_model("vit_b_16"), granularity="layer")
    inside = "encoder.layers.encoder_layer_0"
    assert vit[f"{inside}.mlp.0"][0] == f"{inside}.ln_2.weight"
    assert len(vit[f"{inside}.mlp.3"]) == 2
    next_ = partition(torchvision_model("convnext_tiny"), granularity="layer")
    assert next_["features.1.0.block.0"][-1] == "features.1.0.block.2.bias"


def test_lone_parameters_join_the_block_that_uses_them():
    vit = partition(torchvision_model("vit_b_16"))
    assert set(vit["stem"]) > {"class_token", "encoder.pos_embedding"}
    swin = partition(torchvision_model("swin_t"), granularity="layer")
    attention = "features.1.0.attn"
    assert f"{attention}.relative_position_bias_table" in swin[f"{attention}.qkv"]
    maxvit = partition(torchvision_model("maxvit_t"), granularity="layer")
    for part in ("window_attention", "grid_attention"):
        attention = f"blocks.1.layers.0.layers.{part}.attn_layer.1"
        assert f"{attention}.relative_position_bias_table" in maxvit[f"{attention}.to_qkv"]
    next_ = partition(torchvision_model("convnext_tiny"), granularity="block")
    assert "features.1.0.layer_scale" in next_["features.1.0"]


def test_stages_of_resnet50_are_the_parameter_ranges_of_biotune():
    blocks = partition(torchvision_model("resnet50"))
    assert list(blocks) == ["stem", "layer1", "layer2", "layer3", "layer4", "head"]
    assert [len(members) for members in blocks.values()] == [3, 30, 39, 57, 30, 2]


def test_stages_of_mobilenet_v2_keep_one_resolution_each():
    model = torchvision.models.mobilenet_v2(width_mult=0.35).eval()
    blocks = partition(model)
    stage_of = {
        name.split(".")[1]: stage
        for stage, members in blocks.items()
        for name in members
        if name.startswith("features.")
    }
    sizes: dict[str, set[int]] = {}
    x = torch.zeros(1, 3, 64, 64)
    with torch.no_grad():
        for index, module in model.features.named_children():
            x = module(x)
            sizes.setdefault(stage_of[index], set()).add(x.shape[-1])
    assert sizes == {
        "stem": {32},
        "stage1": {16},
        "stage2": {8},
        "stage3": {4},
        "stage4": {2},
        "last_conv": {2},
    }


def test_each_layer_of_resnet50_is_one_weight_with_its_norm():
    model = torchvision_model("resnet50")
    parameters = dict(model.named_parameters())
    *trunk, head = partition(model, granularity="layer").values()
    for members in trunk:
        assert [parameters[name].ndim for name in members] == [4, 1, 1]
    assert head == ("fc.weight", "fc.bias")


def test_stages_of_vit_are_quarters_of_its_layers():
    blocks = partition(torchvision_model("vit_b_16"))
    layers = [
        {n.split(".")[2] for n in blocks[f"stage{s}"] if "layers." in n} for s in range(1, 5)
    ]
    assert [len(stage) for stage in layers] == [3, 3, 3, 3]
    assert {f"encoder_layer_{i}" for i in (3, 4, 5)} == layers[1]


def test_digits_cnn_has_the_five_blocks_of_its_children():
    assert list(partition(DigitsCNN())) == ["stem", "stage1", "stage2", "stage3", "head"]


@pytest.mark.parametrize("granularity", ["stage", "block"])
def test_a_small_unknown_model_has_a_block_a_layer_and_tied_weights_count_once(granularity):
    assert partition(Tied(), granularity=granularity) == {
        "encoder.0": ("scale", "encoder.0.weight", "encoder.0.bias"),
        "encoder.2": ("encoder.2.weight", "encoder.2.bias", "norm.weight", "norm.bias"),
        "head": ("decoder.bias",),
    }


def test_norms_and_lone_parameters_join_the_layer_before_them():
    assert partition(Tied(), granularity="layer") == {
        "stem": ("scale", "encoder.0.weight", "encoder.0.bias"),
        "encoder.2": ("encoder.2.weight", "encoder.2.bias", "norm.weight", "norm.bias"),
        "head": ("decoder.bias",),
    }


@pytest.mark.parametrize("norm", [nn.LayerNorm((4, 4)), nn.RMSNorm((4, 4)), nn.GroupNorm(2, 4)])
def test_norm_of_any_shape_starts_no_layer(norm):
    model = nn.Sequential(nn.Linear(4, 4), norm, nn.Linear(4, 4))
    assert list(partition(model, granularity="layer")) == ["stem", "head"]
    assert list(partition(model)) == ["0", "head"]


@pytest.mark.parametrize("granularity", ["stage", "block", "layer"])
def test_wrapper_is_split_like_the_model_in_it(granularity):
    model = torchvision_model("resnet18")
    wrapped = nn.Sequential(nn.ModuleDict({"net": model}))
    blocks = partition(model, granularity=granularity)
    assert [
        tuple(name.removeprefix("0.net.") for name in members)
        for members in partition(wrapped, granularity=granularity).values()
    ] == list(blocks.values())


def test_layers_called_head_are_one_block():
    model = nn.ModuleDict({name: nn.Linear(2, 2) for name in ("trunk", "head", "head_dist")})
    patterns = {"trunk": "trunk.*", "head": "head.*"}
    layers = split_layers(model, partition(model, patterns=patterns))
    assert [len(members) for members in layers.values()] == [2, 4]


def test_single_layer_is_one_head():
    assert partition(nn.Sequential(nn.Linear(2, 2))) == {"head": ("0.weight", "0.bias")}
    assert partition(nn.Linear(2, 2)) == {"root": ("weight", "bias")}


@pytest.mark.parametrize(
    ("model", "granularity", "message"),
    [
        (nn.Sequential(nn.ReLU()), "stage", "has no parameters"),
        (nn.Linear(2, 2), "tensor", "granularity must be one of .*'layer'.* got 'tensor'"),
    ],
)
def test_model_that_cannot_be_split_says_why(model, granularity, message):
    with pytest.raises(ValueError, match=message):
        partition(model, granularity=granularity)


def test_patterns_name_the_blocks_and_the_first_match_wins():
    blocks = partition(
        DigitsCNN(),
        patterns={"norms": r".*\.1\..*", "head": ["head.bias", "head.*"], "rest": ".*"},
    )
    assert blocks["norms"][:2] == ("stem.1.weight", "stem.1.bias")
    assert blocks["rest"] == tuple(f"{s}.0.weight" for s in ("stem", "stage1", "stage2", "stage3"))
    assert blocks["head"] == ("head.weight", "head.bias")


def test_blocks_of_patterns_come_in_forward_order():
    patterns = {"head": "head.*", "late": "stage[23].*", "early": ".*"}
    assert list(partition(DigitsCNN(), patterns=patterns)) == ["early", "late", "head"]


@pytest.mark.parametrize(
    ("patterns", "message"),
    [
        ({"a": "layer5.*", "b": ".*"}, r"pattern 'layer5\.\*' of block 'a' matched no parameter;"),
        ({"a": "stem", "b": ".*"}, "pattern 'stem' of block 'a' matched no"),  # fullmatch
        ({"a": ".*", "b": "head.*"}, "'b' matched no parameter that an earlier pattern had left"),
        ({"a": "stem.*"}, r"\['stage1.0.weight', .* and 7 more of this DigitsCNN are in none"),
        ({"a": "(", "b": ".*"}, r"pattern '\(' of block 'a' is no regular expression"),
        ({}, "in none of the blocks"),
        ({"a": [], "b": ".*"}, r"every block needs a pattern, \['a'\] have none"),
    ],
)
def test_wrong_patterns_say_what_is_wrong(patterns, message):
    with pytest.raises(ValueError, match=message):
        partition(DigitsCNN(), patterns=patterns)


@pytest.mark.parametrize(
    ("blocks", "message"),
    [
        ({"a": ("0.weight", "0.bias")}, r"\['2.weight', '2.bias'\] of this Sequential"),
        ({"a": ("0.weight", "0.bias", "2.weight"), "b": ("2.bias", "0.bias")}, "in several"),
        ({"a": ("0.weight", "0.bias", "2.weight", "2.bias", "3.bias")}, r"name \['3.bias'\]"),
        ({"a": ("0.weight", "0.bias", "2.weight", "2.bias"), "b": ()}, r"\['b'\] have none"),
    ],
)
def test_mapping_that_is_no_partition_is_refused(blocks, message):
    with pytest.raises(ValueError, match=message):
        check_partition(nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 2)), blocks)


def test_second_name_of_a_tied_weight_is_refused():
    model = Tied()
    blocks = partition(model)
    blocks["head"] = ("decoder.weight", *blocks["head"])
    with pytest.raises(ValueError, match="tied weights go by their first name"):
        check_partition(model, blocks)
