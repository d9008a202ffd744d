"""A run collected: the whole answer in one piece."""

from contextlib import aclosing, suppress

from services.gateway.runs.supervisor import Run, make_shutdown_failure
from shared.contracts.questions import QueryResponse
from shared.contracts.runs import Delta, Failed, Finished
from shared.event_log.port import LogClosedError


async def collect_answer(run: Run) -> QueryResponse | Failed:
    """Return the answer of a run, or how it failed, once it has ended."""
    texts: list[str] = []
    with suppress(LogClosedError):
        async with aclosing(run.log.read(run.stream)) as batches:
            async for batch in batches:
                for event in batch.events:
                    match event:
                        case Delta(text=text):
                            texts.append(text)
                        case Finished():
                            return QueryResponse(answer="".join(texts).strip(), run_id=run.run_id, **dict(event))
                        case Failed():
                            return event
    return make_shutdown_failure(partial=bool(texts))
