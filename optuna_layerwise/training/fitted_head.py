"""A head that starts from the best linear classifier of what the frozen network sees.

A head that starts at random spends the first epochs on what a logistic regression of the
network's features gives at once, and meanwhile sends random gradients into the blocks below
(Kumar et al. 2022, https://arxiv.org/abs/2202.10054). With few images that is most of what a
training does.
"""

from __future__ import annotations

import logging
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits
from torch import nn

from optuna_layerwise.tasks import Classification, Task, task_of
from optuna_layerwise.training.evaluation import eval_mode
from optuna_layerwise.training.forward import Forward
from optuna_layerwise.training.resident import Resident

Array: TypeAlias = NDArray[np.float64]
Linear: TypeAlias = tuple[torch.Tensor, torch.Tensor]
"""Weight and bias of a linear layer."""

_QUIET_SECONDS = 5.0
"""What a fit may take without a word."""
_SMALLEST_SCALE = 1e-12
_CLASSES = Classification()
_logger = logging.getLogger(__name__)


@torch.no_grad()
def fit_heads(
    forward: Forward, paths: Sequence[str], images: Resident, batch_size: int
) -> dict[str, Linear]:
    """`fit_linear` of what the network, in eval mode, feeds each of these layers.

    Layers that are not linear, have no bias, or are not fed one row of finite numbers per image
    are left out; a warning says so of the first. Others may run in train mode only.

    Args:
        forward: The network's forward pass, from pixels.
        paths: The layers; the first one is the head.
        images: The training images.
        batch_size: Examples per forward pass.
    """
    fed: dict[str, list[torch.Tensor]] = {path: [] for path in paths}
    layers = {path: forward.model.get_submodule(path) for path in paths}
    with ExitStack() as stage:
        stage.enter_context(eval_mode(forward.model))
        for path, layer in layers.items():

            def keep(_: nn.Module, inputs: tuple[torch.Tensor, ...], path: str = path) -> None:
                fed[path] += [each.detach().float().cpu() for each in inputs[:1]]

            stage.callback(layer.register_forward_pre_hook(keep).remove)
        chunks = images.chunks(batch_size)
        for chunk in chunks:
            forward(chunk, torch.arange(len(chunk)))
    fitted = {}
    for path, layer in layers.items():
        if type(layer) is not nn.Linear or layer.bias is None:
            problem = f"is a {type(layer).__name__} and no plain linear layer with a bias"
        elif [part.ndim for part in fed[path]] != [2] * len(chunks) or (
            sum(map(len, fed[path])) != len(images)
        ):
            problem = "is not fed one row of features per image"
        elif not torch.cat(fed[path]).isfinite().all():
            problem = "is fed numbers that are not finite"
        else:
            features = torch.cat(fed[path])
            # With more threads than torch has, a busy machine takes two or three times as long.
            with _said_if_slow(features), threadpool_limits(torch.get_num_threads()):
                fitted[path] = fit_linear(
                    features, images.labels, layer.out_features, task_of(images.images)
                )
            continue
        if path == paths[0]:
            warnings.warn(
                f"head_start='fitted': the head {path!r} of {type(forward.model).__name__} "
                f"{problem}, so it starts at random",
                stacklevel=2,
            )
    return fitted


@contextmanager
def _said_if_slow(features: torch.Tensor) -> Iterator[None]:
    """Logs one line if what is done meanwhile takes longer than `_QUIET_SECONDS`."""
    text = "fitting the head to %d images with %d features each, which takes a while"
    said = threading.Timer(_QUIET_SECONDS, _logger.warning, (text, *features.shape))
    said.daemon = True
    said.start()
    try:
        yield
    finally:
        said.cancel()


def fit_linear(
    features: torch.Tensor | NDArray[np.floating],
    labels: torch.Tensor | NDArray[np.generic],
    n_classes: int,
    task: Task = _CLASSES,
) -> Linear:
    """Weight and bias of a linear layer that answers from the features.

    For classes it is the multinomial logistic regression with an L2 penalty whose strength has the
    smallest mean log-loss over stratified folds of these images. The features are centred and
    divided by one number, the mean of their standard deviations; dividing each feature by its own
    would make the rarest ones the largest.

    Args:
        features: float [n, d], the input of the layer, one row for each image.
        labels: Those of the images: class indices, int [n], unless the task says otherwise.
        n_classes: The number of outputs. A class without an image gets weights of 0 and the
            smallest bias of the others.
        task: What the layer is to answer, by default a class.

    Returns:
        Weight [n_classes, d] and bias [n_classes], float32.

    Raises:
        ValueError: if there is no image, or a feature is not finite.

    Examples:
        >>> weight, bias = fit_linear(np.array([[-1.0], [-2.0], [1.0], [2.0]]), [0, 0, 1, 1], 3)
        >>> (torch.tensor([[-1.5], [1.5]]) @ weight.T + bias).argmax(dim=1).tolist()
        [0, 1]
    """
    x = torch.as_tensor(features).detach().cpu().double().numpy()
    y = torch.as_tensor(labels).detach().cpu().numpy()
    if x.ndim != 2 or y.shape[:1] != x.shape[:1] or not len(y):
        raise ValueError(
            "expected features of shape (images, features) and one label per image, at least "
            f"one, got shapes {x.shape} and {y.shape}"
        )
    if not np.isfinite(x).all():
        raise ValueError("expected finite features, got NaN or infinity")
    mean = x.mean(axis=0)
    scale = max(float(x.std(axis=0).mean()), _SMALLEST_SCALE)
    z = (x - mean) / scale
    # The penalty keeps the solution inside the span of the rows of z, so it is found in that
    # span's own coordinates, of which there are at most n: with z = u s vt, coef = coef' vt.
    u, s, vt = np.linalg.svd(z, full_matrices=False)
    kept = s > s.max(initial=0.0) * len(s) * np.finfo(np.float64).eps
    inside, vt = u[:, kept] * s[kept], vt[kept]
    weight, bias = task.fit(inside, y, n_classes)
    weight = weight @ vt / scale
    return torch.from_numpy(weight).float(), torch.from_numpy(bias - weight @ mean).float()
