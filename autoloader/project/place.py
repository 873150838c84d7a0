"""Where a project's things are: the folder of specs, the project folder, state, catalog and warehouse."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from autoloader.spec import Settings

CATALOG_NAME: Final = "lake"


@dataclass(frozen=True, slots=True)
class Place:
    """The folder of specs and what lies beside it.

    Attributes:
        folder: The folder of specs, absolute.
        project_dir: Its parent; relative paths in specs and settings start here.
    """

    folder: Path
    project_dir: Path

    @classmethod
    def of(cls, folder: str | Path) -> Place:
        """The place of a folder of specs, which need not exist yet."""
        absolute = Path(folder).absolute()
        return cls(absolute, absolute.parent)

    @property
    def hidden_dir(self) -> Path:
        """`.autoloader/`: embedded state, catalog, warehouse."""
        return self.project_dir / ".autoloader"

    def state_url(self, settings: Settings, environ: Mapping[str, str]) -> str:
        """The SQLAlchemy URL of the ledger; a relative SQLite path starts at the project folder."""
        url = environ.get("AUTOLOADER_STATE") or settings.state or "sqlite:///.autoloader/state.db"
        return self._absolute_sqlite(url)

    def catalog_properties(self, settings: Settings) -> dict[str, str]:
        """PyIceberg properties: the settings' own, over those of the embedded SQL catalog."""
        own = dict(settings.catalog)
        if _is_sql(own):
            own.setdefault("type", "sql")
            own.setdefault("uri", "sqlite:///.autoloader/catalog.db")
            own.setdefault("warehouse", ".autoloader/warehouse")
            own["uri"] = self._absolute_sqlite(own["uri"])
        warehouse = own.get("warehouse")
        if warehouse is not None and "://" not in warehouse and own.get("type") == "sql":
            own["warehouse"] = f"file://{(self.project_dir / warehouse).absolute()}"
        own.setdefault("name", CATALOG_NAME)
        return own

    def _absolute_sqlite(self, url: str) -> str:
        prefix = "sqlite:///"
        if not url.startswith(prefix) or url.startswith(prefix + "/") or url == prefix + ":memory:":
            return url
        return prefix + str((self.project_dir / url.removeprefix(prefix)).absolute())


def _is_sql(catalog: Mapping[str, str]) -> bool:
    """Whether it is the embedded catalog or another SQL one; without a type its URI tells, as in PyIceberg."""
    if "type" in catalog or "py-catalog-impl" in catalog:
        return catalog.get("type") == "sql"
    return catalog.get("uri", "sqlite:").startswith(("sqlite", "postgres"))
