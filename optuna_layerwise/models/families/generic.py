"""The blocks of a network that no family knows, from its structure and an empty pass.

The units are the blocks that a network repeats, at whatever depth it lists them, and what lies
between them; a stage is made of whole units.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from torch import nn

from optuna_layerwise.models.empty_pass import outputs_inside, sides_and_width
from optuna_layerwise.models.families.paths import Depth, Paths, children, direct
from optuna_layerwise.models.families.stages import FEWEST, Unit, is_inside, stages_of
from optuna_layerwise.models.heads import find_heads
from optuna_layerwise.models.layers import is_layer

_LISTS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)
_IN_TRUNK = "trunk."
"""What comes before the path of a block that would be called as the head is."""


def split_unknown(model: nn.Module, depth: Depth) -> Paths:
    """One block per unit, or per stage of units, in the order in which they run.

    Where no empty pass works, they come as registered, and only the shapes of the layers tell
    the widths. Layers before the first repeated block are the ``stem``, those behind the last one
    the ``tail``; what holds the classifier is the ``head``, or the last unit if that is unknown.
    What has no layer, such as a norm, joins the unit before it, unless that behind it is nearer.
    """
    if not children(model):
        return {"root": direct(model)}
    heads = find_heads(model)
    units = _units(model, heads)
    head = [unit for unit in units if _is_head(model, unit, heads)] or units[-1:]
    trunk = [unit for unit in units if unit not in head]
    stages = stages_of(trunk) if depth == "stage" else {unit.name: [unit] for unit in trunk}
    paths: Paths = {
        f"{_IN_TRUNK}head" if stage == "head" else stage: [p for u in members for p in u.paths]
        for stage, members in stages.items()
    }
    return {**paths, "head": [path for unit in head for path in unit.paths]}


def _is_head(model: nn.Module, unit: Unit, heads: Sequence[str]) -> bool:
    """Whether a unit holds the main classifier, or nothing but classifiers."""
    if not heads:
        return False
    layers = {path for path in _layers(model) if is_inside(path, unit.name)}
    return is_inside(heads[0], unit.name) or layers <= {*heads}


def _units(model: nn.Module, heads: Sequence[str]) -> list[Unit]:
    """The units in the order in which they run."""
    layers = _layers(model)
    own = [name for name, _ in model.named_parameters()]  # each tied weight once

    def n_layers(path: str) -> int:
        return sum(is_inside(layer, path) for layer in layers)

    paths = _opened(model, [*_parts(model, "")], heads, n_layers)
    paths = [path for path in paths if any(is_inside(name, path) for name in own)]
    shapes = outputs_inside(model)
    places, last = {path: place for place, path in enumerate(shapes)}, -1
    ranks: dict[str, int] = {}
    for path in paths:  # what is never called follows the one that is registered before it
        ranks[path] = last = min((places[p] for p in places if is_inside(p, path)), default=last)
    units: list[Unit] = []
    waiting: list[str] = []
    for path in sorted(paths, key=ranks.__getitem__):
        if n := n_layers(path):
            while (
                units
                and waiting
                and _common(waiting[0], path) <= _common(waiting[0], units[-1].name)
            ):
                units[-1].paths.append(waiting.pop(0))
            units.append(Unit(path, [*waiting, path], n))
            waiting = []
        else:
            waiting.append(path)
    if units:
        units[-1].paths.extend(waiting)
    for unit in units:
        called = [path for path in shapes if is_inside(path, unit.name)]
        if called:  # a list is not, and the last of its items is the last that is
            sides, unit.width = sides_and_width(shapes[called[-1]])
            unit.resolution = math.prod(sides) if sides else None
        else:
            inside = [path for path in layers if is_inside(path, unit.name)]
            unit.width = _outputs(model.get_submodule(inside[-1]))
    return units or [Unit(waiting[0], waiting, 0)]


def _opened(
    model: nn.Module, paths: list[str], heads: Sequence[str], n_layers: Callable[[str], int]
) -> list[str]:
    """The same, with the largest opened as long as there are too few for `FEWEST` stages.

    What holds the classifier is opened only if it holds most of the layers.
    """
    while sum(n_layers(path) > 0 for path in paths) < FEWEST:
        half = sum(map(n_layers, paths)) / 2
        wide = [
            path
            for path in paths
            if n_layers(path) > (half if any(is_inside(h, path) for h in heads) else 1)
            and not _is_parameter(model, path)
            and children(model.get_submodule(path))
        ]
        if not wide:
            break
        place = paths.index(max(wide, key=n_layers))
        paths[place : place + 1] = _within(model, paths[place])
    return paths


def _parts(model: nn.Module, path: str) -> Iterator[str]:
    """The paths of a module's parts; one that holds a list of blocks is opened.

    So is a list beside others, since its items may run in turn with theirs.
    """
    beside = not isinstance(model.get_submodule(path), _LISTS)
    for part in _within(model, path):
        module = None if _is_parameter(model, part) else model.get_submodule(part)
        is_list = isinstance(module, nn.ModuleList) and beside
        if module is not None and (is_list or _holds_list(module)):
            yield from _parts(model, part)
        else:
            yield part


def _within(model: nn.Module, path: str) -> list[str]:
    module = model.get_submodule(path)
    names = (*direct(module), *children(module))
    return [f"{path}.{name}" if path else name for name in names]


def _holds_list(module: nn.Module) -> bool:
    """Whether it is, or has in it, a list of blocks: of one class, with several layers each.

    Two or more of these are half of a list; three or more are all parts of another module.
    """
    inside = children(module).values()
    counts = [(type(child), len(_layers(child))) for child in inside]
    blocks = Counter(kind for kind, n in counts if n > 1)
    most, n_parts = max(blocks.values(), default=0), sum(n > 0 for _, n in counts)
    needed = max(2, n_parts / 2) if isinstance(module, _LISTS) else max(3, n_parts)
    return most >= needed or any(map(_holds_list, inside))


def _common(path: str, other: str) -> int:
    """How many modules around two parts hold both."""
    pairs = zip(path.split("."), other.split("."), strict=False)
    return len([*itertools.takewhile(lambda pair: pair[0] == pair[1], pairs)])


def _outputs(layer: nn.Module) -> int | None:
    """The outputs of a layer, by its weights."""
    return next((p.shape[0] for p in layer.parameters(recurse=False) if p.ndim > 1), None)


def _layers(module: nn.Module) -> list[str]:
    return [path for path, inner in module.named_modules() if is_layer(inner)]


def _is_parameter(model: nn.Module, path: str) -> bool:
    above, _, name = path.rpartition(".")
    return name in model.get_submodule(above)._parameters
