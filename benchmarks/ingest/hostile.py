"""Sends every PDF of a folder, however broken, through the system: `python -m benchmarks.ingest.hostile FOLDER`.

A standalone system in a process of its own; each file is uploaded as a user does it, and is to be refused with a code
or to end as `ready` or `failed` with a code. Prints the table of outcomes, the warnings, the slowest files, and the
system's memory before and after; ends with status 1 when a file did neither, or when the memory is not back to within
20 %. `../shared/data/hostile` has 200 of other projects; the tests make their own (tests/hostile_pdfs.py).
"""

import argparse
import asyncio
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx

from benchmarks.relay.process_usage import read_memory_kb
from benchmarks.relay.report import describe_machine
from tests.pdfs import make_long_pdf
from tests.standalone_process import StandaloneProcess

AT_ONCE = 4
WAIT_S = 600
MORE_MEMORY = 1.2


@dataclass(frozen=True)
class Outcome:
    """What became of a file: `ready`, or the code of its failure or refusal."""

    name: str
    code: str
    warnings: Sequence[str]
    seconds: float


async def send(client: httpx.AsyncClient, path: Path) -> Outcome:
    """Upload a file and wait until it has ended."""
    began = time.perf_counter()
    content = await asyncio.to_thread(path.read_bytes)
    answer = await client.post("/documents", files={"file": (path.name, content)}, params={"wait": WAIT_S})
    if answer.is_error:
        return Outcome(path.name, answer.json()["error"]["code"], (), time.perf_counter() - began)
    record = (await client.get(f"/documents/{answer.json()['document_id']}")).raise_for_status().json()
    code = {"ready": "ready", "failed": (record["failure"] or {}).get("code", "")}.get(record["status"], "")
    warnings = [warning["code"] for warning in record["warnings"]]
    return Outcome(path.name, code, warnings, time.perf_counter() - began)


async def send_all(url: str, paths: Sequence[Path]) -> list[Outcome]:
    """Upload all files, a few at a time."""
    gate = asyncio.Semaphore(AT_ONCE)
    async with httpx.AsyncClient(base_url=url, timeout=WAIT_S + 60, trust_env=False) as client:

        async def send_in_turn(path: Path) -> Outcome:
            async with gate:
                return await send(client, path)

        return await asyncio.gather(*map(send_in_turn, paths))


def find_files(folder: Path) -> list[Path]:
    """All files of a folder but its lists, whatever they are called."""
    return sorted(path for path in folder.iterdir() if path.is_file() and path.suffix not in {".tsv", ".md"})


def report(outcomes: Sequence[Outcome], before_kb: int, after_kb: int, *, loaded: bool) -> list[str]:
    """The lines of the table."""
    used = f", **in use by others meanwhile (load {os.getloadavg()[2]:.0f})**" if loaded else ""
    lines = [
        f"# {len(outcomes)} hostile PDFs through the whole system\n",
        "`python -m benchmarks.ingest.hostile FOLDER`: each uploaded as a user does it.\n",
        f"Machine: {describe_machine()}{used}.\n",
        "| outcome | files |\n|---|--:|",
    ]
    lines += [f"| {code or '**none**'} | {n} |" for code, n in Counter(one.code for one in outcomes).most_common()]
    lines += ["\n| warning | files |\n|---|--:|"]
    warned = Counter(code for one in outcomes for code in set(one.warnings))
    lines += [f"| {code} | {count} |" for code, count in warned.most_common()]
    lines += ["\n| slowest | outcome | seconds |\n|---|---|--:|"]
    slowest = sorted(outcomes, key=lambda one: -one.seconds)[:5]
    lines += [f"| {one.name} | {one.code} | {one.seconds:.1f} |" for one in slowest]
    growth = f"{before_kb // 1024} → {after_kb // 1024} MB ({after_kb / before_kb - 1:+.0%})"
    lines += [f"\nMemory of the process, before and after: {growth}."]
    return lines


def main() -> int:
    """Send a folder's files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--results", type=Path, help="a folder for the table")
    parser.add_argument("--loaded", action="store_true", help="note that others use the machine")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="pagewire-hostile-") as root:
        warm = Path(root) / "warm.pdf"
        warm.write_bytes(make_long_pdf("Warm", 20))
        system = StandaloneProcess(Path(root) / "data")
        try:
            asyncio.run(send_all(system.url, [warm]))  # what the model needs for its first batches is no leak
            before = read_memory_kb(system.pid)
            outcomes = asyncio.run(send_all(system.url, find_files(arguments.folder)))
            after = read_memory_kb(system.pid)
        finally:
            system.stop()
    lines = report(outcomes, before, after, loaded=arguments.loaded)
    print("\n".join(lines))
    if arguments.results is not None:
        (arguments.results / "hostile.md").write_text("\n".join(lines) + "\n")
    return 0 if all(one.code for one in outcomes) and after <= before * MORE_MEMORY else 1


if __name__ == "__main__":
    sys.exit(main())
