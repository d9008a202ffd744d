"""A question about a figure finds the part of a table that holds it, with its column: all parts are real."""

import asyncio
import io
from collections.abc import Sequence
from pathlib import Path

from reportlab.lib.pagesizes import LETTER
from reportlab.pdfgen.canvas import Canvas

from evals.retrieval.kept_vectors import KeptVectors
from evals.retrieval.measured_system import LEGS, MeasuredSystem
from evals.retrieval.question_sets import Evidence, Question, QuestionSet, SourceDocument
from shared.embedding.dense import DenseEmbedder

COLUMNS = (360, 450, 540)
COSTS = ("Salaries", "Rent", "Fuel", "Insurance", "Licences", "Cleaning", "Advertising", "Repairs", "Travel", "Energy")


def draw_filing() -> bytes:
    """Three pages with a running head and foot; on the second a statement that is longer than a passage."""
    buffer = io.BytesIO()
    canvas = Canvas(buffer, pagesize=LETTER, invariant=1)
    canvas.setTitle("Brimholt Ferries annual report")
    for page in range(1, 4):
        canvas.setFont("Helvetica", 8)
        canvas.drawString(50, 760, "Table of Contents")
        canvas.drawCentredString(306, 30, str(page + 40))
        canvas.setFont("Helvetica", 9)
        lines = draw_statement() if page == 2 else draw_prose(page)
        for number, (label, *figures) in enumerate(lines):
            canvas.drawString(50, 730 - 13 * number, label)
            for right, figure in zip(COLUMNS, figures, strict=False):
                canvas.drawRightString(right, 730 - 13 * number, figure)
        canvas.showPage()
    canvas.save()
    return buffer.getvalue()


def draw_statement() -> list[Sequence[str]]:
    lines: list[Sequence[str]] = [
        ("CONSOLIDATED STATEMENTS OF OPERATIONS",),
        ("(In thousands)",),
        ("", "2021", "2020", "2019"),
        ("Costs of the northern lines:",),
    ]
    for place in ("northern", "southern"):
        lines += [
            (f"{cost}, {place} lines", f"{n + 3},1{n}4", f"{n + 2},3{n}9", f"{n + 1},7{n}5")
            for n, cost in enumerate(COSTS)
        ]
    return [*lines, ("Total revenues", "$ 91,204", "$ 85,310", "$ 77,458"), ("Net income", "4,120", "3,981", "2,075")]


def draw_prose(page: int) -> list[Sequence[str]]:
    topics = (
        "Our ferries call at twelve harbours",
        "Crews are trained in spring",
        "Boats are painted every other year",
    )
    return [(f"{topic}, as part {number} of chapter {page} says.",) for number in range(12) for topic in topics]


async def test_total_revenues_of_a_year_are_found_with_their_column(embedder: DenseEmbedder, tmp_path: Path) -> None:
    """The row stands in a later part of the statement than the years; the passage brings them along."""
    question = Question("q", "What were the total revenues in 2019?", "filing.pdf", Evidence(pages=[2]))
    questions = QuestionSet("filing", [SourceDocument("filing.pdf", draw_filing())], [question])
    vectors = await asyncio.to_thread(KeptVectors, embedder, tmp_path / "vectors.sqlite")
    async with MeasuredSystem.open(questions, vectors) as system:
        for name, leg in LEGS.items():
            first, *others = await system.search(question, leg, within=True)

            assert "Total revenues $ 91,204 $ 85,310 $ 77,458" in first.text, name
            assert "2019" not in first.text
            assert first.table_head == "CONSOLIDATED STATEMENTS OF OPERATIONS (In thousands) 2021 2020 2019"
            running = [passage for passage in (first, *others) if "Table of Contents" in passage.text]
            assert [passage.page for passage in running] == [1]
        found = await system.measure(within=False)
    await asyncio.to_thread(vectors.close)

    assert {name: one["mrr"] for name, (one,) in found.items()} == dict.fromkeys(LEGS, 1.0)


async def test_what_was_embedded_once_is_kept(embedder: DenseEmbedder, tmp_path: Path) -> None:
    """The next run of the evals takes its vectors from the disk, and they are the same."""
    first = await asyncio.to_thread(KeptVectors, embedder, tmp_path / "vectors.sqlite")
    vectors = await first.embed_passages(["one", "two", "three"])
    query = await first.embed_query("one")
    await asyncio.to_thread(first.close)

    second = await asyncio.to_thread(KeptVectors, embedder, tmp_path / "vectors.sqlite")
    again = await second.embed_passages(["three", "four", "one"])
    assert (again[[0, 2]] == vectors[[2, 0]]).all()
    assert (await second.embed_query("one") == query).all()
    assert (first.computed, second.computed) == (4, 1)
    await asyncio.to_thread(second.close)
