"""The versions of the packages that are installed here."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version


def version_of(package: str) -> str:
    """The version of a package; ``unknown`` where it is not installed, but run from its source."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"


def installed_versions(packages: Iterable[str]) -> dict[str, str]:
    """Name to version of those packages that are installed."""
    found = {package: version_of(package) for package in packages}
    return {package: number for package, number in found.items() if number != "unknown"}
