"""The ResNet-20 for CIFAR-10 of He et al. 2016, section 4.2 (https://arxiv.org/abs/1512.03385).

Module names are those of the published checkpoint that `load_weights` reads.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.functional import pad, relu


class ResNet20(nn.Module):
    """6n + 2 layers with n = 3: a convolution, three stages of three basic blocks, a linear map.

    16, 32 and 64 channels at 32, 16 and 8 pixels; 270 thousand parameters. The trained model that
    is widely shared expects pixels in [0, 1] normalised with ImageNet's mean and deviation.

    Examples:
        >>> ResNet20(num_classes=10)(torch.zeros(2, 3, 32, 32)).shape
        torch.Size([2, 10])
    """

    def __init__(self, num_classes: int = 10) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.layer1 = _stage(16, 16)
        self.layer2 = _stage(16, 32)
        self.layer3 = _stage(32, 64)
        self.linear = nn.Linear(64, num_classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits, N x classes, of images N x 3 x 32 x 32 (other sizes work, too)."""
        features: torch.Tensor = relu(self.bn1(self.conv1(images)))
        features = self.layer3(self.layer2(self.layer1(features)))
        logits: torch.Tensor = self.linear(features.mean(dim=(2, 3)))
        return logits


class BasicBlock(nn.Module):
    """Two 3 x 3 convolutions and a shortcut without parameters (option A of the paper)."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.stride = 1 if width == channels else 2
        self.conv1 = nn.Conv2d(channels, width, 3, self.stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.new_channels = width - channels

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The block's output; where it widens, half the zero channels go on either side."""
        residual: torch.Tensor = self.bn2(self.conv2(relu(self.bn1(self.conv1(x)))))
        half = self.new_channels // 2
        shortcut = x[:, :, :: self.stride, :: self.stride]
        return relu(residual + pad(shortcut, (0, 0, 0, 0, half, half)))


def _stage(channels: int, width: int) -> nn.Sequential:
    return nn.Sequential(
        BasicBlock(channels, width), BasicBlock(width, width), BasicBlock(width, width)
    )
