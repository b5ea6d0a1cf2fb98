"""What people want to know of blocks: how large they are, and the patterns that make them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from torch import nn

from optuna_layerwise.models.empty_pass import outputs_inside, sides_and_width
from optuna_layerwise.models.families.stages import is_inside


def block_outputs(
    model: nn.Module, blocks: Mapping[str, Sequence[str]], image_size: int
) -> dict[str, tuple[tuple[int, ...], int]]:
    """Sides (pixels, or tokens) and channels of what each block gives, where a pass shows it.

    Args:
        model: The network.
        blocks: From `partition`.
        image_size: Side in pixels of the images to try first.
    """
    found = {}
    shapes = outputs_inside(model, image_size)
    parameters = [name for name, _ in model.named_parameters()]
    home = {name: block for block, members in blocks.items() for name in members}
    for path, shape in shapes.items():
        inside = {home[name] for name in parameters if is_inside(name, path)}
        sides, width = sides_and_width(shape)
        if len(inside) == 1 and width is not None:
            found[inside.pop()] = sides, width  # the last one that finishes
    return found


def patterns_of(model: nn.Module, blocks: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    r"""Patterns with which `partition` makes these blocks, to be changed.

    Example:
        >>> net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2), nn.Linear(2, 2))
        >>> patterns_of(net, {"body": ["0.weight", "0.bias", "1.weight", "1.bias"]})
        {'body': ['(0|1)\\\\..*']}
    """
    names = [name for name, _ in model.named_parameters()]
    return {block: [*_patterns(names, {*members}, "")] for block, members in blocks.items()}


def _patterns(names: Sequence[str], members: set[str], above: str) -> Iterator[str]:
    """Those of the members below a module, each as high in the network as can be."""
    parts: dict[str, list[str]] = {}
    for name in names:
        parts.setdefault(name[len(above) :].partition(".")[0], []).append(name)
    held = {part: members.issuperset(inside) for part, inside in parts.items()}
    whole = {part: above + part not in parts[part] for part in parts if held[part]}
    for below, ending in ((True, r"\..*"), (False, "")):
        if some := [re.escape(part) for part, is_module in whole.items() if is_module == below]:
            one = some[0] if len(some) == 1 else f"({'|'.join(some)})"
            yield f"{re.escape(above)}{one}{ending}"
    for part, inside in parts.items():
        if not held[part] and not members.isdisjoint(inside):
            yield from _patterns(inside, members, f"{above}{part}.")
