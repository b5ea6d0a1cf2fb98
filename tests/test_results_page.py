"""The snippets and commands of docs/results.md run as they stand there, from top to bottom."""

from __future__ import annotations

import json
import re
import shlex
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image

from optuna_layerwise.cli import main

PAGE = (Path(__file__).parents[1] / "docs" / "results.md").read_text()
SNIPPETS = re.findall(r"```(python|sh)\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.slow
def test_the_page_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.set_num_threads(1)
    Image.new("RGB", (9, 9)).save("photo.jpg")
    (tmp_path / "folder").mkdir()
    Image.new("L", (8, 8)).save("folder/other.png")
    (tmp_path / "table.csv").write_text("image\nphoto.jpg\n")
    names: dict[str, object] = {}
    for language, snippet in SNIPPETS:
        if language == "python":
            exec(compile(snippet, "results.md", "exec"), names)
            continue
        for line in snippet.strip().splitlines():
            monkeypatch.setattr(sys, "argv", shlex.split(line))
            with pytest.raises(SystemExit) as end:
                main()
            assert not end.value.code, line
    assert "folder/other.png" in (tmp_path / "predictions.csv").read_text()
    assert (tmp_path / "report.html").stat().st_size > 4_000_000
    assert (tmp_path / "report.md").read_text() == names["markdown"]
    content = json.loads((tmp_path / "comparison.json").read_text())
    assert [outcome["axis"] for outcome in content["outcomes"][:2]] == ["trials", "images"]
    assert (tmp_path / "plan" / "policy.yaml").is_file()
    assert not (tmp_path / "plan" / "README.md").exists()
    printed = capsys.readouterr().out
    assert "Best validation accuracy of each method" in printed
    assert "# Study leaves-0" in printed


def test_there_are_snippets_of_both_kinds() -> None:
    assert {language for language, _ in SNIPPETS} == {"python", "sh"}
    assert len(SNIPPETS) >= 10
