"""`preview`: which files are looked at, what their schema would change, and how it is shown."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from autoloader import schema as schemas
from autoloader.errors import SettingsError
from autoloader.inventory import Disposition
from autoloader.planner import Asked
from autoloader.preview import Preview, Sample, preview
from autoloader.project.answer import rows_of
from autoloader.project.looking import history_of, look_at, state_of
from autoloader.project.resolving import resolve
from autoloader.render import count_text, escape_terminal, plural, table_html, table_text
from autoloader.sources import canonical, canonical_file

if TYPE_CHECKING:
    import pyarrow as pa

    from autoloader.project.project import Project

_PROFILE: Final = ("column", "type", "nulls", "distinct", "min", "max")
_REJECTS: Final = 20  # that people see
_NOT_SHOWN = (Disposition.HIDDEN, Disposition.EXCLUDED, Disposition.MISSING)


@dataclass(frozen=True, slots=True)
class Shown:
    """A preview with the schema that it was read by.

    Attributes:
        ingestion: The ingestion.
        found: What was read.
        schema: The columns, as data.
        schema_diff: What would change in the table's columns, as sentences with their class.
        listed: Files that the ingestion has.
        root: Where its source begins; people see file names below it.
    """

    ingestion: str
    found: Preview
    schema: list[dict[str, Any]]
    schema_diff: list[dict[str, str]]
    listed: int
    root: str = ""

    def to_json(self) -> dict[str, Any]:
        """The document of DESIGN section 5."""
        return {
            "ingestion": self.ingestion,
            "rows": [_plain(row) for row in rows_of(self.found.rows)],
            "rejected": [_plain(row) for row in rows_of(self.found.rejected)],
            "schema": self.schema,
            "schema_diff": self.schema_diff,
            "profile": list(self.found.profile),
            "files": list(self.found.files),
            "total_rows": self.found.total_rows,
        }

    def text(self, *, color: bool = False, width: int | None = 100) -> str:
        """The preview for a terminal `width` columns wide; None = one line per row."""
        data = self.to_json()
        parts = [self._head()]
        parts += [f"  {self._name(file)}: {escape_terminal(_told(file))}" for file in data["files"]]
        if data["rows"]:
            rows = [{name: _short(value) for name, value in row.items()} for row in data["rows"]]
            parts += ["", table_text(rows, list(rows[0]), color=color, width=width, literal=True)]
        if data["profile"]:
            parts += ["", table_text(_profile(data["profile"]), _PROFILE, color=color, width=width)]
        if data["schema_diff"]:
            parts += ["", "The table's schema would change:"]
            parts += [f"  {escape_terminal(each['change'])} ({each['class']})" for each in data["schema_diff"]]
        if data["rejected"]:
            parts += ["", _rejected(data["rejected"])]
            columns = [*(["file"] if len(data["files"]) > 1 else []), "row", "column", "raw", "error"]
            parts.append(table_text(self._rejects(data["rejected"]), columns, color=color, width=width))
        return "\n".join(parts)

    def _head(self) -> str:
        read = len(self.found.files)
        return (
            f"{escape_terminal(self.ingestion)}: {plural(self.found.total_rows, 'row')} in"
            f" {count_text(read)} of {plural(self.listed, 'file')}; nothing is written."
        )

    def _name(self, file: dict[str, Any]) -> str:
        return escape_terminal(self._below(file))

    def _below(self, file: dict[str, Any]) -> str:
        return str(file["file_path"]).removeprefix(self.root)

    def _rejects(self, rejected: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [{**each, "file": self._below(each), "raw": _short(each["raw"])} for each in rejected[:_REJECTS]]

    def rows(self) -> pa.Table:
        """The rows as Arrow."""
        return self.found.rows

    def df(self) -> Any:
        """The rows as a pandas frame."""
        return self.found.rows.to_pandas()

    def _repr_html_(self) -> str:
        data = self.to_json()
        rows = [{name: _short(value) for name, value in row.items()} for row in data["rows"]]
        files = [f"{self._name(file)}: {_told(file)}" for file in data["files"]]
        parts = [table_html(rows, list(rows[0]) if rows else [], title=self._head(), closing=files, literal=True)]
        if data["profile"]:
            parts.append(table_html(_profile(data["profile"]), [*_PROFILE], title="Columns", folded=True))
        if data["schema_diff"]:
            changes = [f"{each['change']} ({each['class']})" for each in data["schema_diff"]]
            parts.append(table_html([], [], title="The table's schema would change:", closing=changes))
        if data["rejected"]:
            columns = ["file", "row", "column", "raw", "error"]
            rejects = self._rejects(data["rejected"])
            parts.append(table_html(rejects, columns, title=_rejected(data["rejected"])))
        return "".join(parts)

    def __repr__(self) -> str:
        return self.text()


def _rejected(rejected: list[dict[str, Any]]) -> str:
    said = f"{plural(len(rejected), 'value')} rejected"
    return f"{said}; the first {_REJECTS}:" if len(rejected) > _REJECTS else f"{said}:"


def _profile(profile: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The profile as people see it: what is estimated says so, long values are shortened."""
    return [
        {
            **each,
            "distinct": each["distinct"] if each["distinct_is_exact"] else f"~{count_text(each['distinct'])}",
            "min": _short(each["min"]),
            "max": _short(each["max"]),
        }
        for each in profile
    ]


def _told(file: dict[str, Any]) -> str:
    if file["error"]:
        return f"not readable: {file['error']}"
    rejected = f", {plural(file['rejected_rows'], 'row')} rejected" if file["rejected_rows"] else ""
    rescued = f", {plural(file['rescued_rows'], 'row')} with rescued values" if file["rescued_rows"] else ""
    return f"{plural(file['rows'], 'row')}{rejected}{rescued}" + "".join(f"; {note}" for note in file["notes"])


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    return {name: _value(value) for name, value in row.items()}


def _value(value: Any) -> Any:
    match value:
        case bytes():
            return base64.b64encode(value).decode("ascii")
        case dict():
            return {key: _value(item) for key, item in value.items()}
        case list() | tuple():
            return [_value(item) for item in value]
        case _:
            return value.isoformat() if hasattr(value, "isoformat") else value


def _short(value: Any) -> str | None:
    """A cell as text as it stands in the table (no thousands separators), long ones shortened."""
    if value is None:
        return None
    text = str(value)
    return text if len(text) <= 40 else text[:39] + "…"


def show(project: Project, name: str, *, files: int, rows: int, file: str | None) -> Shown:
    """Preview an ingestion.

    Args:
        project: The project.
        name: The ingestion; a draft may be previewed, too.
        files: How many files to look at: those that apply would load first, else those that are there.
        rows: How many rows to show.
        file: Look at this one alone.

    Raises:
        SettingsError: There is no such ingestion or file, or there are to be less than no rows or no file at all.
        ReadError: No schema is declared or pinned and none can be inferred.
    """
    if files < 1 or rows < 0:
        raise SettingsError(f"A preview of {files} files and {rows} rows is none.", fix="Write files=3, rows=20.")
    loaded = project.spec(name)
    eyes = project.eyes()
    state = state_of(project.ledger)
    recorded = state.recorded(loaded.spec)
    looked = look_at(eyes, loaded.spec, recorded, history_of(project.ledger, name), Asked())
    row = project.ledger.ingestion(recorded.name) if recorded is not None else None
    candidates = _candidates(looked.files)
    chosen = _chosen(project, name, looked.files, file) if file is not None else candidates.slice(0, files)
    if chosen.num_rows == 0:
        raise SettingsError(f"{name} has no files to look at.", fix="See what is there:\n  autoloader plan --full")
    recipe = resolve(eyes, loaded.spec, row, chosen, sampling=True)
    settings = project.specs().settings
    contract = recipe.contract(lineage_columns=settings.lineage_columns)
    table = project.lake.table(loaded.spec.destination.table)
    there = table.schema if table is not None else None
    found = preview(_samples(chosen), contract, settings.storage, now=eyes.now, table=there, max_rows=rows)
    schema = found.contract.schema
    return Shown(
        ingestion=name,
        found=found,
        schema=schemas.to_data(schema),
        schema_diff=[
            {"change": str(change), "class": change.change_class.value}
            for change in (schemas.compare(there, schema) if there is not None else ())
        ],
        listed=candidates.num_rows,
        root=canonical(loaded.spec.source.path, project.place.project_dir),
    )


def _candidates(files: pa.Table) -> pa.Table:
    """The files that belong to the ingestion, those that apply would load first in front."""
    import pyarrow as pa
    import pyarrow.compute as pc

    hidden = pc.is_in(files["disposition"], value_set=pa.array([each.value for each in _NOT_SHOWN]))
    return files.filter(pc.invert(hidden))


def _chosen(project: Project, name: str, files: pa.Table, only: str) -> pa.Table:
    import pyarrow.compute as pc

    chosen = files.filter(pc.equal(files["file_path"], canonical_file(only, project.place.project_dir)))
    if chosen.num_rows == 0:
        raise SettingsError(f"{name} has no file {only}.", fix=f"See why:\n  autoloader why {only}")
    return chosen


def _samples(files: pa.Table) -> Sequence[Sample]:
    columns = files.select(["file_path", "key", "size_bytes", "etag", "version_id"]).to_pylist()
    moments = files["modified_at"].cast("int64").to_pylist()
    return [Sample(modified_at_ns=at, **row) for row, at in zip(columns, moments, strict=True)]
