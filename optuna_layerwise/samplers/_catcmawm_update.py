"""CatCMA with margin: how numbers, levels and categories are learned from a ranked population.

Hamano et al. 2025 (https://arxiv.org/abs/2504.07884) join four methods, one section each below:
CMA-ES with negative weights (Hansen 2016, https://arxiv.org/abs/1604.00772), a penalty for numbers
out of their range (Hansen et al. 2009, https://ieeexplore.ieee.org/document/4634579), levels with
a margin (Hamano et al. 2022, https://arxiv.org/abs/2205.13482), and the stochastic natural
gradient ASNG for categories (Akimoto et al. 2019, https://proceedings.mlr.press/v97/akimoto19a).

Equations (H 41) to (H 58) have the numbers of Hansen's tutorial; (1) to (17) are numbered here.
Nothing is changed in place. Stored studies are drawn again to the last bit, so the order of
operations matters, even where it looks roundabout.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.special import gammaincinv, ndtr

from optuna_layerwise.samplers._algorithm import Genes, Mask

_EPS = 1e-8
"""Keeps probabilities from 0 and from one half, and divisors from 0."""
_LARGEST_SIGMA = 1e32
_LEAST_EIGENVALUE = 1e-30


# CMA-ES


@dataclasses.dataclass(frozen=True)
class Rates:
    """Weights and learning rates; only the population and the number of numbers decide them.

    Args:
        weights: For each rank [population]; positive for the better half, then negative.
        parents: Points in the better half, mu.
        mu_eff: How many equally weighted points would say as much as the better half.
        c_1: Rate of the covariance towards its evolution path.
        c_mu: Rate of the covariance towards the population.
        c_c: Rate of the covariance's evolution path.
        c_sigma: Rate of the step size's evolution path.
        d_sigma: Damping of the step size.
        norm: The expected length of a standard normal vector.
    """

    weights: Genes
    parents: int
    mu_eff: float
    c_1: float
    c_mu: float
    c_c: float
    c_sigma: float
    d_sigma: float
    norm: float


def learning_rates(population: int, n: int, *, diagonal: bool = False) -> Rates:
    """Hansen's defaults for n numbers.

    Args:
        population: Points per update.
        n: Numbers, at least 1.
        diagonal: Learn variances (n + 2) / 3 times as fast, as in sep-CMA-ES.
    """
    parents = population // 2
    # (H 49) w'_i = ln((λ + 1) / 2) - ln i
    raw = np.array(
        [math.log((population + 1) / 2) - math.log(rank) for rank in range(1, population + 1)]
    )
    # (H 8) μ_eff = (Σ w')² / Σ w'², of the better half, and of the worse one
    mu_eff, worse_eff = (
        np.sum(half) ** 2 / np.sum(half**2) for half in (raw[:parents], raw[parents:])
    )
    # (H 57) c_1 = 2 / ((n + 1.3)² + μ_eff)
    c_1 = 2 / ((n + 1.3) ** 2 + mu_eff)
    # (H 58) c_μ = min(1 - c_1, 2 (μ_eff - 2 + 1 / μ_eff) / ((n + 2)² + μ_eff))
    c_mu = min(1 - c_1 - _EPS, 2 * (mu_eff - 2 + 1 / mu_eff) / ((n + 2) ** 2 + mu_eff))
    # (H 50 to 52) sum of the negative weights: C stays positive definite
    negative = min(1 + c_1 / c_mu, 1 + 2 * worse_eff / (mu_eff + 2), (1 - c_1 - c_mu) / (n * c_mu))
    # (H 53) w_i = w'_i / Σ⁺ w' where w'_i >= 0, else that sum · w'_i / |Σ⁻ w'|
    scale = np.where(raw >= 0, 1 / np.sum(raw[raw > 0]), negative / np.sum(np.abs(raw[raw < 0])))
    weights = scale * raw
    if diagonal:
        c_1 = min(1.0, c_1 * ((n + 2) / 3))
        c_mu = min(1 - c_1, c_mu * ((n + 2) / 3))
        limit = (1 - c_1 - c_mu) / (n * c_mu)  # (H 52) again, for the faster rates
        weights[weights < 0] *= min(1.0, limit / -weights[weights < 0].sum())
    # (H 55) c_σ = (μ_eff + 2) / (n + μ_eff + 5)
    #        d_σ = 1 + 2 max(0, √((μ_eff - 1) / (n + 1)) - 1) + c_σ
    c_sigma = (mu_eff + 2) / (n + mu_eff + 5)
    d_sigma = 1 + 2 * max(0, math.sqrt((mu_eff - 1) / (n + 1)) - 1) + c_sigma
    # (H 56) c_c = (4 + μ_eff / n) / (n + 4 + 2 μ_eff / n)
    c_c = (4 + mu_eff / n) / (n + 4 + 2 * mu_eff / n)
    # E‖N(0, I)‖ ≈ √n (1 - 1 / 4n + 1 / 21n²)
    norm = math.sqrt(n) * (1.0 - (1.0 / (4.0 * n)) + 1.0 / (21.0 * (n**2)))
    return Rates(weights, parents, mu_eff, c_1, c_mu, c_c, c_sigma, d_sigma, norm)


@dataclasses.dataclass(frozen=True)
class Gaussian:
    """The distribution of n numbers, those with levels last: N(m, σ² A C A).

    Args:
        mean: m [n].
        sigma: The step size, σ.
        stretch: The diagonal of A [n], which keeps the margin of levels; 1 for other numbers.
        cov: C [n, n].
        basis: The eigenvectors of C in columns, B [n, n].
        axes: The square roots of its eigenvalues, D [n].
        path_sigma: Evolution path of the step size [n].
        path_c: Evolution path of the covariance [n].
        change: For each number with levels, how likely a draw may be of another level than the
            mean.
        updates: Updates so far.
    """

    mean: Genes
    sigma: float
    stretch: Genes
    cov: Genes
    basis: Genes
    axes: Genes
    path_sigma: Genes
    path_c: Genes
    change: Genes
    updates: int = 0

    @classmethod
    def begin(cls, mean: Genes, cov: Genes, n_levels: int) -> Gaussian:
        """A distribution that has learned nothing."""
        zeros, change = np.zeros(len(mean)), np.full(n_levels, 0.5 - _EPS)
        ones = np.ones(len(mean))
        return cls(mean.copy(), 1.0, ones, *decompose(cov), zeros, zeros, change)

    def with_cov(self, cov: Genes) -> Gaussian:
        """The same with another covariance."""
        cov, basis, axes = decompose(cov)
        return dataclasses.replace(self, cov=cov, basis=basis, axes=axes)

    @property
    def unstretched(self) -> Genes:
        """Standard deviations [n] without A."""
        return np.asarray(self.sigma * np.sqrt(np.diag(self.cov)))

    def draw(self, rng: np.random.RandomState) -> Genes:
        """A point [n]."""
        xi = rng.randn(len(self.mean))  # ξ ~ N(0, I)
        y = (self.basis * self.axes) @ xi  # (H 39) y = B D ξ ~ N(0, C)
        # (1) v = m + σ A y ~ N(m, σ² A C A)
        return np.asarray(self.mean + self.sigma * self.stretch * y)


def decompose(cov: Genes) -> tuple[Genes, Genes, Genes]:
    """C = B D² Bᵀ put together again from its parts, B and D; an eigenvalue below 0 is 1e-8."""
    squares, basis = np.linalg.eigh((cov + cov.T) / 2)
    axes = np.sqrt(np.where(squares < 0, _EPS, squares))
    return (basis * axes**2) @ basis.T, basis, axes


def update(old: Gaussian, points: Genes, rates: Rates) -> Gaussian:
    """The distribution after a population of points [population, n], best first."""
    n, mu_eff, w = len(old.mean), rates.mu_eff, rates.weights
    c_1, c_mu, c_c, c_sigma = rates.c_1, rates.c_mu, rates.c_c, rates.c_sigma
    x = (points - old.mean) / old.stretch + old.mean  # x ~ N(m, σ² C)
    y = (x - old.mean) / old.sigma  # y ~ N(0, C)
    # (H 41) ⟨y⟩_w = Σ_{i ≤ μ} w_i y_i
    step = (w[: rates.parents, None] * y[: rates.parents]).sum(axis=0)
    # (H 42) m ← m + σ ⟨y⟩_w
    mean = old.mean + old.sigma * step
    # (H 43) p_σ ← (1 - c_σ) p_σ + √(c_σ (2 - c_σ) μ_eff) C^(-1/2) ⟨y⟩_w,  C^(-1/2) = B D⁻¹ Bᵀ
    whiten = (old.basis * (1 / old.axes)) @ old.basis.T
    gain = math.sqrt(c_sigma * (2 - c_sigma) * mu_eff)
    path_sigma = (1 - c_sigma) * old.path_sigma + gain * (whiten @ step)
    # (H 44) σ ← σ exp((c_σ / d_σ) (‖p_σ‖ / E‖N(0, I)‖ - 1))
    length = np.linalg.norm(path_sigma)
    sigma = old.sigma * np.exp((c_sigma / rates.d_sigma) * (length / rates.norm - 1))
    sigma = min(sigma, _LARGEST_SIGMA)
    # h_σ = 1 if ‖p_σ‖ / √(1 - (1 - c_σ)^(2 (g + 1))) < (1.4 + 2 / (n + 1)) E‖N(0, I)‖, else 0
    updates = old.updates + 1
    ripe = length / math.sqrt(1 - (1 - c_sigma) ** (2 * (updates + 1)))
    h_sigma = 1.0 if ripe < (1.4 + 2 / (n + 1)) * rates.norm else 0.0
    # (H 45) p_c ← (1 - c_c) p_c + h_σ √(c_c (2 - c_c) μ_eff) ⟨y⟩_w
    path_c = (1 - c_c) * old.path_c + h_sigma * math.sqrt(c_c * (2 - c_c) * mu_eff) * step
    # (H 46) w°_i = w_i where w_i >= 0, else w_i n / ‖C^(-1/2) y_i‖²
    squares = np.linalg.norm(whiten @ y.T, axis=0) ** 2
    signed = w * np.where(w >= 0, 1, n / (squares + _EPS))
    # (H 47) C ← (1 + c_1 δ(h_σ) - c_1 - c_μ Σ w_i) C + c_1 p_c p_cᵀ + c_μ Σ w°_i y_i y_iᵀ
    missed = (1 - h_sigma) * c_c * (2 - c_c)  # δ(h_σ)
    rank_mu = (signed[:, None, None] * (y[:, :, None] * y[:, None, :])).sum(axis=0)
    cov = (
        (1 + c_1 * missed - c_1 - c_mu * np.sum(w)) * old.cov
        + c_1 * np.outer(path_c, path_c)
        + c_mu * rank_mu
    )
    new = dataclasses.replace(
        old, mean=mean, path_sigma=path_sigma, path_c=path_c, updates=updates
    ).with_cov(cov)
    least = np.sqrt(_LEAST_EIGENVALUE / np.min(new.axes))
    return dataclasses.replace(new, sigma=max(sigma, least))


# The penalty for numbers out of their range


def order_in_range(
    now: Gaussian, points: Genes, n_continuous: int, rates: Rates
) -> npt.NDArray[np.intp]:
    """Which point is best, second, ... [population], with a penalty for numbers outside [0, 1].

    Args:
        now: The distribution that the points were drawn from.
        points: Raw numbers [population, n], best first.
        n_continuous: The first numbers, which have a range; levels have none.
        rates: Weights and learning rates.
    """
    population, n = points.shape
    if not n_continuous:
        return np.arange(population)
    open_end = np.where(np.arange(n) < n_continuous, 0.0, np.inf)
    low, high = -open_end, 1 + open_end
    # (2) δ_f = the interquartile range of the values f, which are ranks: 0, 1, 2, ...
    spread = float(3 * population // 4 - population // 4)
    # (3) γ = 2 δ_f / (σ² Σ_j C_jj A_j); 1.1 times that, or more, for a mean 3 deviations outside
    variances = np.diag(now.cov) * now.stretch
    gamma = np.full(n, 2 * spread / (now.sigma**2 * np.sum(variances)))
    far = 3 * now.sigma * np.sqrt(variances) * max(1, np.sqrt(n) / rates.mu_eff)
    outside = (now.mean < low) & (np.abs(now.mean - low) > far)
    outside |= (high < now.mean) & (np.abs(high - now.mean) > far)
    gamma[outside] *= 1.1 ** (max(1, rates.mu_eff / (10 * n)))
    # (4) ξ_j = exp(0.9 (ln C_jj A_j - mean of these logarithms))
    logs = np.log(variances)
    xi = np.exp(0.9 * (logs - np.sum(logs) / n))
    # (5) f_i ← f_i + Σ_j γ_j (clip(v_ij) - v_ij)² / ξ_j
    penalties = np.sum(gamma * ((np.clip(points, low, high) - points) ** 2) / xi, axis=1)
    return np.argsort(np.arange(population) + penalties, kind="stable")


# Levels, and their margin


@dataclasses.dataclass(frozen=True)
class Levels:
    """The values of the numbers that have levels.

    Args:
        values: Each row ascending [n_levels, most]; shorter rows repeat their last value.
        thresholds: Half-way between two values [n_levels, most - 1]; infinite where they repeat.
        last: The index of each row's last threshold [n_levels].
        margin: Least probability that a draw is of another level than the mean, α.
    """

    values: Genes
    thresholds: Genes
    last: npt.NDArray[np.intp]
    margin: float

    @classmethod
    def of(cls, grids: Sequence[Sequence[float]], margin: float) -> Levels:
        """The levels of some ascending grids of at least two values each."""
        most = max(map(len, grids), default=1)
        values, thresholds = np.empty((len(grids), most)), np.full((len(grids), most - 1), np.inf)
        for row, between, grid in zip(values, thresholds, map(np.array, grids), strict=True):
            row[:] = grid[-1]
            row[: len(grid)] = grid
            between[: len(grid) - 1] = (grid[1:] + grid[:-1]) / 2
        last = np.array([len(grid) - 2 for grid in grids], dtype=int)
        return cls(values, thresholds, last, margin)

    def __len__(self) -> int:
        return len(self.values)

    def index(self, raw: Genes) -> npt.NDArray[np.intp]:
        """Which level the raw numbers [..., n_levels] are executed at."""
        return np.asarray((self.thresholds < raw[..., None]).sum(axis=-1))

    def executed(self, raw: Genes) -> Genes:
        """The values of the levels that raw numbers [..., n_levels] are executed at."""
        return np.asarray(self.values[np.arange(len(self)), self.index(raw)])


def centre_on_levels(
    now: Gaussian, points: Genes, levels: Levels, rates: Rates
) -> tuple[Genes, Mask]:
    """Points moved to the centre of their level, where that is another than the mean's.

    The others are moved as well, so that the moves of the better half add up to 0.

    Args:
        now: The distribution that the points were drawn from.
        points: Raw numbers [population, n], best first.
        levels: The levels of the last numbers.
        rates: Weights and learning rates.

    Returns:
        The points, and a mask [n_levels]: whether any of the better half has another level.
    """
    first = points.shape[1] - len(levels)
    better = points[: rates.parents, first:]
    executed = levels.executed(better)
    changed = executed != levels.executed(now.mean[first:])
    offset = executed - better
    # (6) v_ij ← the value of its level, where that is not the mean's level
    # (7) b_j = Σ_i of these moves
    bias = np.asfortranarray(np.where(changed, offset, 0.0)).sum(axis=0)  # laid out for its sum
    # (8) v_ij ← v_ij + a_j (level - v_ij) elsewhere, if against b_j; a_j <= 1 brings b_j to 0
    against = ~changed & (bias * offset < 0)
    opposite = np.cumsum(np.where(against, offset, 0.0), axis=0)[-1]
    share = np.where(bias * opposite < 0, np.minimum(1, -bias / opposite), 0.0)
    centred = points.copy()
    centred[: rates.parents, first:] = np.where(
        changed, executed, better + against * share * offset
    )
    return centred, changed.any(axis=0)


def keep_margin(new: Gaussian, succeeded: Mask, levels: Levels) -> Gaussian:
    """The distribution with mean and stretch such that no level dies out.

    Args:
        new: The distribution after `update`.
        succeeded: Mask [n_levels] from `centre_on_levels`; for the other numbers the probability
            of a change does not grow.
        levels: The levels of the last numbers.
    """
    first, rows = len(new.mean) - len(levels), np.arange(len(levels))
    m, stretch, change, margin = new.mean[first:], new.stretch[first:], new.change, levels.margin
    variance = np.diag(new.cov)[first:]
    place, half = levels.index(m), 0.5 - _EPS
    low = levels.thresholds[rows, np.clip(place - 1, 0, levels.last)]
    high = levels.thresholds[rows, np.clip(place, 0, levels.last)]
    # (9) p_low = Pr(v < low), p_high = Pr(v > high), of the thresholds beside the mean
    deviation = new.sigma * stretch * np.sqrt(variance)
    p_low, p_high = ndtr((low - m) / deviation), 1.0 - ndtr((high - m) / deviation)
    p_stay = 1.0 - (p_low + p_high)
    edge, inner = np.maximum(p_low, p_high) > 0.5, np.maximum(p_low, p_high) <= 0.5

    # The mean is at the lowest or the highest level, so there is one threshold.
    # (10) p = max(min(p_low, p_high), α), at most the former p without success
    p = np.maximum(np.minimum(p_low, p_high), margin)
    p = np.clip(np.where(succeeded, p, np.minimum(p, change)), _EPS, half)
    # (11) A_j ← max(A_j, |level - threshold| / (σ √(χ²(1 - 2 α) C_jj)))
    distance = np.abs(levels.executed(m) - high)
    least = distance / (new.sigma * np.sqrt(_chi2_ppf(1.0 - 2.0 * margin) * variance))
    a = np.where(edge, np.maximum(stretch, least), stretch)
    # (12) m_j ← threshold ± σ A_j √(χ²(1 - 2 p) C_jj), on the mean's side
    away = new.sigma * a * np.sqrt(_chi2_ppf(1.0 - 2.0 * p) * variance)
    m = np.where(edge, m + (high + np.sign(m - high) * away - m), m)

    # The mean is between two thresholds.
    # (13) p_low, p_high >= α / 2, and p_stay >= 1 - the former p without success
    p_low, p_high = np.maximum(p_low, margin / 2), np.maximum(p_high, margin / 2)
    p_stay = np.where(succeeded, p_stay, np.maximum(p_stay, 1 - change))
    # (14) p ← p + Δ (p - its bound), Δ = (1 - Σ p) / (Σ p - Σ bounds): they sum to 1 again
    total, excess = p_low + p_high + p_stay, 1 - p_low - p_high - p_stay
    excess /= np.where(succeeded, total - 3 * margin / 2, total - margin - (1 - change))
    p_low = np.clip(p_low + excess * (p_low - margin / 2), _EPS, half)
    p_high = np.clip(p_high + excess * (p_high - margin / 2), _EPS, half)
    # (15) m_j and A_j such that both probabilities hold, with z = √χ²(1 - 2 p)
    z_low, z_high = np.sqrt(_chi2_ppf(1.0 - 2 * p_low)), np.sqrt(_chi2_ppf(1.0 - 2 * p_high))
    wide = (high - low) / ((z_low + z_high) * new.sigma * np.sqrt(variance))
    middle = (low * z_high + high * z_low) / (z_low + z_high)
    return dataclasses.replace(
        new,
        mean=np.append(new.mean[:first], np.where(inner, m + (middle - m), m)),
        stretch=np.append(new.stretch[:first], np.where(inner, a + (wide - a), a)),
        change=np.where(edge, p, np.where(inner, p_low + p_high, change)),
    )


def _chi2_ppf(p: Genes | float) -> Genes:
    """The quantile of the chi-squared distribution with one degree of freedom."""
    return np.asarray(2 * gammaincinv(0.5, p))


# Categories


@dataclasses.dataclass(frozen=True)
class Categories:
    """Independent distributions of choices, and what ASNG has learned about its step.

    Args:
        q: The probability of each choice [categories, most choices], padded with zeros.
        choices: How many choices each has [categories], K.
        least: Least probability of a choice of each [categories].
        path: Decaying sum of former gradients, s [sum of K - 1].
        gamma: Squared length that s would have if they had no direction in common, γ.
        caution: Grows while gradients contradict each other, Δ.
        step: Length of the next step, δ.
    """

    q: Genes
    choices: npt.NDArray[np.intp]
    least: Genes
    path: Genes
    gamma: float = 0.0
    caution: float = 1.0
    step: float = 1.0

    @classmethod
    def begin(cls, probabilities: Sequence[Genes], margin: float) -> Categories:
        """Distributions that have learned nothing; probabilities are raised to the margin."""
        choices = np.array([len(p) for p in probabilities], dtype=int)
        q, least = np.zeros((len(choices), choices.max())), margin / (choices - 1)
        for row, p, bound in zip(q, probabilities, least, strict=True):
            row[: len(p)] = np.maximum(p, bound)
            if np.min(p) < bound:
                row /= row.sum()
        return cls(q, choices, least, np.zeros((choices - 1).sum()))

    def draw(self, rng: np.random.RandomState) -> npt.NDArray[np.intp]:
        """A choice of each [categories]."""
        u, upper = rng.rand(len(self.q), 1), self.q.cumsum(axis=1)
        return np.asarray(((upper - self.q <= u) & (u < upper)).argmax(axis=1))


def update_categories(old: Categories, points: Genes, rates: Rates) -> Categories:
    """The distributions after a population, best first.

    Args:
        old: The distributions.
        points: Rows of 0 and 1 [population, categories, most choices].
        rates: Weights and learning rates.
    """
    # (16) G = Σ_{i ≤ μ} w_i (c_i - q),  q ← q + δ G / ‖√F G‖, with the Fisher matrix F
    w, mu = rates.weights, rates.parents
    gradient = (w[:mu, None, None] * (points[:mu] - old.q)).sum(axis=0)
    rows = []
    for row, g, k in zip(old.q, gradient, old.choices, strict=True):  # √F G (appendix B)
        root, rest = np.sqrt(row[: k - 1]), row[k - 1]
        part = 1.0 / root * g[: k - 1]
        rows.append(part + root * g[: k - 1].sum() / (rest + np.sqrt(rest)))
    natural = np.concatenate(rows)
    length = np.sqrt(np.dot(natural, natural))
    q = old.q + old.step / (length + _EPS) * gradient
    # (17) with δ = 1 / Δ and β = δ / √(Σ (K - 1)):
    #      s ← (1 - β) s + √(β (2 - β)) √F G / ‖√F G‖,  γ ← (1 - β)² γ + β (2 - β),
    #      Δ ← Δ exp(β (γ - ‖s‖² / 1.5))
    step = 1.0 / old.caution
    beta = step / math.sqrt(len(natural))
    path = (1 - beta) * old.path + np.sqrt(beta * (2 - beta)) * natural / length
    gamma = (1 - beta) ** 2 * old.gamma + beta * (2 - beta)
    caution = old.caution * np.exp(beta * (gamma - np.dot(path, path) / 1.5))
    for row, k, least in zip(q, old.choices, old.least, strict=True):
        p = np.maximum(row[:k], least)  # the margin; what that adds, the others give
        p -= (p.sum() - 1) * (p - least) / (p.sum() - least * k)
        row[:k] = p / p.sum()
    return dataclasses.replace(old, q=q, path=path, gamma=gamma, caution=caution, step=step)
