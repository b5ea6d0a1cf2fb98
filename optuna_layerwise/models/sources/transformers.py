"""Networks of transformers: ``transformers/vit`` from arguments, or a published one.

A model type (``transformers/vit``) is built from ``args``, the fields of its configuration. A name
on the hub (``transformers/google/vit-base-patch16-224``) or a folder that ``save_pretrained``
wrote has a configuration, a preprocessing and the weights ``DEFAULT`` of its own. Python files
beside those are never run: the network must be one of transformers' own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from optuna_layerwise.models.sources.arguments import Defaults, plain_arguments
from optuna_layerwise.models.sources.source import Preprocessing, extra, unknown

_TYPES = "MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES"


def check(name: str) -> None:
    """See `Source`."""
    types = _types()
    if name not in types and "/" not in name and not Path(name).is_dir():
        raise unknown(name, types, prefix="transformers/")


def arguments(name: str) -> Defaults | None:
    """See `Source`."""
    if name not in _types():
        return None  # known when its configuration is read
    return _fields(extra("transformers").AutoConfig.for_model(name))


def build(name: str, args: Mapping[str, Any], weights: str | None, num_classes: int) -> nn.Module:
    """See `Source`."""
    auto = extra("transformers").AutoModelForImageClassification
    config = _config(name, args, num_labels=num_classes)
    model: nn.Module
    if weights is None:
        model = auto.from_config(config, **_NO_CODE)
    else:
        model = auto.from_pretrained(
            name, config=config, ignore_mismatched_sizes=True, weights_only=True, **_NO_CODE
        )
    return model.train()


def from_config(fields: Mapping[str, Any], num_classes: int) -> nn.Module:
    """The network of a whole configuration, as ``to_json_string`` wrote it, with random weights.

    Raises:
        ValueError: if it is no configuration of an image classifier of transformers, or one that
            would load another network.
    """
    auto = extra("transformers")
    kind = str(fields.get("model_type"))
    if kind not in _types():
        raise unknown(kind, _types(), prefix="transformers/")
    kept = {name: value for name, value in fields.items() if name not in _NOT_GIVEN}
    config = auto.AutoConfig.for_model(kind, **kept, num_labels=num_classes)
    _check_complete(config, kind)
    model: nn.Module = auto.AutoModelForImageClassification.from_config(config, **_NO_CODE)
    return model


def known_weights(name: str) -> Sequence[str]:
    """See `Source`; what a name on the hub has is known when it is downloaded."""
    has_none = name in _types() or (Path(name).is_dir() and not _files(name))
    return [] if has_none else ["DEFAULT"]


def published(name: str, weights: str) -> str:
    """See `Source`; for a folder, with the SHA-256 of the weights in it."""
    if not Path(name).is_dir():
        return name
    digest = hashlib.sha256()
    for path in _files(name):
        digest.update(path.read_bytes())
    return f"sha256:{digest.hexdigest()}"


def origin(name: str, weights: str | None) -> str:
    """See `Source`."""
    return name if Path(name).is_dir() else f"https://huggingface.co/{name}"


def _files(folder: str) -> list[Path]:
    return sorted([*Path(folder).glob("*.safetensors"), *Path(folder).glob("*.bin")])


def preprocessing(name: str, args: Mapping[str, Any], weights: str | None) -> Preprocessing:
    """See `Source`."""
    configured = getattr(_config(name, args), "image_size", None)
    size = configured[0] if isinstance(configured, (list, tuple)) else configured
    if name in _types():
        return Preprocessing().at(size)
    found = extra("transformers").AutoImageProcessor.from_pretrained(name, **_NO_CODE)
    resized, cropped = _side(found.size), _side(getattr(found, "crop_size", None))
    default = Preprocessing()
    return Preprocessing(
        mean=tuple(getattr(found, "image_mean", None) or default.mean),
        std=tuple(getattr(found, "image_std", None) or default.std),
        image_size=cropped or size or resized or default.image_size,
        resize_size=resized or default.resize_size,
        interpolation=_INTERPOLATIONS.get(int(found.resample), default.interpolation),
    )


_INTERPOLATIONS = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic"}
"""Pillow's numbers of its filters."""


def _types() -> Mapping[str, Any]:
    names: Mapping[str, Any] = getattr(extra("transformers.models.auto.modeling_auto"), _TYPES)
    return names


_NO_CODE: dict[str, Any] = {"trust_remote_code": False}
_LOADING = ("backbone", "architecture", "model_args", "quantization_config")
"""Fields of a configuration by which a network loads another."""
_NOT_GIVEN = (
    *("model_type", "num_labels", "id2label", "label2id", "auto_map", "attn_implementation"),
    *("_attn_implementation", "_attn_implementation_internal", "_name_or_path"),
    *("transformers_version", "dtype", "torch_dtype"),
)
"""Fields that are not arguments, may name code to download, or follow from the classes."""


def _config(name: str, args: Mapping[str, Any], num_labels: int | None = None) -> Any:
    auto = extra("transformers").AutoConfig
    labels = {} if num_labels is None else {"num_labels": num_labels}
    if name in _types():
        config = auto.for_model(name, **args, **labels)
        classes = _types()[
            name
        ]  # several where a type has a classifier with a distilled head, too
        config.architectures = [classes] if isinstance(classes, str) else list(classes[:1])
        return config
    config = auto.from_pretrained(name, **_NO_CODE)
    plain_arguments(f"transformers/{name}", args, _fields(config))
    _check_complete(config, name)
    for field, value in {**args, **labels}.items():
        setattr(config, field, value)
    config._attn_implementation = None  # it may name code to download; the default is ours
    return config


def _check_complete(config: Any, name: str) -> None:
    """Refuse a configuration that names other networks to load."""
    for field in _LOADING:
        if getattr(config, field, None) is not None:
            raise ValueError(
                f"the configuration of transformers/{name} has {field}, which loads another "
                "network: expected one that is complete; use that network by its own name"
            )


def _fields(config: Any) -> Defaults:
    fields = config.to_dict()
    return {name: (fields.get(name),) for name in (*fields, *config.attribute_map)}


def _side(size: Any) -> int | None:
    """The short side of a size as image processors write it."""
    sides = [size[key] for key in ("shortest_edge", "height") if size and size.get(key)]
    return int(sides[0]) if sides else None
