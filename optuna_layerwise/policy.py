"""What one trial trains: a policy (which blocks, how fast) and a recipe (how).

BioTune (Davila et al.) writes the learning rate of block ``b`` as ``lambda_b = eta_b * lambda0``
with ``eta_b = 0`` for a frozen block; a `Policy` holds the
``eta_b`` and a recipe the ``lambda0``. Baselines and searched configurations are both pairs of
the two. Nothing but the standard library is imported here, and PyYAML for files in YAML.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping
from numbers import Real
from pathlib import Path
from typing import Any, Literal, get_args

from optuna_layerwise.files import write_whole
from optuna_layerwise.methods import METHODS, Method, Regression, method_from
from optuna_layerwise.plain import TOO_DEEP, decoded, plain, shortened

Optimizer = Literal["adam", "adamw", "sgd"]
Schedule = Literal["constant", "cosine"]
Metric = Literal["accuracy", "balanced_accuracy", "auc", "loss"]
BatchNorm = Literal["eval_frozen", "train", "eval_all"]
HeadStart = Literal["random", "fitted"]
Granularity = Literal["stage", "block", "layer"]
"""What a block is: a group as in the papers, a residual block, or a layer."""
_YAML = (".yaml", ".yml")


def higher_is_better(metric: Metric) -> bool:
    """True for every metric but the loss."""
    return metric != "loss"


def improves(metric: Metric, value: float, best: float | None) -> bool:
    """Is ``value`` strictly better than ``best``? Anything finite beats ``None``, NaN nothing."""
    if not math.isfinite(value):
        return False
    if best is None:
        return True
    return value > best if higher_is_better(metric) else value < best


@dataclasses.dataclass(frozen=True)
class Policy(Mapping[str, float]):
    """For every block, in forward order, a multiplier of ``recipe.lr``; 0 is frozen.

    Example:
        >>> policy = Policy({"stem": 0, "layer1": 0.5, "head": 1})
        >>> policy.trained
        ('layer1', 'head')
        >>> Policy.from_json(policy.to_json()) == policy
        True

    Raises:
        ValueError: if there is no block, or a multiplier is negative or not finite.
    """

    multipliers: Mapping[str, float]

    def __post_init__(self) -> None:
        if not self.multipliers:
            raise ValueError("a policy needs at least one block, got none")
        for block, value in self.multipliers.items():
            if not (isinstance(value, Real) and math.isfinite(value) and value >= 0):
                raise ValueError(
                    f"the multiplier of block {block!r} must be a finite number and at least 0 "
                    f"(0 is frozen), got {shortened(value)}"
                )
        own = {str(block): float(value) for block, value in self.multipliers.items()}
        object.__setattr__(self, "multipliers", own)

    @classmethod
    def uniform(cls, blocks: Iterable[str], trained: Iterable[str] | None = None) -> Policy:
        """Train ``trained`` (default: all blocks) at the recipe's own rate, freeze the rest."""
        blocks = tuple(blocks)
        chosen = set(blocks if trained is None else trained)
        if unknown := chosen.difference(blocks):
            raise ValueError(f"unknown blocks {sorted(unknown)}; the blocks are {list(blocks)}")
        return cls({block: float(block in chosen) for block in blocks})

    @property
    def trained(self) -> tuple[str, ...]:
        """The blocks with a multiplier above 0, in forward order."""
        return tuple(block for block, value in self.multipliers.items() if value > 0)

    def __getitem__(self, block: str) -> float:
        return self.multipliers[block]

    def __iter__(self) -> Iterator[str]:
        return iter(self.multipliers)

    def __len__(self) -> int:
        return len(self.multipliers)

    def __hash__(self) -> int:
        return hash(frozenset(self.multipliers.items()))

    def to_json(self) -> str:
        """One JSON object, block to multiplier."""
        return json.dumps(dict(self.multipliers))

    @classmethod
    def from_json(cls, text: str) -> Policy:
        """Read what `to_json` wrote.

        Raises:
            ValueError: if it is no policy.
        """
        content = _object(text, "a policy is a JSON object of block: multiplier")
        return cls(content)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a file that `load` reads: YAML if it is called so, else JSON.

        Raises:
            ValueError: if it is called like something else.
        """
        if (suffix := Path(path).suffix.lower()) not in ("", ".json", *_YAML):
            raise ValueError(f"a policy is written to .json, .yaml or .yml, got {str(path)!r}")
        if suffix in _YAML:
            text = _yaml().safe_dump(dict(self.multipliers), sort_keys=False, allow_unicode=True)
        else:
            text = json.dumps(dict(self.multipliers), indent=2) + "\n"
        write_whole(Path(path), text)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Policy:
        """Read a policy that `save` or ``optuna-layerwise export`` wrote, JSON or YAML.

        Raises:
            ValueError: if the file holds no policy.
        """
        content = _read_file(path)
        policy = content.get("policy", content)
        if not isinstance(policy, dict):
            raise ValueError(f"{path}: a policy maps block to multiplier, got {shortened(policy)}")
        try:
            return cls(policy)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a policy is trained: everything but the data, the model and the seed.

    Args:
        optimizer: ``adam``, ``adamw`` or ``sgd``.
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
        method: What a published method changes; ``None`` is plain fine-tuning of the policy.

    Raises:
        ValueError: if a value is out of its range; the message names the field.
    """

    optimizer: Optimizer = "adam"
    lr: float = 1e-3
    max_lr: float = 1.0
    weight_decay: float = 0.0
    decay_norms_and_biases: bool = True
    momentum: float = 0.9
    schedule: Schedule = "cosine"
    cosine_epochs: int | None = None
    epochs: int = 30
    patience: int | None = 3
    batch_size: int = 32
    metric: Metric = "accuracy"
    bn: BatchNorm = "eval_frozen"
    head_start: HeadStart = "random"
    method: Method | None = None

    def __post_init__(self) -> None:
        for each in dataclasses.fields(self):
            object.__setattr__(self, each.name, plain(getattr(self, each.name)))
        for field, choices in (
            ("optimizer", get_args(Optimizer)),
            ("schedule", get_args(Schedule)),
            ("metric", get_args(Metric)),
            ("bn", get_args(BatchNorm)),
            ("head_start", get_args(HeadStart)),
        ):
            if (value := getattr(self, field)) not in choices:
                raise ValueError(f"{field} must be one of {list(choices)}, got {value!r}")
        for field in ("epochs", "batch_size", "patience", "cosine_epochs"):
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
                f"method Regression needs head_start='fitted', got {self.head_start!r}"
            )

    def as_dict(self) -> dict[str, Any]:
        """Field to value, as plain data.

        ``method`` and ``head_start`` are left out at their defaults, so that the digests of
        recipes from before these fields stay what they were.
        """
        content = dataclasses.asdict(self)
        if self.method is None:
            del content["method"]
        if self.head_start == "random":
            del content["head_start"]
        return content

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
        return cls.from_dict(_object(text, "a recipe is a JSON object of field: value"))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Recipe:
        """Read the recipe of a file that ``optuna-layerwise export`` wrote.

        Raises:
            ValueError: if the file holds none.
        """
        recipe = _read_file(path).get("recipe")
        if not isinstance(recipe, dict):
            raise ValueError(f"{path} holds no recipe, only a policy")
        return cls.from_dict(recipe)


def _object(text: str, expected: str) -> dict[str, Any]:
    try:
        content = decoded(text)
    except ValueError as error:
        raise ValueError(f"{expected}, but {error}") from None
    if not isinstance(content, dict):
        raise ValueError(f"{expected}, got {text[:80]!r}")
    return content


def _read_file(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The object that a JSON or YAML file holds."""
    is_yaml = Path(path).suffix.lower() in _YAML
    try:
        text = Path(path).read_text(encoding="utf-8")
        content = _yaml().safe_load(text) if is_yaml else decoded(text)
    except OSError:
        raise
    except RecursionError:
        raise ValueError(f"{path} cannot be read: {TOO_DEEP}") from None
    except Exception as error:  # of either library, or it is no text
        raise ValueError(f"{path} cannot be read: {str(error).splitlines()[0]}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} must hold names and values, got {text[:80]!r}")
    return content


def _yaml() -> Any:
    import yaml  # Optuna depends on it

    return yaml


def training_flops(flops: Mapping[str, float], policy: Mapping[str, float]) -> float:
    """Operations to train on one image: forward, and backward as far as the policy needs it.

    A block's forward pass, the gradient of its weights and that of its input cost the same.
    Weight gradients are those of trained blocks, input gradients those of all blocks behind the
    lowest trained one; within that, between its own layers, they are left out (2 to 11 % of what
    a training computes).
    """
    order = list(flops)
    lowest = min((order.index(block) for block in order if policy[block] > 0), default=len(order))
    weights = sum(flops[block] for block in order if policy[block] > 0)
    inputs = sum(flops[block] for block in order[lowest + 1 :])
    return sum(flops.values()) + weights + inputs


def _is_finite(value: object) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value)


BIOTUNE_RECIPE = Recipe(
    optimizer="adam",
    lr=1e-3,
    schedule="cosine",
    cosine_epochs=100,
    epochs=30,
    patience=3,
    batch_size=96,
    metric="balanced_accuracy",
    bn="train",
)
"""The recipe of BioTune's experiments (their code; the paper states epochs and patience)."""

PAPER_SEEDS = (684, 559, 629)
"""The seeds of BioTune's code."""

REVO_RECIPE = Recipe(
    optimizer="adam",
    lr=1e-3,
    schedule="constant",
    epochs=30,
    patience=5,
    batch_size=32,
    metric="loss",
    bn="train",
)
"""The recipe of REVO-Tune's experiments.

Stated are the rate of the binary variant, 1e-3, and the validation loss as what is minimised. Not
stated, and chosen here: Adam without decay (as BioTune; the equations are those of SGD), no
schedule, epochs and patience, the batch size, and the whole model in train mode.
"""
