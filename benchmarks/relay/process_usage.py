"""Reads from /proc what a process has used, with its children."""

import os
import re
from pathlib import Path

_TICK_S = 1 / os.sysconf("SC_CLK_TCK")


def read_cpu_s(process: int) -> float:
    """Return the seconds of CPU that a process has used, all threads and the kernel's part included."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * _TICK_S


def read_memory_kb(process: int) -> int:
    """Return the resident memory of a process in kB."""
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{process}/status").read_text())
    return int(found[1]) if found else 0
