"""The README's table of results is what the reports of the benchmarks say."""

from __future__ import annotations

from pathlib import Path
from runpy import run_path

ROOT = Path(__file__).parents[2]


def test_the_table_of_the_readme_is_generated_from_the_reports() -> None:
    made = run_path(str(ROOT / "benchmarks" / "readme.py"))
    _, _, rest = (ROOT / "README.md").read_text(encoding="utf-8").partition(made["BEGIN"])
    shown, _, _ = rest.partition(made["END"])
    assert shown.strip() == made["table"]()
