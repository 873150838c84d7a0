"""One door to every listing: complete, or an error."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, assert_never

from autoloader.matching import FolderFilter
from autoloader.sources.address import split
from autoloader.sources.faults import source_error
from autoloader.sources.outcome import Found
from autoloader.sources.stores import Storage, config_for, s3_client, store_for


class Source:
    """A root that can be listed.

    Attributes:
        root: Canonical URI ending in '/'.
        storage: Per scheme, how to reach it.
    """

    def __init__(self, root: str, storage: Storage) -> None:
        self.root = root
        self.storage = storage
        self._address = split(root)

    def list(
        self,
        prefixes: Sequence[str] = ("",),
        *,
        skip: FolderFilter | None = None,
        on_progress: Callable[[int], None] | None = None,
    ) -> Found:
        """Every file below the root whose key begins with one of the prefixes, hidden ones included.

        Folder markers (empty keys that end in '/') are no files. What cannot be a file is in `problems`.

        Args:
            prefixes: Of `matching.literal_prefixes`: none a prefix of another.
            skip: Of `matching.folder_filter`: folders that it rules out are not listed.
            on_progress: Told the number of files so far, a few times a second.

        Raises:
            SourceError: The listing could not be completed: missing root or bucket, no permission, no
                credentials, wrong endpoint, throttled to the end. Never for "there are no files".
        """
        at = self._address
        match at.scheme:
            case "file":
                from autoloader.sources.local import list_local

                return list_local(at.key, prefixes, skip=skip, on_progress=on_progress)
            case "s3":
                from autoloader.sources.s3 import list_s3

                client = self._reach(lambda: s3_client(config_for("s3", self.storage)))
                return list_s3(client, at.bucket, at.key, prefixes, skip=skip, on_progress=on_progress)
            case "gs" | "az":
                from autoloader.sources.objects import list_objects

                store = self._reach(lambda: store_for(at, self.storage))
                start = f"{at.scheme}://{at.bucket}/"
                return list_objects(store, start, at.key, prefixes, skip=skip, on_progress=on_progress)
            case _:
                assert_never(at.scheme)

    def peek(self) -> int:
        """Whether the root can be listed at all, at the price of one request.

        Returns:
            How many entries the first page shows.

        Raises:
            SourceError: As `list`.
        """
        at = self._address
        match at.scheme:
            case "file":
                from autoloader.sources.local import peek_local

                return peek_local(at.key)
            case "s3":
                from autoloader.sources.s3 import peek_s3

                return peek_s3(self._reach(lambda: s3_client(config_for("s3", self.storage))), at.bucket, at.key)
            case "gs" | "az":
                from autoloader.sources.objects import peek_objects

                store = self._reach(lambda: store_for(at, self.storage))
                return peek_objects(store, f"{at.scheme}://{at.bucket}/", at.key)
            case _:
                assert_never(at.scheme)

    def _reach(self, make: Callable[[], Any]) -> Any:
        try:
            return make()
        except Exception as error:
            raise source_error(self.root, "listed", error) from error
