"""Trial parameters to policies and back."""
