"""Where the state database is, and how to speak of it without ever saying its password."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from autoloader.errors import LedgerError

_FIX = "Set `state` to sqlite:///path/state.db or postgresql://user:password@host:5432/database."


@dataclass(frozen=True, slots=True)
class Address:
    """One state database.

    Attributes:
        label: How messages name it: the file's path, or scheme, host and database.
        path: The SQLite file, None for a server.
    """

    label: str
    path: Path | None
    _uri: str = field(default="", repr=False)
    _secrets: tuple[str, ...] = field(default=(), repr=False)

    def driver_uri(self) -> str:
        """What ADBC opens: a SQLite URI that never creates a file, or a plain libpq URI."""
        if self.path is not None:
            return f"file:{quote(str(self.path))}?{_mode(self.path)}"
        return self._uri

    def redacted(self, text: str) -> str:
        """The text with every form of the password replaced."""
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return text


def _mode(path: Path) -> str:
    """In a folder that cannot be written WAL's side files cannot be made, so only reading as is works."""
    if os.access(path.parent, os.W_OK) or Path(f"{path}-wal").exists():
        return "mode=rw"
    return "mode=ro&immutable=1"


def parse_address(url: str) -> Address:
    """Reads a SQLAlchemy URL.

    Raises:
        LedgerError: It is neither `sqlite:///FILE` nor a well-formed `postgresql://` URL. The message
            does not repeat it, since a badly quoted password could stand anywhere in it.
    """
    scheme, _, rest = url.partition("://")
    base = scheme.partition("+")[0]
    if base == "sqlite":
        name = rest.partition("?")[0].removeprefix("/")
        if not name or name == ":memory:":
            raise LedgerError("The state needs a file.", why=f"{url} has no path.", fix=_FIX)
        path = Path(name).absolute()
        return Address(label=str(path), path=path)
    if base in ("postgresql", "postgres"):
        return _server_address(rest)
    raise LedgerError("The state's URL is not one of SQLite or Postgres.", fix=_FIX)


def _server_address(rest: str) -> Address:
    malformed = LedgerError(
        "The state's Postgres URL is malformed.",
        why="Special characters in a user name or password must be percent-encoded (@ is %40, / is %2F).",
        fix=_FIX,
    )
    try:
        parts = urlsplit(f"postgresql://{rest}")
        port = parts.port
        query = parse_qsl(parts.query, strict_parsing=bool(parts.query), keep_blank_values=True)
    except ValueError:
        raise malformed from None
    if parts.fragment or "@" in parts.path or parts.netloc.count("@") > 1:
        raise malformed
    options = dict(query)
    secrets = {parts.password or "", unquote(parts.password or "")}
    secrets |= {value for name, value in query if "password" in name.lower()}
    secrets |= {quote(secret, safe="") for secret in secrets}
    options.setdefault("connect_timeout", "10")
    options.setdefault("application_name", "autoloader")
    host = parts.hostname or options.get("host", "localhost")
    where = f"{host}:{port}" if port else host
    return Address(
        label=f"postgresql://{where}/{parts.path.lstrip('/')}",
        path=None,
        _uri=f"postgresql://{parts.netloc}{parts.path}?{urlencode(options, quote_via=quote)}",
        _secrets=tuple(sorted((secret for secret in secrets if secret), key=len, reverse=True)),
    )
