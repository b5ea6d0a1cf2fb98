"""A small convolutional network for images of 8 x 8, such as scikit-learn's digits."""

from __future__ import annotations

import torch
from torch import nn


class DigitsCNN(nn.Module):
    """Five blocks (stem, three stages, head) with BatchNorm; 34 thousand parameters.

    Examples:
        >>> DigitsCNN(num_classes=10)(torch.zeros(2, 3, 8, 8)).shape
        torch.Size([2, 10])
    """

    def __init__(self, num_classes: int = 10) -> None:
        super().__init__()
        self.stem = _convolution(3, 16)
        self.stage1 = _convolution(16, 32, stride=2)
        self.stage2 = _convolution(32, 32, stride=2)
        self.stage3 = _convolution(32, 64)
        self.head = nn.Linear(64, num_classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits, N x classes, of images N x 3 x 8 x 8."""
        features: torch.Tensor = self.stage3(self.stage2(self.stage1(self.stem(images))))
        logits: torch.Tensor = self.head(features.mean(dim=(2, 3)))
        return logits


def _convolution(channels: int, width: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, width, 3, stride=stride, padding=1, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(inplace=True),
    )
