"""LayerBench: a table of real layer-wise fine-tunings, for comparing samplers in seconds.

Names are imported when first used.
"""

from typing import TYPE_CHECKING

from optuna_layerwise.lazy import lazily

if TYPE_CHECKING:
    from optuna_layerwise.layerbench.bench import LayerBench, Training, open_tables
    from optuna_layerwise.layerbench.measured import SUFFIX, Table, read_table
    from optuna_layerwise.layerbench.objective import FULL, GRID, LayerBenchObjective, encoding_for
    from optuna_layerwise.layerbench.surrogate import Kernel, Surrogate, features

__all__ = [
    "FULL",
    "GRID",
    "SUFFIX",
    "Kernel",
    "LayerBench",
    "LayerBenchObjective",
    "Surrogate",
    "Table",
    "Training",
    "encoding_for",
    "features",
    "open_tables",
    "read_table",
]

__getattr__, __dir__ = lazily(__name__)
