"""This package as a zip for executors that do not share our disk."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

_EPOCH = (1980, 1, 1, 0, 0, 0)


def package_zip(folder: Path) -> Path:
    """Writes `autoloader-<digest>.zip` into `folder`: the package's Python files, nothing else.

    Returns:
        Its path. Same sources, same name and same bytes, so that executors may cache it.
    """
    root = Path(__file__).resolve().parents[1]
    files = sorted(path for path in root.rglob("*.py") if "__pycache__" not in path.parts)
    digest = hashlib.sha256()
    for path in files:
        digest.update(str(path.relative_to(root)).encode())
        digest.update(path.read_bytes())
    target = folder / f"autoloader-{digest.hexdigest()[:12]}.zip"
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in files:
            info = zipfile.ZipInfo(str(path.relative_to(root.parent)), date_time=_EPOCH)
            archive.writestr(info, path.read_bytes(), zipfile.ZIP_DEFLATED)
    return target
