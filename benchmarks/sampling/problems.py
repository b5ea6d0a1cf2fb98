"""Noisy problems with a known optimum that resemble the search for layer-wise policies.

What a policy costs is measured against the best one of the instance, block by block and in what
neighbours do together, so that the optimum is known by construction. A seed draws an instance:
which blocks are best frozen, the trend of the best rate with depth, how much each block matters
(heavy-tailed), and how far the rates may be raised before training diverges. Measured is an
accuracy on 120 images: noisy, saturating, and in steps that tie; the loss that breaks ties is
noisy as well, and grows with high rates as overconfidence does.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from optuna_layerwise.encodings import Encoding

Array = NDArray[np.float64]
Params = Mapping[str, Any]

N_IMAGES = 120
NOISE = 0.012
"""Standard deviation of a measured accuracy, beside its rounding to `N_IMAGES`."""
TIE_NOISE = 0.03
FLOOR = 0.45
"""Accuracy far from the optimum."""


class Instance(Protocol):
    """One draw of a problem."""

    encoding: Encoding | None
    search_space: Mapping[str, BaseDistribution]
    optimum: Params
    best: float

    def accuracy(self, params: Params) -> float:
        """Without noise; 0 where training diverges."""
        ...

    def duration(self, params: Params) -> float:
        """Of a trial, in any unit."""
        ...


def regret(instance: Instance, params: Params) -> float:
    """Percentage points of noiseless accuracy below the optimum."""
    return 100 * (instance.best - instance.accuracy(params))


def observe(instance: Instance, params: Params, rng: Generator) -> tuple[float, float]:
    """What a trial sees: the accuracy on the validation images, and the loss for ties."""
    noise, tie_noise = rng.standard_normal(2)
    accuracy = instance.accuracy(params)
    if not accuracy:
        return 0.0, 10.0
    seen = round(N_IMAGES * (accuracy + NOISE * noise)) / N_IMAGES
    return min(max(seen, 0.0), 1.0), 0.1 + 2.5 * (1 - accuracy) + TIE_NOISE * tie_noise


@dataclasses.dataclass(frozen=True)
class Roughness:
    """A bounded, many-valued term: at least 0, and 0 where nothing deviates.

    mean_k 1 - cos(F_k e) for deviations e; each row of F has a few entries: blocks that act
    together in a way that no depth trend, and no single block, explains.
    """

    frequencies: Array

    @classmethod
    def draw(cls, n: int, rng: Generator) -> Roughness:
        """2 n terms of three of the n deviations each."""
        frequencies = rng.normal(0, 1.5, (2 * n, n))
        order = rng.random((2 * n, n)).argsort(axis=1).argsort(axis=1)
        return cls(np.where(order < 3, frequencies, 0.0))

    def __call__(self, deviations: Array) -> float:
        """From 0 to 2."""
        return float(np.mean(1 - np.cos(self.frequencies @ deviations)))


def _together(e: Array, weight: Array, signs: Array, roughness: Roughness) -> float:
    """Deviations [n] in [-1, 1] to a deficit: own, between neighbours, common, and rough."""
    pair = (weight[1:] + weight[:-1]) / 2
    return float(
        weight @ e**2
        + 0.5 * pair @ (e[1:] + signs * e[:-1]) ** 2
        + 0.5 * (weight @ e) ** 2
        + 0.25 * roughness(e)
    )


@dataclasses.dataclass(frozen=True)
class Layers:
    """A policy over blocks, judged against the best one.

    Args:
        encoding: Of the search space.
        optimum: Parameters of the best policy.
        rates: Its multipliers, [n]; 0 is frozen.
        weight: How much each block matters, [n], of sum 1.
        width: Decades by which a rate may be off until its block has lost half, [n].
        signs: Whether two neighbours compensate or repeat each other's deviation, [n - 1].
        roughness: Of the deviations.
        scale: Deficit at which the accuracy has fallen by 63 % of what it can.
        limit: Training diverges above this weighted sum of multipliers.
        best: Accuracy of the optimum.
    """

    encoding: Encoding
    optimum: Params
    rates: Array
    weight: Array
    width: Array
    signs: Array
    roughness: Roughness
    scale: float
    limit: float
    best: float

    @property
    def search_space(self) -> Mapping[str, BaseDistribution]:
        """The encoding's."""
        return self.encoding.search_space

    def _rates(self, params: Params) -> Array:
        return np.array(list(self.encoding.decode(params).values()))

    def accuracy(self, params: Params) -> float:
        """Falls exponentially with the deficit; 0 where training diverges."""
        rates, best = self._rates(params), self.rates
        if self.weight @ rates > self.limit:
            return 0.0
        with np.errstate(divide="ignore", invalid="ignore"):
            z = np.log10(rates / best) / self.width
            off = z / np.sqrt(1 + z**2)  # too slow .. too fast
        off = np.where(rates == 0, -1.0, off)
        overfit = rates / (0.3 + rates)  # of a block that is best frozen
        e = np.where(best > 0, off, overfit)
        deficit = _together(e, self.weight, self.signs, self.roughness)
        return FLOOR + (self.best - FLOOR) * math.exp(-deficit / self.scale)

    def duration(self, params: Params) -> float:
        """Forward, and back to the lowest trained block; each trained block adds its gradient."""
        trained = self._rates(params) > 0
        return float(0.5 + 0.5 * (1 - trained.argmax() / len(trained)) + trained.mean())


def _layers(preset: str, n: int, policy: Callable[..., Array]) -> Callable[[int], Layers]:
    """A problem over n blocks; ``policy(depth, frozen, rng)`` draws the best rates."""

    def instance(seed: int) -> Layers:
        rng = np.random.Generator(np.random.Philox(key=[seed, n]))
        blocks = [*(f"b{k}" for k in range(n - 1)), "head"]
        encoding = Encoding.preset(preset, blocks)
        depth = np.linspace(0, 1, n)
        # Early blocks are rather frozen than late ones, in most instances.
        tendency = rng.normal(1.0, 1.0)
        frozen = rng.random(n) < 1 / (1 + np.exp(0.8 + 3 * tendency * (depth - 0.5)))
        frozen[-1] = False
        rates = policy(depth, frozen, rng)
        weight = np.exp(rng.normal(0, 1.0, n))
        weight[-1] = max(weight)
        weight /= weight.sum()
        return Layers(
            encoding=encoding,
            optimum=encoding.encode(dict(zip(blocks, rates.tolist(), strict=True))),
            rates=rates,
            weight=weight,
            width=rng.uniform(0.35, 0.8, n),
            signs=rng.choice([-1.0, 1.0], n - 1),
            roughness=Roughness.draw(n, rng),
            scale=rng.uniform(5.0, 8.0),
            limit=rng.uniform(4.0, 8.0) * max(float(weight @ rates), 1.0),
            best=rng.uniform(0.82, 0.95),
        )

    return instance


def _trend(depth: Array, frozen: Array, rng: Generator) -> Array:
    """Rates along a line over the depth, with scatter; 0 where frozen."""
    log = rng.normal(0, 0.3) + rng.normal(0.5, 0.6) * (depth - 0.5)
    log = np.clip(log + rng.normal(0, 0.2, len(depth)), -0.9, 0.9)
    return np.where(frozen, 0.0, 10.0**log)


def _never_frozen(depth: Array, frozen: Array, rng: Generator) -> Array:
    """As `_trend`; what is best frozen is best at a hundredth."""
    return np.where(frozen, 10.0**-2, _trend(depth, np.zeros_like(frozen), rng))


def _one_rate(depth: Array, frozen: Array, rng: Generator) -> Array:
    """The same rate wherever not frozen."""
    return np.where(frozen, 0.0, 10.0 ** rng.normal(-0.2, 0.4))


def _levels(depth: Array, frozen: Array, rng: Generator) -> Array:
    """As `_trend`, each rate moved to the nearest power of ten."""
    rates = _trend(depth, frozen, rng)
    return np.where(frozen, 0.0, 10.0 ** np.round(np.log10(np.where(frozen, 1.0, rates))))


def _profile(depth: Array, frozen: Array, rng: Generator) -> Array:
    """Rates on a parabola over the depth."""
    x = 2 * depth - 1
    log = rng.normal(-0.2, 0.3) + rng.normal(0.25, 0.3) * x + rng.normal(0, 0.15) * x**2
    return np.where(frozen, 0.0, 10.0**log)


MIXED: dict[str, BaseDistribution] = {
    **{f"x{k}": FloatDistribution(-1.0, 2.0) for k in range(4)},
    "lr": FloatDistribution(1e-5, 1e-1, log=True),
    "decay": FloatDistribution(1e-6, 1e-2, log=True),
    "epochs": IntDistribution(2, 20),
    "layers": IntDistribution(0, 5),
    "batch": IntDistribution(8, 128, log=True),
    "step": FloatDistribution(0.0, 1.0, step=0.125),
    **{f"flag{k}": CategoricalDistribution([False, True]) for k in range(2)},
    "optimizer": CategoricalDistribution(["sgd", "adam", "adamw"]),
    "schedule": CategoricalDistribution(["constant", "linear", "cosine", "step", "onecycle"]),
}


@dataclasses.dataclass(frozen=True)
class Mixed:
    """Any parameters: deviations of ordered ones on their scale, and of categories by a table.

    Args:
        optimum: The best parameters.
        tables: Deviation of each category, 0 for the best one.
        weight: As in `Layers`, as are those that follow.
    """

    optimum: Params
    tables: Mapping[str, Array]
    weight: Array
    width: Array
    signs: Array
    roughness: Roughness
    scale: float
    best: float
    encoding: None = None
    search_space = MIXED

    def accuracy(self, params: Params) -> float:
        """Falls exponentially with the deficit."""
        e = [
            self.tables[name][d.choices.index(params[name])]
            if isinstance(d, CategoricalDistribution)
            else (_place(params[name], d) - _place(self.optimum[name], d)) / width
            for (name, d), width in zip(MIXED.items(), self.width, strict=True)
        ]
        deficit = _together(np.tanh(e), self.weight, self.signs, self.roughness)
        return FLOOR + (self.best - FLOOR) * math.exp(-deficit / self.scale)

    def duration(self, params: Params) -> float:
        """Grows with the epochs."""
        return 0.2 + float(params["epochs"]) / 10


def _place(value: float, distribution: BaseDistribution) -> float:
    """Where a value lies between the bounds, from 0 to 1."""
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    low, high = distribution.low, distribution.high
    if distribution.log:
        low, high, value = math.log(low), math.log(high), math.log(value)
    return (value - low) / (high - low)


def _mixed(seed: int) -> Mixed:
    rng = np.random.Generator(np.random.Philox(key=[seed, len(MIXED)]))
    optimum: dict[str, Any] = {}
    tables = {}
    for name, d in MIXED.items():
        if isinstance(d, CategoricalDistribution):
            table = rng.uniform(0.3, 1.2, len(d.choices)) * rng.choice([-1, 1], len(d.choices))
            table[rng.integers(len(table))] = 0.0
            tables[name] = table
            optimum[name] = d.choices[int(np.flatnonzero(table == 0)[0])]
            continue
        assert isinstance(d, FloatDistribution | IntDistribution)
        place = rng.beta(1.5, 1.5)
        if d.log:
            value = math.exp(math.log(d.low) + place * math.log(d.high / d.low))
        else:
            value = d.low + place * (d.high - d.low)
        if isinstance(d, IntDistribution):
            value = round(value)
        elif d.step:
            value = d.low + d.step * round((value - d.low) / d.step)
        optimum[name] = value
    n = len(MIXED)
    weight = np.exp(rng.normal(0, 1.0, n))
    return Mixed(
        optimum=optimum,
        tables=tables,
        weight=weight / weight.sum(),
        width=rng.uniform(0.2, 0.5, n),
        signs=rng.choice([-1.0, 1.0], n - 1),
        roughness=Roughness.draw(n, rng),
        scale=rng.uniform(5.0, 8.0),
        best=rng.uniform(0.82, 0.95),
    )


PROBLEMS: dict[str, Callable[[int], Instance]] = {
    "threshold-6": _layers("biotune", 6, _trend),
    "threshold-18": _layers("biotune", 18, _trend),
    "mask-18": _layers("binary", 18, _one_rate),
    "mask-54": _layers("binary", 54, _one_rate),
    "set-18": _layers("set", 18, _levels),
    "hybrid-18": _layers("hybrid", 18, _trend),
    "profile-18": _layers("profile", 18, _profile),
    "mixed-14": _mixed,
    "rates-6": _layers("continuous", 6, _never_frozen),
    "rates-18": _layers("continuous", 18, _never_frozen),
}
"""Name to instances by seed: the kind of genes, and the number of blocks or parameters."""
FLOATS = {"rates-6", "rates-18"}
"""Those without masks and categories."""
LAYERS = set(PROBLEMS) - {"mixed-14"}
"""Those over blocks of a network."""
