"""What a pass on torch's meta device shows: the shapes inside, and what the logits come from.

There tensors have shapes and no numbers, so that a pass takes no memory and hardly any time. What
the logits were made of stands in autograd's graph.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.nn.modules.conv import _ConvNd

from optuna_layerwise.models.layers import is_layer
from optuna_layerwise.models.outputs import logits_of
from optuna_layerwise.models.resizing import outputs_of, resized
from optuna_layerwise.models.seeding import drawing

MANY = 10_007
"""A number of classes that no width of a network is equal to."""
SIDES = (224, 32, 299, 64, 28, 8, 384)
"""Of the images that a network is tried on, in pixels."""
BY_HAND = "; set the classifier yourself"
"""What is left to do where the classifiers cannot be told."""
BATCH = 2
"""Images, texts or rows of numbers in a pass."""
_MOST_CHANNELS = 3
_SIDE_NAMES = ("image_size", "img_size", "input_size")
_VIEWS = ("TBackward0", "TransposeBackward0", "PermuteBackward0", "ToCopyBackward0")
"""Steps that only turn a weight around."""


def layers_behind_logits(core: nn.Module) -> list[str] | None:
    """The layers that the logits come from in a pass, ``None`` if no pass works.

    Raises:
        ValueError: if there are none, or others in their place would give another number.
    """
    try:
        twin = without_numbers(core).train()
    except Exception:  # not every module can be copied
        return None
    owners = {
        id(p): path.partition(".parametrizations")[0]
        for path, m in twin.named_modules()
        for p in m._parameters.values()
        if p is not None
    }
    for images in _inputs(twin):
        try:
            with torch.device("meta"), torch.enable_grad():
                outputs = twin(images)
            logits = logits_of(outputs)
        except Exception:  # somebody's code, on what may be no input of it
            continue
        if logits.ndim < 2 or len(logits) != len(images):
            continue
        n = logits.shape[1]
        main, others = _behind([logits], owners), _behind(_tensors(outputs), owners)
        found, all_found = (
            [path for path in dict.fromkeys(paths) if outputs_of(twin.get_submodule(path)) == n]
            for paths in (main, (*main, *others))
        )
        if not found:
            raise ValueError(
                "expected a linear layer, or a 1 x 1 convolution at the end, as the head of this "
                f"{type(core).__name__}, found none: its outputs {list(logits.shape)} come from "
                f"{main}{BY_HAND}"
            )
        reason = _refusal(twin, images, found)
        if reason and all_found != found:  # the network needs its other outputs to agree
            found, reason = all_found, _refusal(twin, images, all_found)
        if reason:
            raise ValueError(
                f"the classifiers of this {type(core).__name__} cannot be told: when {found} have "
                f"{MANY} outputs, {reason}{BY_HAND}"
            )
        return found
    return None


def outputs_inside(model: nn.Module, *sides: int) -> dict[str, tuple[int, ...]]:
    """The shape of what each module first gives in a pass in eval mode, as they finish, by path.

    Of several tensors it is that of the first. Empty if no pass works.

    Args:
        model: Any; a copy of it runs.
        sides: Of the images to try first, in pixels.
    """
    try:
        twin = without_numbers(model)
    except Exception:  # not every module can be copied
        return {}
    for module in twin.modules():
        module.training = False  # its own train() may be somebody's, with effects elsewhere
    shapes: dict[str, tuple[int, ...]] = {}

    def noting(path: str) -> Callable[..., None]:
        def note(module: nn.Module, inputs: Any, outputs: Any) -> None:
            if path not in shapes and (tensors := _tensors(outputs)):
                shapes[path] = tuple(tensors[0].shape)

        return note

    for path, module in twin.named_modules():
        module.register_forward_hook(noting(path))
    with drawing, torch.random.fork_rng(devices=()), torch.device("meta"), torch.no_grad():
        for inputs in _inputs(twin, *sides):
            shapes.clear()
            try:
                twin(inputs)
            except Exception:  # somebody's code, on what may be no input of it
                continue
            return {path: shape for path, shape in shapes.items() if path}
    return {}


def sides_and_width(shape: Sequence[int]) -> tuple[tuple[int, ...], int | None]:
    """The sides of an output in pixels, or its tokens, and its channels, as far as it has them."""
    if shape[:1] != (BATCH,) or len(shape) < 2:  # patches may be images of their own
        return (), None
    last = len(shape) == 3 or (len(shape) == 4 and shape[1] == shape[2] != shape[3])
    sides = shape[1:-1] if last else shape[2:]
    return tuple(sides), shape[-1] if last else shape[1]


def _refusal(twin: nn.Module, images: torch.Tensor, paths: list[str]) -> str:
    """What speaks against these layers as the classifiers; empty if nothing."""
    other = copy.deepcopy(twin)
    resized(other, paths, MANY)
    try:
        with torch.device("meta"):
            after = tuple(logits_of(other(images)).shape)
    except Exception as error:
        return f"the network fails ({error})"
    return "" if after[:2] == (len(images), MANY) else f"it gives {list(after)}"


def without_numbers(model: nn.Module) -> nn.Module:
    """A copy on the meta device, which takes no memory."""
    memo: dict[int, Any] = {}
    for tensor in (*model.parameters(), *model.buffers()):
        empty = torch.empty_like(tensor, device="meta")
        floats = tensor.is_floating_point()
        is_parameter = isinstance(tensor, nn.Parameter)
        memo[id(tensor)] = nn.Parameter(empty, requires_grad=floats) if is_parameter else empty
    return copy.deepcopy(model, memo)


def _inputs(model: nn.Module, *sides: int) -> Iterator[torch.Tensor]:
    """What the network may take: texts, rows of numbers, or images."""
    layers = [m for m in model.modules() if is_layer(m)]
    empty: Any = {"device": "meta", "dtype": next(model.parameters()).dtype}
    if layers and isinstance(layers[0], nn.Embedding):
        yield torch.zeros(BATCH, 16, dtype=torch.long, device="meta")
    if layers and isinstance(layers[0], nn.Linear):
        yield torch.zeros(BATCH, layers[0].in_features, **empty)
    convolutions = [m for m in layers if isinstance(m, _ConvNd)]
    shapes = [(m.in_channels, len(m.kernel_size)) for m in convolutions] or [(3, 2)]
    told = [side for name in _SIDE_NAMES if isinstance(side := getattr(model, name, None), int)]
    for channels, dimensions in [*dict.fromkeys(shapes)][:_MOST_CHANNELS]:  # which runs first?
        for side in (*sides, *told, *SIDES):
            yield torch.zeros(BATCH, channels, *[side] * dimensions, **empty)


def _behind(tensors: list[torch.Tensor], owners: Mapping[int, str]) -> list[str]:
    """The layers whose outputs these are, with nothing but sums, poolings and the like between."""
    queue, visited, found = [t.grad_fn for t in tensors], set[Any](), dict[str, None]()
    while queue:
        node = queue.pop()
        if node is None or node in visited:
            continue
        visited.add(node)
        following = [child for child, _ in node.next_functions if child is not None]
        weights = [p for child in following if (p := _weight(child)) is not None and p.ndim > 1]
        if weights:
            found.update(dict.fromkeys(owners.get(id(p), "") for p in weights))
        else:
            queue.extend(following)
    return [path for path in found if path]


def _weight(node: Any) -> torch.Tensor | None:
    """The parameter that a step takes, maybe turned around."""
    while not hasattr(node, "variable"):
        if len(node.next_functions) != 1 or node.name() not in _VIEWS:
            return None
        node = node.next_functions[0][0]
    return node.variable  # type: ignore[no-any-return]


def _tensors(value: Any) -> list[torch.Tensor]:
    """All tensors in a network's output."""
    if isinstance(value, torch.Tensor):
        return [value]
    if isinstance(value, Mapping):
        value = list(value.values())
    return [t for v in value for t in _tensors(v)] if isinstance(value, (tuple, list)) else []
