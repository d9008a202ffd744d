"""Routes of conversations: list, read, delete. A conversation begins with a question that names it."""

from typing import Annotated

from fastapi import APIRouter, Query, Response

from services.gateway.api.dependencies import Gateway, Tenant
from shared.contracts.conversations import Conversation, ConversationList

router = APIRouter(tags=["conversations"])


@router.get("/conversations")
async def list_conversations(
    gateway: Gateway,
    tenant: Tenant,
    offset: Annotated[int, Query(ge=0, le=1_000_000_000)] = 0,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> ConversationList:
    """All conversations that have an answer, last used first."""
    conversations, total = await gateway.conversations.list(tenant, offset, limit)
    following = offset + limit
    next_offset = following if following < total else None
    return ConversationList(conversations=conversations, total=total, next_offset=next_offset)


@router.get("/conversations/{conversation_id}")
async def get_conversation(conversation_id: str, gateway: Gateway, tenant: Tenant) -> Conversation:
    """One conversation: what was asked and answered, as far as it is kept."""
    return await gateway.conversations.get(tenant, conversation_id)


@router.delete("/conversations/{conversation_id}", status_code=204)
async def delete_conversation(conversation_id: str, gateway: Gateway, tenant: Tenant) -> Response:
    """Deletes a conversation. An answer that is being written in it comes to its end and is not kept."""
    await gateway.conversations.delete(tenant, conversation_id)
    return Response(status_code=204)
