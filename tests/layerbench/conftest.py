"""The committed tables."""

from __future__ import annotations

import pytest

from optuna_layerwise.layerbench import LayerBench, open_tables
from optuna_layerwise.layerbench.bench import TABLES


@pytest.fixture(scope="session")
def benches() -> dict[str, LayerBench]:
    return open_tables(TABLES)


@pytest.fixture(scope="session")
def bench(benches: dict[str, LayerBench]) -> LayerBench:
    return benches["busi"]
