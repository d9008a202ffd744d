"""Ties the life of a child process to its parent's."""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1
"""From <sys/prctl.h>."""


def end_with_parent(parent: int) -> None:
    """Have the kernel kill us when our parent ends, be it by kill -9; in the midst of work we would not notice."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it has ended before we asked
        os._exit(1)
