"""A run collected: the whole answer in one piece."""

from contextlib import aclosing, suppress

from services.gateway.runs.supervisor import Run, make_shutdown_failure
from shared.contracts.runs import Delta, Failed, Finished
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
