"""Which layers make a network's logits, found without its numbers, on torch's meta device.

A network of timm or transformers is made once more by its library, for another number of classes:
what has that many outputs is a classifier, and so is one of this network's that timm drops with
the classes. Any other network runs once on an empty image, and the layers are those that the
logits come from. Where no such pass works, places and names decide.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import nn

from optuna_layerwise.models.empty_pass import (
    BY_HAND,
    MANY,
    SIDES,
    layers_behind_logits,
    without_numbers,
)
from optuna_layerwise.models.outputs import auxiliary_heads
from optuna_layerwise.models.resizing import is_classifier, is_pointwise, outputs_of
from optuna_layerwise.models.seeding import drawing

_FOUND: dict[Any, tuple[list[str], str]] = {}
"""Structure of a network to its classifiers, or to why they cannot be told."""
_MOST_FOUND = 100


def classifiers(model: nn.Module) -> list[str]:
    """The paths of the layers that make the logits; the last one that is registered comes first.

    Raises:
        ValueError: if they cannot be told.
    """
    shapes = tuple((name, tuple(p.shape)) for name, p in model.named_parameters())
    key = (tuple((type(m), _settings(m)) for m in model.modules()), shapes)
    if key not in _FOUND:
        if len(_FOUND) >= _MOST_FOUND:
            _FOUND.clear()
        with drawing, torch.random.fork_rng(devices=()):
            try:
                _FOUND[key] = (_find(model), "")
            except ValueError as error:
                _FOUND[key] = ([], str(error))
    paths, reason = _FOUND[key]
    if reason:
        raise ValueError(reason)
    return paths


def _settings(module: nn.Module) -> tuple[tuple[str, object], ...]:
    """The plain attributes of a module, by which its forward pass may choose its way."""
    plain = (bool, int, float, str, type(None))
    own = vars(module).items()
    return tuple((n, v) for n, v in own if isinstance(v, plain) and n != "training")


def library_of(module: nn.Module) -> str:
    """``timm`` or ``transformers``, if the network is one of theirs; else empty."""
    for cls in type(module).__mro__:
        for library, (home, attribute, _) in _TOLD.items():
            if f"{cls.__module__}.".startswith(home) and hasattr(module, attribute):
                return library
    return ""


def _find(model: nn.Module) -> list[str]:
    prefix, core = _unwrapped(model)
    found: list[str] | None
    if library := library_of(core):
        found = _differing(core, _TOLD[library][2])
    else:
        found = layers_behind_logits(core)
        if found is None:
            found = _by_place(core)
    order = [path for path, _ in core.named_modules()]
    paths = sorted(set(found), key=order.index, reverse=True)
    also = [path for path in auxiliary_heads(core).values() if path not in paths]
    return [f"{prefix}{path}" for path in (*paths, *also)]


def _unwrapped(model: nn.Module) -> tuple[str, nn.Module]:
    """A library's network inside wrappers that add no parameters, and its path; else the model."""
    prefix, core = "", model
    while not library_of(core):
        inside = [
            (n, c) for n, c in core.named_children() if next(c.parameters(), None) is not None
        ]
        if len(inside) != 1 or core._parameters:
            return "", model
        ((name, core),) = inside
        prefix += f"{name}."
    return prefix, core


def _differing(core: nn.Module, make: Callable[[nn.Module], nn.Module]) -> list[str]:
    """The layers that a library makes with as many outputs as there are classes."""
    kind = type(core).__name__
    try:
        with torch.device("meta"):
            parameters = dict(make(core).named_parameters())
    except Exception as error:  # a library's own code, with what it was never made for
        raise ValueError(
            f"the classifiers of this {kind} cannot be told ({error}){BY_HAND}"
        ) from error
    paths = dict.fromkeys(
        n.rpartition(".")[0] for n, p in parameters.items() if MANY in p.shape[:1]
    )
    if not paths:
        raise ValueError(
            f"this {kind} has no layer with one output per class, so no head to replace{BY_HAND}"
        )
    found = [inner for path in paths for inner in _inside(core, path)]
    return [*found, *_dropped(core, parameters, found)]


def _dropped(core: nn.Module, kept: Mapping[str, object], found: list[str]) -> Iterator[str]:
    """Classifiers like those found that the library drops with the old number of classes.

    RepViT's ``reset_classifier`` makes no head for distillation, if it is not told to.
    """
    outputs = {outputs_of(core.get_submodule(path)) for path in found}
    for path, module in core.named_modules():
        if path in found or f"{path}.weight" in kept:
            continue
        if library_of(core) == "timm" and outputs_of(module) in outputs:
            yield path


def _inside(core: nn.Module, path: str) -> Iterator[str]:
    """The layers at a place where the library has one: itself, or what somebody put there."""
    kind = type(core).__name__
    try:
        module = core.get_submodule(path)
    except AttributeError:
        raise ValueError(f"this {kind} has no classifier {path!r} any more{BY_HAND}") from None
    if hasattr(module, "base_layer"):
        raise ValueError(
            f"the classifier {path!r} of this {kind} has an adapter of PEFT that is made for its "
            "size; call replace_head before adapters are added"
        )
    layers = [p for p, m in module.named_modules(prefix=path) if is_classifier(m)]
    if not layers:
        what = type(module).__name__
        hint = "; make the network with a number of classes" if what == "Identity" else BY_HAND
        raise ValueError(
            f"expected a linear layer or a 1 x 1 convolution as the classifier {path!r} of this "
            f"{kind}, got {what}{hint}"
        )
    copies = [p for p in layers if p.startswith((f"{path}.original_module", f"{path}.modules_to"))]
    yield from copies or layers[-1:]


def _with_other_classes(core: Any) -> nn.Module:
    twin: Any = without_numbers(core)
    twin.reset_classifier(MANY)
    return twin  # type: ignore[no-any-return]


def _with_other_labels(core: Any) -> nn.Module:
    config = copy.deepcopy(core.config)
    config.num_labels = MANY
    return type(core)(config)  # type: ignore[no-any-return]


_TOLD: Mapping[str, tuple[str, str, Callable[[nn.Module], nn.Module]]] = {
    "timm": ("timm.", "reset_classifier", _with_other_classes),
    "transformers": ("transformers.modeling_utils.", "config", _with_other_labels),
}
"""Library to where the classes of its networks are, an attribute that these have, and what makes
one for other classes."""


def _by_place(core: nn.Module) -> list[str]:
    """The last linear layer, or a 1 x 1 convolution at the very end; both by module order.

    Raises:
        ValueError: if there is neither below the root, or another could as well be a classifier.
    """
    kind = type(core).__name__
    owners = [(path, m) for path, m in core.named_modules() if path and m._parameters]
    found = [(path, m) for path, m in owners if isinstance(m, nn.Linear)]
    found += [(path, m) for path, m in owners[-1:] if is_pointwise(m)]
    if not found:
        raise ValueError(
            "expected a linear layer, or a 1 x 1 convolution at the end, as the head of this "
            f"{kind}, found none{BY_HAND}"
        )
    head, layer = found[-1]
    auxiliary = auxiliary_heads(core).values()
    twins = [
        path
        for path, m in found[:-1]
        if isinstance(layer, nn.Linear)
        and m.out_features == layer.out_features
        and path not in auxiliary
    ]
    if twins:
        raise ValueError(
            f"the classifiers of this {kind} cannot be told: {head!r} and {twins[-1]!r} have as "
            f"many outputs, and images of {list(SIDES)} pixels do not pass{BY_HAND}"
        )
    return [head]
