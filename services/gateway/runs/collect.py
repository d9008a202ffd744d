"""A run collected: the whole answer in one piece."""

from contextlib import aclosing

from services.gateway.runs.supervisor import Run, make_shutdown_failure
from shared.contracts.questions import QueryResponse
from shared.contracts.runs import Delta, Failed, Finished


async def collect_answer(run: Run) -> QueryResponse | Failed:
    """Return the answer of a run, or how it failed, once it has ended."""
    texts: list[str] = []
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
