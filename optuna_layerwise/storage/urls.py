"""Addresses of storages as people may see them."""

from __future__ import annotations

import sqlalchemy

_DRIVERS = {
    "postgresql://": "postgresql+psycopg://",
    "postgres://": "postgresql+psycopg://",
    "mysql://": "mysql+pymysql://",
    "mariadb://": "mysql+pymysql://",
    "mariadb+": "mysql+",
}


def without_secrets(url: str) -> str:
    """The URL without its password and options, or what follows the user in what is none."""
    try:
        return sqlalchemy.make_url(url).set(query={}).render_as_string(hide_password=True)
    except (sqlalchemy.exc.ArgumentError, ValueError):
        _, at, place = url.rpartition("@")
        return repr(f"***@{place}" if at else url)


def with_driver(url: str) -> str:
    """The URL with the driver that this package installs, where it names none."""
    for prefix, driver in _DRIVERS.items():
        if url.startswith(prefix):
            url = driver + url[len(prefix) :]
    return url
