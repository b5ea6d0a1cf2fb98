"""Fixtures of this room."""

from databases import storage, url

__all__ = ["storage", "url"]
