"""A study of the command line as stored data: its settings, presets, samplers and status."""

__all__: list[str] = []
