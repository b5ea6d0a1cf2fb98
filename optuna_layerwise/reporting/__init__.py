"""What people look at: figures, comparisons, reports, exports, and what the dashboard shows."""

from optuna_layerwise.reporting.rows import History, Row, read

__all__ = ["History", "Row", "read"]
