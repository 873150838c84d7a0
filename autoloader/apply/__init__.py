"""Carrying out plans: the commit protocol (claimed, written, committed, recorded), recovery, refresh."""

from __future__ import annotations

from autoloader.apply.applying import INCOMPLETE, Done, Work, apply_plan
from autoloader.apply.batching import BatchSize
from autoloader.apply.holders import is_gone, this_process
from autoloader.apply.housekeeping import note_files
from autoloader.apply.keeping import LEASE_S, holding
from autoloader.apply.loading import MOST_PROBLEMS
from autoloader.apply.recipe import Recipe
from autoloader.apply.recording import row_of
from autoloader.apply.recovery import Recovered, free_dead_leases, recover, rise_above_fence, settle_rest
from autoloader.apply.report import Counts, Events, Step, Stop
from autoloader.apply.target import Budget
from autoloader.apply.tools import Progress, Silent, Tools
from autoloader.apply.undone import lost_batches, settled_batches, settled_ids, undone_batches, with_settled

__all__ = [
    "INCOMPLETE",
    "LEASE_S",
    "MOST_PROBLEMS",
    "BatchSize",
    "Budget",
    "Counts",
    "Done",
    "Events",
    "Progress",
    "Recipe",
    "Recovered",
    "Silent",
    "Step",
    "Stop",
    "Tools",
    "Work",
    "apply_plan",
    "free_dead_leases",
    "holding",
    "is_gone",
    "lost_batches",
    "note_files",
    "recover",
    "rise_above_fence",
    "row_of",
    "settle_rest",
    "settled_batches",
    "settled_ids",
    "this_process",
    "undone_batches",
    "with_settled",
]
