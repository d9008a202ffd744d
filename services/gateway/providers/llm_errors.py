"""Says what each failure of a language-model provider means to the caller.

By what caused the exception, then by its HTTP status, then by its class: the tables hold only what does not follow
from "4xx is refused, 5xx is unavailable, all else broke off". They name classes instead of importing them, because
importing the three SDKs takes seconds and a gateway uses one of them.
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
    QuestionRejected,
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
QUESTION: Final = Outcome(
    QuestionRejected,
    "refuses this question, which is too long for its model or stopped by its filter, or the call itself; shorten the"
    " question or check the model's name and limits",
)
INTERRUPTED: Final = Outcome(LanguageModelError, "broke off its answer; try again", "llm_interrupted")
INCOMPLETE: Final = Outcome(LanguageModelError, "ended before its answer was complete; try again", "llm_incomplete")
NO_STREAM: Final = Outcome(LanguageModelRejected, "did not answer with a stream of events; check its base URL")
WRONG_URL: Final = Outcome(LanguageModelRejected, "has a base URL that cannot be called; check it")
OUT_OF_CREDIT: Final = Outcome(
    LanguageModelRejected, "has no credit left or has reached its spending limit; check its account"
)

_PACKAGES: Final = frozenset({"openai", "anthropic", "groq", "httpx", "httpx2", "aiohttp"})

BY_CLASS: Final[dict[str, Outcome]] = {
    "TimeoutError": TIMED_OUT,
    "APITimeoutError": TIMED_OUT,
    "TimeoutException": TIMED_OUT,
    "ConnectTimeout": UNAVAILABLE,
    "ConnectError": UNAVAILABLE,
    "ProxyError": UNAVAILABLE,
    "APIConnectionError": UNAVAILABLE,
    "UnsupportedProtocol": WRONG_URL,
    "InvalidURL": WRONG_URL,
    "CredentialsError": REJECTED,
    "WorkloadIdentityError": REJECTED,
    # These have status 429, but waiting a moment does not help.
    "ContractSpendLimitReachedError": OUT_OF_CREDIT,
    "EnforcedSpendLimitReachedError": OUT_OF_CREDIT,
}
"""Outcome of a class and its descendants, whichever of the packages it is in."""

_BY_STATUS: Final[dict[int, Outcome]] = {
    400: QUESTION,
    402: OUT_OF_CREDIT,
    408: TIMED_OUT,
    409: UNAVAILABLE,  # a lock or a race at the provider: the SDKs try it again, too
    413: QUESTION,
    422: QUESTION,
    425: UNAVAILABLE,
    429: BUSY,
    498: BUSY,  # groq: flex tier capacity exceeded
    499: UNAVAILABLE,
    529: BUSY,  # anthropic: overloaded
}

_QUESTION_WORDS: Final = frozenset(
    {
        "content_filter",
        "content_policy_violation",
        "context_length_exceeded",
        "context_window_exceeded",
        "exceed_context_size_error",  # llama.cpp
        "invalid_prompt",
        "request_too_large",
        "string_above_max_length",
    }
)
"""What stands under `code` or `type` where a question is at fault, whatever the status."""

_BY_WORD: Final[dict[str, Outcome]] = {
    **dict.fromkeys(_QUESTION_WORDS, QUESTION),
    "overloaded_error": BUSY,
    "rate_limit_error": BUSY,
    "rate_limit_exceeded": BUSY,
    "insufficient_quota": OUT_OF_CREDIT,
    "billing_error": OUT_OF_CREDIT,
    "timeout_error": TIMED_OUT,
    "authentication_error": REJECTED,
    "invalid_api_key": REJECTED,
    "invalid_request_error": QUESTION,  # what Anthropic and OpenAI send with 400
    "model_not_found": REJECTED,
    "not_found_error": REJECTED,
    "permission_error": REJECTED,
}
"""Outcome of what stands under `code` or `type` in the JSON of an error. `code` says more."""


def translate_error(error: Exception, *, provider: str, begun: bool = False) -> LanguageModelError | None:
    """Return our error for an exception of an SDK or its HTTP library; None when it is none of theirs.

    Parameters:
        begun: whether the provider's answer had begun. Then a connection that fails has broken, whatever the exception
            is called: the aiohttp transport reports each broken one as one that could not be made in time.

    Neither the message nor the details hold anything that the provider wrote: its texts can quote keys and prompts.
    """
    if not isinstance(error, (TimeoutError, UnreadableEvent)) and not any(map(_is_theirs, type(error).__mro__)):
        return None
    response = getattr(error, "response", None)
    status: int | None = response.status_code if response is not None else None
    outcome = _find_by_class(error) or (classify_status(status) if status and status >= 300 else INTERRUPTED)
    if begun and outcome is UNAVAILABLE:
        outcome = INTERRUPTED
    body = getattr(error, "body", None)
    if outcome is BUSY and _find_by_word(body) is OUT_OF_CREDIT:
        outcome = OUT_OF_CREDIT  # OpenAI sends 429 for both, and waiting helps against one of them only
    elif not _QUESTION_WORDS.isdisjoint(_list_words(body)):
        outcome = QUESTION  # some servers send it with 500, which would count as the provider's failure
    retry_after = read_retry_after(response.headers) if response is not None and outcome.error.retryable else None
    return build_error(outcome, provider=provider, status=status, retry_after=retry_after)


def translate_in_band(error: Any, *, provider: str) -> LanguageModelError:
    """Return our error for one that the provider reports inside a stream that began with 200.

    Parameters:
        error: the JSON value under `error`; every provider has its own shape, so anything is accepted.
    """
    if outcome := _find_by_word(error):
        return build_error(outcome, provider=provider)
    if isinstance(error, Mapping):
        code = error.get("code")
        if isinstance(code, int) and code >= 400:  # vLLM and llama.cpp put the HTTP status here
            return build_error(classify_status(code), provider=provider, status=code)
    return build_error(INTERRUPTED, provider=provider)


def _find_by_class(error: Exception) -> Outcome | None:
    """Return what the class of the exception's cause says, else its own: an SDK's says only that nothing came."""
    for link in (error.__cause__, error):
        for cls in type(link).__mro__:
            if cls.__name__ in BY_CLASS and (cls is TimeoutError or _is_theirs(cls)):
                return BY_CLASS[cls.__name__]
    return None


def _is_theirs(cls: type) -> bool:
    """Return whether a class is of an SDK or its HTTP library; the modules within them are private and may change."""
    return cls.__module__.partition(".")[0] in _PACKAGES


def _find_by_word(error: Any) -> Outcome | None:
    """Return the outcome that the JSON of an error names; None when it names none that we know."""
    return next((_BY_WORD[word] for word in _list_words(error) if word in _BY_WORD), None)


def _list_words(error: Any) -> list[str]:
    """Return the words by which the JSON of an error names it, the most telling first."""
    if isinstance(error, Mapping) and isinstance(error.get("error"), Mapping):
        error = error["error"]  # some SDKs hand over the whole body
    if not isinstance(error, Mapping):
        return []
    return [word for word in (error.get("code"), error.get("type")) if isinstance(word, str)]


def build_error(
    outcome: Outcome, *, provider: str, status: int | None = None, retry_after: int | None = None
) -> LanguageModelError:
    """Return the exception for an outcome; `retry_after` is in seconds, `status` is the provider's HTTP status."""
    details: dict[str, Any] = {"provider": provider}
    if status is not None:
        details["upstream_status"] = status
    message = f"The language model ({provider}) {outcome.message}."
    return outcome.error(message, code=outcome.code, details=details, retry_after=retry_after)


def classify_status(status: int) -> Outcome:
    """Return what an HTTP status of 300 or more of a provider means."""
    return _BY_STATUS.get(status, UNAVAILABLE if status >= 500 else REJECTED)


def read_retry_after(headers: Mapping[str, str]) -> int | None:
    """Return the seconds of a Retry-After header, which holds seconds or a date; None when absent or unbelievable."""
    value = headers.get("retry-after")
    if not value:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            date = headers.get("date")  # by the provider's clock, as the header itself
            now = email.utils.parsedate_to_datetime(date) if date else datetime.now(UTC)
            seconds = (email.utils.parsedate_to_datetime(value) - now).total_seconds()
        except (ValueError, TypeError, OverflowError):  # no zone; a year of 20 digits
            return None
    return math.ceil(seconds) if 0 <= seconds <= MAX_RETRY_AFTER_S else None
