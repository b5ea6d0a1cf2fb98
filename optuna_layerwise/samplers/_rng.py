"""Counter-based randomness: every generator is keyed, none is carried along.

Philox (Salmon et al. 2011, https://doi.org/10.1145/2063384.2063405) with a 128-bit key hashed
from the study's seed and the name of the draw: independent of the process, the number of
workers, the order of asks and Optuna's `reseed_rng`.
"""

from __future__ import annotations

import dataclasses
import hashlib

import numpy as np


@dataclasses.dataclass(frozen=True)
class TrialRng:
    """The generators of one member of one cohort.

    Examples:
        >>> rng = TrialRng(seed=0, cohort=1, index=3)
        >>> rng("mutate").random() == TrialRng(0, 1, 3)("mutate").random()
        True
    """

    seed: int
    cohort: int
    index: int

    def __call__(self, label: str, index: int | None = None) -> np.random.Generator:
        """A generator for ``label``; pass ``index`` to share it with other members."""
        key = f"{self.seed}/{self.cohort}/{self.index if index is None else index}/{label}"
        digest = hashlib.blake2b(key.encode(), digest_size=16).digest()
        return np.random.Generator(np.random.Philox(key=int.from_bytes(digest, "little")))
