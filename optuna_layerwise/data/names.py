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
MAX_TOKENS = 128
"""To how many tokens a text is cut, if nothing else is said."""
GROUP_RULE = 2
"""What ``group_by="auto"`` means now: a column that is sure to hold groups. By rule 1, that of
version 0.1.0, it was a column called ``group`` only."""
