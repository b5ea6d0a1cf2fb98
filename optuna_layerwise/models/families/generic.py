"""The blocks of a network that no family knows: its children."""

from __future__ import annotations

from torch import nn

from optuna_layerwise.models.families.paths import Depth, Paths, children, direct, merged
from optuna_layerwise.models.heads import find_heads
from optuna_layerwise.models.layers import is_layer


def split_children(model: nn.Module, depth: Depth) -> Paths:
    """One block per child that owns parameters (or per child of these), in module order.

    A child without a convolution or linear layer, such as a norm, joins the block before it.
    Parameters of the model itself are the block ``root``. The child with the classifier, and
    children that are nothing but classifiers, are the ``head``; the last child if that is unknown.
    """
    stages = _head_last(model, merged(children(model)))
    last = next(reversed(stages), None)
    paths: Paths = {"root": owned} if (owned := direct(model)) else {}
    for stage, members in stages.items():
        inner = merged(children(model.get_submodule(stage)))
        if stage == last:
            paths["head"] = members
        elif depth == "stage" or not inner:
            paths[stage] = members
        else:
            if owned := direct(model.get_submodule(stage)):
                paths[stage] = [f"{stage}.{name}" for name in owned]
            for child, grandchildren in inner.items():
                paths[f"{stage}.{child}"] = [f"{stage}.{name}" for name in grandchildren]
            tail = next(reversed(paths))
            paths[tail] = [*paths[tail], *members[1:]]
    if last is not None and "head" in stages and last != "head":
        raise ValueError(
            f"the last block is called 'head' by convention, but this {type(model).__name__} has "
            f"a child 'head' before its last child {last!r}; pass patterns={{block: regex}}"
        )
    return paths


def _head_last(model: nn.Module, stages: dict[str, list[str]]) -> dict[str, list[str]]:
    """The same with the children that are the head as one stage, at the end."""
    heads = find_heads(model)
    layers = [path for path, module in model.named_modules() if path and is_layer(module)]
    main = heads[0].partition(".")[0] if heads else ""
    head = [
        stage
        for stage in stages
        if stage == main
        or (heads and {p for p in layers if p.partition(".")[0] == stage} <= set(heads))
    ]
    if not head:
        return stages
    trunk = {stage: members for stage, members in stages.items() if stage not in head}
    return {**trunk, head[-1]: [path for stage in head for path in stages[stage]]}
