"""The committed tables."""

from __future__ import annotations

from pathlib import Path

import pytest

from optuna_layerwise.layerbench import LayerBench, open_tables

TABLES = Path(__file__).resolve().parents[2] / "benchmarks/layerbench/tables"


@pytest.fixture(scope="session")
def benches() -> dict[str, LayerBench]:
    return open_tables(TABLES)


@pytest.fixture(scope="session")
def bench(benches: dict[str, LayerBench]) -> LayerBench:
    return benches["busi"]
