"""Image folders made on the fly."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

WritePool = Callable[..., Path]


@pytest.fixture
def write_pool(tmp_path: Path) -> WritePool:
    """Writes ``count`` different noise images for each class below ``tmp_path / name``."""

    def write(counts: Mapping[str, int], name: str = "pool", side: int = 12) -> Path:
        rng = np.random.default_rng(sum(counts.values()))
        for label, count in counts.items():
            folder = tmp_path / name / label
            folder.mkdir(parents=True)
            for index in range(count):
                noise = rng.integers(0, 256, (side, side + 3, 3), dtype=np.uint8)
                Image.fromarray(noise).save(folder / f"{index:03}.png")
        return tmp_path / name

    return write
