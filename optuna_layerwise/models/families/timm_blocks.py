"""timm's models in the groups that their own ``group_matcher`` makes.

That is the structure that timm's layer-wise learning-rate decay uses.
"""

from __future__ import annotations

import importlib
import itertools
from collections import Counter
from collections.abc import Sequence
from typing import Any

from torch import nn

from optuna_layerwise.models.families.paths import Depth, Paths, quarters


def blocks(model: nn.Module, depth: Depth) -> Paths | None:
    """The groups of the model's ``group_matcher``, or ``None`` if it has none.

    A stage is made of whole blocks: timm's coarse groups, by the first parameter of each fine one.
    Where those are one to a block (ViT), the trunk is cut in quarters.
    """
    matcher: Any = getattr(model, "group_matcher", None)
    if matcher is None:
        return None
    group = importlib.import_module("timm.models").group_parameters
    fine: list[list[str]] = [*group(model, matcher(coarse=False)).values()]
    if depth == "block":
        return _named(fine)
    try:
        coarse = group(model, matcher(coarse=True))
    except (AssertionError, NotImplementedError):  # a few have no coarse groups
        coarse = {index: names for index, names in enumerate(fine)}
    stage_of = {name: stage for stage, names in coarse.items() for name in names}
    stages: dict[int, list[str]] = {}
    for names in fine:
        stages.setdefault(stage_of[names[0]], []).extend(names)
    if len(stages) < len(fine) or len(fine) <= 6:  # a stem, four stages and a head are enough
        return _named([*stages.values()])
    return {"stem": fine[0], **quarters(fine[1:-1]), "head": fine[-1]}


def _named(groups: Sequence[Sequence[str]]) -> Paths:
    """Groups by the shortest path to their first parameter that no other group shares.

    The first is the stem, the last the head.
    """
    groups_at = Counter(path for names in groups for path in {p for n in names for p in _above(n)})
    _, *trunk, last = groups
    paths: Paths = {"stem": groups[0]}
    for names in trunk:
        paths[next(p for p in _above(names[0]) if groups_at[p] == 1 and p != "head")] = names
    return {**paths, "head": last}


def _above(name: str) -> list[str]:
    """The paths of the modules around a parameter, from the outside, and its own."""
    return [*itertools.accumulate(name.split("."), "{}.{}".format)]
