"""The blocks of torchvision's classifiers: BioTune's groups where its paper has them.

Stages are the resolutions of the trunk; blocks the units that a paper repeats (residual block,
dense layer, Inception module, encoder layer). A layer that halves the resolution between stages
is a block of its own, and a norm behind the whole trunk belongs to the trunk's last block.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn

from optuna_layerwise.models.families.paths import (
    Depth,
    Family,
    Paths,
    children,
    expanded,
    merged,
    quarters,
)
from optuna_layerwise.models.layers import has_layer


def resnet(model: nn.Module, depth: Depth) -> Paths:
    """The stem, each ``layer`` or each of its residual blocks, and ``fc``."""
    paths: Paths = {"stem": ["conv1", "bn1"]}
    for stage in ("layer1", "layer2", "layer3", "layer4"):
        paths |= {stage: [stage]} if depth == "stage" else expanded(model, stage)
    return {**paths, "head": ["fc"]}


def densenet(model: nn.Module, depth: Depth) -> Paths:
    """The stem, each dense block (or each layer in it), each transition, and the classifier."""
    paths: Paths = {"stem": ["features.conv0", "features.norm0"]}
    for name in children(model.get_submodule("features")):
        if name.startswith("denseblock") and depth == "block":
            paths |= expanded(model, f"features.{name}")
        elif name.startswith(("denseblock", "transition")):
            paths[name] = [f"features.{name}"]
    last = next(reversed(paths))
    return {**paths, last: [*paths[last], "features.norm5"], "head": ["classifier"]}


def between_poolings(model: nn.Module, depth: Depth) -> Paths:
    """VGG, AlexNet, SqueezeNet: the layers between two poolings, or each, and the classifier."""
    paths: dict[str, list[str]] = {}
    stage, block = 1, ""
    for name, module in model.get_submodule("features").named_children():
        stage += isinstance(module, nn.MaxPool2d)
        if has_layer(module):
            block = f"stage{stage}" if depth == "stage" else f"features.{name}"
        if any(True for _ in module.parameters()):
            paths.setdefault(block, []).append(f"features.{name}")
    return {**paths, "head": ["classifier"]}


def inception_v3(model: nn.Module, depth: Depth) -> Paths:
    """The stem (or each of its convolutions), each ``Mixed``, ``AuxLogits`` and ``fc``."""
    paths: dict[str, list[str]] = {}
    for name in children(model):
        in_stem = name.startswith("Conv2d") and depth == "stage"
        block = "stem" if in_stem else "head" if name == "fc" else name
        paths.setdefault(block, []).append(name)
    return dict(paths)


def googlenet(model: nn.Module, depth: Depth) -> Paths:
    """The stem (or each of its convolutions), each ``inception``, ``aux`` and ``fc``.

    The auxiliary classifiers are registered last and run where they branch off.
    """
    paths: dict[str, list[str]] = {}
    parts = children(model)
    branches = {"inception4a": "aux1", "inception4d": "aux2"}
    for name in parts:
        if name in branches.values():
            continue
        in_stem = name.startswith("conv") and depth == "stage"
        block = "stem" if in_stem else "head" if name == "fc" else name
        paths.setdefault(block, []).append(name)
        if branches.get(name) in parts:
            paths[branches[name]] = [branches[name]]
    return dict(paths)


def inverted_residuals(model: nn.Module, depth: Depth) -> Paths:
    """MobileNet and EfficientNet: the trunk cut where the resolution halves, or each block.

    The last convolution, which widens the trunk for the classifier, is a block of its own.
    """
    paths: dict[str, list[str]] = {}
    *trunk, last = children(model.get_submodule("features")).items()
    for index, (name, module) in enumerate(trunk):
        path = f"features.{name}"
        if index == 0:
            block = "stem"
        elif depth == "block" and type(module) is nn.Sequential:
            paths |= {block: list(inner) for block, inner in expanded(model, path).items()}
            continue
        elif depth == "block":
            block = path
        elif _halves(module):
            block = f"stage{len(paths)}"
        paths.setdefault(block, []).append(path)
    return {**paths, "last_conv": [f"features.{last[0]}"], "head": ["classifier"]}


def mnasnet(model: nn.Module, depth: Depth) -> Paths:
    """The trunk cut where the resolution halves, or each block; the convolution behind it."""
    layers = model.get_submodule("layers")
    *trunk, last = merged(children(layers)).values()
    paths: dict[str, list[str]] = {}
    for names in trunk:
        members = [f"layers.{name}" for name in names]
        module = layers.get_submodule(names[0])
        if depth == "block" and type(module) is nn.Sequential:
            paths |= {block: list(inner) for block, inner in expanded(model, members[0]).items()}
            continue
        if not paths:
            block = "stem"
        elif type(module) is nn.Sequential and _halves(module):
            block = f"stage{len(paths)}"
        paths.setdefault(block, []).extend(members)
    return {**paths, "last_conv": [f"layers.{name}" for name in last], "head": ["classifier"]}


def maxvit(model: nn.Module, depth: Depth) -> Paths:
    """The stem, each of ``blocks`` or each layer in it, and the classifier with its norm."""
    paths: Paths = {"stem": ["stem"]}
    for number, (name, members) in enumerate(expanded(model, "blocks").items(), 1):
        inner = expanded(model, f"{name}.layers")
        paths |= inner if depth == "block" else {f"stage{number}": members}
    return {**paths, "head": ["classifier"]}


def shufflenet_v2(model: nn.Module, depth: Depth) -> Paths:
    """The stem, each ``stage`` or each of its units, the last convolution, and ``fc``."""
    paths: Paths = {"stem": ["conv1"]}
    for stage in ("stage2", "stage3", "stage4"):
        paths |= {stage: [stage]} if depth == "stage" else expanded(model, stage)
    return {**paths, "last_conv": ["conv5"], "head": ["fc"]}


def regnet(model: nn.Module, depth: Depth) -> Paths:
    """The stem, each stage of the trunk or each of its blocks, and ``fc``."""
    paths: Paths = {"stem": ["stem"]}
    for number, name in enumerate(children(model.get_submodule("trunk_output")), 1):
        path = f"trunk_output.{name}"
        paths |= {f"stage{number}": [path]} if depth == "stage" else expanded(model, path)
    return {**paths, "head": ["fc"]}


def convnext(model: nn.Module, depth: Depth) -> Paths:
    """The stem, each stage with the downsampling before it, and the classifier with its norm."""
    return {**_hierarchy(model, depth), "head": ["classifier"]}


def swin(model: nn.Module, depth: Depth) -> Paths:
    """The patch embedding, each stage with the merging before it, and the head.

    A block's relative position table (in v2 the small network that makes it) belongs to it. In v2
    that network runs first, and norms follow what they normalise.
    """
    paths = _hierarchy(model, depth)
    runs = ("attn.cpb_mlp", "attn", "norm1", "mlp", "norm2")
    for block, members in paths.items():
        paths[block] = [
            inner
            for path in members
            for inner in (
                *(f"{m}.{part}" for m in _v2_blocks(model, path) for part in runs),
                path,
            )
        ]
    last = next(reversed(paths))
    return {**paths, last: [*paths[last], "norm"], "head": ["head"]}


def vit(model: nn.Module, depth: Depth) -> Paths:
    """The patch embedding with the class token and positions, the encoder layers, the heads."""
    layers = [*expanded(model, "encoder.layers").items()]
    layers[-1] = (layers[-1][0], [*layers[-1][1], "encoder.ln"])
    trunk = dict(layers) if depth == "block" else quarters([paths for _, paths in layers])
    stem = ["conv_proj", "class_token", "encoder.pos_embedding"]
    return {"stem": stem, **trunk, "head": ["heads"]}


def _halves(module: nn.Module) -> bool:
    """Whether it halves the resolution by a convolution."""
    return any(max(m.stride) > 1 for m in module.modules() if isinstance(m, nn.Conv2d))


def _hierarchy(model: nn.Module, depth: Depth) -> Paths:
    """``features``: a stem, then stages of blocks with a downsampling between every two."""
    paths: dict[str, list[str]] = {}
    for index, name in enumerate(children(model.get_submodule("features"))):
        path = f"features.{name}"
        if depth == "block" and index % 2:
            paths |= {block: list(inner) for block, inner in expanded(model, path).items()}
        else:
            stage = f"stage{index // 2 + 1}" if depth == "stage" else path
            paths.setdefault("stem" if index == 0 else stage, []).append(path)
    return dict(paths)


def _v2_blocks(model: nn.Module, path: str) -> list[str]:
    """The paths of Swin v2's blocks in a module, itself included."""
    modules = model.get_submodule(path).named_modules(prefix=path)
    return [name for name, m in modules if type(m).__name__ == "SwinTransformerBlockV2"]


_MODELS = "torchvision.models"
FAMILIES: Mapping[str, Family] = {
    f"{_MODELS}.alexnet.AlexNet": between_poolings,
    f"{_MODELS}.convnext.ConvNeXt": convnext,
    f"{_MODELS}.densenet.DenseNet": densenet,
    f"{_MODELS}.efficientnet.EfficientNet": inverted_residuals,
    f"{_MODELS}.googlenet.GoogLeNet": googlenet,
    f"{_MODELS}.inception.Inception3": inception_v3,
    f"{_MODELS}.maxvit.MaxVit": maxvit,
    f"{_MODELS}.mnasnet.MNASNet": mnasnet,
    f"{_MODELS}.mobilenetv2.MobileNetV2": inverted_residuals,
    f"{_MODELS}.mobilenetv3.MobileNetV3": inverted_residuals,
    f"{_MODELS}.regnet.RegNet": regnet,
    f"{_MODELS}.resnet.ResNet": resnet,
    f"{_MODELS}.shufflenetv2.ShuffleNetV2": shufflenet_v2,
    f"{_MODELS}.squeezenet.SqueezeNet": between_poolings,
    f"{_MODELS}.swin_transformer.SwinTransformer": swin,
    f"{_MODELS}.vgg.VGG": between_poolings,
    f"{_MODELS}.vision_transformer.VisionTransformer": vit,
}
