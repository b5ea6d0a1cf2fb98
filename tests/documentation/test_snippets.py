"""Every Python and shell block of README.md and docs/ runs as it stands there.

A page's blocks run in their order, in one folder and with one set of names, as somebody
who tries the page would. Blocks of other languages (``text``, ``yaml``) or of none are to be read;
that the commands in them exist is tested by `test_pages`.
"""

from __future__ import annotations

import sys
from pathlib import Path

import optuna
import pytest
import torch
from pages import PAGES, ROOT, RUN, Block, blocks, commands

from optuna_layerwise import BioTuneSampler, FinetuneObjective, Recipe, open_study
from optuna_layerwise.cli import main

WITH_A_STUDY = ("docs/figures.md", "docs/storages.md", "docs/studies.md")
"""Pages about a study that exists: ``study`` and ``objective`` are those of the README's end."""
ELSEWHERE = {
    "postgresql://user@host/db": "sqlite:///elsewhere.db",
    "n_finished=140": "n_finished=4",
}
"""What a page says, and what stands for it here: a server, a long search."""
TESTED_ALONE = ("docs/results.md",)
"""By `test_results_page`, which also looks at what comes out."""
RUNNABLE = [
    name
    for name, text in PAGES.items()
    if name not in TESTED_ALONE and {block.language for block in blocks(text)} & set(RUN)
]


@pytest.mark.filterwarnings(
    "ignore:'pin_memory'",  # of other libraries, which warn of machines as small as this one
    "ignore::lightning.fabric.utilities.warnings.PossibleUserWarning",
    "ignore:`isinstance.treespec",
)
@pytest.mark.sweep(page="docs/methods-encodings.md")
@pytest.mark.parametrize("page", RUNNABLE)
def test_the_blocks_of_a_page_run(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "benchmarks").symlink_to(ROOT / "benchmarks")  # as in a clone
    monkeypatch.setenv("COLUMNS", "200")
    torch.set_num_threads(1)
    names: dict[str, object] = _a_study(tmp_path) if page in WITH_A_STUDY else {}
    for block in blocks(PAGES[page]):
        if block.language == "python":
            _run_python(page, block, names)
        elif block.language == "sh":
            for arguments in commands(block.text):
                monkeypatch.setattr(sys, "argv", ["optuna-layerwise", *arguments])
                try:
                    main()
                except SystemExit as exit:
                    assert not exit.code, f"{page}:{block.line}: {arguments}"


def _run_python(page: str, block: Block, names: dict[str, object]) -> None:
    text = block.text
    for said, here in ELSEWHERE.items():
        text = text.replace(said, here)
    exec(compile("\n" * (block.line - 1) + text, page, "exec"), names)
    if "# your loop" in text:  # the loop is left out: what sets it up must work
        names["objective"](optuna.create_study().ask())  # type: ignore[operator]


def _a_study(folder: Path) -> dict[str, object]:
    objective = FinetuneObjective(model="digits_cnn", data="digits", recipe=Recipe(epochs=1))
    study = open_study(
        f"sqlite:///{folder}/given.db",
        study_name="given",
        sampler=BioTuneSampler(seed=0, encoding=objective.encoding),
    )
    study.optimize(objective, n_trials=3)
    objective.finalize(study, top=1, seeds=(1,))
    return {"study": study, "objective": objective}


def test_the_ways_into_the_package_are_run() -> None:
    assert "README.md" in RUNNABLE
    assert sum(block.language == "python" for block in blocks(PAGES["README.md"])) >= 3
