"""Models of transformers by their module lists: embeddings, encoder layers or stages, head.

Their structure is a convention, not an interface: a base model (mostly the child called
``base_model_prefix``) that holds a list of layers, or of stages with lists of blocks, and a
classifier behind it.
"""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn

from optuna_layerwise.models.families.paths import Depth, Paths, children, direct, quarters
from optuna_layerwise.models.layers import has_layer, is_layer

_RUNS = (("layernorm_before", "attention", "layernorm_after"), ("layer", "shortcut"))
"""Children of a block that run first, in this order, whatever the order of registration."""


def blocks(model: nn.Module, depth: Depth) -> Paths | None:
    """What comes before the base model, its parts, the rest as head; ``None`` without lists.

    Where the list's items have no lists of their own (ViT), a stage is a quarter of the list. A
    part without a layer, such as a last norm, joins the block before it.
    """
    holders = [name for name, child in children(model).items() if _holds_list(child)]
    prefix = getattr(model, "base_model_prefix", None)
    if not holders:
        return None
    base = prefix if prefix in holders else holders[0]
    before = [*children(model)][: [*children(model)].index(base)]
    stages = [*before, *_parts(model, base)]
    parts = [inner for path in stages for inner in _expanded(model, path)]
    found: dict[str, list[str]] = {}
    for path in parts if depth == "block" else stages:
        if path in dict(model.named_parameters()) or not has_layer(model.get_submodule(path)):
            found.setdefault(next(reversed(found), path), []).append(path)
        else:
            found[path] = _ordered(model, path)
    names = [*found]
    trunk = [name for name in names if name.rpartition(".")[2].isdecimal()]
    paths: Paths = {}
    if depth == "stage" and parts == stages:
        cut = quarters([found[name] for name in trunk])
        for name in names:
            paths |= cut if name in trunk else {name: found[name]}
    else:
        paths |= found
    head = [*direct(model), *(n for n in children(model) if n not in (*before, base))]
    if not head:
        head = [*paths.pop(names[-1])]
    return {"stem" if n == names[0] else n: p for n, p in paths.items()} | {"head": head}


def text_blocks(model: nn.Module, depth: Depth) -> Paths | None:
    """As `blocks`, with every further embedding in the stem.

    GPT-2 has one for positions, and MPNet's layers share one for distances.
    """
    paths, modules = blocks(model, depth), dict(model.named_modules())
    if paths is None:
        return None
    for name in [*paths][1:]:
        if all(isinstance(modules.get(path), nn.Embedding) for path in paths[name]):
            paths["stem"] = [*paths["stem"], *paths.pop(name)]
    return paths


def _parts(model: nn.Module, path: str) -> Iterator[str]:
    """The paths of a module's parts: the items of its lists, and what lies beside the lists.

    Lists of one length run in turn (PVT's ``patch_embeddings`` and ``block``).
    """
    module = model.get_submodule(path)
    yield from (f"{path}.{name}" for name in direct(module))
    lists = {n: [*children(c)] for n, c in children(module).items() if _is_list(c)}
    for name, child in children(module).items():
        inside = f"{path}.{name}"
        if name in lists:
            together = [n for n in lists if len(lists[n]) == len(lists[name])]
            if name == together[0]:
                turns = zip(*(lists[n] for n in together), strict=True)
                for items in turns:
                    yield from (f"{path}.{n}.{i}" for n, i in zip(together, items, strict=True))
        elif _holds_list(child):
            yield from _parts(model, inside)
        else:
            yield inside


def _expanded(model: nn.Module, path: str) -> list[str]:
    if path in dict(model.named_parameters()) or not _holds_list(model.get_submodule(path)):
        return [path]
    return [*_parts(model, path)]


def _holds_list(module: nn.Module) -> bool:
    return any(_is_list(child) or _holds_list(child) for child in children(module).values())


def _is_list(module: nn.Module) -> bool:
    """Whether it is a list of blocks; one that holds a norm, such as a downsampling, is not."""
    items = children(module).values() if type(module) in (nn.ModuleList, nn.Sequential) else []
    return bool(items) and all(not is_layer(item) and has_layer(item) for item in items)


def _ordered(model: nn.Module, path: str) -> list[str]:
    module = model.get_submodule(path)
    runs = next((run for run in _RUNS if set(run) <= set(children(module))), ())
    return [*(f"{path}.{name}" for name in runs), path]
