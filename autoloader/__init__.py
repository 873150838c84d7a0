"""autoloader: a declarative reconciler for file ingestion into Iceberg tables.

`Project` is the one public entry point for programs and notebooks; the command line is built on it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["Project", "__version__"]

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from autoloader.project import Project


def load_ipython_extension(shell: InteractiveShell) -> None:
    """Called by `%load_ext autoloader`."""
    from autoloader.notebook import load_ipython_extension as load

    load(shell)


def __getattr__(name: str) -> Any:
    """Load `Project` on first use, so that importing the package stays cheap."""
    if name == "Project":
        from autoloader.project import Project

        return Project
    raise AttributeError(f"module 'autoloader' has no attribute {name!r}")
