"""The names of data sets, without what reads them: the command line tells them in its help."""

from __future__ import annotations

PUBLISHED_NAMES = (
    "mnist",
    "usps",
    "svhn",
    "cifar10",
    "stl10",
    "flowers102",
    "fgvc_aircraft",
    "dtd",
)
"""The data sets that torchvision reads."""
SKIN_NAMES = ("ham10000", "isic2020")
"""The data sets of photographs of skin."""
DATA_NAMES: tuple[str, ...] = ("digits", *PUBLISHED_NAMES, *SKIN_NAMES)
"""The sources that are names; a folder of such a name is ``./name``, or a ``Path``."""
