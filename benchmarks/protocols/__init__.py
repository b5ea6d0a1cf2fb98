"""Published comparisons, and one of our own, as declarations that one machinery runs.

What declares and shows is here and needs no torch; `running` runs the cells.


Names are imported when first used.
"""

from typing import TYPE_CHECKING

from optuna_layerwise.lazy import lazily

if TYPE_CHECKING:
    from benchmarks.protocols.arms import Arm
    from benchmarks.protocols.experiments import Cell, Experiment
    from benchmarks.protocols.pages import latex, markdown_page
    from benchmarks.protocols.records import read_records
    from benchmarks.protocols.registry import TABLES
    from benchmarks.protocols.table import Table

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
