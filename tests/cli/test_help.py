"""What ``--help`` says of commands and options."""

from __future__ import annotations

from typing import Any

import pytest
import typer
from commands import Cli

from optuna_layerwise.cli.app import COMMANDS, app
from optuna_layerwise.io.fields import PANELS

GROUP: Any = typer.main.get_command(app)
MOST = 15
"""Options in one list that can be looked over."""


def test_the_list_of_commands_has_a_name_and_a_line_for_each(cli: Cli) -> None:
    rows = [line.strip("│ ").split(maxsplit=1) for line in cli("--help")[1].splitlines()]
    assert [row for row in rows if row[:1] and row[0] in COMMANDS] == [
        [name, says] for name, (_, says) in COMMANDS.items()
    ]


@pytest.mark.sweep(3)
@pytest.mark.parametrize("name", COMMANDS)
def test_no_list_of_options_is_long_and_each_option_says_what_it_is(cli: Cli, name: str) -> None:
    command = GROUP.get_command(None, name)
    panels: dict[str | None, list[Any]] = {}
    for param in command.params:
        assert param.help or param.name == "help", param.name
        panels.setdefault(param.rich_help_panel, []).append(param.name)
    assert all(len(names) <= MOST for names in panels.values())
    titles = [title for title in panels if title is not None]
    assert titles == [title for title in PANELS if title in titles]
    for title in titles:
        assert f"─ {title} ─" in cli(name, "--help")[1]


def test_an_option_has_the_same_panel_in_every_command() -> None:
    panels: dict[str, set[str]] = {}
    for name in COMMANDS:
        for param in GROUP.get_command(None, name).params:
            if param.rich_help_panel is not None:
                panels.setdefault(param.name, set()).add(param.rich_help_panel)
    assert {name: titles for name, titles in panels.items() if len(titles) > 1} == {}
    of_tune = {p.name for p in GROUP.get_command(None, "tune").params} - {"help"}
    assert of_tune <= set(panels)
