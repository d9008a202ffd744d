"""Reads from /proc what a process and a core have used."""

import os
import re
from collections.abc import Collection
from pathlib import Path

_TICK_S = 1 / os.sysconf("SC_CLK_TCK")


def read_cpu_s(process: int) -> float:
    """Return the seconds of CPU that a process has used, all threads and the kernel's part included."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * _TICK_S


def read_busy_s(cores: Collection[int]) -> float:
    """Return the seconds that these cores have been busy, summed up, whoever used them."""
    busy = 0
    for line in Path("/proc/stat").read_text().splitlines():
        name, *fields = line.split()
        if name.startswith("cpu") and name[3:].isdigit() and int(name[3:]) in cores:
            user, nice, system, _idle, _waiting, *interrupts = map(int, fields[:8])
            busy += user + nice + system + sum(interrupts)
    return busy * _TICK_S


def read_memory_kb(process: int) -> int:
    """Return the resident memory of a process in kB."""
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{process}/status").read_text())
    return int(found[1]) if found else 0
