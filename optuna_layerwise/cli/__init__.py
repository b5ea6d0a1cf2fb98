"""The command ``optuna-layerwise``."""

from optuna_layerwise.cli.app import main

__all__ = ["main"]
