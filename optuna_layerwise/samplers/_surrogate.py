"""A Gaussian process over few points, cheap enough to be fitted anew for each cohort.

Matern 5/2 kernel with a length for each group of features, found by a few steps towards the
maximum of the posterior. The prior of the lengths grows with the number of groups, so that many
genes start as nearly linear ones (Hvarfner et al. 2024, https://arxiv.org/abs/2402.02229).
Thompson samples are paths: a draw from the prior in random Fourier features, corrected at the
data (Wilson et al. 2020, https://arxiv.org/abs/2002.09309).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Groups = npt.NDArray[np.intp]

_STEPS = 12
_RATE = 0.3
_NOISE = 0.3
"""Of the prior, as a share of the variance of what is modelled."""
_WAVES = 100
_ROOT5 = np.sqrt(5.0)


@dataclasses.dataclass(frozen=True)
class Surrogate:
    """Costs as seen by a fitted process.

    Args:
        weights: Of the features [f]: inverse lengths.
        points: Features times weights [n, f].
        offset: Mean of the costs.
        residuals: Costs less the offset [n].
        variance: Of the process.
        noise: Of the costs, as a share of that.
        inverse: Of the kernel matrix with noise [n, n], without the variance.
    """

    weights: Array
    points: Array
    offset: float
    residuals: Array
    variance: float
    noise: float
    inverse: Array

    def predict(self, features: Array) -> tuple[Array, Array]:
        """Mean and standard deviation of the costs at features [m, f], without their noise."""
        near, _ = _matern(_squares(features * self.weights, self.points))
        explained = np.einsum("ij,ij->i", near @ self.inverse, near)
        deviation = np.sqrt(self.variance * np.maximum(1 - explained, 1e-9))
        return self.offset + near @ (self.inverse @ self.residuals), deviation

    def sample(self, share: float, generator: np.random.Generator) -> Callable[[Array], Array]:
        """A function that the costs may be, from features [m, f] to costs [m].

        ``share`` scales how far it strays from the mean: 1 is a draw from the posterior.
        """
        shape = (self.points.shape[1], _WAVES)  # Student's t with 5 degrees: Matern 5/2
        waves = generator.standard_normal(shape)
        waves /= np.sqrt(generator.chisquare(5, _WAVES) / 5)
        phases = generator.uniform(0, 2 * np.pi, _WAVES)
        heights = generator.standard_normal(_WAVES) * share * np.sqrt(2 * self.variance / _WAVES)
        errors = generator.standard_normal(len(self.points)) * share
        errors *= np.sqrt(self.noise * self.variance)
        drawn = np.cos(self.points @ waves + phases) @ heights
        coefficients = self.inverse @ (self.residuals - drawn - errors)

        def path(features: Array) -> Array:
            scaled = features * self.weights
            near, _ = _matern(_squares(scaled, self.points))
            wavy = np.cos(scaled @ waves + phases) @ heights
            return np.asarray(self.offset + wavy + near @ coefficients)

        return path


def fit(features: Array, groups: Groups, costs: Array) -> Surrogate:
    """The most probable of the processes seen on a few steps uphill.

    Args:
        features: Of the points [n, f].
        groups: Of each feature its group; those of a group share a length [f].
        costs: Noisy, and not all the same [n].
    """
    n_groups = int(groups.max()) + 1
    prior = np.append(np.full(n_groups, -np.log(n_groups)), np.log(_NOISE))
    theta = prior
    first, second = np.zeros_like(prior), np.zeros_like(prior)
    best, best_loss = None, np.inf
    for step in range(1, _STEPS + 2):
        surrogate, loss, slope = _posterior(features, groups, costs, theta)
        loss += float(((theta - prior) ** 2).sum()) / 2
        slope += theta - prior
        if best is None or loss < best_loss:
            best, best_loss = surrogate, loss
        first = 0.8 * first + 0.2 * slope  # Adam (Kingma and Ba 2015)
        second = 0.9 * second + 0.1 * slope**2
        direction = first / (1 - 0.8**step) / (np.sqrt(second / (1 - 0.9**step)) + 1e-3)
        theta = np.clip(theta - _RATE * direction, prior - 4, prior + 4)
    assert best is not None
    return best


def _posterior(
    features: Array, groups: Groups, costs: Array, theta: Array
) -> tuple[Surrogate, float, Array]:
    """Negative log likelihood, up to a constant, and its gradient in ``theta``.

    ``theta`` is the logarithm of the squared inverse lengths, and of the noise. The variance has
    its most likely value, q = r' K^-1 r / n, so that the loss is (n log q + log det K) / 2.
    """
    n, noise = len(costs), float(np.exp(theta[-1]))
    weights = np.exp(theta[:-1] / 2)[groups]
    points = features * weights
    kernel, falling = _matern(_squares(points, points))
    kernel[np.diag_indices(n)] += noise
    inverse = np.asarray(np.linalg.inv(kernel), dtype=np.float64)
    residuals = costs - costs.mean()
    solved = inverse @ residuals
    variance = float(residuals @ solved) / n
    log_det = 2 * np.log(np.diag(np.linalg.cholesky(kernel))).sum()
    # dloss/dK; with d|x - y|^2 / dtheta_j = w_j^2 (x_j - y_j)^2 the rest is a quadratic form.
    slope = (inverse - np.outer(solved, solved) / variance) / 2
    steep = slope * falling
    by_feature = 2 * (steep.sum(axis=1) @ points**2 - (points * (steep @ points)).sum(axis=0))
    gradient = np.bincount(groups, by_feature, minlength=len(theta) - 1)
    surrogate = Surrogate(
        weights, points, float(costs.mean()), residuals, variance, noise, inverse
    )
    loss = float(n * np.log(variance) + log_det) / 2
    return surrogate, loss, np.append(gradient, noise * np.trace(slope))


def _squares(a: Array, b: Array) -> Array:
    """Squared distances [m, n] between rows."""
    squares = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1) - 2 * a @ b.T
    return np.asarray(np.maximum(squares, 0))


def _matern(squares: Array) -> tuple[Array, Array]:
    """Matern 5/2 of squared distances, and its derivative by them."""
    r = _ROOT5 * np.sqrt(squares)
    decay = np.exp(-r)
    return (1 + r + r**2 / 3) * decay, -5 / 6 * (1 + r) * decay
