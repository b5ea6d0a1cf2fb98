"""Data sets: decoded images, splits and folds.

Names are imported when first used.
"""

from typing import TYPE_CHECKING

from optuna_layerwise.lazy import lazily

if TYPE_CHECKING:
    from optuna_layerwise.data.digits import digits_source
    from optuna_layerwise.data.examples import Arrays, Examples, SealedImages, Splits
    from optuna_layerwise.data.grouped_splits import grouped_split
    from optuna_layerwise.data.images import Images
    from optuna_layerwise.data.load import load_data
    from optuna_layerwise.data.names import DATA_NAMES
    from optuna_layerwise.data.own_data import load_examples
    from optuna_layerwise.data.shares import floor_split, nested_subset
    from optuna_layerwise.data.splits import stratified_folds, stratified_split
    from optuna_layerwise.data.tokens import Tokenizing, load_texts

__all__ = [
    "DATA_NAMES",
    "Arrays",
    "Examples",
    "Images",
    "SealedImages",
    "Splits",
    "Tokenizing",
    "digits_source",
    "floor_split",
    "grouped_split",
    "load_data",
    "load_examples",
    "load_texts",
    "nested_subset",
    "stratified_folds",
    "stratified_split",
]

__getattr__, __dir__ = lazily(__name__)
