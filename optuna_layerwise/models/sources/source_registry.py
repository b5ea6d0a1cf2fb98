"""Which source a model's name belongs to."""

from __future__ import annotations

from collections.abc import Mapping

from optuna_layerwise.models.sources import timm, torchvision, transformers
from optuna_layerwise.models.sources.source import Source

SOURCES: Mapping[str, Source] = {"timm": timm, "transformers": transformers}
"""The part of a model's name before its first ``/`` to its source; names without are torchvision's
or our own."""


def source_of(name: str) -> tuple[Source, str]:
    """The source of a model, and the name that it has there.

    Raises:
        ValueError: if the source does not know the name, or its package is not installed.
    """
    prefix, slash, rest = name.partition("/")
    source, inside = (
        (SOURCES[prefix], rest) if slash and prefix in SOURCES else (torchvision, name)
    )
    source.check(inside)
    return source, inside
