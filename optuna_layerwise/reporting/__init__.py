"""What people look at: reports, exports, model cards, and the pages of optuna-dashboard."""

__all__: list[str] = []
