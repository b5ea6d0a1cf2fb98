"""What ``--help`` says of commands and options."""

from __future__ import annotations

from typing import Any

import pytest
import typer
from commands import Cli

from optuna_layerwise.cli.app import COMMANDS, app
from optuna_layerwise.cli.panels import PANELS

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
    for title in set(panels) - {None}:
        assert title in PANELS
        assert set(panels[title]) <= set(PANELS[title])
        assert f"─ {title} ─" in cli(name, "--help")[1]


def test_an_option_has_the_same_panel_in_every_command() -> None:
    names = [name for panel in PANELS.values() for name in panel]
    assert len(set(names)) == len(names)
    known = {p.name for c in COMMANDS for p in GROUP.get_command(None, c).params}
    assert set(names) <= known
    assert None not in {p.rich_help_panel for p in GROUP.get_command(None, "tune").params}
