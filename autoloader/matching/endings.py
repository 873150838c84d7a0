"""What a name's ending says: the format, behind any compression ending. The bytes have the last word."""

from __future__ import annotations

from typing import Final

from autoloader.errors import SettingsError

FORMAT_ENDINGS: Final[dict[str, tuple[str, ...]]] = {
    "csv": ("csv", "tsv"),
    "json": ("json", "jsonl", "ndjson"),
    "parquet": ("parquet", "parq"),
    "avro": ("avro",),
    "orc": ("orc",),
    "text": ("txt", "text", "log"),
}
COMPRESSION_ENDINGS: Final = ("gz", "zst", "bz2", "xz", "snappy")

_FORMAT_OF: Final = {ending: name for name, endings in FORMAT_ENDINGS.items() for ending in endings}


def format_of(key: str) -> str | None:
    """The format that a key's ending stands for, in any case; None if it stands for none.

    `a.csv.gz` is csv, `part.snappy.parquet` is parquet, `archive.gz` is None.
    """
    parts = key.rpartition("/")[2].lower().split(".")
    while len(parts) > 1 and parts[-1] in COMPRESSION_ENDINGS:
        parts.pop()
    return _FORMAT_OF.get(parts[-1]) if len(parts) > 1 else None


def default_include(format_: str | None) -> tuple[str, ...]:
    """The patterns of an ingestion that declares none: the format's usual endings, compressed or not.

    Args:
        format_: A format of the spec, or None for every known one.

    Raises:
        SettingsError: There is no such format.
    """
    if format_ is None:
        names = [ending for endings in FORMAT_ENDINGS.values() for ending in endings]
    elif format_ in FORMAT_ENDINGS:
        names = list(FORMAT_ENDINGS[format_])
    else:
        known = ", ".join(FORMAT_ENDINGS)
        raise SettingsError(f"There is no format {format_!r}.", fix=f"Choose one of {known}.")
    both = ",".join([*names, *(name.upper() for name in names)])
    packed = ",".join(
        [*(f".{end}" for end in COMPRESSION_ENDINGS), *(f".{end.upper()}" for end in COMPRESSION_ENDINGS)]
    )
    return (f"**/*.{{{both}}}{{,{packed}}}",)
