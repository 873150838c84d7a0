"""The composition root: one project, its settings, and every verb that the command line and notebooks offer.

The only reader of the clock and of the environment.
"""

from __future__ import annotations

from autoloader.project.answer import Answer
from autoloader.project.planned import Files, Planned, Wishes
from autoloader.project.project import Project

__all__ = ["Answer", "Files", "Planned", "Project", "Wishes"]
