"""Pages for the time of a test."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from optuna.storages import BaseStorage
from playwright.sync_api import Page

from optuna_layerwise.reporting.dashboard_server import make_server

OpenPage = Callable[..., Page]
"""The fixture ``open_page``: takes an address and how to look at it."""


@contextmanager
def served(storage: BaseStorage, *outputs: str) -> Iterator[str]:
    """The address of a dashboard on this machine, with artifacts of studies that write there."""
    with make_server(storage, outputs=outputs, port=0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
