"""The table of results in README.md, from what a benchmark's report says.

python benchmarks/readme.py

Each row is a line of `benchmarks/results/last_metre.md`, which its benchmark wrote from committed
JSON. Rows are what one would do without a search, and what a search gives; none is left out for
its outcome.
"""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
REPORT = ROOT / "benchmarks" / "results" / "last_metre.md"
BEGIN, END = "<!-- results: benchmarks/readme.py -->", "<!-- end of results -->"
TEAM = "head fitted: and a team: our default"
ROWS = {
    "full fine-tuning": "full fine-tuning",
    "full fine-tuning from a fitted head (LP-FT)": "full fine-tuning from a fitted head",
    "logistic regression on the frozen features": "logistic regression on the frozen features",
    "the middle blocks from a fitted head": "the middle blocks from a fitted head",
    "a search, and its best training, as in the papers": "head fitted: as in the papers",
    "our search, one network": "head fitted: and refit",
    "**our search, a team: the default**": TEAM,
}
"""The README's words, and the line of the report."""
ACCURACY, LEAD = "test accuracy, %, ", "our default less this, points"


def table() -> str:
    """Markdown, as it stands between the two marks of README.md.

    Raises:
        KeyError: if the report has no such line or column any more.
    """
    text = REPORT.read_text(encoding="utf-8")
    cells = [
        [cell.strip() for cell in line.strip().strip("|").split("|")]
        for line in text.splitlines()
        if line.startswith("|")
    ]
    header, _, *lines = cells
    found = {line[0]: dict(zip(header, line, strict=True)) for line in lines}
    shares = [column for column in header if column.startswith(ACCURACY)]
    titles = [column.removeprefix(ACCURACY) for column in shares]
    made = [
        f"| | {' | '.join(titles)} | the default is ahead by, points (95 % interval) |",
        f"|---|{'---:|' * (len(shares) + 1)}",
    ]
    for words, name in ROWS.items():
        values = [found[name][column] for column in shares]
        if name == TEAM:
            values = [f"**{value}**" for value in values]
        lead = found[name][LEAD].replace("[", "(").replace("]", ")").replace(",", " to")
        made.append(f"| {words} | {' | '.join(values)} | {lead} |")
    return "\n".join(made)


def main() -> None:
    """Write the table into README.md."""
    before, _, rest = README.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    README.write_text(f"{before}{BEGIN}\n{table()}\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
