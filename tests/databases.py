"""Databases of a Postgres server: a new, empty one each, and away with it."""

from __future__ import annotations

import uuid


def new_database(server_url: str) -> str:
    """The SQLAlchemy URL of a new, empty database on that server."""
    from sqlalchemy.engine import make_url

    name = f"test_{uuid.uuid4().hex[:12]}"
    _command(server_url, f'CREATE DATABASE "{name}"')
    return make_url(server_url).set(database=name).render_as_string(hide_password=False)


def drop_database(server_url: str, url: str) -> None:
    """Take a database away, whoever is still connected."""
    from sqlalchemy.engine import make_url

    _command(server_url, f'DROP DATABASE "{make_url(url).database}" WITH (FORCE)')


def _command(server_url: str, sql: str) -> None:
    import psycopg
    from sqlalchemy.engine import make_url

    admin = make_url(server_url).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute(sql)
