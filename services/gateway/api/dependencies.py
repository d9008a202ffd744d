"""What every route gets: the parts that the composition root put into the app, and who is asking."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from services.gateway.answers.answer_question import AnswerDependencies
from services.gateway.documents.accept_document import DocumentDependencies
from services.gateway.documents.spool import Spool
from services.gateway.ports import PassageSearch
from services.gateway.settings import GatewaySettings

DEFAULT_TENANT = "default"
"""Everybody, as long as there are no API keys; the server then listens on loopback only."""


@dataclass(frozen=True)
class GatewayDependencies:
    """All parts of the gateway."""

    settings: GatewaySettings
    spool: Spool
    documents: DocumentDependencies
    answers: AnswerDependencies
    search: PassageSearch


def get_gateway(request: Request) -> GatewayDependencies:
    """The parts, as opened by the composition root."""
    gateway: GatewayDependencies = request.app.state.gateway
    return gateway


def get_tenant() -> str:
    """Who is asking."""
    return DEFAULT_TENANT


Gateway = Annotated[GatewayDependencies, Depends(get_gateway)]
"""Use as a parameter type: `gateway: Gateway`."""
Tenant = Annotated[str, Depends(get_tenant)]
"""Use as a parameter type: `tenant: Tenant`."""
