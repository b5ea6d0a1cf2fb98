"""The blocks of networks as if no family knew them."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
import torch
from networks import NETWORKS, SMALL
from torch import nn

from optuna_layerwise.models import partition
from optuna_layerwise.models.block_facts import block_outputs, patterns_of
from optuna_layerwise.models.families.generic import split_unknown
from optuna_layerwise.models.heads import find_heads

OF_LIBRARIES = [
    *("timm/coatnet_0_224", "timm/convnext_tiny", "timm/crossvit_tiny_240", "timm/densenet121"),
    *("timm/dla34", "timm/edgenext_small", "timm/efficientformer_l1", "timm/fastvit_t8"),
    *("timm/ghostnet_100", "timm/hrnet_w18_small", "timm/inception_v4", "timm/levit_128s"),
    *("timm/mixer_s32_224", "timm/mobilevit_s", "timm/nest_tiny", "timm/poolformer_s12"),
    *("timm/regnety_008", "timm/repvgg_a0", "timm/selecsls42", "timm/xception41"),
    *("transformers/beit", "transformers/mobilevit", "transformers/pvt"),
    *("transformers/segformer", "transformers/swin"),
]


def built(name: str) -> nn.Module:
    if name in NETWORKS:
        return NETWORKS[name].spec.build(3)
    library, _, inside = name.partition("/")
    package = pytest.importorskip(library)
    if library == "timm":
        model: nn.Module = package.create_model(inside, num_classes=3)
        return model
    config = package.AutoConfig.for_model(inside, num_labels=3)
    made: nn.Module = package.AutoModelForImageClassification.from_config(config)
    return made


def members(model: nn.Module, depth: str) -> dict[str, list[str]]:
    names = [name for name, _ in model.named_parameters()]
    return {
        block: [n for n in names if any(n == p or n.startswith(f"{p}.") for p in paths)]
        for block, paths in split_unknown(model, depth).items()  # type: ignore[arg-type]
    }


@pytest.mark.sweep(name=SMALL)
@pytest.mark.parametrize("name", [*NETWORKS, *OF_LIBRARIES])
def test_an_unknown_network_has_4_to_12_stages_of_whole_blocks_and_its_head_last(
    name: str,
) -> None:
    model = built(name)
    stages, blocks = members(model, "stage"), members(model, "block")
    names = sorted(name for name, _ in model.named_parameters())
    for found in (stages, blocks):
        assert sorted(n for inside in found.values() for n in inside) == names
        assert [*found][-1] == "head"
        assert {f"{path}.weight" for path in find_heads(model)[:1]} <= {*found["head"]}
    assert 4 <= len(stages) <= 12
    assert len(stages) <= len(blocks)
    home = {n: stage for stage, inside in stages.items() for n in inside}
    assert all(len({home[n] for n in inside}) == 1 for inside in blocks.values())
    assert max(map(len, stages.values())) < 0.7 * len(names)


class Residual(nn.Module):
    """Two convolutions and a way past them."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.a = nn.Conv2d(inputs, outputs, 3, stride, 1)
        self.b = nn.Conv2d(outputs, outputs, 3, 1, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.b(torch.relu(self.a(x)))


class Own(nn.Module):
    """A list of blocks that halve the images twice, in one list with another name for each part.

    Args:
        steps: Whether the pass asks for a number, which no empty tensor has.
    """

    def __init__(self, *, asks: bool = False) -> None:
        super().__init__()
        self.asks = asks
        self.scale = nn.Parameter(torch.ones(1))
        self.first = nn.Conv2d(3, 8, 3, 1, 1)
        self.first_norm = nn.BatchNorm2d(8)
        sizes = [(8, 8, 1), (8, 8, 1), (8, 16, 2), (16, 16, 1), (16, 32, 2), (32, 32, 1)]
        self.body = nn.ModuleList(Residual(*size) for size in sizes)
        self.wide = nn.Conv2d(32, 64, 1)
        self.wide_norm = nn.BatchNorm2d(64)
        self.classes = nn.Linear(64, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.asks:
            float(x.sum())
        x = self.first_norm(self.first(x * self.scale))
        for block in self.body:
            x = block(x)
        return self.classes(self.wide_norm(self.wide(x)).mean((2, 3)))


@pytest.mark.parametrize("asks", [False, True], ids=["by resolution", "by width"])
def test_a_list_of_blocks_is_cut_where_the_resolution_or_else_the_width_changes(
    asks: bool,
) -> None:
    blocks = partition(Own(asks=asks))
    assert blocks["stem"] == ("scale", "first.weight", "first.bias", *_norm("first_norm"))
    assert {stage: {n.split(".")[1] for n in blocks[stage]} for stage in [*blocks][1:4]} == {
        "stage1": {"0", "1"},
        "stage2": {"2", "3"},
        "stage3": {"4", "5"},
    }
    assert blocks["tail"] == ("wide.weight", "wide.bias", *_norm("wide_norm"))
    assert [*blocks][4:] == ["tail", "head"]


def _norm(path: str) -> tuple[str, str]:
    return f"{path}.weight", f"{path}.bias"


def test_an_isotropic_network_is_cut_in_quarters() -> None:
    class Tokens(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.patches = nn.Conv2d(3, 8, 16, 16)
            layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
            self.encoder = nn.TransformerEncoder(layer, 8, enable_nested_tensor=False)
            self.classes = nn.Linear(8, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            tokens = self.patches(x).flatten(2).transpose(1, 2)
            return self.classes(self.encoder(tokens).mean(1))

    blocks = partition(Tokens())
    assert [*blocks] == ["stem", "stage1", "stage2", "stage3", "stage4", "head"]
    assert len({len(blocks[f"stage{n}"]) for n in range(1, 5)}) == 1


def test_units_come_in_the_order_in_which_they_run() -> None:
    class Turned(Own):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.ModuleList(reversed(self.body))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.first(x)
            for block in reversed(self.body):
                x = block(x)
            return self.classes(self.wide(x).mean((2, 3)))

    blocks = [block for block in partition(Turned(), granularity="block") if "body" in block]
    assert blocks == [f"body.{place}" for place in (5, 4, 3, 2, 1, 0)]


def test_a_part_called_head_that_is_none_has_another_name() -> None:
    model = nn.ModuleDict({"head": nn.Linear(2, 2), "tail": nn.Linear(2, 2)})
    assert {b: len(n) for b, n in partition(model).items()} == {"trunk.head": 2, "head": 2}


@pytest.mark.parametrize("granularity", ["stage", "block", "layer"])
def test_the_patterns_that_are_shown_make_the_same_blocks(granularity: str) -> None:
    for model in (Own(), NETWORKS["digits_cnn"].spec.build(3)):
        blocks = partition(model, granularity=granularity)  # type: ignore[arg-type]
        patterns = patterns_of(model, blocks)
        assert partition(model, patterns=patterns) == blocks
        assert all(re.compile(pattern) for some in patterns.values() for pattern in some)


def test_outputs_of_blocks_are_those_of_a_pass_on_images_of_this_size() -> None:
    outputs = block_outputs(Own(), partition(Own()), 20)
    assert [*outputs.items()][:2] == [("stem", ((20, 20), 8)), ("stage1", ((20, 20), 8))]
    sides = [sides for sides, _ in outputs.values()]
    assert all(a >= b for a, b in pairwise(sides))
    assert outputs["tail"] == ((5, 5), 64) and outputs["head"] == ((), 3)
