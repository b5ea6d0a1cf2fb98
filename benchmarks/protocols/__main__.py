"""Benchmarks: samplers, encodings and published methods side by side."""

import typer

from benchmarks.layerbench.searches import layerbench_command
from benchmarks.protocols.commands import commands
from optuna_layerwise.cli.app import be_quiet, run

app = typer.Typer(help=__doc__, no_args_is_help=True, add_completion=False)
app.callback()(be_quiet)
app.command("layerbench")(layerbench_command)
for name, command in commands().items():
    app.command(name)(command)

if __name__ == "__main__":
    run(app)
