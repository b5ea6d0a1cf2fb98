"""The README's Python runs as it stands there."""

from __future__ import annotations

import re
from pathlib import Path

import optuna
import pytest
import torch

README = Path(__file__).parents[1] / "README.md"
SNIPPETS = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)


@pytest.mark.parametrize("snippet", SNIPPETS, ids=[f"snippet{i}" for i in range(len(SNIPPETS))])
def test_a_snippet_runs(
    snippet: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.set_num_threads(1)
    names: dict[str, object] = {}
    exec(compile(snippet, "README.md", "exec"), names)
    if "encoding" in names:  # the user's loop is left out: its setting up must work
        names["objective"](optuna.create_study().ask())  # type: ignore[operator]
    if "final" in names:
        assert "stem" in capsys.readouterr().out


def test_there_are_snippets() -> None:
    assert len(SNIPPETS) == 3
