"""Data sets: decoded images, splits and folds."""

from optuna_layerwise.data.digits import digits_source
from optuna_layerwise.data.images import Images, SealedImages, Splits
from optuna_layerwise.data.load import load_data
from optuna_layerwise.data.splits import stratified_folds, stratified_split

__all__ = [
    "Images",
    "SealedImages",
    "Splits",
    "digits_source",
    "load_data",
    "stratified_folds",
    "stratified_split",
]
