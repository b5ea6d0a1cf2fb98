"""Optuna samplers for layer genes and any other search space."""
