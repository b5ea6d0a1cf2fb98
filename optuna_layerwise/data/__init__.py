"""Data sets: images in memory, splits, folds."""
