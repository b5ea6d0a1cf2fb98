"""The pages for people: README.md, and those of docs/."""

from __future__ import annotations

import dataclasses
import re
import shlex
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = {
    str(path.relative_to(ROOT)): path.read_text(encoding="utf-8")
    for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
}
RUN = ("python", "sh")
"""Languages of the blocks that are run; those of other languages, or of none, are to be read."""


@dataclasses.dataclass(frozen=True)
class Block:
    """A fenced block, and the line of its page on which it begins."""

    language: str
    text: str
    line: int


def blocks(text: str) -> list[Block]:
    """The fenced blocks of a page, in order."""
    return [
        Block(found[1], found[2], text.count("\n", 0, found.start()) + 2)
        for found in re.finditer(r"^```(\w*)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    ]


def commands(text: str) -> list[list[str]]:
    """The calls of ``optuna-layerwise`` in a block, or in backticks, as their arguments."""
    found = []
    for line in text.replace("\\\n", " ").splitlines():
        _, name, rest = line.partition("optuna-layerwise ")
        if name and not line.lstrip().startswith("#"):
            words = shlex.split(re.split(r"\s\||\s>|;", rest)[0], comments=True)
            found.append([word for word in words if word not in ("...", "&")])
    return found
