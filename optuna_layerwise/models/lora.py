"""LoRA for convolutions and linear layers: low-rank updates that merge into the weights.

Hu et al. 2021, https://arxiv.org/abs/2106.09685, in the form that PEFT gives it for convolutions:
``down`` is a convolution to r channels (kernel, stride and padding of the layer), ``up`` a 1 x 1
convolution from them. Two convolutions without anything between are one, so the layer runs once,
with the weight ``W + alpha / r * up . down``; it stays an ordinary module of its network.
"""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager

import torch
from torch import nn
from torch.nn.utils.parametrize import is_parametrized, register_parametrization

from optuna_layerwise.models.heads import classifier_parameters
from optuna_layerwise.models.partition import Blocks, check_partition


@dataclasses.dataclass(frozen=True)
class Adapted:
    """A model with adapters, by block.

    Args:
        blocks: All its parameters, as `partition` gives them; an adapter is in its layer's block.
        trained: For each block that was to be trained the parameters that train: its adapters, or
            a classifier's own. Empty where it has neither.
    """

    blocks: Blocks
    trained: Blocks


@contextmanager
def adapted(
    model: nn.Module,
    blocks: Mapping[str, Sequence[str]],
    *,
    rank: int,
    alpha: float,
    trained: Collection[str],
    generator: torch.Generator | None = None,
) -> Iterator[Adapted]:
    """Train low-rank updates instead of weights for as long as the context is open.

    In the blocks of ``trained`` each target has an adapter: linear layers, and convolutions that
    are not grouped (depthwise ones are) and not in the first block, the stem. Classifiers are new
    and train whole: what is in the last block, and Inception's auxiliary ones. Everything else
    needs no gradient. Not adapted are weights that several modules share, those of layers with
    another parametrization, and those that no layer of their own holds (a
    `nn.MultiheadAttention`'s projection of its input; that of its output is).

    This saves the optimizer's memory and time, no operations: the gradient of an update comes by
    way of that of its whole weight.

    On exit the updates are added to the weights, also after an error: the model goes on with its
    current weights. Modules, parameters, their order and their flags are as before. A deepcopy
    made inside stays adapted; torch cannot pickle one.

    At first an update is zero: ``up`` is, and ``down`` is drawn on the CPU, so that it has the
    same values on every device. Autocast leaves the update in the weight's precision. A rank above
    the smaller side of a weight's matrix is allowed, as in PEFT: the update is then any matrix,
    with more parameters than the weight.

    Open `frozen` around this context, not in it: it lets blocks train whole. Modes of modules are
    its business, so norms of trained blocks keep their weights and may move their statistics.

    Args:
        model: The model that ``blocks`` came from.
        blocks: From `partition`.
        rank: r, the inner dimension of an update.
        alpha: Updates are multiplied by ``alpha / rank``.
        trained: Names of blocks. One without targets (the stem, for one) trains nothing.
        generator: That ``down`` is drawn from; default torch's own.

    Raises:
        ValueError: if ``blocks`` is no partition of the model, an argument is out of its range, or
            there is nothing to train: no block but the classifier's can have an adapter, or none
            of ``trained`` has one and the classifier is not among them.

    Examples:
        >>> from optuna_layerwise.models import partition
        >>> net = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 2))
        >>> parameters = list(net.parameters())
        >>> with adapted(net, partition(net), rank=2, alpha=4, trained=["1", "head"]) as lora:
        ...     [name for names in lora.trained.values() for name in names][1:]
        ['1.parametrizations.weight.0.up', '2.weight', '2.bias']
        >>> all(a is b for a, b in zip(net.parameters(), parameters))
        True
    """
    check_partition(model, blocks)
    _check(blocks, rank, alpha, trained)
    parameters = dict(model.named_parameters())
    whole = classifier_parameters(model, blocks)
    layers = _targets(model, blocks, parameters, whole)
    _check_something_trains(model, blocks, trained, layers, whole)
    full, training = dict[str, tuple[str, ...]](), dict[str, tuple[str, ...]]()
    with ExitStack() as stack:
        for parameter in parameters.values():
            stack.callback(parameter.requires_grad_, parameter.requires_grad)
            parameter.requires_grad_(False)
        for block, names in blocks.items():
            own = [name for name in names if name in whole and block in trained]
            for name in own:
                parameters[name].requires_grad_(True)
            members = []
            for name in names:
                if block in trained and name in layers:
                    stack.callback(
                        _attach(layers[name], LowRank(parameters[name], rank, alpha, generator))
                    )
                    prefix = f"{name.removesuffix('weight')}parametrizations.weight"
                    adapter = [f"{prefix}.0.down", f"{prefix}.0.up"]
                    members += [f"{prefix}.original", *adapter]
                    own += adapter
                else:
                    members.append(name)
            full[block] = tuple(members)
            if block in trained:
                training[block] = tuple(own)
        yield Adapted(full, training)


class LowRank(nn.Module):
    """What a weight [out, in, ...] gets added: ``alpha / rank * up . down``.

    Args:
        weight: Whose shape, device and precision the update has.
        rank: Of the matrix [out, in * kernel] of the update.
        alpha: See above.
        generator: See above.

    Attributes:
        down: [rank, in, *kernel], Kaiming-uniform with a = sqrt(5), as of PEFT's ``lora_A``.
        up: [out, rank, 1, ...], zero at first, as of PEFT's ``lora_B``.
    """

    def __init__(
        self,
        weight: torch.Tensor,
        rank: int,
        alpha: float,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        n_out, *inputs = weight.shape
        down = torch.empty(rank, *inputs, device="cpu")
        nn.init.kaiming_uniform_(down, a=math.sqrt(5), generator=generator)
        self.down = nn.Parameter(down.to(weight))
        self.up = nn.Parameter(weight.new_zeros(n_out, rank, *(1 for _ in inputs[1:])))
        self.scaling = alpha / rank

    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        """The weight that the layer has with it."""
        return weight + self.update()

    def update(self) -> torch.Tensor:
        """What it adds."""
        with torch.autocast(self.up.device.type, enabled=False):
            product = self.up.flatten(1) @ self.down.flatten(1)
        return self.scaling * product.view(len(self.up), *self.down.shape[1:])


def _attach(layer: nn.Module, adapter: LowRank) -> Callable[[], None]:
    """Parametrize the layer's weight; returns what merges the adapter and takes it off again.

    `remove_parametrizations` would put the weight behind the bias, and take it from deepcopies.
    """
    kind, parameters = type(layer), dict(layer._parameters)
    weight = parameters["weight"]
    assert weight is not None
    register_parametrization(layer, "weight", adapter)

    def merge() -> None:
        try:
            with torch.no_grad():
                weight.add_(adapter.update())
        finally:
            layer.__class__ = kind
            del layer._modules["parametrizations"]
            layer._parameters.clear()
            layer._parameters.update(parameters)

    return merge


def _targets(
    model: nn.Module,
    blocks: Mapping[str, Sequence[str]],
    parameters: Mapping[str, nn.Parameter],
    whole: Collection[str],
) -> dict[str, nn.Module]:
    """The layers that can have an adapter, by the names of their weights."""
    holders = Counter(
        id(p) for m in model.modules() for p in m._parameters.values() if p is not None
    )
    stem, *_ = blocks.values()
    found: dict[str, nn.Module] = {}
    for name, parameter in parameters.items():
        layer = model.get_submodule(name.rpartition(".")[0])
        is_linear = isinstance(layer, nn.Linear)
        is_convolution = isinstance(layer, (nn.Conv1d, nn.Conv2d, nn.Conv3d)) and layer.groups == 1
        if (
            (is_linear or (is_convolution and name not in stem))
            and layer._parameters.get("weight") is parameter
            and not is_parametrized(layer)
            and holders[id(parameter)] == 1
            and name not in whole
        ):
            found[name] = layer
    return found


def _check(
    blocks: Mapping[str, Sequence[str]], rank: int, alpha: float, trained: Collection[str]
) -> None:
    if type(rank) is not int or rank < 1:
        raise ValueError(f"rank must be a whole number, at least 1, got {rank!r}")
    if not (math.isfinite(alpha) and alpha > 0):
        raise ValueError(f"alpha must be finite and above 0, got {alpha!r}")
    if unknown := [block for block in trained if block not in blocks]:
        raise ValueError(f"trained names {unknown}; the blocks of the model are {list(blocks)}")


def _check_something_trains(
    model: nn.Module,
    blocks: Mapping[str, Sequence[str]],
    trained: Collection[str],
    layers: Collection[str],
    whole: Collection[str],
) -> None:
    if not layers and any(block in trained for block in [*blocks][:-1]):
        raise ValueError(
            f"no block of this {type(model).__name__} but its last has a layer for LoRA: a linear "
            "one, or a convolution that is not grouped and not in the first block; train the head "
            "alone, train the blocks whole, or cut the model into more blocks"
        )
    able = [b for b, names in blocks.items() if any(n in layers or n in whole for n in names)]
    if not any(block in able for block in trained):
        raise ValueError(
            f"the blocks {list(trained)} have no layer for LoRA (linear, or a convolution that is "
            f"not grouped and not in the first block), so nothing would train; add one of {able}"
        )
