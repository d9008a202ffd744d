"""Says what each failure of a language-model provider means to the caller: one table, looked up by name.

The table names exception classes instead of importing them, because importing the three SDKs takes seconds
and a gateway uses one of them. A test compares the names with what the SDKs export.
"""

import email.utils
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from shared.errors import (
    LanguageModelBusy,
    LanguageModelError,
    LanguageModelRejected,
    LanguageModelTimeout,
    LanguageModelUnavailable,
)

MAX_RETRY_AFTER_S: Final = 24 * 3600
"""A provider that asks for more than a day to wait is not believed."""


class UnreadableEvent(Exception):
    """An event of the upstream stream is too large, is not JSON or has not the shape that its provider documents."""


@dataclass(frozen=True)
class Outcome:
    """What a failure means: the class to raise, what to tell the caller, and the code where not the class's own."""

    error: type[LanguageModelError]
    message: str
    code: str | None = None


UNAVAILABLE: Final = Outcome(LanguageModelUnavailable, "cannot be reached right now; try again shortly")
BUSY: Final = Outcome(LanguageModelBusy, "has too much to do right now; try again shortly")
TIMED_OUT: Final = Outcome(LanguageModelTimeout, "sent nothing for too long; try again")
REJECTED: Final = Outcome(LanguageModelRejected, "refuses the call; check its key, model name and limits")
INTERRUPTED: Final = Outcome(LanguageModelError, "broke off its answer; try again", "llm_interrupted")
INCOMPLETE: Final = Outcome(LanguageModelError, "ended before its answer was complete; try again", "llm_incomplete")
NO_STREAM: Final = Outcome(LanguageModelRejected, "did not answer with a stream of events; check its base URL")
OUT_OF_CREDIT: Final = Outcome(
    LanguageModelRejected, "has no credit left or has reached its spending limit; check its account"
)
BY_STATUS: Final = None
"""Decided by the HTTP status of the exception's response."""

_ANY_SDK: Final[dict[str, Outcome | None]] = {
    "APIError": INTERRUPTED,
    "APIConnectionError": UNAVAILABLE,
    "APITimeoutError": TIMED_OUT,
    "APIResponseValidationError": INTERRUPTED,
    "APIStatusError": BY_STATUS,
    "InternalServerError": BY_STATUS,  # 500 to 599, and 529 means overloaded
    "BadRequestError": REJECTED,
    "AuthenticationError": REJECTED,
    "PermissionDeniedError": REJECTED,
    "NotFoundError": REJECTED,
    "UnprocessableEntityError": REJECTED,
    "ConflictError": UNAVAILABLE,  # a lock or a race at the provider: the SDKs try it again, too
    "RateLimitError": BUSY,
}

_OPENAI: Final[dict[str, Outcome | None]] = {
    "OpenAIError": INTERRUPTED,
    "OAuthError": REJECTED,
    "LengthFinishReasonError": INTERRUPTED,
    "ContentFilterFinishReasonError": REJECTED,
    "InvalidWebhookSignatureError": INTERRUPTED,
    "WebSocketConnectionClosedError": INTERRUPTED,
    "WebSocketQueueFullError": INTERRUPTED,
}

_ANTHROPIC: Final[dict[str, Outcome | None]] = {
    "AnthropicError": INTERRUPTED,
    "APIWebhookValidationError": INTERRUPTED,
    "ClientClosedRequestError": UNAVAILABLE,
    "GatewayTimeoutError": UNAVAILABLE,
    "HTTPNotImplementedError": UNAVAILABLE,
    "OverloadedError": BUSY,
    "RampLimitExceededError": BUSY,
    "RequestTimeoutError": TIMED_OUT,
    "RetryableError": UNAVAILABLE,
    "ServiceUnavailableError": UNAVAILABLE,
    "CMEKContextUnavailableError": UNAVAILABLE,
    "CMEKKeyUnreachableError": UNAVAILABLE,
    "CMEKKeyDisabledError": REJECTED,
    "CMEKKeyNetworkBlockedError": REJECTED,
    "ClaudeCodeKeyCreatorNotMemberError": REJECTED,
    "ClaudeCodeVersionTooOldError": REJECTED,
    "ContentTooLargeError": REJECTED,
    "ContractSpendLimitReachedError": OUT_OF_CREDIT,  # 429, but waiting a moment does not help
    "CredentialsError": REJECTED,
    "EnforcedSpendLimitReachedError": OUT_OF_CREDIT,  # the same
    "IdentityTokenFileError": REJECTED,
    "LinkedOrganizationBillingUnavailableError": REJECTED,
    "LinkedOrganizationSpendLimitReachedError": OUT_OF_CREDIT,
    "OrganizationOnHoldError": REJECTED,
    "OrganizationTypeNotSupportedError": REJECTED,
    "ParentOrganizationRequiredError": REJECTED,
    "PaymentRequiredError": OUT_OF_CREDIT,
    "PreconditionFailedError": REJECTED,
    "RequestBodyEncodingInvalidError": REJECTED,
    "RequestBodyEncodingUnsupportedError": REJECTED,
    "RequestBodyTooLargeAfterDecodingError": REJECTED,
    "RequestHeaderFieldsTooLargeError": REJECTED,
    "SandboxEgressRestrictedError": REJECTED,
    "WorkloadIdentityError": REJECTED,
}

# Raised by the HTTP libraries once the body is being read; before that the SDKs wrap them.
_HTTP: Final[dict[str, Outcome | None]] = {
    "HTTPError": INTERRUPTED,
    "StreamError": INTERRUPTED,
    "TimeoutException": TIMED_OUT,
    "ConnectError": UNAVAILABLE,
    "ProxyError": UNAVAILABLE,
    "UnsupportedProtocol": REJECTED,
    "InvalidURL": REJECTED,
}

EXCEPTIONS: Final[dict[str, Outcome | None]] = {
    **{f"{sdk}.{name}": outcome for sdk in ("openai", "anthropic", "groq") for name, outcome in _ANY_SDK.items()},
    **{f"openai.{name}": outcome for name, outcome in _OPENAI.items()},
    **{f"anthropic.{name}": outcome for name, outcome in _ANTHROPIC.items()},
    "groq.GroqError": INTERRUPTED,
    **{f"{http}.{name}": outcome for http in ("httpx", "httpx2") for name, outcome in _HTTP.items()},
    "builtins.TimeoutError": TIMED_OUT,
    "services.UnreadableEvent": INTERRUPTED,
}
"""Outcome per exception, named `package.Class`; a class that is missing has its nearest ancestor's."""

_STATUSES: Final[dict[int, Outcome]] = {
    402: OUT_OF_CREDIT,
    408: TIMED_OUT,
    409: UNAVAILABLE,
    425: UNAVAILABLE,
    429: BUSY,
    498: BUSY,  # groq: flex tier capacity exceeded
    499: UNAVAILABLE,
    529: BUSY,  # anthropic: overloaded
}

_ERROR_TYPES: Final[dict[str, Outcome]] = {
    "overloaded_error": BUSY,
    "rate_limit_error": BUSY,
    "rate_limit_exceeded": BUSY,
    "insufficient_quota": OUT_OF_CREDIT,
    "timeout_error": TIMED_OUT,
    "authentication_error": REJECTED,
    "billing_error": OUT_OF_CREDIT,
    "context_length_exceeded": REJECTED,
    "invalid_api_key": REJECTED,
    "invalid_request_error": REJECTED,
    "model_not_found": REJECTED,
    "not_found_error": REJECTED,
    "permission_error": REJECTED,
    "request_too_large": REJECTED,
}


def translate_error(error: Exception, *, provider: str) -> LanguageModelError | None:
    """Our error for an exception of an SDK or its HTTP library; None when it is none of theirs.

    Neither the message nor the details hold anything that the provider wrote: its texts can quote keys and prompts.
    """
    outcome = INTERRUPTED
    for cls in type(error).__mro__:
        name = name_class(cls)
        if name in EXCEPTIONS:
            outcome = EXCEPTIONS[name] or classify_status(getattr(error, "status_code", 0))
            if outcome is BUSY and _find_outcome(getattr(error, "body", None)) is OUT_OF_CREDIT:
                outcome = OUT_OF_CREDIT  # OpenAI sends 429 for both, and waiting helps against one of them only
            break
    else:
        return None
    response = getattr(error, "response", None)
    if response is None:
        return build_error(outcome, provider=provider)
    return build_error(
        outcome,
        provider=provider,
        status=response.status_code,
        retry_after=read_retry_after(response.headers) if outcome.error.retryable else None,
    )


def translate_in_band(error: Any, *, provider: str) -> LanguageModelError:
    """Our error for one that the provider reports inside a stream that began with 200.

    Parameters:
        error: the JSON value under `error`; every provider has its own shape, so anything is accepted.
    """
    if outcome := _find_outcome(error):
        return build_error(outcome, provider=provider)
    if isinstance(error, Mapping):
        code = error.get("code")
        if isinstance(code, int) and code >= 400:  # vLLM and llama.cpp put the HTTP status here
            return build_error(classify_status(code), provider=provider, status=code)
    return build_error(INTERRUPTED, provider=provider)


def _find_outcome(error: Any) -> Outcome | None:
    """The outcome that the JSON of an error names; None when it names none that we know."""
    if isinstance(error, Mapping) and isinstance(error.get("error"), Mapping):
        error = error["error"]  # some SDKs hand over the whole body
    if not isinstance(error, Mapping):
        return None
    named = [error.get("type"), error.get("code")]
    return next((_ERROR_TYPES[name] for name in named if isinstance(name, str) and name in _ERROR_TYPES), None)


def build_error(
    outcome: Outcome, *, provider: str, status: int | None = None, retry_after: int | None = None
) -> LanguageModelError:
    """The exception for an outcome; `retry_after` is in seconds, `status` is the provider's HTTP status."""
    details: dict[str, Any] = {"provider": provider}
    if status is not None:
        details["upstream_status"] = status
    message = f"The language model ({provider}) {outcome.message}."
    return outcome.error(message, code=outcome.code, details=details, retry_after=retry_after)


def classify_status(status: int) -> Outcome:
    """What an HTTP status of 300 or more of a provider means."""
    return _STATUSES.get(status, UNAVAILABLE if status >= 500 else REJECTED)


def read_retry_after(headers: Mapping[str, str]) -> int | None:
    """Whole seconds of a Retry-After header, which holds seconds or a date; None when absent or unbelievable."""
    value = headers.get("retry-after")
    if not value:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = (email.utils.parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds()
        except (ValueError, TypeError):  # TypeError: a date without a zone
            return None
    return math.ceil(seconds) if 0 <= seconds <= MAX_RETRY_AFTER_S else None


def name_class(cls: type) -> str:
    """`package.Class`: the SDKs define their exceptions in private modules, whose names may change."""
    return f"{cls.__module__.partition('.')[0]}.{cls.__name__}"
