"""What people look at: figures, comparisons, reports, exports."""

__all__: list[str] = []
