"""Trial parameters to a policy and back: a mask and a rate over the blocks of a model."""

from __future__ import annotations

import dataclasses
import difflib
import math
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any, Literal

from optuna import Trial
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from optuna_layerwise.encodings.genes import Gene, Layout, Mask, Rate, SearchSpace
from optuna_layerwise.encodings.known_policies import known_policies
from optuna_layerwise.encodings.masks import All, Bits, Threshold
from optuna_layerwise.encodings.profile import Profile
from optuna_layerwise.encodings.rates import (
    Fixed,
    FromSet,
    Global,
    Importance,
    Linear,
    PerBlock,
)
from optuna_layerwise.encodings.tuned_fields import tuned_genes
from optuna_layerwise.policy import Policy
from optuna_layerwise.recipe import Recipe

Head = Literal["always", "search"]
N_RECIPES = 4
"""Known recipes that a search begins with, if it does: 4 % of 100 trials."""

ENCODINGS: dict[str, tuple[Mask, Rate]] = {
    "biotune": (Threshold(), Importance()),
    "binary": (Bits(), Global()),
    "binary-fixed": (Bits(), Fixed()),
    "continuous": (All(), PerBlock()),
    "continuous-multiplier": (All(), Linear()),
    "continuous-linear": (All(), Linear(absolute=True)),
    "set": (All(), FromSet()),
    "hybrid": (Bits(), PerBlock()),
    "profile": (Bits(), Profile()),
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
        lr: The recipe's learning rate: policies hold multipliers of it, so a rate that searches
            learning rates divides by it.
        tuned: Fields of the recipe that are searched beside the policy, such as ``weight_decay``
            or ``method.weight``; see `Encoding.recipe`.

    Examples:
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
    lr: float = 1e-3
    tuned: Mapping[str, Gene] = dataclasses.field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        if len(self.blocks) < 2 or len(set(self.blocks)) < len(self.blocks):
            raise ValueError(f"blocks must be at least two different names, got {self.blocks}")
        if self.head not in ("always", "search"):
            raise ValueError(f"head must be 'always' or 'search', got {self.head!r}")
        if not (math.isfinite(self.lr) and self.lr > 0):
            raise ValueError(f"lr must be finite and above 0, got {self.lr!r}")

    @classmethod
    def preset(
        cls, name: str, blocks: Iterable[str], *, head: Head = "always", lr: float = 1e-3
    ) -> Encoding:
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
        return cls(tuple(blocks), *ENCODINGS[name], head=head, lr=lr)

    def tuning(self, fields: Iterable[str], recipe: Recipe) -> Encoding:
        """The same encoding, which tunes fields of a recipe as well.

        A search begins at the recipe's own values, and `recipes` have them.

        Args:
            fields: Names in `TUNABLE`.
            recipe: The recipe that trials change; see `Encoding.recipe`.

        Raises:
            ValueError: if a field cannot be tuned, or is tuned already.

        Examples:
            >>> encoding = Encoding.preset("binary", ["stem", "head"])
            >>> tuned = encoding.tuning(["weight_decay"], Recipe(weight_decay=1e-4))
            >>> tuned.recipes()[0]["weight_decay"]
            0.0001
        """
        genes = tuned_genes(fields, recipe)
        if twice := [field for field in genes if field in self.genes]:
            raise ValueError(f"{', '.join(twice)} is searched already; do not tune it again")
        return dataclasses.replace(self, tuned={**self.tuned, **genes})

    @cached_property
    def layout(self) -> Layout:
        """What the mask and the rate are told."""
        always = frozenset(self.blocks[-1:] if self.head == "always" else ())
        return Layout(self.blocks, always, self.lr)

    @property
    def genes(self) -> dict[str, Gene]:
        """Parameter name to distribution and start."""
        layout = self.layout
        return {**self.rate.genes(layout), **self.mask.genes(layout), **self.tuned}

    @property
    def search_space(self) -> SearchSpace:
        """Parameter name to Optuna distribution."""
        return {name: gene.distribution for name, gene in self.genes.items()}

    @property
    def initial_means(self) -> dict[str, tuple[float, float]]:
        """Of numbers: where a search begins, and with which standard deviation.

        The latter is a share of the parameter's range, on its own scale (log where it is log).
        """
        return {
            name: (gene.start[0], gene.start[1])
            for name, gene in self.genes.items()
            if not isinstance(gene.distribution, CategoricalDistribution)
        }

    @property
    def initial_probabilities(self) -> dict[str, tuple[float, ...]]:
        """Of categories: the probability of each choice where a search begins."""
        return {
            name: gene.start
            for name, gene in self.genes.items()
            if isinstance(gene.distribution, CategoricalDistribution)
        }

    @cached_property
    def gates(self) -> frozenset[str]:
        """Parameters that only decide which others are active."""
        return frozenset(self.mask.genes(self.layout)) - frozenset(self.rate.genes(self.layout))

    def active(self, params: Mapping[str, Any]) -> set[str]:
        """The parameters with an effect: gates, and those of the rates of trained blocks."""
        layout = self.layout
        rates = (self.rate.names(b) for b in layout.blocks if self._chosen(params, b, layout))
        return set(self.gates).union(self.tuned, *rates)

    def valid(self, params: Mapping[str, Any]) -> bool:
        """Whether anything is trained."""
        return bool(self.decode(params).trained)

    def recipe(self, params: Mapping[str, Any], base: Recipe) -> Recipe:
        """The recipe with what is tuned as the parameters say.

        Raises:
            KeyError: if a parameter is missing.
            ValueError: if the recipe has no such field.
        """
        return base.changed({name: params[name] for name in self.tuned}) if self.tuned else base

    @property
    def first(self) -> dict[str, Any]:
        """Parameters where a search begins: its means, and the likeliest categories."""
        return {
            name: gene.distribution.choices[gene.start.index(max(gene.start))]
            if isinstance(gene.distribution, CategoricalDistribution)
            else gene.start[0]
            for name, gene in self.genes.items()
        }

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
        layout = self.layout
        return Policy(
            {
                block: self.rate.multiplier(params, block, layout)
                if self._chosen(params, block, layout)
                else 0.0
                for block in self.blocks
            }
        )

    def encode(self, policy: Mapping[str, float]) -> dict[str, Any]:
        """Parameters that `decode` turns into the policy (multipliers within 1e-12).

        What is tuned beside it is where a search begins.

        Raises:
            ValueError: if there are none; the message has the nearest policy that can be had.
        """
        if tuple(policy) != self.blocks:
            raise ValueError(f"expected the blocks {self.blocks}, got {tuple(policy)}")
        params = self._nearest(Policy(policy))
        nearest = self.decode(params)
        if any(abs(nearest[block] - value) > 1e-12 * value for block, value in policy.items()):
            raise ValueError(
                f"this encoding cannot express {dict(policy)}; "
                f"the nearest policy is {dict(nearest)}"
            )
        return params

    def recipes(self) -> list[dict[str, Any]]:
        """Known recipes as first evaluations, most useful first, each once.

        Full fine-tuning, the head alone, layer-wise decay and the last k blocks, each at the
        recipe's rate and at a tenth of it. A rate that cannot be had is replaced by the nearest
        one; a recipe that trains other blocks then, or with other ratios, is left out.
        """
        found: dict[tuple[str, ...], dict[str, Any]] = {}
        for wanted in known_policies(self.blocks):
            params = self._nearest(wanted)
            policy = self.decode(params)
            if policy.trained == wanted.trained:
                ratios = [policy[block] / wanted[block] for block in policy.trained]
                if max(ratios) < min(ratios) * (1 + 1e-9):
                    found.setdefault(tuple(f"{v:.9g}" for v in policy.values()), params)
        return list(found.values())

    def _nearest(self, policy: Policy) -> dict[str, Any]:
        layout = self.layout
        trained = {block: policy[block] > 0 for block in layout.optional}
        rated = policy.trained
        params: dict[str, Any] = {}
        for _ in range(2):  # the second time also for blocks that the mask could not freeze
            rates = self.rate.encode({block: policy[block] for block in rated}, layout)
            params = {**self._tuned_first, **rates, **self.mask.encode(trained, rates)}
            rated = tuple(b for b in self.blocks if self._chosen(params, b, layout))
        return params

    @property
    def _tuned_first(self) -> dict[str, Any]:
        first = self.first
        return {name: first[name] for name in self.tuned}

    def _chosen(self, params: Mapping[str, Any], block: str, layout: Layout) -> bool:
        return block in layout.always or self.mask.trained(params, block)


def _suggest(trial: Trial, name: str, distribution: object) -> Any:
    if isinstance(distribution, FloatDistribution):
        low, high = distribution.low, distribution.high
        return trial.suggest_float(name, low, high, step=distribution.step, log=distribution.log)
    if isinstance(distribution, IntDistribution):
        low, high = distribution.low, distribution.high
        return trial.suggest_int(name, low, high, step=distribution.step, log=distribution.log)
    assert isinstance(distribution, CategoricalDistribution)
    return trial.suggest_categorical(name, distribution.choices)
