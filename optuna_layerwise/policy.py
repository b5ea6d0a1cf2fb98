"""A policy: which blocks of a network are trained, and how fast.

BioTune (Davila et al.) writes the learning rate of block ``b`` as ``lambda_b = eta_b * lambda0``
with ``eta_b = 0`` for a frozen block. A `Policy` holds the ``eta_b``, a `Recipe` the ``lambda0``
and everything else about a training. Baselines and searched configurations are both pairs of the
two.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping
from numbers import Real
from pathlib import Path

from optuna_layerwise.io.files import write_whole
from optuna_layerwise.io.plain import YAML, object_in, read_object, shortened
from optuna_layerwise.recipe import Recipe


@dataclasses.dataclass(frozen=True)
class Policy(Mapping[str, float]):
    """For every block, in forward order, a multiplier of ``recipe.lr``; 0 is frozen.

    Examples:
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

    def rates(self, recipe: Recipe) -> dict[str, float]:
        """Block to learning rate under a recipe; 0 is frozen."""
        return {block: recipe.rate(value) for block, value in self.multipliers.items()}

    def to_json(self) -> str:
        """One JSON object, block to multiplier."""
        return json.dumps(dict(self.multipliers))

    @classmethod
    def from_json(cls, text: str) -> Policy:
        """Read what `to_json` wrote.

        Raises:
            ValueError: if it is no policy.
        """
        content = object_in(text, "a policy is a JSON object of block: multiplier")
        return cls(content)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a file that `load` reads: YAML if it is called so, else JSON.

        Raises:
            ValueError: if it is called like something else.
        """
        if (suffix := Path(path).suffix.lower()) not in ("", ".json", *YAML):
            raise ValueError(f"a policy is written to .json, .yaml or .yml, got {str(path)!r}")
        if suffix in YAML:
            import yaml  # Optuna depends on it

            text = yaml.safe_dump(dict(self.multipliers), sort_keys=False, allow_unicode=True)
        else:
            text = json.dumps(dict(self.multipliers), indent=2) + "\n"
        write_whole(Path(path), text)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Policy:
        """Read a policy that `save` or ``optuna-layerwise export`` wrote, JSON or YAML.

        Raises:
            ValueError: if the file holds no policy.
        """
        content = read_object(path)
        policy = content.get("policy", content)
        if not isinstance(policy, dict):
            raise ValueError(f"{path}: a policy maps block to multiplier, got {shortened(policy)}")
        try:
            return cls(policy)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error
