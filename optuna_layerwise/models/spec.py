"""A model as plain data: name, arguments, weights, input; it can be built, hashed and stored."""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import http.client
import json
import logging
import math
import os
import pkgutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from optuna_layerwise.models.outputs import logits_of
from optuna_layerwise.models.partition import Blocks, Patterns, partition
from optuna_layerwise.models.sources import (
    ALSO_GIVEN,
    MADE_HERE,
    Preprocessing,
    kind_of,
    plain_arguments,
    source_of,
)
from optuna_layerwise.models.weights import load_weights
from optuna_layerwise.recipe import Granularity

_OF_THE_WEIGHTS: Any = None
_UNLOADABLE = {"RuntimeError", "EOFError", "UnpicklingError", "SafetensorError"}
"""Errors of readers, by name: nothing here imports pickle."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelSpec:
    """A network, where its weights come from, and what it takes as input.

    Args:
        name: Of `MODELS`; any classification model of torchvision; ``timm/`` and one of timm;
            or ``transformers/`` and a model type, a name on the hub or a folder.
        args: Further arguments of its builder, such as ``{"width_mult": 0.35}``; with
            transformers, fields of the configuration. Plain values of names that the network's
            code has: nothing that loads weights, files or code.
        weights: ``DEFAULT``, the pretrained weights that the network's source publishes, or
            another name of published ones: they are downloaded unless they are in its cache. Or a
            local file (see `load_weights`), or ``None`` for random ones.
        mean: Per channel, of pixels in [0, 1]. ``None``, the default of this and the next two,
            is replaced at once: by what the published weights expect; with a local file or
            without weights, by what the network's own published ones do; else by ImageNet's.
        std: Per channel, of pixels in [0, 1].
        image_size: Side of the square input in pixels; if nothing else decides it, 224.
        granularity: Of `partition`.
        patterns: Of `partition`.

    Raises:
        ConnectionError: if the configuration of a model on the hub cannot be downloaded.
        ValueError: if the name is unknown, its package is not installed, no weights of that name
            are published, or a value is out of its range.

    Examples:
        >>> spec = ModelSpec(name="digits_cnn", weights=None)
        >>> list(spec.partition(spec.build(10)))
        ['stem', 'stage1', 'stage2', 'stage3', 'head']
    """

    name: str
    args: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    weights: str | os.PathLike[str] | None = "DEFAULT"
    mean: tuple[float, float, float] = _OF_THE_WEIGHTS
    std: tuple[float, float, float] = _OF_THE_WEIGHTS
    image_size: int = _OF_THE_WEIGHTS
    granularity: Granularity = "stage"
    patterns: Patterns | None = None

    def __post_init__(self) -> None:
        source, name = source_of(self.name)
        object.__setattr__(self, "args", dict(self.args))
        plain_arguments(self.name, self.args, source.arguments(name))
        if self.weights is not None:
            object.__setattr__(self, "weights", os.fspath(self.weights))
        if (published := self._published) is not None:
            self._check_published(published, source.known_weights(name))
        missing = [f for f in ("mean", "std", "image_size") if getattr(self, f) is None]
        if missing:
            expected = self.preprocessing
            for field in missing:
                object.__setattr__(self, field, getattr(expected, field))
        self._check_input()

    def _check_input(self) -> None:
        for field in ("mean", "std"):
            values = tuple(float(value) for value in getattr(self, field))
            finite = all(map(math.isfinite, values))
            if len(values) != 3 or not finite or (field == "std" and min(values) <= 0):
                raise ValueError(f"{field} must be 3 numbers (std above 0), got {values}")
            object.__setattr__(self, field, values)
        if self.image_size < 1:
            raise ValueError(f"image_size must be at least 1, got {self.image_size}")

    def build(self, num_classes: int) -> nn.Module:
        """The network with its weights and a head for ``num_classes``, on the CPU.

        Raises:
            ConnectionError: if published weights cannot be downloaded.
            FileNotFoundError: if the weights are a file that does not exist.
            ValueError: if the weights do not fit or cannot be read, or the network does not take
                the arguments.
        """
        if num_classes < 1:
            raise ValueError(f"num_classes must be at least 1, got {num_classes}")
        source, name = source_of(self.name)
        try:
            with self._downloading():
                model = source.build(name, self.args, self._published, num_classes)
        except Exception as error:  # each network has its own ways to say what it expects
            if self._published is not None and type(error).__name__ in _UNLOADABLE:
                with_these = f" with {dict(self.args)}" if self.args else ""
                raise ValueError(
                    f"the published weights {self._published!r} of {self.name} cannot be loaded"
                    f"{with_these} ({_short(error)}); {_INSTEAD}; a damaged copy in the cache of "
                    "torch or Hugging Face has to be deleted"
                ) from error
            if isinstance(error, OSError) or not self.args:
                raise
            raise ValueError(self._refusal(error)) from error
        if (file := self._file) is not None:
            load_weights(model, file)
        return model

    @property
    def all_args(self) -> dict[str, Any]:
        """The arguments with which its library builds the same network."""
        return {**ALSO_GIVEN.get(self.name, {}), **self.args}

    def check_arguments(self) -> None:
        """Verify that a network, without its weights, can be built with the arguments.

        Raises:
            ValueError: naming the argument that it does not take.
        """
        if self.args:
            dataclasses.replace(self, weights=None).build(num_classes=2)

    def _refusal(self, error: Exception) -> str:
        """Which of the arguments the network does not take: the first that fails on its own."""
        source, name = source_of(self.name)
        refused = self.args
        for argument, value in self.args.items():
            try:
                source.build(name, {argument: value}, None, 2)
            except Exception as alone:
                refused, error = {argument: value}, alone
                break
        known = (source.arguments(name) or {}).get(next(iter(refused)), ())
        kind = f"expected {kind}; " if (kind := kind_of(known)) and len(refused) == 1 else ""
        said = str(error).strip().partition("\n")[0] or type(error).__name__
        return f"{self.name} does not take {dict(refused)}: {kind}{said} (--model-arg)"

    @property
    def preprocessing(self) -> Preprocessing:
        """What the weights expect, whatever ``mean``, ``std`` and ``image_size`` say.

        Raises:
            ConnectionError: if it has to be downloaded and cannot be.
        """
        source, name = source_of(self.name)
        with self._downloading():
            return source.preprocessing(name, self.args, self._published)

    @property
    def resize(self) -> int | None:
        """What published weights expect the short side to become before the centre is cropped.

        In proportion to ``image_size``; ``None`` for a file or random weights.
        """
        return (
            None
            if self._published is None
            else (self.preprocessing.at(self.image_size).resize_size)
        )

    @property
    def takes_texts(self) -> bool:
        """Whether the network takes texts; if not, it takes images.

        Raises:
            ConnectionError: if its configuration has to be downloaded and cannot be.
        """
        source, name = source_of(self.name)
        with self._downloading():
            return source.takes_texts(name)

    @property
    def tokenizer(self) -> tuple[str, int]:
        """Of a network that takes texts: its tokenizer as JSON, and the most tokens it takes.

        Raises:
            ConnectionError: if there is none, or it has to be downloaded and cannot be.
            ValueError: if the network takes images, or its tokenizer has no such form.
        """
        source, name = source_of(self.name)
        with self._downloading():
            return source.tokenizer(name)

    @contextmanager
    def _downloading(self) -> Iterator[None]:
        retries = logging.getLogger("huggingface_hub.utils._http")
        level = retries.level
        retries.setLevel(logging.ERROR)  # it warns of each attempt, and what fails is said below
        try:
            yield
        except (OSError, http.client.HTTPException) as error:
            source, name = source_of(self.name)
            what = f"{self._published!r} of {self.name}" if self._published else self.name
            raise ConnectionError(
                f"cannot download {what} from {source.origin(name, self._published)} "
                f"({_short(error)}); {_INSTEAD}"
            ) from error
        finally:
            retries.setLevel(level)

    def partition(self, model: nn.Module) -> Blocks:
        """The blocks of a model that `build` made."""
        return partition(model, granularity=self.granularity, patterns=self.patterns)

    @property
    def weights_hash(self) -> str | None:
        """SHA-256 of the weight file, the full name of published weights, or ``None``."""
        if self._published is not None:
            source, name = source_of(self.name)
            return source.published(name, self._published)
        if (path := self._file) is None:
            return None
        digest = hashlib.sha256()
        with path.open("rb") as file:
            while chunk := file.read(1 << 20):
                digest.update(chunk)
        return digest.hexdigest()

    @property
    def digest(self) -> str:
        """SHA-256 of all fields, with the content of the weights in place of their path."""
        fields = {**dataclasses.asdict(self), "weights": self.weights_hash}
        return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()

    @property
    def _published(self) -> str | None:
        """The name of weights that the source publishes; ``None`` for a file or random ones."""
        if self.weights is None or self._is_made_here:
            return None
        path = Path(self.weights)
        return None if path.suffix or path.is_file() else os.fspath(self.weights)

    @property
    def _is_made_here(self) -> bool:
        return self.weights == "DEFAULT" and self.name in MADE_HERE

    @property
    def _file(self) -> Path | None:
        """The file of the weights; ``None`` for published or random ones."""
        if self._is_made_here:
            made: Path = pkgutil.resolve_name(MADE_HERE[self.name])()
            return made
        is_file = self.weights is not None and self._published is None
        return Path(self.weights) if self.weights is not None and is_file else None

    def _check_published(self, weights: str, known: Sequence[str]) -> None:
        if weights in known:
            return
        if weights == "DEFAULT":
            raise ValueError(f"there are no published weights of {self.name}; {_INSTEAD}")
        raise ValueError(
            f"weights of {self.name} must be a file or one of {list(known)}, got {weights!r}; "
            "random ones are weights=None (--weights none)"
        )


_INSTEAD = (
    "give a file of pretrained weights as weights= (--weights FILE), or weights=None "
    "(--weights none) for random ones"
)


def _short(error: BaseException) -> str:
    """What an error says in its first two lines."""
    return " ".join(" ".join(str(error).strip().split("\n")[:2]).split())


def check_input(model: nn.Module, image_size: int) -> None:
    """Verify that a copy of the model takes images of this size; see `check_takes`."""
    images = torch.zeros(2, 3, image_size, image_size)
    size = f"images of {image_size} x {image_size} pixels"
    check_takes(model, images, size, advice="; choose another image_size (--image-size)")


def check_takes(model: nn.Module, inputs: torch.Tensor, kind: str, *, advice: str = "") -> None:
    """Verify that a copy of the model takes inputs, in eval and in train mode.

    Args:
        model: It is left as it is.
        inputs: Two of them, [2, ...].
        kind: What they are, in words.
        advice: What to do if it does not take them.

    Raises:
        ValueError: with the model's own message if it does not, or if it does not return one
            row of outputs per input.
    """
    probe = copy.deepcopy(model)
    if inputs.is_floating_point():
        inputs = inputs.to(next(probe.parameters()))
    for mode, n in (("eval", 1), ("train", 2)):
        try:
            with torch.no_grad():
                outputs = logits_of(probe.train(mode == "train")(inputs[:n]))
        except torch.OutOfMemoryError:
            raise
        except Exception as error:
            raise ValueError(
                f"{type(model).__name__} cannot take {kind} in {mode} mode: {error}{advice}"
            ) from error
        if not isinstance(outputs, torch.Tensor) or outputs.shape[:-1] != (n,):
            got = list(outputs.shape) if isinstance(outputs, torch.Tensor) else type(outputs)
            raise ValueError(
                f"{type(model).__name__} must return one row of outputs per input; for {n} "
                f"{kind} in {mode} mode it gave {got}"
            )
