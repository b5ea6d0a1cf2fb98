"""Addresses of storages as people may see them: without passwords."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote

HIDDEN = "***"
_ASSIGNED = re.compile(r"(?i)(\w*(?:passw|pwd|secret|token)\w*\s*=\s*)([^\s&;#]+)")
"""A secret outside of the options, as in ``host=here password=...``."""
_HARMLESS = {
    # options of URLs that are no secrets; the values of all others are hidden
    *("host", "port", "user", "dbname", "unix_socket", "driver", "charset", "client_encoding"),
    *("sslmode", "sslrootcert", "ssl_ca", "gssencmode", "application_name", "isolation_level"),
    *("connect_timeout", "read_timeout", "write_timeout", "timeout", "target_session_attrs"),
    *("mode", "cache", "uri", "vfs", "nolock", "immutable", "check_same_thread"),
}


@dataclass(frozen=True)
class _Parts:
    """Of a URL; ``user`` and ``password`` are ``None`` where there are none."""

    scheme: str
    user: str | None
    password: str | None
    place: str
    query: str

    @property
    def options(self) -> list[tuple[str, str]]:
        pairs = [option.partition("=") for option in self.query.split("&") if option]
        return [(name, value) for name, _, value in pairs]


_DRIVERS = {
    "postgresql://": "postgresql+psycopg://",
    "postgres://": "postgresql+psycopg://",
    "mysql://": "mysql+pymysql://",
    "mariadb://": "mysql+pymysql://",
    "mariadb+": "mysql+",
}


def without_secrets(url: str) -> str:
    """The URL with asterisks for its password, and for options whose values may be secrets.

    Examples:
        >>> without_secrets("postgresql://me:p@ss/word@host/db?sslmode=require&password=x")
        'postgresql://me:***@host/db?sslmode=require&password=***'
    """
    parts = _parts(url)
    user = "" if parts.user is None else f"{parts.user}@"
    if parts.password is not None:
        user = f"{parts.user}:{HIDDEN}@"
    shown = [
        f"{name}={value if name.lower() in _HARMLESS else HIDDEN}" if value else HIDDEN
        for name, value in parts.options
    ]
    whole = parts.scheme + user + parts.place + ("?" + "&".join(shown) if shown else "")
    return _ASSIGNED.sub(rf"\g<1>{HIDDEN}", whole)


def with_driver(url: str) -> str:
    """The URL with the driver that this package installs, where it names none."""
    for prefix, driver in _DRIVERS.items():
        if url.startswith(prefix):
            url = driver + url[len(prefix) :]
    return url


def has_secrets(url: str) -> bool:
    """Whether `without_secrets` hides something."""
    return without_secrets(url) != url


def scrubbed(text: str, url: str) -> str:
    """What a driver says of a URL, without the secrets in the URL."""
    parts = _parts(url)
    secrets = [value or name for name, value in parts.options if name.lower() not in _HARMLESS]
    secrets += [parts.password or "", *(value for _, value in _ASSIGNED.findall(url))]
    for secret in sorted({s for one in secrets for s in (one, unquote(one))}, key=len):
        if secret:  # a short one may be part of other words
            text = re.sub(rf"(?<!\w){re.escape(secret)}(?!\w)", HIDDEN, text)
    return text


def check_password(url: str) -> None:
    """Refuse a password of which drivers would take a part for the name of the host.

    Raises:
        ValueError: if it has an ``@`` that is not escaped.
    """
    if "@" in (_parts(url).password or ""):
        raise ValueError(
            f"the password in {without_secrets(url)} has a character @ that is not escaped; "
            "write %40 in its place"
        )


def _parts(url: str) -> _Parts:
    scheme, separator, rest = url.partition("://")
    if not separator:
        user, at, place = url.rpartition("@")
        return _Parts("", None, None, f"{HIDDEN}@{place}" if at else url, "")
    before, _, query = rest.partition("?")
    if rest.startswith("/"):  # a file
        return _Parts(scheme + separator, None, None, before, query)
    if "@" in query and not _is_query(before, query):  # a password with a question mark
        before, query = rest, ""
        place, mark, options = before.rpartition("@")[2].partition("?")
        before = before.rpartition("@")[0] + "@" + place
        query = options if mark else ""
    user, at, place = before.rpartition("@")
    if not at:
        if re.match(r"[^\[:/]*:(?!\d|/|$)", place):  # no port: the host was forgotten
            name, _, password = place.partition(":")
            return _Parts(scheme + separator, name, password, "", query)
        return _Parts(scheme + separator, None, None, place, query)
    name, colon, password = user.partition(":")
    return _Parts(scheme + separator, name, password if colon else None, place, query)


def _is_query(before: str, query: str) -> bool:
    """Whether what follows a question mark is one, though there is an ``@`` in it."""
    if re.match(r"[\w.-]+=", query) is None:
        return False
    has_password = ":" in re.sub(r":\d+(?=/|$)", "", before.rpartition("@")[2])
    return not has_password
