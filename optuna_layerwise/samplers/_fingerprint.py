"""What a draw depends on beside the study: a draw is compared only where these are the same.

States are rebuilt from stored numbers and are the same anywhere; draws go through the generators,
the transcendental functions and the linear algebra of the packages and of the machine.
"""

from __future__ import annotations

import platform
from functools import cache

from optuna_layerwise.io.packages import version_of

PACKAGES = ("optuna-layerwise", "optuna", "numpy", "scipy")


@cache
def fingerprint() -> dict[str, str]:
    """Of this process, such as ``{"numpy": "2.4.0", ..., "machine": "Linux x86_64"}``.

    Never change it: it is made once.
    """
    machine = f"{platform.system()} {platform.machine()}"
    return {**{name: version_of(name) for name in PACKAGES}, "machine": machine}
