"""What a published method changes in a training, as plain data that a `Recipe` holds.

The classes say what there is to choose, and in ``course`` where the `Course` is that does it;
`optuna_layerwise.baselines` has the published choices. A course needs torch and is imported when
it is trained with.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from numbers import Real
from typing import Any, ClassVar, Literal

from optuna_layerwise.io.plain import plain


@dataclasses.dataclass(frozen=True, kw_only=True)
class Penalty:
    """L2-SP or L1-SP: the distance of the weights from where they started (Li et al. 2018).

    Args:
        name: ``l2-sp`` adds ``weight / 2 * ||w - w0||_2^2``, ``l1-sp`` adds
            ``weight * ||w - w0||_1``, over the weights of convolutions and linear layers in the
            trained blocks of the trunk; norms and biases are left free.
        weight: alpha.
        head_weight: beta; ``head_weight / 2 * ||w||_2^2`` of the head's weights is added.
    """

    course: ClassVar[str] = "optuna_layerwise.training.methods.penalty:PenaltyCourse"
    name: Literal["l2-sp", "l1-sp"] = "l2-sp"
    weight: float = 0.1
    head_weight: float = 0.01

    def __post_init__(self) -> None:
        _make_plain(self)
        _one_of("name", self.name, ("l2-sp", "l1-sp"))
        _number("weight", self.weight)
        _number("head_weight", self.head_weight)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Unfreezing:
    """Gradual unfreezing, the head first (Howard and Ruder 2018) or the stem first.

    Args:
        name: ``last-to-first`` begins with the head alone; ``first-to-last`` with the first
            block, and with the head, since without it the loss says nothing.
        every: Epochs from one block to the next. Default: epochs / (2 blocks), so that the later
            half of the training has all of them; in whole epochs where that is more than one.
    """

    course: ClassVar[str] = "optuna_layerwise.training.methods.unfreezing:UnfreezingCourse"
    name: Literal["last-to-first", "first-to-last"] = "last-to-first"
    every: float | None = None

    def __post_init__(self) -> None:
        _make_plain(self)
        _one_of("name", self.name, ("last-to-first", "first-to-last"))
        if self.every is not None:
            _number("every", self.every, above=0.0)


@dataclasses.dataclass(frozen=True, kw_only=True)
class GradientNorms:
    """AutoRGN: each tensor learns at its relative gradient norm (Lee et al. 2022).

    Over the first ``batches`` of an epoch r = mean of ||gradient|| / ||tensor||; the tensor
    learns at r / max r times the rate of its block.

    Args:
        name: ``auto-rgn``.
        batches: That r is a mean over.
        every: ``epoch``, or ``once`` before the first step.
        norms: Train the parameters of norm layers as well; the official code does not.
        reset: Begin each epoch with an optimizer that remembers nothing, as the official code.
    """

    course: ClassVar[str] = "optuna_layerwise.training.methods.gradient_norms:GradientNormCourse"
    name: Literal["auto-rgn"] = "auto-rgn"
    batches: int = 5
    every: Literal["epoch", "once"] = "epoch"
    norms: bool = False
    reset: bool = True

    def __post_init__(self) -> None:
        _make_plain(self)
        _one_of("name", self.name, ("auto-rgn",))
        _one_of("every", self.every, ("epoch", "once"))
        _whole("batches", self.batches)
        for field in ("norms", "reset"):
            if not isinstance(value := getattr(self, field), bool):
                raise ValueError(f"{field} must be true or false, got {value!r}")


@dataclasses.dataclass(frozen=True, kw_only=True)
class LowRank:
    """LoRA: what is added to a frozen weight has a low rank (Hu et al. 2022).

    Args:
        name: ``lora``.
        rank: Of what is added to each convolution and linear layer of a trained block; not to
            grouped convolutions and not to those of the first block. The head is trained whole.
        alpha: What is added is multiplied by ``alpha / rank``.
    """

    course: ClassVar[str] = "optuna_layerwise.training.methods.low_rank:LowRankCourse"
    name: Literal["lora"] = "lora"
    rank: int = 8
    alpha: float = 16.0

    def __post_init__(self) -> None:
        _make_plain(self)
        _one_of("name", self.name, ("lora",))
        _whole("rank", self.rank)
        _number("alpha", self.alpha, above=0.0)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Regression:
    """The fitted head of ``Recipe.head_start`` as it is: no epoch is trained.

    Args:
        name: ``regression``.
    """

    course: ClassVar[str] = "optuna_layerwise.training.methods.regression:RegressionCourse"
    name: Literal["regression"] = "regression"

    def __post_init__(self) -> None:
        _one_of("name", self.name, ("regression",))


Method = Penalty | Unfreezing | GradientNorms | LowRank | Regression
METHODS: dict[str, type[Any]] = {
    "l2-sp": Penalty,
    "l1-sp": Penalty,
    "last-to-first": Unfreezing,
    "first-to-last": Unfreezing,
    "auto-rgn": GradientNorms,
    "lora": LowRank,
    "regression": Regression,
}
"""Value of the field ``name`` to the class that has it; the one place where a method is listed."""


def method_from(content: Mapping[str, Any]) -> Method:
    """The method of what `dataclasses.asdict` gave.

    Raises:
        ValueError: for an unknown name or field, or a value out of range.
    """
    name = content.get("name")
    kind = METHODS.get(name) if isinstance(name, str) else None
    if kind is None:
        raise ValueError(f"a method's name must be one of {list(METHODS)}, got {name!r}")
    known = [field.name for field in dataclasses.fields(kind)]
    if unknown := sorted(set(content) - set(known)):
        raise ValueError(f"unknown fields {unknown}; method {name} has {known}")
    made: Method = kind(**content)
    return made


def _make_plain(method: Method) -> None:
    for field in dataclasses.fields(method):
        object.__setattr__(method, field.name, plain(getattr(method, field.name)))


def _one_of(field: str, value: object, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(f"{field} must be one of {list(choices)}, got {value!r}")


def _whole(field: str, value: object) -> None:
    if not (type(value) is int and value >= 1):
        raise ValueError(f"{field} must be a whole number, at least 1, got {value!r}")


def _number(field: str, value: object, *, above: float | None = None) -> None:
    number = isinstance(value, Real) and math.isfinite(value)
    if not number or (value < 0 if above is None else value <= above):  # type: ignore[operator]
        bound = "at least 0" if above is None else f"above {above:g}"
        raise ValueError(f"{field} must be finite and {bound}, got {value!r}")
