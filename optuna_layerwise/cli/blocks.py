"""The command ``blocks``: what a network is cut into, before anything is trained."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.table import Table

from optuna_layerwise.cli.options import console, option_for, takes
from optuna_layerwise.experiments.settings import SETTINGS

_NETWORK = ("model", "model_args", "granularity")


@takes([option_for(name, SETTINGS[name], None) for name in _NETWORK])
def blocks_command(
    image_size: Annotated[
        int | None,
        typer.Option(
            help="Side in pixels of the images. Default: as published.", min=1, max=10_000
        ),
    ] = None,
    classes: Annotated[
        int,
        typer.Option(
            help="Classes of the data, which decide the size of the head.", min=1, max=100_000
        ),
    ] = 10,
    **typed: Any,
) -> None:
    """Say into which blocks a network is cut, and with which patterns.

    Needs neither data nor weights. The output of a block is that of its last module on an empty
    image: height x width x channels, or tokens x channels.
    """
    from optuna_layerwise.models import ModelSpec  # with torch
    from optuna_layerwise.models.block_facts import block_outputs, patterns_of

    given = {name: SETTINGS[name].read(value) for name, value in typed.items() if value}
    spec = ModelSpec(
        name=given.pop("model"),
        args=given.pop("model_args", {}),
        weights=None,
        image_size=image_size,  # type: ignore[arg-type]
        **given,
    )
    model = spec.build(classes)
    blocks = spec.partition(model)
    outputs = block_outputs(model, blocks, spec.image_size)
    total = sum(parameter.numel() for parameter in model.parameters())
    table = Table("block", "output", "tensors", "parameters", "share", box=None, pad_edge=False)
    for column in table.columns[1:]:
        column.justify = "right"
    for block, members in blocks.items():
        size = sum(model.get_parameter(name).numel() for name in members)
        sides, width = outputs.get(block, ((), None))
        output = " x ".join(map(str, (*sides, width))) if width else "-"
        table.add_row(block, output, str(len(members)), f"{size:,}", f"{size / total:.1%}")
    console.print(table)
    console.print("\nPatterns, to change and give as ModelSpec(patterns=...):\n")
    console.print("patterns = {")
    for block, patterns in patterns_of(model, blocks).items():
        listed = ", ".join(f'r"{pattern}"' for pattern in patterns)
        console.print(f'    "{block}": [{listed}],', soft_wrap=True, highlight=False)
    console.print("}")
