"""Packages whose names are imported when they are first used (PEP 562).

Such a package has its imports in a block ``if TYPE_CHECKING:``, for people, editors and mypy; at
run time the same block says where a name is defined.
"""

from __future__ import annotations

import ast
import importlib
import importlib.abc
import importlib.util
import sys
import warnings
from collections.abc import Callable, Mapping
from typing import Any


def lazily(package: str) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """The ``__getattr__`` and ``__dir__`` of a package.

    Args:
        package: Its ``__name__``.

    Examples:
        >>> load, names = lazily("optuna_layerwise")
        >>> load("Policy").__name__, "Policy" in names()
        ('Policy', True)
    """
    homes = homes_of(package)

    def load(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(importlib.import_module(homes[name]), name)
        setattr(sys.modules[package], name, value)  # so that it is asked for once
        return value

    def names() -> list[str]:
        return sorted({*vars(sys.modules[package]), *homes})

    return load, names


def homes_of(package: str) -> dict[str, str]:
    """The names in a package's block ``if TYPE_CHECKING:``, and the modules that define them."""
    loader: Any = sys.modules[package].__loader__
    return {
        alias.name: str(node.module)
        for block in ast.parse(loader.get_source(package)).body
        if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING"
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }


class FormerNames(importlib.abc.MetaPathFinder):
    """Finds modules by the names that they had, and warns; for one version.

    Args:
        package: The name of the package.
        names: Former name of a module to the present one, both within the package.
    """

    def __init__(self, package: str, names: Mapping[str, str]) -> None:
        self._names = {f"{package}.{old}": f"{package}.{new}" for old, new in names.items()}

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> Any:
        """A module with all that the present one has; see `importlib.abc.MetaPathFinder`."""
        present = self._names.get(fullname)
        if present is None:
            return None
        return importlib.util.spec_from_loader(fullname, _Former(present))


class _Former(importlib.abc.Loader):
    def __init__(self, present: str) -> None:
        self._present = present

    def exec_module(self, module: Any) -> None:
        warnings.warn(
            f"{module.__name__} is now {self._present}; the next version drops the former name",
            FutureWarning,
            stacklevel=2,
        )
        found = vars(importlib.import_module(self._present))
        vars(module).update({name: found[name] for name in found if not name.startswith("__")})
