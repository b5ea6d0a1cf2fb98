"""Networks of transformers: ``transformers/vit`` from arguments, or a published one.

A model type (``transformers/vit``) is built from ``args``, the fields of its configuration. A name
on the hub (``transformers/google/vit-base-patch16-224``) or a folder that ``save_pretrained``
wrote has a configuration, a preprocessing and the weights ``DEFAULT`` of its own. Python files
beside those are never run: the network must be one of transformers' own.

A type that has classifiers of texts and none of images is one of texts: a `TextNetwork`, whose
tokenizer lies beside the weights.
"""

from __future__ import annotations

import hashlib
import logging
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from optuna_layerwise.models.sources.arguments import Defaults, plain_arguments
from optuna_layerwise.models.sources.source import Preprocessing, extra, unknown
from optuna_layerwise.models.text_network import TextNetwork

_OF_IMAGES = "MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES"
_OF_TEXTS = "MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES"


def check(name: str) -> None:
    """See `Source`."""
    types = [*_types(), *_types(_OF_TEXTS)]
    if name not in types and "/" not in name and not Path(name).is_dir():
        raise unknown(name, types, prefix="transformers/")


def arguments(name: str) -> Defaults | None:
    """See `Source`."""
    if not _is_type(name):
        return None  # known when its configuration is read
    return _fields(extra("transformers").AutoConfig.for_model(name))


def build(name: str, args: Mapping[str, Any], weights: str | None, num_classes: int) -> nn.Module:
    """See `Source`."""
    config = _config(name, args, num_labels=num_classes)
    if _is_of_texts(config):
        return _text_network(config, num_classes, None if weights is None else name).train()
    auto = extra("transformers").AutoModelForImageClassification
    model: nn.Module
    if weights is None:
        model = auto.from_config(config, **_NO_CODE)
    else:
        model = auto.from_pretrained(
            name, config=config, ignore_mismatched_sizes=True, weights_only=True, **_NO_CODE
        )
    return model.train()


def _text_network(config: Any, num_classes: int, pretrained: str | None) -> TextNetwork:
    """With the weights of a folder, or of a name on the hub, or with random ones."""
    if config.is_encoder_decoder:
        raise ValueError(
            f"transformers/{config.model_type} has an encoder and a decoder; expected a network "
            "of texts with one of them, such as a BERT"
        )
    auto = extra("transformers").AutoModel

    def made(**options: Any) -> nn.Module:
        if pretrained is None:
            model: nn.Module = auto.from_config(config, **options, **_NO_CODE)
        else:
            model = auto.from_pretrained(
                pretrained, config=config, weights_only=True, **options, **_NO_CODE
            )
        return model

    reports = logging.getLogger("transformers")  # of the weights of a head that is not used
    level = reports.level
    reports.setLevel(logging.ERROR)
    try:
        network = made(add_pooling_layer=False)  # a layer on the first token, which nothing reads
    except TypeError:  # it has none
        network = made()
    finally:
        reports.setLevel(level)
    return TextNetwork(network.float(), num_classes)


def takes_texts(name: str) -> bool:
    """See `Source`."""
    return _is_of_texts(_config(name, {}))


def tokenizer(name: str) -> tuple[str, int]:
    """See `Source`; the JSON is that of the package tokenizers."""
    if _is_type(name):
        raise ValueError(
            f"transformers/{name} is a type of network without a tokenizer: expected a folder "
            "that save_pretrained wrote, or a name on the hub"
        )
    found = extra("transformers").AutoTokenizer.from_pretrained(name, **_NO_CODE)
    if (backend := getattr(found, "backend_tokenizer", None)) is None:
        raise ValueError(
            f"the tokenizer of transformers/{name} is written in Python: expected one with a file "
            "tokenizer.json"
        )
    return backend.to_str(), int(min(_most_tokens(_config(name, {})), found.model_max_length))


def _most_tokens(config: Any) -> float:
    """How many tokens a network has positions for; RoBERTa's begin behind that of the padding."""
    if not (positions := getattr(config, "max_position_embeddings", None)):
        return math.inf
    with torch.device("meta"):
        network = extra("transformers").AutoModel.from_config(config, **_NO_CODE)
    embeddings = (m for m in network.modules() if isinstance(m, nn.Embedding))
    begun = [m.padding_idx for m in embeddings if m.num_embeddings == positions]
    return int(positions) - sum(index + 1 for index in begun if index is not None)


def from_config(fields: Mapping[str, Any], num_classes: int) -> nn.Module:
    """The network of a whole configuration, as ``to_json_string`` wrote it, with random weights.

    Raises:
        ValueError: if it is no configuration of a classifier of transformers, or one that would
            load another network.
    """
    auto = extra("transformers")
    kind = str(fields.get("model_type"))
    if not _is_type(kind):
        raise unknown(kind, [*_types(), *_types(_OF_TEXTS)], prefix="transformers/")
    kept = {name: value for name, value in fields.items() if name not in _NOT_GIVEN}
    config = auto.AutoConfig.for_model(kind, **kept, num_labels=num_classes)
    _check_complete(config, kind)
    if _is_of_texts(config):
        return _text_network(config, num_classes, None)
    model: nn.Module = auto.AutoModelForImageClassification.from_config(config, **_NO_CODE)
    return model


def known_weights(name: str) -> Sequence[str]:
    """See `Source`; what a name on the hub has is known when it is downloaded."""
    has_none = _is_type(name) or (Path(name).is_dir() and not _files(name))
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
    config = _config(name, args)
    if _is_of_texts(config):
        return Preprocessing()  # of images, which it does not see
    configured = getattr(config, "image_size", None)
    size = configured[0] if isinstance(configured, (list, tuple)) else configured
    if _is_type(name):
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


def _types(kind: str = _OF_IMAGES) -> Mapping[str, Any]:
    """Model types that have a classifier, to the names of its classes."""
    names: Mapping[str, Any] = getattr(extra("transformers.models.auto.modeling_auto"), kind)
    return names


def _is_type(name: str) -> bool:
    return name in _types() or name in _types(_OF_TEXTS)


def _is_of_texts(config: Any) -> bool:
    return config.model_type not in _types() and config.model_type in _types(_OF_TEXTS)


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
    if _is_type(name):
        config = auto.for_model(name, **args, **labels)
        # Several where a type has a classifier with a distilled head, too.
        classes = _types().get(name) or _types(_OF_TEXTS)[name]
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
