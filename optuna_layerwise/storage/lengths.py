"""What the columns of Optuna's tables hold: said before anything is trained.

SQLite holds texts of any length; PostgreSQL limits names, MySQL and MariaDB all texts. None of
them holds every character.
"""

from __future__ import annotations

from optuna.distributions import BaseDistribution, distribution_to_json

MOST_CHARACTERS = 512
"""Of a name."""
_MOST_BYTES = 65_535  # of a text of MySQL


def check_name(kind: str, name: str, *, database: str) -> None:
    """Refuse a name that a column would not hold.

    Raises:
        ValueError: it has the length, and what is held.
    """
    if "\0" in name or any("\ud800" <= character <= "\udfff" for character in name):
        raise ValueError(
            f"the name of a {kind} has no NUL and no half of a pair of surrogates in a {database} "
            f"database, got {name[:40]!r}; choose another one"
        )
    if database != "sqlite" and len(name) > MOST_CHARACTERS:
        raise ValueError(
            f"the name of a {kind} has at most {MOST_CHARACTERS} characters in a {database} "
            f"database, got {len(name):,}: {name[:40]!r}...; choose a shorter one"
        )


def check_parameter(name: str, distribution: BaseDistribution, *, database: str) -> None:
    """Refuse a parameter that a row would not hold.

    Raises:
        ValueError: it has the length, and what is held.
    """
    check_name("parameter", name, database=database)
    if database == "mysql" and (size := len(distribution_to_json(distribution))) > _MOST_BYTES:
        raise ValueError(
            f"the distribution of parameter {name!r} has at most {_MOST_BYTES:,} bytes of JSON in "
            f"a {database} database, got {size:,}; give it fewer or shorter choices, such as "
            "indices of a list, or use PostgreSQL"
        )
