"""A recipe: how a policy is trained, but for the data, the network and the seed."""

from __future__ import annotations

import dataclasses
import json
import math
import os
from collections.abc import Mapping
from typing import Any, Literal, get_args

from optuna_layerwise.io.fields import panel
from optuna_layerwise.io.plain import MANY, object_in, plain, read_object
from optuna_layerwise.recipe_methods import METHODS, Method, Regression, method_from

Schedule = Literal["constant", "cosine"]
Metric = Literal["accuracy", "balanced_accuracy", "macro_f1", "auc", "loss", "map", "r2", "mae"]
TaskName = Literal["classification", "multilabel", "regression"]
NOUNS = {"classification": "classes", "multilabel": "labels", "regression": "targets"}
"""Task to what a network's outputs are called."""
METRICS: Mapping[str, tuple[Metric, ...]] = {
    "classification": ("accuracy", "balanced_accuracy", "macro_f1", "auc", "loss"),
    "multilabel": ("macro_f1", "map", "loss"),
    "regression": ("loss", "r2", "mae"),
}
"""Task to the metrics that may choose in it; the first one is the default."""
COSTS = ("operations", "trained_share")
"""What a study may weigh against the metric."""
BatchNorm = Literal["eval_frozen", "train", "eval_all"]
HeadStart = Literal["random", "fitted"]
ClassWeights = Literal["none", "balanced"]
Augment = Literal["none", "flip", "flip-crop", "flip-crop-colour", "trivial"]
OPTIMIZERS = {
    "adam": "optuna_layerwise.training.optimizers:adam",
    "adamw": "optuna_layerwise.training.optimizers:adamw",
    "sgd": "optuna_layerwise.training.optimizers:sgd",
}
"""Name to the function that makes it, called with parameter groups, recipe and ``fused``."""
_training = panel("Training")
Granularity = Literal["stage", "block", "layer"]
"""What a block is: a group as in the papers, a residual block, or a layer."""
_LATER = ("head_start", "label_smoothing", "class_weights", "augment", "views", "method")
"""Fields that were added since recipes are stored."""


def higher_is_better(metric: Metric) -> bool:
    """True for every metric but the loss and the mean absolute error."""
    return metric not in ("loss", "mae")


def improves(metric: Metric, value: float, best: float | None) -> bool:
    """Is ``value`` strictly better than ``best``? Anything finite beats ``None``, NaN nothing."""
    if not math.isfinite(value):
        return False
    if best is None:
        return True
    return value > best if higher_is_better(metric) else value < best


def bounded_rate(multiplier: float, lr: float, max_lr: float) -> float:
    """A block's learning rate, ``min(multiplier * lr, max_lr)``."""
    return min(multiplier * lr, max_lr)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a policy is trained: everything but the data, the model and the seed.

    Args:
        optimizer: One of `OPTIMIZERS`: ``adam``, ``adamw`` or ``sgd``.
        lr: Base learning rate; a block's own is ``multiplier * lr``.
        max_lr: Upper bound of any block's learning rate.
        weight_decay: As the optimizer defines it.
        decay_norms_and_biases: If false, parameters with fewer than two dimensions get no decay.
        momentum: Of ``sgd``; the other optimizers ignore it.
        schedule: ``constant``, or ``cosine`` stepped once per epoch.
        cosine_epochs: Epochs to the cosine's end; default ``epochs``. BioTune's code has 100.
        epochs: Most passes over the training split.
        patience: Stop after this many epochs without a strictly better validation metric;
            ``None`` never stops early.
        batch_size: Images per step (at most the size of the training split).
        metric: What validation maximises (``loss``: minimises).
        bn: BatchNorm and dropout of frozen blocks: ``eval_frozen`` keeps them in eval mode,
            ``train`` leaves the whole model in train mode (BioTune's code), ``eval_all`` keeps
            every BatchNorm in eval mode.
        head_start: The head's weights before the first step: ``random``, or ``fitted``, the
            logistic regression of what the network feeds it (see `fit_linear`). A fitted head is
            validated before the first step, and kept if no epoch improves on it.
        label_smoothing: The share, in [0, 1), of a training label that is spread evenly over all
            classes (Szegedy et al. 2016, https://arxiv.org/abs/1512.00567).
        class_weights: ``balanced`` weighs the training loss of each image by
            ``n / (k * count)``, with n training images of k different classes, and ``count`` of
            the image's own, so that all classes weigh the same together. Validation, and a fitted
            head, count each image once.
        augment: What is done to training images: ``none``; ``flip``, half of them are mirrored;
            ``flip-crop``, and a part of each is enlarged; ``flip-crop-colour``, and brightness,
            contrast and saturation change; ``trivial``, flip-crop and then TrivialAugment.
            Validation and a fitted head see the images themselves.
        views: The number of augmented views of each image. They are the same in all trainings,
            and epoch e, counted from 0, shows view e mod ``views``.
        method: What a published method changes; ``None`` is plain fine-tuning of the policy.

    Raises:
        ValueError: if a value is out of its range; the message names the field.
    """

    optimizer: str = _training("adam", "Optimizer of the weights.", choices=OPTIMIZERS)
    lr: float = _training(1e-3, "Learning rate of a block whose multiplier is 1.")
    max_lr: float = 1.0
    weight_decay: float = _training(
        0.0, "Weight decay, in the meaning that the optimizer gives it."
    )
    decay_norms_and_biases: bool = True
    momentum: float = 0.9
    schedule: Schedule = _training("cosine", "Course of the learning rate over epochs.")
    cosine_epochs: int | None = None
    epochs: int = _training(30, "Most passes over the training split.", within=(1, MANY))
    patience: int | None = _training(
        3,
        "Epochs without improvement after which a training stops; 0 never stops early.",
        none="0",
        within=(1, MANY),
    )
    batch_size: int = _training(32, "Number of images in a step.", within=(1, MANY))
    metric: Metric = _training(
        "accuracy",
        "Metric of the validation split. For several labels: macro_f1, map or loss. For numbers: "
        "loss, r2 or mae. For classes: any other, or loss.",
        default="accuracy; macro_f1 for several labels; loss for numbers",
    )
    bn: BatchNorm = _training(
        "eval_frozen",
        "Which BatchNorm layers stay in eval mode: those of frozen blocks, none, or all.",
    )
    head_start: HeadStart = _training(
        "random",
        "Weights of the head before the first step: random, or fitted by logistic regression to "
        "the features of the pretrained network.",
    )
    label_smoothing: float = _training(
        0.0, "Share of each training label that is spread over all classes.", within=(0, 1)
    )
    class_weights: ClassWeights = _training(
        "none",
        "Weights of the classes in the training loss: none, or balanced, which makes up for "
        "classes with few images.",
    )
    augment: Augment = _training("none", "What is done to training images.")
    views: int = _training(
        8,
        "Number of augmented views of each image; epochs show them in turn.",
        within=(1, 1000),
    )
    method: Method | None = None

    def __post_init__(self) -> None:
        for each in dataclasses.fields(self):
            object.__setattr__(self, each.name, plain(getattr(self, each.name)))
        for field, choices in (
            ("optimizer", tuple(OPTIMIZERS)),
            ("schedule", get_args(Schedule)),
            ("metric", get_args(Metric)),
            ("bn", get_args(BatchNorm)),
            ("head_start", get_args(HeadStart)),
            ("class_weights", get_args(ClassWeights)),
            ("augment", get_args(Augment)),
        ):
            if (value := getattr(self, field)) not in choices:
                raise ValueError(f"{field} must be one of {list(choices)}, got {value!r}")
        for field in ("epochs", "batch_size", "views", "patience", "cosine_epochs"):
            value = getattr(self, field)
            optional = field in ("patience", "cosine_epochs")
            if not (optional and value is None) and not (type(value) is int and value >= 1):
                or_none = " or None" if optional else ""
                raise ValueError(
                    f"{field} must be a whole number, at least 1{or_none}, got {value!r}"
                )
        for field in ("weight_decay", "momentum"):
            if not (_is_finite(value := getattr(self, field)) and value >= 0):
                raise ValueError(f"{field} must be finite and at least 0, got {value!r}")
        if not (_is_finite(value := self.label_smoothing) and 0 <= value < 1):
            raise ValueError(f"label_smoothing must be at least 0 and below 1, got {value!r}")
        for field in ("lr", "max_lr"):
            if not (_is_finite(value := getattr(self, field)) and value > 0):
                raise ValueError(f"{field} must be finite and above 0, got {value!r}")
        if not isinstance(value := self.decay_norms_and_biases, bool):
            raise ValueError(f"decay_norms_and_biases must be true or false, got {value!r}")
        if not (self.method is None or isinstance(self.method, tuple(METHODS.values()))):
            names = sorted({kind.__name__ for kind in METHODS.values()})
            raise ValueError(f"method must be None or one of {names}, got {self.method!r}")
        if isinstance(self.method, Regression) and self.head_start != "fitted":
            raise ValueError(
                f"method Regression needs head_start='fitted', got {self.head_start!r} "
                "(--head-start fitted)"
            )

    def rate(self, multiplier: float) -> float:
        """The learning rate of a block; see `bounded_rate`."""
        return bounded_rate(multiplier, self.lr, self.max_lr)

    def as_dict(self) -> dict[str, Any]:
        """Field to value, as plain data.

        The fields of `_LATER` are left out at their defaults, so that the digests of recipes from
        before these fields stay what they were.
        """
        content = dataclasses.asdict(self)
        defaults = {field.name: field.default for field in dataclasses.fields(self)}
        return {
            name: value
            for name, value in content.items()
            if name not in _LATER or value != defaults[name]
        }

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Recipe:
        """Of what `as_dict` gave; an unknown field is an error that names it."""
        known = {field.name for field in dataclasses.fields(cls)}
        if unknown := sorted(set(content) - known):
            raise ValueError(f"unknown fields {unknown}; a recipe has {sorted(known)}")
        method = content.get("method")
        return cls(**{**content, "method": method and method_from(method)})

    def changed(self, changes: Mapping[str, Any]) -> Recipe:
        """With other values for some fields; ``method.weight`` is a field of the method.

        Raises:
            ValueError: if there is no such field.
        """
        content = self.as_dict()
        for name, value in changes.items():
            field, dot, of_method = name.partition(".")
            if dot and field == "method":
                if self.method is None:
                    raise ValueError(f"the recipe has no method, so no {name!r} to set")
                content["method"][of_method] = value
            else:
                content[name] = value
        return Recipe.from_dict(content)

    def to_json(self) -> str:
        """One JSON object, field to value."""
        return json.dumps(self.as_dict())

    @classmethod
    def from_json(cls, text: str) -> Recipe:
        """Read what `to_json` wrote; an unknown field is an error that names it.

        Raises:
            ValueError: if it is no recipe.
        """
        return cls.from_dict(object_in(text, "a recipe is a JSON object of field: value"))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Recipe:
        """Read the recipe of a file that ``optuna-layerwise export`` wrote.

        Raises:
            ValueError: if the file holds none.
        """
        recipe = read_object(path).get("recipe")
        if not isinstance(recipe, dict):
            raise ValueError(f"{path} holds no recipe, only a policy")
        return cls.from_dict(recipe)


def _is_finite(value: object) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value)
