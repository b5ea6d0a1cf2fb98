"""The table of results in README.md, from what the benchmarks' reports say.

python benchmarks/readme.py

Each row is one line of a report that its benchmark wrote from committed JSON. Rows are chosen by
question, not by outcome: whoever adds a benchmark of the whole procedure adds its row.
"""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
BEGIN, END = "<!-- results: benchmarks/readme.py -->", "<!-- end of results -->"
BUSI, ENCODINGS = "benchmarks/results/busi.md", "benchmarks/results/encodings.md"
QUALITY = "benchmarks/training/results/quality.md"
METHODS = "docs/methods-compared.md"
NUMBER = r"[+-][\d.]+"
POINTS = rf"({NUMBER}) \[({NUMBER}), ({NUMBER})\]"
PAIR = rf"({NUMBER}) \(({NUMBER}) to ({NUMBER})\)"
BLOCKS = "three sets, 10 and 40 % of the images, 3 splits"
ROWS = (
    (
        "our default beside full fine-tuning, tuned with the same work, that of 20 trainings",
        BLOCKS,
        METHODS,
        rf"\| our default .* – full fine-tuning \| {PAIR} \|",
    ),
    (
        "the same beside a linear probe, tuned",
        BLOCKS,
        METHODS,
        rf"\| our default .* – linear probe \| {PAIR} \|",
    ),
    (
        "the same beside a BioTune search with as much work",
        BLOCKS,
        METHODS,
        rf"\| our default .* – BioTune \| {PAIR} \|",
    ),
    (
        "CatCMAwM on the encoding `profile` beside that BioTune search",
        BLOCKS,
        METHODS,
        rf"\| profile .* – BioTune \| {PAIR} \|",
    ),
    (
        "a BioTune search of 24 trials beside full fine-tuning, tuned with as much work",
        "BUSI, all training images, 3 splits",
        BUSI,
        rf"Test accuracy, BioTune search against full fine-tuning, tuned: {POINTS}",
    ),
    (
        "the same beside a linear probe, tuned with as much work",
        "BUSI, all training images, 3 splits",
        BUSI,
        rf"Test accuracy, BioTune search against linear probe, tuned: {POINTS}",
    ),
    (
        "full fine-tuning at the recipe's rate beside a BioTune search of 30 trials",
        "BUSI and citrus leaves, 3 seeds each",
        ENCODINGS,
        rf"\| full fine-tuning, recipe's rate \|.*?\| {POINTS} \|",
    ),
    (
        "8 trials of ours beside the published procedure of BioTune, with 3.5 % of its work",
        "BUSI, citrus leaves, corals, 5 searches each",
        QUALITY,
        rf"\| 8, 1 \| 3\.5 \|.*\| {POINTS} \| \[[^\]]*\] \|$",
    ),
)
"""Question, data, report, and the expression that finds a difference and its interval."""


def table() -> str:
    """Markdown, as it stands between the two marks of README.md.

    Raises:
        ValueError: if a report has no such line any more.
    """
    lines = [
        "| difference in test accuracy, points | data | mean | 95 % interval |",
        "|---|---|---:|---:|",
    ]
    for question, data, report, pattern in ROWS:
        text = (ROOT / report).read_text(encoding="utf-8")
        if report == METHODS:  # the claims on the small scale, and not those with more work
            text = text.partition("<!-- begin claims -->")[2].partition("<!-- end claims -->")[0]
        found = re.search(pattern, text, re.MULTILINE)
        if found is None:
            raise ValueError(f"{report} has no line like {pattern!r}; update benchmarks/readme.py")
        mean, low, high = (number.replace("-", "−") for number in found.groups())
        lines.append(f"| {question} | [{data}]({report}) | {mean} | {low} to {high} |")
    return "\n".join(lines)


def main() -> None:
    """Write the table into README.md."""
    before, _, rest = README.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    README.write_text(f"{before}{BEGIN}\n{table()}\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
