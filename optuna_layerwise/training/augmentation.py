"""Augmented views of training images: each is fixed by its number and the image's.

Where the lower blocks are frozen, an image that differs in every epoch would have to pass through
them in every epoch. With V views of each image they are computed V times, however many epochs,
seeds and trials follow. So a view draws from no generator that goes on: its own begins at the
numbers of view and image.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TypeAlias

import numpy as np
import torch
from torchvision.transforms.v2 import functional as F

Step: TypeAlias = Callable[[torch.Tensor, np.random.Generator], torch.Tensor]
"""An image, uint8 [3, H, W], to another one of the same size."""

_SEED = 0
"""Of all views: trainings with other seeds see the same ones, and share what is computed."""
_LEAST_AREA = 0.5
_ASPECT = 4 / 3
_COLOUR = 0.3
_LEVELS = 31


def augmented(pixels: torch.Tensor, kind: str, *, image: int, view: int) -> torch.Tensor:
    """A view of an image.

    Args:
        pixels: The image, uint8 [H, W, 3].
        kind: A name in `AUGMENTATIONS`.
        image: Its number in its split.
        view: The number of the view.

    Returns:
        uint8 [H, W, 3]; the same bits for the same arguments.

    Examples:
        >>> ramp = torch.arange(4, dtype=torch.uint8).reshape(1, 4, 1).expand(1, 4, 3)
        >>> [augmented(ramp, "flip", image=i, view=0)[0, :, 0].tolist() for i in range(3)]
        [[0, 1, 2, 3], [3, 2, 1, 0], [0, 1, 2, 3]]
    """
    rng = np.random.default_rng([_SEED, view, image])
    planes = pixels.permute(2, 0, 1)
    for step in AUGMENTATIONS[kind]:
        planes = step(planes, rng)
    return planes.permute(1, 2, 0)


def flip(image: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """The image or, with probability 1/2, its mirror image."""
    mirrored: torch.Tensor = F.horizontal_flip(image)
    return mirrored if rng.random() < 0.5 else image


def crop(image: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """A part of the image, enlarged to its size.

    As Inception's crop, but milder: half of the area or more, with log-uniform proportions from
    3:4 to 4:3. Where a part is too wide or too high it is cut, and not drawn again.
    """
    height, width = image.shape[1:]
    area = rng.uniform(_LEAST_AREA, 1) * height * width
    aspect = math.exp(rng.uniform(-1, 1) * math.log(_ASPECT))
    h = min(round(math.sqrt(area / aspect)), height)
    w = min(round(math.sqrt(area * aspect)), width)
    top, left = int(rng.integers(height - h + 1)), int(rng.integers(width - w + 1))
    part: torch.Tensor = F.resized_crop(image, top, left, h, w, [height, width], antialias=True)
    return part


def colour(image: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Brightness, contrast and saturation times factors from 0.7 to 1.3."""
    brightness, contrast, saturation = rng.uniform(1 - _COLOUR, 1 + _COLOUR, 3).tolist()
    image = F.adjust_contrast(F.adjust_brightness(image, brightness), contrast)
    changed: torch.Tensor = F.adjust_saturation(image, saturation)
    return changed


def trivial(image: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """TrivialAugment: one operation of 14 at one strength of 31, both uniform.

    S. Müller, F. Hutter, "TrivialAugment: Tuning-free Yet State-of-the-Art Data Augmentation",
    ICCV 2021, https://arxiv.org/abs/2103.10158, in its wide space as torchvision has it. Images
    are moved by at most a seventh of their sides, which are its 32 pixels at 224: smaller images
    would leave the frame.
    """
    operation, level = int(rng.integers(len(OPERATIONS))), int(rng.integers(_LEVELS))
    sign = 1 if rng.random() < 0.5 else -1
    return OPERATIONS[operation](image, sign * level / (_LEVELS - 1))


def _moved(
    image: torch.Tensor, x: float = 0.0, y: float = 0.0, *, shear: tuple[float, float] = (0.0, 0.0)
) -> torch.Tensor:
    """Shifted by pixels, or sheared by slopes around the upper left corner."""
    degrees = [math.degrees(math.atan(slope)) for slope in shear]
    center = [0.0, 0.0] if any(shear) else None
    moved: torch.Tensor = F.affine(image, 0.0, [int(x), int(y)], 1.0, degrees, center=center)
    return moved


OPERATIONS: tuple[Callable[[torch.Tensor, float], torch.Tensor], ...] = (
    lambda image, s: image,
    lambda image, s: _moved(image, shear=(0.99 * s, 0.0)),
    lambda image, s: _moved(image, shear=(0.0, 0.99 * s)),
    lambda image, s: _moved(image, x=s * image.shape[2] / 7),
    lambda image, s: _moved(image, y=s * image.shape[1] / 7),
    lambda image, s: F.rotate(image, 135.0 * s),
    lambda image, s: F.adjust_brightness(image, 1 + 0.99 * s),
    lambda image, s: F.adjust_saturation(image, 1 + 0.99 * s),
    lambda image, s: F.adjust_contrast(image, 1 + 0.99 * s),
    lambda image, s: F.adjust_sharpness(image, 1 + 0.99 * s),
    lambda image, s: F.posterize(image, round(8 - 6 * abs(s))),
    lambda image, s: F.solarize(image, 255.0 - 255.0 * abs(s)),
    lambda image, s: F.autocontrast(image),
    lambda image, s: F.equalize(image),
)
"""What `trivial` chooses among: an image and a strength in [-1, 1] to another image."""

AUGMENTATIONS: Mapping[str, tuple[Step, ...]] = {
    "flip": (flip,),
    "flip-crop": (flip, crop),
    "flip-crop-colour": (flip, crop, colour),
    "trivial": (flip, crop, trivial),
}
"""Value of ``Recipe.augment`` to what is done to an image, in order."""
