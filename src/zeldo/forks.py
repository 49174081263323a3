"""Torch in processes that are forked from one which has used it: one thread, since others do not survive a fork."""

import os
import sys


def _after_fork() -> None:
    """Without it, torch would wait for ever for the threads of OpenMP that the parent has."""
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
