"""A table of text, however it is printed, and numbers as text."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence

from optuna_layerwise.io.texts import visible
from optuna_layerwise.records.final import Candidate

_NOISE = 1e-12
"""Differences below are those of the last bits."""


@dataclasses.dataclass(frozen=True)
class Grid:
    """A table of plain text; what prints it escapes what its format needs.

    Args:
        title: Above it.
        header: Names of the columns; the first is text, the others are aligned as numbers.
        rows: Cells.
        note: Below it.
        shades: Of a matrix: how dark each cell behind the first of a row is, from -1 (all of a
            row's mistakes) over 0 to 1. Only HTML shows them.
        pictures: Data URIs, one for each row; empty for a row without one. HTML then shows cards
            in the place of rows; Markdown shows no picture.
    """

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""
    shades: Sequence[Sequence[float]] = ()
    pictures: Sequence[str] = ()


def clean(text: object) -> str:
    """Text from a database on one line, without what a terminal would obey."""
    return visible(text)


def number(value: float | None, digits: int = 3) -> str:
    """Fixed digits for values of a metric; significant ones where they are large or tiny."""
    if value is None or math.isnan(value):
        return "-"
    if value != 0 and not 10.0**-digits <= abs(value) < 1000:
        return f"{value:.{digits}g}"
    return f"{value:.{digits}f}"


def mean_and_spread(candidate: Candidate, metric: str) -> str:
    """Test mean ± standard deviation; of one training without the latter."""
    mean, spread = candidate.mean(metric, split="test"), candidate.spread(metric)
    if math.isnan(spread):
        return number(mean)
    fixed = round(spread, 3) if abs(mean) >= 1e-3 else spread  # as many digits as the mean has
    return f"{number(mean)} ± {number(fixed)}"


def tuned_text(changes: Mapping[str, object]) -> str:
    """Fields of a recipe that were tuned, with the values found.

    Examples:
        >>> tuned_text({"weight_decay": 0.00123456, "method.rank": 8})
        'weight_decay = 0.00123, method.rank = 8'
    """
    return ", ".join(
        f"{clean(name)} = {value:.3g}" if isinstance(value, float) else clean(f"{name} = {value}")
        for name, value in changes.items()
    )


def interval(bounds: tuple[float, float] | None, *, signed: bool = False) -> str:
    """Brackets around two numbers; nothing for ``None``."""
    if bounds is None:
        return ""
    low, high = (signed_number(b) if signed else number(b) for b in bounds)
    return f"[{low}, {high}]"


def signed_number(value: float, digits: int = 3) -> str:
    """A difference, with its sign; what rounding has left of none is zero."""
    if abs(value) < _NOISE:
        return number(0.0, digits)
    return f"{'+' if value > 0 else '-'}{number(abs(value), digits)}"


def probability(p: float) -> str:
    """A p-value: three digits, or that it is below."""
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def count(value: float) -> str:
    """A whole number with thousands apart."""
    return f"{value:,.0f}"


def duration(seconds: float) -> str:
    """In the unit that people would say."""
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} s"


def plan_text(policy: Mapping[str, float] | None, limit: int = 24) -> str:
    """A policy in one word; of many blocks only how many are trained."""
    if not policy:
        return "-"
    if len(policy) > limit:
        return f"{sum(value > 0 for value in policy.values())} of {len(policy)} trained"
    return "".join("■" if value > 0 else "❄" for value in policy.values())
