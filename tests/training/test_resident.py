from __future__ import annotations

import numpy as np
import pytest
import torch
from transfer import Transfer

from optuna_layerwise.training.resident import reside, split_batches

CPU = torch.device("cpu")


def test_batch_is_the_normalised_images_in_the_asked_order(digits: Transfer) -> None:
    mean, std = np.array([0.1, 0.2, 0.3]), np.array([0.5, 0.6, 0.7])
    train = digits.splits.train
    indices = torch.tensor([7, 0, 3])
    split = reside(train, mean=mean, std=std, device=CPU)
    inputs, labels = split.inputs(indices), split.labels_of(indices)
    expected = (train.batch([7, 0, 3]) / 255 - mean) / std
    assert inputs.is_contiguous() and inputs.dtype == torch.float32
    np.testing.assert_allclose(inputs.numpy(), expected.transpose(0, 3, 1, 2), atol=1e-6)
    np.testing.assert_array_equal(labels.numpy(), train.labels[[7, 0, 3]])


@pytest.mark.parametrize(
    ("images", "size", "sizes"),
    [
        (64, 32, [32, 32]),
        (66, 32, [32, 32, 2]),
        (65, 32, [32, 33]),
        (33, 32, [33]),
        (20, 32, [20]),
        (1, 32, [1]),
        (3, 1, [1, 1, 1]),
    ],
)
def test_every_image_is_in_one_batch_and_none_is_alone(
    images: int, size: int, sizes: list[int]
) -> None:
    order = torch.randperm(images, generator=torch.Generator().manual_seed(0))
    batches = split_batches(order, size)
    assert [len(batch) for batch in batches] == sizes
    assert torch.equal(torch.cat(batches), order)


@pytest.mark.parametrize("std", [(0.5, 0.5), (0.5, 0.0, 0.5)])
def test_std_that_cannot_normalise_is_refused(digits: Transfer, std: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="std must be three numbers above 0"):
        reside(digits.splits.train, mean=(0, 0, 0), std=std, device=CPU)
