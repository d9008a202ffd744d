"""The gateway as the command sees it: a client with timeouts, and every failure as one line that says what to do."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

import httpx
from pydantic import BaseModel, ValidationError

from shared.contracts.errors import ErrorBody

TIMEOUT = httpx.Timeout(60.0, connect=10.0)
"""Every single wait is bounded. A stream carries a heartbeat every 15 s: a minute of silence is a dead connection."""

NOT_PAGEWIRE = "the answer is not what a Pagewire gateway sends. Check --url and its version."

LOOPBACK_HOSTS = frozenset({"127.0.0.1", "localhost", "::1"})
"""Never asked through a proxy, whatever the environment says."""

Model = TypeVar("Model", bound=BaseModel)


class CliError(Exception):
    """A failure that ends a command; the message is one line that says what to do."""


@contextmanager
def connect(url: str) -> Iterator[httpx.Client]:
    """A client of the gateway; what goes wrong on the network comes out as a `CliError`."""
    trust_env = httpx.URL(url).host not in LOOPBACK_HOSTS
    try:
        with httpx.Client(base_url=url, timeout=TIMEOUT, trust_env=trust_env) as client:
            yield client
    except (httpx.ConnectError, httpx.ConnectTimeout) as error:
        raise CliError(
            f"no Pagewire answers at {url}. Start it with `make run` (or `python -m services.standalone`), "
            "or name another one with --url."
        ) from error
    except httpx.TimeoutException as error:
        raise CliError(f"{url} did not answer in time. Try again; if it stays so, look at its log.") from error
    except httpx.HTTPError as error:
        raise CliError(f"the connection to {url} broke off. Try again.") from error


def check_response(response: httpx.Response) -> httpx.Response:
    """The response itself, or a `CliError` with the words that the gateway found for the failure."""
    if response.is_success:
        return response
    response.read()  # a streamed response has no body yet
    try:
        message = ErrorBody.model_validate_json(response.content).error.message
    except ValidationError:
        message = f"{response.url} answered with status {response.status_code}. Is --url a Pagewire gateway?"
    raise CliError(message)


def read_as(model: type[Model], content: bytes | str) -> Model:
    """The JSON of a response or event as its contract."""
    try:
        return model.model_validate_json(content)
    except ValidationError as error:
        raise CliError(NOT_PAGEWIRE) from error
