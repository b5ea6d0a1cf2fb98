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


def test_the_table_of_start_up_times_is_generated_from_their_rows() -> None:
    made = run_path(str(ROOT / "benchmarks" / "start_up.py"))
    shown = made["OUTPUT"].with_suffix(".md").read_text(encoding="utf-8")
    assert shown == made["table"](made["read"](made["OUTPUT"]))


def test_the_picture_of_the_readme_shows_what_is_said_below_it() -> None:
    drawn = run_path(str(ROOT / "docs" / "pictures" / "draw.py"))
    line = drawn["search"]()
    study = drawn["study_of"](line)
    assert len(study.trials) == 60
    best = sorted(line["trials"], key=lambda trial: -max(trial["curve"]))[:7]
    plans = [dict(zip(drawn["BLOCKS"], trial["policy"], strict=True)) for trial in best]
    assert all(plan["stage3"] > 1 and plan["last_conv"] == 0 for plan in plans)
