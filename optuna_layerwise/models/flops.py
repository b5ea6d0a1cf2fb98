"""What an image costs in each block, in floating-point operations."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from optuna_layerwise.models.freezing import module_blocks


def block_flops(
    model: nn.Module, blocks: Mapping[str, Sequence[str]], images: torch.Tensor
) -> dict[str, float]:
    """Floating-point operations of one image's forward pass, by block.

    Convolutions, matrix products and attention are counted, a multiplication with its addition as
    two; what is elementwise is not. Operations outside of any block's modules count for the
    first of the blocks around them.

    Args:
        model: In eval mode.
        blocks: From `partition`.
        images: Inputs [n, ...], of the size that counts.
    """
    with counting_flops() as counter:
        model(images)
    owners = {module: members for module, members in module_blocks(model, blocks).items()}
    root = type(model).__name__
    total = {f"{root}.{path}" if path else root: module for path, module in model.named_modules()}
    inclusive = {
        path: sum(counts.values())
        for path, counts in counter.get_flop_counts().items()
        if path in total
    }
    own = Counter(inclusive)
    for path, count in inclusive.items():
        around = path.rpartition(".")[0]
        while around and around not in inclusive:  # a ModuleList, which is never called
            around = around.rpartition(".")[0]
        own[around] -= count
    flops = dict.fromkeys(blocks, 0.0)
    for path in inclusive:
        block = next(block for block in blocks if block in owners[total[path]])
        flops[block] += own[path] / len(images)
    return flops


@contextmanager
def counting_flops() -> Iterator[FlopCounterMode]:
    """Counts what runs, without gradients; attention by its matrix products.

    Fused attention has other names on every device, and some of them the counter does not know.
    """
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as c:
            yield c
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
