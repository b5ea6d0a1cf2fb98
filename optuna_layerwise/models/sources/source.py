"""What a source of networks offers; each is a module with these functions."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from torch import nn

from optuna_layerwise.models.sources.arguments import Defaults


class Preprocessing(NamedTuple):
    """What weights expect as input.

    Attributes:
        mean: Per channel, of pixels in [0, 1].
        std: Per channel, of pixels in [0, 1].
        image_size: Side of the square input in pixels.
        resize_size: What the short side is resized to before the centre is cropped.
        interpolation: ``bilinear``, ``bicubic``, ...
    """

    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    image_size: int = 224
    resize_size: int = 232
    interpolation: str = "bilinear"

    def at(self, image_size: int | None) -> Preprocessing:
        """The same for another input size, resized in proportion."""
        size = image_size or self.image_size
        return self._replace(
            image_size=size, resize_size=round(self.resize_size * size / self.image_size)
        )


class Source(Protocol):
    """Networks by name. ``weights`` are the name of published ones."""

    def check(self, name: str) -> None:
        """Raise ValueError for an unknown name or a package that is missing."""

    def arguments(self, name: str) -> Defaults | None:
        """The arguments of a network's code; ``None`` if they are known when it is built."""

    def takes_texts(self, name: str) -> bool:
        """Whether a network takes texts; if not, it takes images."""

    def tokenizer(self, name: str) -> tuple[str, int]:
        """Of a network that takes texts: its tokenizer as JSON, and the most tokens."""

    def build(
        self, name: str, args: Mapping[str, Any], weights: str | None, num_classes: int
    ) -> nn.Module:
        """The network with random or published weights and a head for ``num_classes``.

        Raises an OSError if published weights cannot be had.
        """

    def known_weights(self, name: str) -> Sequence[str]:
        """The names of published weights, ``DEFAULT`` among them; empty if there are none."""

    def published(self, name: str, weights: str) -> str:
        """The full name of published weights."""

    def origin(self, name: str, weights: str | None) -> str:
        """The address that published weights, or else a configuration, are downloaded from."""

    def preprocessing(
        self, name: str, args: Mapping[str, Any], weights: str | None
    ) -> Preprocessing:
        """What published weights expect; for other weights, what the network's own expect."""


def extra(package: str) -> Any:
    """An optional package.

    Raises:
        ValueError: naming the extra that installs it.
    """
    try:
        return importlib.import_module(package)
    except ImportError as error:
        name = package.partition(".")[0]
        raise ValueError(
            f"models called '{name}/...' need the package {name}, which cannot be imported "
            f"({error}); install it with: pip install 'optuna-layerwise[{name}]'"
        ) from error


def unknown(name: str, known: Iterable[str], prefix: str = "") -> ValueError:
    """The error for a name that is not ``known``, with the nearest that are."""
    names = sorted(set(known))
    near = [f"{prefix}{n}" for n in difflib.get_close_matches(name, names) or names[:10]]
    return ValueError(f"unknown model {prefix + name!r}; did you mean one of {near}?")
