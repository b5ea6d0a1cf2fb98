"""Trial parameters to policies and back."""

from optuna_layerwise.encodings.encoding import ENCODINGS, Encoding

__all__ = ["ENCODINGS", "Encoding"]
