"""The contract between a pure algorithm and the engine that makes a sampler of it.

An algorithm minimises, works on genes in the unit cube and knows neither Optuna nor torch. It
is asked for one trial at a time and told whole cohorts, in order; a cohort is a fixed range of
consecutive trial numbers.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from optuna_layerwise.io.plain import plain
from optuna_layerwise.storage.standing import FINISHED, Standing

Genes = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
Facts = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Space:
    """What an algorithm sees of a search space.

    Args:
        names: The genes, in a fixed order.
        choices: For each gene the number of unordered categories, 0 for an ordered gene. The
            value of category ``c`` of ``n`` is ``(c + 0.5) / n``.
        levels: For each gene the number of equally wide levels, those of a category included,
            0 on a continuous or logarithmic scale; level ``k`` of ``n`` is ``(k + 0.5) / n``.
        grid: For each ordered gene the genes of its values, ascending; none on a continuous
            scale, nor where there are so many that it is as good as continuous.
        executed: Genes [n] to those of the values that a trial would get: levels at their centre.
        encode: Parameters to genes [n], NaN for those that are not given, or out of the range.
        active: Genes [n] to a mask [n] of those whose value has an effect.
        valid: Genes [n] to whether the point is worth an evaluation.
        gates: Mask [n] of the genes that only decide which others are active.
    """

    names: tuple[str, ...]
    choices: tuple[int, ...]
    levels: tuple[int, ...]
    grid: tuple[tuple[float, ...], ...]
    executed: Callable[[Genes], Genes]
    encode: Callable[[Mapping[str, Any]], Genes]
    active: Callable[[Genes], Mask]
    valid: Callable[[Genes], bool]
    gates: Mask


@dataclasses.dataclass(frozen=True)
class Draw:
    """A proposed point, genes [n], and the plain JSON facts that `tell` wants back."""

    genes: Genes
    facts: Facts


@dataclasses.dataclass(frozen=True)
class Member:
    """The outcome of one trial of a cohort.

    Args:
        number: Trial number.
        genes: The executed point [n]; NaN where the trial did not have the gene.
        facts: Those of its `Draw`; ``None`` for a trial that someone else proposed.
        order: Sorts members from best to worst; a missing one is as one that failed.
    """

    number: int
    genes: Genes
    facts: Facts | None
    order: Standing

    @property
    def finished(self) -> bool:
        """Whether the trial ended with a finite value within its constraints."""
        return self.order.outcome == FINISHED

    @property
    def cost(self) -> float:
        """The value to minimise; only meaningful where `finished`."""
        return self.order.cost

    def beats(self, other: Member) -> bool:
        """Strictly better; the trial number, which only orders, does not count."""
        return self.merit < other.merit

    @property
    def merit(self) -> tuple[float, ...]:
        """The order without the number: equal for trials that are equally good."""
        return self.order[:-1]


class Rng(Protocol):
    """Generators that depend on nothing but the study's seed and what they are asked for."""

    def __call__(self, label: str, index: int | None = None) -> np.random.Generator:
        """One stream per (seed, cohort, label, index); ``index=None`` is the member's own."""
        ...


def uniform_gene(rng: Rng, name: str, index: int | None = None) -> float:
    """The gene of a first trial, uniform in [0, 1): the same whether or not others are known."""
    return float(rng(f"gene/{name}", index).random())


def check_whole(name: str, value: object, *, least: int) -> None:
    """Refuse an option that is no whole number, or too small."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError(f"{name} must be a whole number, got {value!r}")
    if value < least:
        raise ValueError(f"{name} must be at least {least}, got {value}")


def check_share(name: str, value: object) -> None:
    """Refuse an option that is no number above 0 and at most 1."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not (number and 0 < value <= 1):  # type: ignore[operator]
        raise ValueError(f"{name} must be above 0 and at most 1, got {value!r}")


def check_flag(name: str, value: object) -> None:
    """Refuse an option that is neither true nor false, such as the word no, which is true."""
    if not isinstance(value, bool):
        raise ValueError(f"{name} must be true or false, got {value!r}")


class _Dataclass(Protocol):
    __dataclass_fields__: ClassVar[dict[str, Any]]


A = TypeVar("A", bound=_Dataclass)


def preset_with(presets: Mapping[str, A], preset: str, options: Mapping[str, Any]) -> A:
    """A preset, with those of the options that are not ``None`` instead of its own.

    Raises:
        ValueError: for an unknown preset, or an option out of range.
    """
    if not isinstance(preset, str) or preset not in presets:
        raise ValueError(f"preset must be one of {list(presets)}, got {preset!r}")
    given = {name: plain(value) for name, value in options.items() if value is not None}
    return dataclasses.replace(presets[preset], **given)


def name_with_options(name: str, options: object) -> str:
    """A name that differs where options do: trials drawn under others are read as foreign."""
    return f"{name}/{hashlib.blake2b(repr(options).encode(), digest_size=4).hexdigest()}"


class Algorithm(Protocol):
    """A search algorithm; ``State`` is its own, immutable."""

    @property
    def name(self) -> str:
        """Stored with each trial; changes when old facts can no longer be read."""
        ...

    @property
    def population(self) -> int:
        """As many later trials may finish before a cohort stops waiting for a straggler."""
        ...

    def start(self, space: Space) -> Any:
        """The state before any trial."""
        ...

    def cohort_size(self, cohort: int) -> int:
        """Number of trials of a cohort, at least 1."""
        ...

    def generation(self, cohort: int) -> int:
        """What a user calls the generation of a cohort's trials."""
        ...

    def ask(self, state: Any, cohort: int, index: int, rng: Rng) -> Draw:
        """Draw member ``index`` of ``cohort`` from a state that may be older than that cohort."""
        ...

    def tell(self, state: Any, cohort: int, members: Sequence[Member]) -> Any:
        """The state after ``cohort``; copies, never raises on any outcome."""
        ...


class Encoding(Protocol):
    """What a sampler may know about the meaning of genes; encodings provide it."""

    @property
    def search_space(self) -> Mapping[str, Any]:
        """Parameter name to Optuna distribution."""
        ...

    @property
    def gates(self) -> frozenset[str]:
        """Parameters that only decide which others are active, such as a threshold."""
        ...

    @property
    def initial_means(self) -> Mapping[str, tuple[Any, float]]:
        """Of numbers: the value where a search begins, and a deviation as a share of the range."""
        ...

    @property
    def initial_probabilities(self) -> Mapping[str, tuple[float, ...]]:
        """Of categories: the probability of each choice where a search begins."""
        ...

    def active(self, params: Mapping[str, Any]) -> set[str]:
        """The parameters whose value has an effect."""
        ...

    def valid(self, params: Mapping[str, Any]) -> bool:
        """Whether the parameters describe something worth an evaluation."""
        ...
