"""What every route gets: the parts that the composition root put into the app, and who is asking."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from services.gateway.answers.answer_question import AnswerDependencies
from services.gateway.documents.accept_document import DocumentDependencies
from services.gateway.documents.spool import Spool
from services.gateway.metrics import GatewayMetrics
from services.gateway.ports import ActiveRuns, ConversationStore, PassageSearch, UploadKeys
from services.gateway.runs.supervisor import RunSupervisor
from services.gateway.settings import GatewaySettings
from shared.contracts.document_events import DocumentEvent
from shared.contracts.runs import RunEvent
from shared.event_log.port import EventReader
from shared.event_log.tail import StreamTail

DEFAULT_TENANT = "default"
"""Everybody, as long as there are no API keys; the server then listens on loopback only."""


@dataclass(frozen=True)
class GatewayDependencies:
    """All parts of the gateway.

    Attributes:
        run_log: where runs are that outlive their client.
        document_log: the progress of documents, written by the workers.
        tails: what follows those that are written elsewhere.
        describe_chain: the state of each provider of the chain; empty without one.
        active_runs: which run a chat can come back to.
    """

    settings: GatewaySettings
    spool: Spool
    documents: DocumentDependencies
    answers: AnswerDependencies
    runs: RunSupervisor
    run_log: EventReader[RunEvent]
    document_log: EventReader[DocumentEvent]
    tails: Sequence[StreamTail]
    active_runs: ActiveRuns
    conversations: ConversationStore
    search: PassageSearch
    upload_keys: UploadKeys
    metrics: GatewayMetrics
    describe_chain: Callable[[], dict[str, str]] = dict


async def get_gateway(request: Request) -> GatewayDependencies:
    """The parts, as opened by the composition root. A coroutine: FastAPI calls others in a thread."""
    gateway: GatewayDependencies = request.app.state.gateway
    return gateway


async def get_tenant() -> str:
    """Who is asking."""
    return DEFAULT_TENANT


Gateway = Annotated[GatewayDependencies, Depends(get_gateway)]
"""Use as a parameter type: `gateway: Gateway`."""
Tenant = Annotated[str, Depends(get_tenant)]
"""Use as a parameter type: `tenant: Tenant`."""
