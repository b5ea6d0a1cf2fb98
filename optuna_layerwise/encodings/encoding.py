"""Trial parameters to a policy and back: a mask and a rate over the blocks of a model."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from optuna import Trial
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from optuna_layerwise.encodings.parts import Importance, Mask, Rate, SearchSpace, Threshold
from optuna_layerwise.policy import Policy

Head = Literal["always", "search"]

ENCODINGS: dict[str, tuple[Mask, Rate]] = {
    "biotune": (Threshold(), Importance()),
}
"""Names of pairs of a mask and a rate."""


@dataclasses.dataclass(frozen=True)
class Encoding:
    """Genome <-> policy.

    Args:
        blocks: Block names in forward order; the last is the head.
        mask: Which blocks are trained.
        rate: How fast.
        head: ``always`` trains the head whatever the mask says; ``search`` leaves it to the
            mask (the papers), which can freeze a freshly initialised head.

    Example:
        >>> encoding = Encoding.preset("biotune", ["stem", "layer1", "head"])
        >>> policy = encoding.decode(
        ...     {"imp/stem": 0.2, "imp/layer1": 0.5, "imp/head": 1.0, "imp/__threshold__": 0.4}
        ... )
        >>> dict(policy)
        {'stem': 0.0, 'layer1': 1.0, 'head': 10.0}
        >>> encoding.decode(encoding.encode(policy)) == policy
        True
    """

    blocks: tuple[str, ...]
    mask: Mask
    rate: Rate
    head: Head = "always"

    def __post_init__(self) -> None:
        if len(self.blocks) < 2 or len(set(self.blocks)) < len(self.blocks):
            raise ValueError(f"blocks must be at least two different names, got {self.blocks}")
        if self.head not in ("always", "search"):
            raise ValueError(f"head must be 'always' or 'search', got {self.head!r}")

    @classmethod
    def preset(cls, name: str, blocks: Iterable[str], *, head: Head = "always") -> Encoding:
        """An encoding of `ENCODINGS` for these blocks.

        Raises:
            ValueError: for an unknown name; the message has the nearest one.
        """
        if name not in ENCODINGS:
            near = difflib.get_close_matches(name, ENCODINGS, n=1, cutoff=0.0)
            raise ValueError(
                f"unknown encoding {name!r}; did you mean {near[0]!r}? "
                f"The encodings are {sorted(ENCODINGS)}"
            )
        return cls(tuple(blocks), *ENCODINGS[name], head=head)

    @property
    def search_space(self) -> SearchSpace:
        """Parameter name to Optuna distribution."""
        return {**self.rate.search_space(self.blocks), **self.mask.search_space(self.blocks)}

    @property
    def gates(self) -> frozenset[str]:
        """Parameters that only decide which others are active."""
        return self.mask.gates(self.blocks)

    def active(self, params: Mapping[str, Any]) -> set[str]:
        """The parameters with an effect: gates, and the rates of trained blocks."""
        rates = (self.rate.genes(block) for block in self.decode(params).trained)
        return set(self.gates).union(*rates)

    def valid(self, params: Mapping[str, Any]) -> bool:
        """Whether anything is trained."""
        return any(self._trained(params, block) for block in self.blocks)

    def suggest(self, trial: Trial) -> Policy:
        """Ask a trial for all parameters, and decode them."""
        return self.decode(
            {name: _suggest(trial, name, d) for name, d in self.search_space.items()}
        )

    def decode(self, params: Mapping[str, Any]) -> Policy:
        """The policy of a trial's parameters; others than ours are ignored.

        Raises:
            KeyError: if a parameter is missing.
        """
        return Policy(
            {
                block: self.rate.multiplier(params, block) if self._trained(params, block) else 0.0
                for block in self.blocks
            }
        )

    def encode(self, policy: Mapping[str, float]) -> dict[str, Any]:
        """Parameters that `decode` turns into the policy (multipliers within 1e-12).

        Raises:
            ValueError: if there are none; the message has the nearest policy that can be had.
        """
        if tuple(policy) != self.blocks:
            raise ValueError(f"expected the blocks {self.blocks}, got {tuple(policy)}")
        nearest = {b: self.rate.nearest(value) if value else 0.0 for b, value in policy.items()}
        if self.head == "always" and not policy[self.blocks[-1]]:
            nearest[self.blocks[-1]] = self.rate.nearest(0.0)
        if any(abs(nearest[b] - value) > 1e-12 * value for b, value in policy.items()):
            raise ValueError(
                f"this encoding cannot express {dict(policy)}; the nearest policy is {nearest}"
            )
        rates = self.rate.encode({block: value for block, value in policy.items() if value})
        return {**rates, **self.mask.encode({b: value > 0 for b, value in policy.items()}, rates)}

    def _trained(self, params: Mapping[str, Any], block: str) -> bool:
        always = self.head == "always" and block == self.blocks[-1]
        return always or self.mask.trained(params, block)


def _suggest(trial: Trial, name: str, distribution: object) -> Any:
    if isinstance(distribution, FloatDistribution):
        low, high = distribution.low, distribution.high
        return trial.suggest_float(name, low, high, step=distribution.step, log=distribution.log)
    if isinstance(distribution, IntDistribution):
        low, high = distribution.low, distribution.high
        return trial.suggest_int(name, low, high, step=distribution.step, log=distribution.log)
    assert isinstance(distribution, CategoricalDistribution)
    return trial.suggest_categorical(name, distribution.choices)
