"""A server that only answers ListObjectsV2, as quickly as it can or with faults that are asked for.

    python -m tests.list_server COUNT      prints its port, then serves COUNT keys in one process

It stands where a real server cannot: moto sorts all its keys for each page, refuses newlines in keys and never
throttles. Pages are rendered once, so that in a measurement the client is what is measured.
"""

from __future__ import annotations

import bisect
import socket
import socketserver
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from urllib.parse import parse_qsl, quote, urlsplit
from xml.sax.saxutils import escape

Fault = Callable[[int, dict[str, str]], "tuple[int, str] | None"]
"""Of the request's number, from 1, and its query: a status and an error code in place of a page, or None."""

_HEAD = '<?xml version="1.0" encoding="UTF-8"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'


class ListServer(socketserver.ThreadingTCPServer):
    """Serves one list of keys, whatever the bucket."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, keys: Sequence[str], fault: Fault | None = None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.keys = sorted(keys)
        self.fault = fault
        self.requests: list[dict[str, str]] = []
        self.rendered = {url: [_row(i, key, url) for i, key in enumerate(self.keys)] for url in (True, False)}

    @property
    def endpoint(self) -> str:
        """Its URL."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def page(self, query: dict[str, str]) -> bytes:
        """The body of one answer."""
        prefix, url = query.get("prefix", ""), query.get("encoding-type") == "url"
        show = quote if url else escape
        after = query.get("continuation-token") or query.get("start-after") or ""
        at = bisect.bisect_left(self.keys, prefix)
        if after:
            at = max(at, bisect.bisect_right(self.keys, after))
        end = bisect.bisect_left(self.keys, prefix + "\U0010ffff")
        most = int(query.get("max-keys", "1000"))
        if not query.get("delimiter"):
            stop = min(end, at + most)
            parts, count = self.rendered[url][at:stop], stop - at
            following = self.keys[stop - 1] if stop < end else ""
        else:
            parts, count, following = self._level(at, end, most, len(prefix), url)
        more = f"<NextContinuationToken>{escape(following)}</NextContinuationToken>" if following else ""
        head = (
            f"{_HEAD}<Prefix>{show(prefix)}</Prefix><KeyCount>{count}</KeyCount><MaxKeys>{most}</MaxKeys>"
            f"<IsTruncated>{'true' if following else 'false'}</IsTruncated>"
            + ("<EncodingType>url</EncodingType>" if url else "")
        )
        return (head + more + "".join(parts) + "</ListBucketResult>").encode()

    def _level(self, at: int, end: int, most: int, skip: int, url: bool) -> tuple[list[str], int, str]:
        parts: list[str] = []
        last = ""
        while at < end and len(parts) < most:
            key = self.keys[at]
            slash = key.find("/", skip)
            if slash < 0:
                parts.append(self.rendered[url][at])
                last, at = key, at + 1
            else:
                folder = key[: slash + 1]
                shown = quote(folder) if url else escape(folder)
                parts.append(f"<CommonPrefixes><Prefix>{shown}</Prefix></CommonPrefixes>")
                last = folder + "\U0010ffff"
                at = bisect.bisect_left(self.keys, last)
        return parts, len(parts), last if at < end else ""


class _Handler(socketserver.StreamRequestHandler):
    server: ListServer

    def handle(self) -> None:
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while line := self.rfile.readline():
            while self.rfile.readline() not in (b"\r\n", b""):
                pass
            query = dict(parse_qsl(urlsplit(line.split()[1].decode()).query, keep_blank_values=True))
            self.server.requests.append(query)
            fault = self.server.fault and self.server.fault(len(self.server.requests), query)
            if fault:
                status, code = fault
                body = f"<Error><Code>{code}</Code><Message>as asked</Message></Error>".encode()
            else:
                status, body = 200, self.server.page(query)
            head = f"HTTP/1.1 {status} X\r\nContent-Type: application/xml\r\nContent-Length: {len(body)}\r\n\r\n"
            self.wfile.write(head.encode() + body)


def _row(number: int, key: str, url: bool) -> str:
    return (
        f"<Contents><Key>{quote(key) if url else escape(key)}</Key>"
        f"<LastModified>2024-01-02T03:04:05.000Z</LastModified><ETag>&quot;{number:032x}&quot;</ETag>"
        f"<Size>{number}</Size><StorageClass>STANDARD</StorageClass></Contents>"
    )


@contextmanager
def serving(keys: Sequence[str], fault: Fault | None = None) -> Iterator[ListServer]:
    """A server in a thread of this process."""
    with ListServer(keys, fault) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def many(count: int) -> list[str]:
    """Keys as a data lake has them: a folder per year and month."""
    return [f"data/year={2015 + i % 10}/month={1 + i // 10 % 12:02d}/part-{i:07d}.csv.gz" for i in range(count)]


if __name__ == "__main__":
    server = ListServer(many(int(sys.argv[1])))
    print(server.server_address[1], flush=True)
    server.serve_forever()
