"""What README.md and docs/ name is there: files, commands, options, messages."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import typer
from pages import PAGES, ROOT, blocks, commands

import optuna_layerwise
from optuna_layerwise.cli.app import app
from optuna_layerwise.experiments.settings_file import read_settings

ALL = pytest.mark.parametrize("page", PAGES)


@ALL
def test_every_link_leads_to_a_file(page: str) -> None:
    links = re.findall(r"\]\(([^)#\s]+)", PAGES[page])
    own = [link for link in links if "://" not in link]
    missing = [link for link in own if not ((ROOT / page).parent / link).exists()]
    assert not missing


@ALL
def test_every_heading_that_is_linked_exists(page: str) -> None:
    for link, heading in re.findall(r"\]\(([^)#\s:]*)#([^)\s]+)\)", PAGES[page]):
        text = (((ROOT / page).parent / link) if link else ROOT / page).read_text()
        titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
        slugs = [re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles]
        assert heading in slugs, f"{link}#{heading}"


@ALL
def test_every_file_of_ours_that_is_named_exists(page: str) -> None:
    named = re.findall(r"`((?:tests|benchmarks|notebooks)/[\w./-]+\.\w+)`", PAGES[page])
    assert not [path for path in named if not (ROOT / path).exists()]


@ALL
def test_every_command_and_option_exists(page: str) -> None:
    group = typer.main.get_command(app)
    context = group.make_context("optuna-layerwise", ["status"], resilient_parsing=True)
    inline = re.findall(r"`(optuna-layerwise [^`]+)`", PAGES[page])
    for text in [block.text for block in blocks(PAGES[page])] + inline:
        for name, *words in commands(text):
            if name == "--help":
                continue
            command = group.get_command(context, name)  # type: ignore[attr-defined]
            assert command is not None, name
            if hasattr(command, "get_command") and words:  # a group, such as bench
                command = command.get_command(context, words[0])
                assert command is not None, words
            known = {o for p in command.params for o in (*p.opts, *p.secondary_opts)}
            asked = {word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)}
            assert asked <= {*known, "--help"}, f"{name}: {asked - known}"


def test_every_page_is_in_the_index() -> None:
    index = PAGES["docs/README.md"]
    assert not [page for page in PAGES if f"({Path(page).name})" not in index and "/" in page
                and page != "docs/README.md"]  # fmt: skip
    assert "docs/README.md" in PAGES["README.md"]


def test_every_message_of_the_troubleshooting_page_is_in_the_code() -> None:
    source = "\n".join(
        path.read_text() for path in Path(optuna_layerwise.__path__[0]).rglob("*.py")
    )
    source = re.sub(r'"\s*\n\s*f?"', "", source)  # texts that go on in the next line
    page = PAGES["docs/troubleshooting.md"]
    messages = re.findall(r"^\| `([^`]+)`", page, re.MULTILINE)
    assert len(messages) > 30
    parts = [part.strip() for message in messages for part in message.split("...")]
    assert not [part for part in parts if part and part not in source]


def test_the_file_of_settings_in_the_pages_is_one(tmp_path: Path) -> None:
    [text] = [b.text for b in blocks(PAGES["docs/settings.md"]) if b.language == "yaml"]
    (tmp_path / "tune.yaml").write_text(text)
    found = read_settings(tmp_path / "tune.yaml")
    assert found["data"] == str(tmp_path / "images" / "leaves.csv")
    assert len(found) == sum(":" in line for line in text.splitlines())
