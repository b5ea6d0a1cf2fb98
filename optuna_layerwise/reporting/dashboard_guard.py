"""Which requests a dashboard answers: those for its own names, and writes of its own pages.

Every web page that is open in a browser can send requests to this machine. Two of its tricks
matter. A page can give its own name the address 127.0.0.1 (DNS rebinding) and then read all
answers: so a request must ask for a name of this server. And a page can post without reading the
answer: so what writes must come from a page that this server sent, which has its token in a
cookie that browsers send for no other page.
"""

from __future__ import annotations

import contextlib
import hmac
import ipaddress
import secrets
import socket
from collections.abc import Callable, Iterable
from http.cookies import CookieError, SimpleCookie
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_READS = ("GET", "HEAD", "OPTIONS")
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_HEADERS = [
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Referrer-Policy", "same-origin"),
]
_DOWNLOAD = [("Content-Disposition", "attachment"), ("Content-Security-Policy", "sandbox")]


class Guard:
    """A dashboard that answers only whom it should.

    Artifacts are sent as files to save, whatever they say they are: none of them runs as a page of
    this server.

    Args:
        app: The dashboard.
        host: Address that it listens on; one that others can reach answers to all addresses and
            to the name of this machine, too.
    """

    def __init__(self, app: WSGIApplication, host: str) -> None:
        self._app = app
        self._token = secrets.token_urlsafe(32)
        self._names = {*_LOOPBACK, host.lower()}
        self._open = not is_loopback(host)
        if self._open:
            self._names |= {socket.gethostname().lower(), socket.getfqdn().lower()}

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request, or refuse it."""
        host = environ.get("HTTP_HOST", "")
        if not self._is_ours(_name(host)):
            return _refuse(
                start_response,
                f"this dashboard does not answer to the name {host[:100]!r}; open it as "
                "http://localhost with its port, by its address, or with `dashboard --host NAME`",
            )
        cookie = f"optuna-layerwise-{environ.get('SERVER_PORT', '')}"
        has_token = self._has_token(environ.get("HTTP_COOKIE", ""), cookie)
        if environ["REQUEST_METHOD"] not in _READS:
            site = environ.get("HTTP_SEC_FETCH_SITE", "same-origin")
            origin = environ.get("HTTP_ORIGIN")
            own = origin is None or _netloc(origin) == host.lower()
            if not (has_token and own and site == "same-origin"):
                return _refuse(
                    start_response,
                    "only pages of this dashboard may change studies; open the dashboard in a "
                    "browser and do it there (if this is its page, load it again)",
                )
        added = list(_HEADERS)
        if environ.get("PATH_INFO", "").startswith("/artifacts/"):
            added += _DOWNLOAD
        if not has_token:
            value = f"{cookie}={self._token}; Path=/; HttpOnly; SameSite=Strict"
            added.append(("Set-Cookie", value))

        def start(
            status: str, headers: list[tuple[str, str]], exc_info: Any = None, /
        ) -> Callable[[bytes], object]:
            ours = {name.lower() for name, _ in added} - {"set-cookie"}
            kept = [(name, value) for name, value in headers if name.lower() not in ours]
            return start_response(status, [*kept, *added], exc_info)

        return self._app(environ, start)

    def _is_ours(self, name: str) -> bool:
        return name in self._names or (self._open and _is_address(name))

    def _has_token(self, header: str, cookie: str) -> bool:
        try:
            found = SimpleCookie(header).get(cookie)
        except CookieError:
            return False
        value = found.value if found is not None else ""
        return hmac.compare_digest(value.encode(), self._token.encode())


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _name(host: str) -> str:
    """A host without its port, which a tunnel may change."""
    with contextlib.suppress(ValueError):
        return (urlsplit(f"//{host}").hostname or "").rstrip(".")
    return ""


def _netloc(origin: str) -> str:
    with contextlib.suppress(ValueError):
        return urlsplit(origin).netloc.lower()
    return ""


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _refuse(start_response: StartResponse, why: str) -> Iterable[bytes]:
    content = f"refused: {why}\n".encode()
    start_response(
        "403 Forbidden",
        [
            ("Content-Type", "text/plain; charset=utf-8"),
            ("Content-Length", str(len(content))),
            *_HEADERS,
        ],
    )
    return [content]
