"""PyIceberg's file access for local warehouses, without PyArrow's file systems (0.4 s to import).

Takes plain paths and `file:` URIs as they are: nothing is percent-decoded, `#` and `?` are letters.
"""

from __future__ import annotations

import os
from pathlib import Path

from pyiceberg.io import FileIO, InputFile, InputStream, OutputFile, OutputStream

from autoloader.loader import local_path


def _path(location: str) -> Path:
    found = local_path(location)
    if found is None:
        raise ValueError(f"not a local path: {location}")
    return found


class LocalFile(InputFile, OutputFile):
    """One local file, to read or to write."""

    def __len__(self) -> int:
        return _path(self._location).stat().st_size

    def exists(self) -> bool:
        """Whether it is there."""
        return _path(self._location).exists()

    def open(self, seekable: bool = True) -> InputStream:  # noqa: ARG002 - PyIceberg's signature
        """Open it to read."""
        return _path(self._location).open("rb")

    def create(self, overwrite: bool = False) -> OutputStream:
        """Open it to write; its folder is made where it is not there."""
        path = _path(self._location)
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open("wb" if overwrite else "xb")

    def to_input_file(self) -> LocalFile:
        """Itself."""
        return self


class LocalFileIO(FileIO):
    """Local files for PyIceberg; other schemes of the same catalog are handed to PyArrow's."""

    def new_input(self, location: str) -> InputFile:
        """A file to read."""
        return LocalFile(location) if local_path(location) else self._other().new_input(location)

    def new_output(self, location: str) -> OutputFile:
        """A file to write."""
        return LocalFile(location) if local_path(location) else self._other().new_output(location)

    def delete(self, location: str | InputFile | OutputFile) -> None:
        """Remove a file."""
        name = location if isinstance(location, str) else location.location
        path = local_path(name)
        if path is None:
            self._other().delete(name)
        else:
            os.remove(path)  # noqa: PTH107 - a FileNotFoundError is the contract

    def _other(self) -> FileIO:
        from pyiceberg.io.pyarrow import PyArrowFileIO

        return PyArrowFileIO(self.properties)
