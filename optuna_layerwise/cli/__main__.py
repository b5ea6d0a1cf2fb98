"""``python -m optuna_layerwise.cli``, for processes that start another one."""

from optuna_layerwise.cli import main

main()
