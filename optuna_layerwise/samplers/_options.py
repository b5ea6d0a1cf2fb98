"""The options that all samplers have, checked and as plain data before anything is drawn."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from optuna_layerwise.io.plain import plain
from optuna_layerwise.samplers._algorithm import check_whole
from optuna_layerwise.samplers._codec import contains

SearchSpace = dict[str, BaseDistribution]
_KINDS = (FloatDistribution, IntDistribution, CategoricalDistribution)


def checked_seed(seed: Any) -> int | None:
    """A seed.

    Raises:
        ValueError: if it is no whole number, or below 0.
    """
    seed = plain(seed)
    if seed is None:
        return None
    check_whole("seed", seed, least=0)
    return int(seed)


def checked_space(search_space: Any) -> SearchSpace | None:
    """A search space, with choices of Python's own types.

    Raises:
        ValueError: if it is not one.
    """
    if search_space is None:
        return None
    if not isinstance(search_space, Mapping):
        raise ValueError(
            f"search_space must map names to distributions of Optuna, got {search_space!r}"
        )
    for name, distribution in search_space.items():
        if not isinstance(name, str) or not isinstance(distribution, _KINDS):
            raise ValueError(
                "search_space must map names to distributions of Optuna, such as "
                f"{{'x': optuna.distributions.FloatDistribution(0, 1)}}; {name!r} has "
                f"{distribution!r}"
            )
    return {str(name): _plain(distribution) for name, distribution in search_space.items()}


def check_encoding(encoding: object) -> None:
    """Refuse what is no encoding, such as the name of one."""
    wanted = ("search_space", "gates", "active", "valid")
    if encoding is not None and not all(hasattr(encoding, name) for name in wanted):
        raise ValueError(
            "encoding must be an object such as optuna_layerwise.encodings.Encoding.preset(...), "
            f"got {encoding!r}"
        )


def checked_seeds(seed_with: Any, search_space: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Parameters of the first trials.

    Raises:
        ValueError: for a value out of a parameter's range or that no parameter can have, or what
            is no list of parameters.
    """
    if not isinstance(seed_with, Sequence) or isinstance(seed_with, str):
        raise ValueError(f"seed_with must be a list of dictionaries, got {seed_with!r}")
    seeds = [plain(params) for params in seed_with]
    for i, params in enumerate(seeds):
        if not isinstance(params, Mapping):
            raise ValueError(f"seed_with must be a list of dictionaries, but [{i}] is {params!r}")
        for name, value in params.items():
            if not isinstance(name, str) or not _is_json(value):
                raise ValueError(
                    f"seed_with[{i}] must map names of parameters to numbers, texts, True, False "
                    f"or None; {name!r} has {value!r}"
                )
            if name in search_space and not contains(search_space[name], value):
                raise ValueError(
                    f"seed_with[{i}] has {name!r} = {value!r}, which is not a value of "
                    f"{search_space[name]}"
                )
    return [dict(params) for params in seeds]


def named(option: str, values: Any) -> dict[str, Any]:
    """An option that has a value for each of some parameters.

    Raises:
        ValueError: if it maps no names to values.
    """
    if values is None:
        return {}
    if not isinstance(values, Mapping) or not all(isinstance(name, str) for name in values):
        raise ValueError(f"{option} must map names of parameters to values, got {values!r}")
    return dict(plain(values))


def _is_json(value: Any) -> bool:
    try:
        json.dumps(value)
    except (TypeError, ValueError):
        return False
    return True


def _plain(distribution: Any) -> BaseDistribution:
    if isinstance(distribution, CategoricalDistribution):
        return CategoricalDistribution(plain(distribution.choices))
    return distribution  # type: ignore[no-any-return]
