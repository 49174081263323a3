"""Processes started by `spawn`, which first import the script of the parent: without a guard it would start them again."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterable

from zeldo.errors import InputError

UNGUARDED = 78  # exit status, as by EX_CONFIG: no other reason for an end has it


def leave_unguarded() -> None:
    """End this process where its script is still being imported. Call it before processes are started."""
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        os._exit(UNGUARDED)  # without a word: the parent says it once


def check_guarded(exitcodes: Iterable[int | None]) -> None:
    """`InputError` where a process ended by `leave_unguarded`."""
    if UNGUARDED in exitcodes:
        raise InputError(
            "this script would run again in each process that it starts, since they import it: put the call below "
            'if __name__ == "__main__":'
        )
