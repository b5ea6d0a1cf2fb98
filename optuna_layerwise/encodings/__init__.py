"""Trial parameters to policies and back."""

from optuna_layerwise.encodings.encoding import ENCODINGS, Encoding, Head

__all__ = ["ENCODINGS", "Encoding", "Head"]
