"""Specs, state, tables and files in; a plan out. Pure: no disk, no socket, no clock."""

from __future__ import annotations

from autoloader.planner.blocks import WAITING
from autoloader.planner.build import build_plan
from autoloader.planner.facts import Asked, Looked, Recorded, Rescued, State, TableFacts, refresh_of
from autoloader.planner.progress import backfill_progress
from autoloader.planner.rules import rules_for, selector
from autoloader.planner.stale import stale

__all__ = [
    "WAITING",
    "Asked",
    "Looked",
    "Recorded",
    "Rescued",
    "State",
    "TableFacts",
    "backfill_progress",
    "build_plan",
    "refresh_of",
    "rules_for",
    "selector",
    "stale",
]
