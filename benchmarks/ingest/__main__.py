"""Measures the ingest beside the plain way, in one run: `python -m benchmarks.ingest`.

The plain way is what most programs of this kind do: pypdf, chunks of 500 characters, `SentenceTransformer.encode`, an
array in memory. Ours is the worker as it is: the child that reads, the stored parse, Redis, Qdrant Edge on the disk.
Both get the same files, the same model and the same threads. Beside the whole, its parts: pages per second read,
tokens per second embedded, and how much of the machine's own rate of multiplying matrices that is. Then what is not
done twice: the same file, the same bytes under another name, and a new version of which one page in 100 has changed.
"""

import argparse
import asyncio
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np
import pypdf
import torch
from numpy.typing import NDArray
from sentence_transformers import SentenceTransformer

from benchmarks.ingest.lanes import FILINGS
from benchmarks.relay.report import describe_machine
from services.ingest.adapters.pdf_process import ParseLimits, ProcessPdfParser
from services.ingest.domain.chunking import chunk_pages
from services.ingest.domain.pages import Page
from services.ingest.domain.stored_parse import StoredParse
from shared.embedding.dense import DenseEmbedder, locate_model
from tests.pdfs import make_pdf
from tests.standalone_process import StandaloneProcess

MODEL = "all-MiniLM-L6-v2"
LIMITS = ParseLimits(memory_mb=2048, cpu_s=300, wall_s=600, max_pages=5000)
PLAIN_CHARACTERS = 500
LAYERS, WIDTH, INNER = 6, 384, 1536
"""Of the model: each token is multiplied by four matrices of width × width and two of width × inner, per layer."""
FLOPS_A_TOKEN = 2 * LAYERS * (4 * WIDTH * WIDTH + 2 * WIDTH * INNER)
"""Multiplications and additions, without the attention itself, which for texts this short is a few per cent."""
PAGES = 100
WAIT_S, POLL_S = 300, 0.5
"""Of a request, and between looks after that: a filing takes minutes, on busy cores many."""
EMBED_TOKENS = 40_000
"""Of the filings' passages, embedded four times: on two cores some seconds each, on busy ones a minute."""


@dataclass(frozen=True)
class Spent:
    """Seconds on the clock, and of CPU with all children."""

    wall_s: float
    cpu_s: float


def measure(work: Callable[[], object]) -> Spent:
    """Run something."""
    began, before = time.perf_counter(), _read_cpu_s()
    work()
    return Spent(time.perf_counter() - began, _read_cpu_s() - before)


def _read_cpu_s() -> float:
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def read_with_ours(paths: Sequence[Path]) -> list[list[Page]]:
    """Read files as the worker does: each in a child, with the boxes of its words."""

    async def read(path: Path) -> list[Page]:
        *_, content = [message async for message in ProcessPdfParser(LIMITS).parse(path)]
        return list(StoredParse.open(content if isinstance(content, bytes) else b"").read_pages())

    async def read_all() -> list[list[Page]]:
        return [await read(path) for path in paths]

    return asyncio.run(read_all())


def read_with_pypdf(paths: Sequence[Path]) -> list[str]:
    """Read files as most do."""
    return ["\n".join(page.extract_text() for page in pypdf.PdfReader(path).pages) for path in paths]


def chunk_plainly(text: str) -> list[str]:
    """Cut a text every 500 characters."""
    return [text[start : start + PLAIN_CHARACTERS] for start in range(0, len(text), PLAIN_CHARACTERS)]


def measure_matrices(tokens: int) -> float:
    """Return the floating point operations per second of the machine on matrices like the model's, best of five."""
    left, right = torch.rand(tokens, WIDTH), torch.rand(WIDTH, INNER)
    seconds = []
    for _ in range(5):
        began = time.perf_counter()
        for _ in range(10):
            torch.matmul(left, right)
        seconds.append(time.perf_counter() - began)
    return 10 * 2 * tokens * WIDTH * INNER / min(seconds)


def compare_reading(paths: Sequence[Path], lines: list[str]) -> tuple[list[list[Page]], list[str]]:
    """Read all files both ways."""
    ours: list[list[Page]] = []
    plain: list[str] = []
    ours_spent = measure(lambda: ours.extend(read_with_ours(paths)))
    plain_spent = measure(lambda: plain.extend(read_with_pypdf(paths)))
    count = sum(map(len, ours))
    row = "| pages read per second of CPU | {:.0f} | {:.0f} (pypdf, text alone) | {:.1f} |"
    lines.append(row.format(count / ours_spent.cpu_s, count / plain_spent.cpu_s, plain_spent.cpu_s / ours_spent.cpu_s))
    return ours, plain


def compare_embedding(
    texts: Sequence[str], embedder: DenseEmbedder, model: SentenceTransformer, lines: list[str]
) -> None:
    """Embed the same texts both ways, in turns, and compare with the machine's rate."""
    counts = embedder.count_tokens(texts)
    step = max(1, sum(counts) // EMBED_TOKENS)  # from all of them alike
    texts, tokens = texts[::step], sum(counts[::step])
    ours, plain = [], []
    for _ in range(2):
        ours.append(measure(lambda: asyncio.run(_embed(embedder, texts))).wall_s)
        plain.append(measure(lambda: model.encode(list(texts), show_progress_bar=False)).wall_s)
    rate = FLOPS_A_TOKEN / measure_matrices(4096)
    lines.append(
        f"| tokens embedded per second | {tokens / min(ours):.0f} | {tokens / min(plain):.0f} (`encode`) |"
        f" {min(plain) / min(ours):.2f} |"
    )
    lines.append(
        f"| of the rate of the same matrices alone | {tokens * rate / min(ours):.0%} | {tokens * rate / min(plain):.0%}"
        " | |"
    )


async def _embed(embedder: DenseEmbedder, texts: Sequence[str]) -> NDArray[np.float32]:
    return await embedder.embed_passages(texts)


def ingest_plainly(paths: Sequence[Path], model: SentenceTransformer) -> NDArray[np.float32]:
    """The whole plain way: read, cut, embed, keep in memory."""
    chunks = [chunk for text in read_with_pypdf(paths) for chunk in chunk_plainly(text)]
    vectors: NDArray[np.float32] = model.encode(chunks, normalize_embeddings=True, show_progress_bar=False)
    return vectors


def ingest_with_ours(system: StandaloneProcess, paths: Sequence[Path]) -> None:
    """Upload all files at once, and return when all can be searched."""

    async def send(client: httpx.AsyncClient, path: Path) -> None:
        content = await asyncio.to_thread(path.read_bytes)
        await upload(client, "POST", "/documents", path.name, content)

    async def send_all() -> None:
        async with httpx.AsyncClient(base_url=system.url, timeout=900, trust_env=False) as client:
            await asyncio.gather(*(send(client, path) for path in paths))

    asyncio.run(send_all())


async def upload(client: httpx.AsyncClient, method: str, url: str, name: str, content: bytes) -> str:
    """Send a file and wait, however long, until it can be searched; return its id."""
    files = {"file": (name, content)}
    answer = (await client.request(method, url, files=files, params={"wait": WAIT_S})).raise_for_status().json()
    document_id: str = answer["document_id"]
    while answer["status"] not in {"ready", "failed"} or answer.get("replacement"):
        path = f"/documents/{document_id}"
        await asyncio.sleep(POLL_S)
        answer = (await client.get(path)).raise_for_status().json()
    if answer["status"] != "ready":
        raise RuntimeError(f"{name}: {answer['failure']}")
    return document_id


def compare_whole(paths: Sequence[Path], pages: int, model: SentenceTransformer, lines: list[str]) -> None:
    """From files to what can be searched, both ways."""
    plain = measure(lambda: ingest_plainly(paths, model))
    with tempfile.TemporaryDirectory(prefix="pagewire-ingest-") as root:
        system = StandaloneProcess(Path(root))
        try:
            ours = measure(lambda: ingest_with_ours(system, paths))
        finally:
            system.stop()
    lines.append(
        f"| pages per second, the whole | {pages / ours.wall_s:.1f} | {pages / plain.wall_s:.1f} |"
        f" {plain.wall_s / ours.wall_s:.2f} |"
    )


def make_report(changed: int | None) -> bytes:
    """A report of 100 pages, of which one may say something else.

    It has a title: a document without one is called by its file, and its passages are embedded with what it is called.
    """
    body = [
        f"Page {page} of the report. " + " ".join(f"Item {page}-{n} was inspected." for n in range(8))
        for page in range(PAGES)
    ]
    lines = [text.replace(". ", ".\n") for text in body]
    if changed is not None:
        lines[changed] = lines[changed].replace("inspected", "replaced")
    return make_pdf(lines, title="Inspections of the Year")


def measure_again(lines: list[str]) -> None:
    """What a second upload of the same, or nearly the same, costs: seconds until it can be searched."""

    async def run(url: str) -> tuple[float, float, float, float]:
        async with httpx.AsyncClient(base_url=url, timeout=900, trust_env=False) as client:

            async def timed(method: str, path: str, name: str, content: bytes) -> tuple[str, float]:
                began = time.perf_counter()
                return await upload(client, method, path, name, content), time.perf_counter() - began

            await timed("POST", "/documents", "warm.pdf", make_pdf(["Warm."]))
            document_id, first = await timed("POST", "/documents", "report.pdf", make_report(None))
            _, unchanged = await timed("POST", "/documents", "report.pdf", make_report(None))
            _, copied = await timed("POST", "/documents", "copy.pdf", make_report(None))
            _, changed = await timed("PUT", f"/documents/{document_id}", "report.pdf", make_report(PAGES // 2))
            return first, unchanged, copied, changed

    with tempfile.TemporaryDirectory(prefix="pagewire-ingest-") as root:
        system = StandaloneProcess(Path(root))
        try:
            first, unchanged, copied, changed = asyncio.run(run(system.url))
        finally:
            system.stop()
    lines.append(
        "\n| a report of 100 pages, with a title | seconds until it is ready | of the first time |\n|---|--:|--:|"
    )
    lines.append(f"| the first time | {first:.2f} | |")
    lines.append(f"| the same file again | {unchanged:.2f} | {unchanged / first:.0%} |")
    lines.append(f"| the same bytes under another name | {copied:.2f} | {copied / first:.0%} |")
    lines.append(f"| a new version, one page changed | {changed:.2f} | {changed / first:.0%} |")


def tell(what: str) -> None:
    """Say what comes now: the whole takes minutes, and who waits shall see that it goes on."""
    print(f"{time.strftime('%H:%M:%S')} {what}", file=sys.stderr, flush=True)


def main() -> None:
    """Measure, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--filings", type=Path, default=FILINGS, help="a folder of PDFs")
    parser.add_argument("--count", type=int, default=6, help="how many of them")
    parser.add_argument("--results", type=Path, help="a folder for the table")
    parser.add_argument("--loaded", action="store_true", help="note that others use the machine")
    arguments = parser.parse_args()
    paths = sorted(arguments.filings.glob("*.pdf"))[: arguments.count]
    tell("loading the model, twice")
    embedder = DenseEmbedder(MODEL)
    model = SentenceTransformer(locate_model(MODEL))
    lines: list[str] = []
    tell(f"reading {len(paths)} files, twice")
    documents, _ = compare_reading(paths, lines)
    pages = sum(map(len, documents))
    chunks = [
        c.text for document in documents for c in chunk_pages(document, embedder.count_tokens, embedder.max_tokens)
    ]
    tell("embedding, four times")
    compare_embedding(chunks, embedder, model, lines)
    tell(f"the whole of {pages} pages, twice")
    compare_whole(paths, pages, model, lines)
    embedder.close()
    tell("what is not done twice")
    measure_again(lines)
    loaded = f", **in use by others meanwhile (load {os.getloadavg()[2]:.0f})**" if arguments.loaded else ""
    head = [
        "# The ingest beside the plain way\n",
        f"`python -m benchmarks.ingest`: {len(paths)} filings of `financebench`, {pages} pages.\n",
        f"Machine: {describe_machine()}, torch {torch.__version__} with {torch.get_num_threads()} threads{loaded}.\n",
        "| | Pagewire | the plain way | ratio |\n|---|--:|--:|--:|",
    ]
    print("\n".join([*head, *lines]))
    if arguments.results is not None:
        (arguments.results / "ingest.md").write_text("\n".join([*head, *lines]) + "\n")


if __name__ == "__main__":
    main()
