"""Passwords in addresses of storages are seen by nobody."""

from __future__ import annotations

import os

import pytest

from optuna_layerwise.storage import open_storage, without_secrets
from optuna_layerwise.storage.urls import scrubbed

SECRET = "pa55word"
HIDDEN = {
    f"postgresql://me:{SECRET}@host/db": "postgresql://me:***@host/db",
    f"postgresql://me:a@{SECRET}@host:5432/db": "postgresql://me:***@host:5432/db",
    f"postgresql://me:a/{SECRET}?b@host/db": "postgresql://me:***@host/db",
    f"mysql+pymysql://:{SECRET}@host/db?charset=utf8mb4": "mysql+pymysql://:***@host/db?charset=utf8mb4",
    f"postgresql://host/db?user=me@corp&password={SECRET}": "postgresql://host/db?user=me@corp&password=***",
    f"postgresql:///db?host=/run/pg&PASSWORD={SECRET}": "postgresql:///db?host=/run/pg&PASSWORD=***",
    f"mssql+pyodbc:///?odbc_connect=PWD%3D{SECRET}": "mssql+pyodbc:///?odbc_connect=***",
    f"sqlite+pysqlcipher://:{SECRET}@/file.db": "sqlite+pysqlcipher://:***@/file.db",
    f"me:{SECRET}@host/db": "***@host/db",
    f"postgresql://me:{SECRET}": "postgresql://me:***@",
    f"postgresql://host/db#password={SECRET}": "postgresql://host/db#password=***",
    f"host=here password={SECRET} dbname=db": "host=here password=*** dbname=db",
}  # fmt: skip


@pytest.mark.parametrize("url", HIDDEN)
def test_a_shown_url_hides_passwords_wherever_they_stand(url: str) -> None:
    assert without_secrets(url) == HIDDEN[url]


@pytest.mark.parametrize(
    "url",
    [
        "sqlite:////home/me@corp/tune.db?mode=ro&uri=true",
        "journal:///runs/a@b.log",
        "runs/tune.log",
        "postgresql://me@host:5432/db?sslmode=require",
        "postgresql://one:5432,two:5432/db",
        "postgresql://[::1]/db",
        "postgresql://host:/db",
    ],
)
def test_a_url_without_secrets_is_shown_as_it_is(url: str) -> None:
    assert without_secrets(url) == url


def test_what_a_driver_says_is_told_without_the_password() -> None:
    url = f"postgresql://me:{SECRET}%21@host/db?sslpassword=x"
    said = f"invalid DSN: password={SECRET}! sslpassword=x express"
    assert scrubbed(said, url) == "invalid DSN: password=*** sslpassword=*** express"


def test_an_unescaped_at_sign_in_a_password_is_an_error_that_hides_it() -> None:
    with pytest.raises(ConnectionError, match="write %40") as caught:
        open_storage(f"postgresql://me:p@{SECRET}@127.0.0.1:{os.getpid() % 1000 + 1}/db")
    assert SECRET not in str(caught.value)
