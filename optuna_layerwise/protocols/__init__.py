"""Published comparisons, and one of our own, as declarations that one machinery runs.

What declares and shows is here and needs no torch; `running` runs the cells.


Names are imported when first used.
"""

from typing import TYPE_CHECKING

from optuna_layerwise.lazy import lazily

if TYPE_CHECKING:
    from optuna_layerwise.protocols.arms import Arm
    from optuna_layerwise.protocols.experiments import Cell, Experiment
    from optuna_layerwise.protocols.pages import latex, markdown_page
    from optuna_layerwise.protocols.records import read_records
    from optuna_layerwise.protocols.registry import TABLES
    from optuna_layerwise.protocols.table import Table

__all__ = [
    "TABLES",
    "Arm",
    "Cell",
    "Experiment",
    "Table",
    "latex",
    "markdown_page",
    "read_records",
]

__getattr__, __dir__ = lazily(__name__)
