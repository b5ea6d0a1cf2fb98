"""What the demo says of other splits is what its benchmark has measured."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from optuna_layerwise.cli import show

ROOT = Path(__file__).resolve().parents[2]


def test_the_last_lines_of_the_demo_are_the_committed_results(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    for name in ("demo", "records", "table"):  # other tests import benchmarks by other names
        monkeypatch.delitem(sys.modules, name, raising=False)
    import demo

    cells = demo.read(ROOT / "benchmarks/results/demo.jsonl")
    assert {cell["split"] for cell in cells} == set(demo.SPLITS)
    assert json.loads(demo.SUMMARY.read_text()) == demo.summary(cells)
    said = "\n".join(str(line) for line in show.five_splits())
    for row in demo.summary(cells):
        assert f"{row['method']:<24}  {row['mean']:.3f}  ({row['low']:.3f} to" in said
