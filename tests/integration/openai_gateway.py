"""A gateway in front of a local language model, and OpenAI's own client of it, for tests of OpenAI's dialects."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx2
import openai
from pydantic import BaseModel, SecretStr

from services.gateway.main import create_app, open_gateway
from services.gateway.settings import GatewaySettings
from tests.canned_search import CannedSearch
from tests.http_server import serve_app
from tests.llm_server import LlmServer, choose_idle_timeout_s
from tests.patience import PATIENT_S

EVIDENCE = {"supported", "claim", "evidence", "missing"}
"""What our annotations have beside OpenAI's fields."""


@asynccontextmanager
async def open_openai_gateway(
    settings: GatewaySettings, search: CannedSearch, llm: LlmServer, scenario: str
) -> AsyncIterator[openai.AsyncOpenAI]:
    """OpenAI's client, without retries; the gateway's own provider `openai` plays the scenario."""
    chosen = {
        "llm_idle_timeout_s": choose_idle_timeout_s(scenario),
        "openai_api_key": SecretStr("sk-ours"),
        "openai_base_url": llm.urls["openai"],
        "openai_model": scenario,
    }
    configured = settings.model_copy(update=chosen)
    app = await asyncio.to_thread(create_app, lambda: open_gateway(configured, search), configured)
    async with (
        serve_app(app) as server,
        httpx2.AsyncClient(timeout=PATIENT_S) as http,
        openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key="any", max_retries=0, http_client=http) as client,
    ):
        yield client


def check_strictly(value: BaseModel, *, extra: set[str]) -> None:
    """Validate what the client has read again, with pydantic's own rules, which the client does not apply.

    Parameters:
        extra: the fields that are ours, wherever they stand; any other that the client does not know is an error.
    """
    data = value.model_dump(mode="json", exclude_unset=True)
    type(value).model_validate(data)
    unknown = set(list_unknown(type(value).model_validate(data)))
    assert unknown <= extra


def list_unknown(value: object) -> list[str]:
    """The names of all fields that the client's types do not have."""
    match value:
        case BaseModel():
            known = [name for field in type(value).model_fields for name in list_unknown(getattr(value, field))]
            return [*known, *(value.model_extra or {})]
        case list():
            return [name for item in value for name in list_unknown(item)]
    return []
