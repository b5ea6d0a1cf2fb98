"""A table of real layer-wise fine-tunings: how it is built, and what it says."""
