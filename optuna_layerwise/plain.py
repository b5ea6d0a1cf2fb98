"""What a caller gives, as plain data: NumPy's numbers and arrays become Python's.

JSON, which everything stored is, knows no others. Called where a value enters, once.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def plain(value: Any) -> Any:
    """A NumPy number, text or array as Python's; so for what is in lists, tuples and mappings.

    Example:
        >>> import numpy as np
        >>> plain({"k": np.int64(3), "rates": np.array([0.5, 1.0]), "on": [np.bool_(True)]})
        {'k': 3, 'rates': [0.5, 1.0], 'on': [True]}
    """
    if type(value).__module__.partition(".")[0] == "numpy" and hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, Mapping):
        return {plain(name): plain(each) for name, each in value.items()}
    if type(value) in (list, tuple):
        return type(value)(map(plain, value))
    return value
