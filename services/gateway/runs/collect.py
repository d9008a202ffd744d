"""A run collected: the whole answer in one piece."""

from collections.abc import Sequence
from contextlib import aclosing, suppress

from services.gateway.runs.supervisor import Run, make_shutdown_failure
from shared.contracts.questions import Citation
from shared.contracts.runs import Delta, Failed, Finished
from shared.contracts.search import Span
from shared.event_log.port import LogClosedError


async def collect_run(run: Run) -> tuple[str, Finished | Failed]:
    """Return the text of a run and how it ended, once it has."""
    texts: list[str] = []
    with suppress(LogClosedError):
        async with aclosing(run.log.read(run.stream)) as batches:
            async for batch in batches:
                for event in batch.events:
                    match event:
                        case Delta(text=text):
                            texts.append(text)
                        case Finished() | Failed():
                            return "".join(texts), event
    return "".join(texts), make_shutdown_failure(partial=bool(texts))


def move_citations(citations: Sequence[Citation], characters: int) -> list[Citation]:
    """Return the citations of an answer that many of whose first characters were cut off."""
    return [_move(citation, -characters) for citation in citations] if characters else list(citations)


def _move(citation: Citation, characters: int) -> Citation:
    def move(span: Span) -> Span:
        return Span(start=span.start + characters, end=span.end + characters)

    places = {"start": citation.start + characters, "end": citation.end + characters}
    claim = move(citation.claim) if citation.claim else None
    return citation.model_copy(update={**places, "claim": claim, "missing": [move(span) for span in citation.missing]})
