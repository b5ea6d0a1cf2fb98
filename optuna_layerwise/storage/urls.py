"""Addresses of storages as people may see them."""

from __future__ import annotations

import sqlalchemy


def without_secrets(url: str) -> str:
    """The URL without its password and options, or what follows the user in what is none."""
    try:
        return sqlalchemy.make_url(url).set(query={}).render_as_string(hide_password=True)
    except (sqlalchemy.exc.ArgumentError, ValueError):
        _, at, place = url.rpartition("@")
        return repr(f"***@{place}" if at else url)
