"""What a file of weights says of its network, so that it can be used without its study.

The weights of a finalized study are a safetensors file whose metadata has, under the name
``network``, a `SavedNetwork` as JSON. Nothing in it is code, and reading it needs no torch.
"""

from __future__ import annotations

import dataclasses
import json
import os
from typing import Any, Literal

from pydantic import ConfigDict, TypeAdapter, ValidationError
from safetensors import SafetensorError, safe_open

from optuna_layerwise.io.plain import decoded, shortened

METADATA = "network"
"""The name in the metadata of the file."""
VERSION = 1
WEIGHTS = "model.safetensors"
"""The name of the file of weights in an exported folder."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class SavedNetwork:
    """How a saved network is built, what it takes, and what its outputs mean.

    Args:
        model: The name of the network, as `ModelSpec.name`.
        args: The arguments with which its library builds it.
        config: The whole configuration of a network of transformers; empty for all others.
        classes: The class names, in the order of the outputs.
        mean: Per channel, for pixels in [0, 1].
        std: Per channel, for pixels in [0, 1].
        image_size: Side of the square input in pixels.
        resize: What the short side of every image becomes before its centre is cropped. ``None``:
            ``round(image_size * 232 / 224)``, and images that already have the size of the input
            stay as they are.
        value_range: Of images of more than 8 bits, the values that become 0 and 255; ``None``
            where the network was trained on 8-bit images.
        takes: ``images``; ``texts``; or ``arrays``, which it takes as they are.
        tokenizer: Of a network of texts, the JSON of a tokenizer of the package tokenizers.
        max_tokens: Longer texts are cut to this number of tokens.
        task: What its outputs mean, a name in ``tasks.TASKS``.
        scale: For ``regression``, the mean and the standard deviation of each target.
        plausible: A class is plausible for an image if its probability is at least this. The
            true class was plausible for 9 of 10 images that were held out. ``None``: not known.
        versions: Package to the version that the network was trained with.
        v: The version of this description.
    """

    __pydantic_config__ = ConfigDict(extra="ignore")

    model: str
    args: dict[str, Any]
    classes: tuple[str, ...]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    image_size: int
    resize: int | None = None
    value_range: tuple[float, float] | None = None
    takes: Literal["images", "texts", "arrays"] = "images"
    tokenizer: str = ""
    max_tokens: int = 0
    task: Literal["classification", "multilabel", "regression"] = "classification"
    scale: tuple[tuple[float, float], ...] = ()
    plausible: float | None = None
    config: dict[str, Any] = dataclasses.field(default_factory=dict)
    versions: dict[str, str] = dataclasses.field(default_factory=dict)
    v: int = VERSION

    def as_metadata(self) -> dict[str, str]:
        """For the metadata of the file."""
        return {METADATA: json.dumps(dataclasses.asdict(self))}

    @property
    def short_side(self) -> int:
        """What the short side of an image that has to be resized becomes, in pixels."""
        return self.resize or round(self.image_size * 232 / 224)


def network_in(path: str | os.PathLike[str]) -> SavedNetwork:
    """What a file of weights says of its network.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file is no safetensors file, or says nothing of its network, or what
            this release does not understand.
    """
    path = os.fspath(path)
    if not os.path.isfile(path):
        raise FileNotFoundError(f"expected a file of weights at {path}, found none")
    try:
        with safe_open(path, framework="numpy") as file:
            text = (file.metadata() or {}).get(METADATA)
    except (OSError, SafetensorError) as error:
        raise ValueError(
            f"{path} cannot be read as a safetensors file, it may be damaged: {error}"
        ) from error
    if text is None:
        raise ValueError(
            f"{path} does not say which network its weights are of: expected a file that "
            "`optuna-layerwise finalize` or `export` wrote with this release or a later one. "
            "Finalize the study again (`optuna-layerwise finalize --again`)"
        )
    try:
        content = decoded(text)
        if isinstance(content, dict) and (theirs := content.get("v")) != VERSION:
            raise ValueError(f"it has version {theirs!r}, and this release reads {VERSION}")
        return _ADAPTER.validate_json(text, strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        where = ".".join(map(str, first["loc"])) or "content"
        reason = f"{where}: {first['msg']}, got {shortened(first['input'])}"
    except ValueError as error:
        reason = str(error)
    raise ValueError(f"{path} describes its network in a way that cannot be read: {reason}")


_ADAPTER = TypeAdapter(SavedNetwork)
