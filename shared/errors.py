"""The error tree and its one status table.

    PagewireError
    ├── InvalidRequest        400   the request can never succeed as it is
    │   └── UnprocessableRequest 422
    ├── Forbidden             403   a page of another website, or under a foreign name
    ├── NotFound              404   also for what belongs to another tenant
    ├── UploadStalled         408   its client sends no more
    ├── NotReady              409   it will be, in a moment
    ├── Conflict              409   not in the state that the thing is in
    ├── TooLarge              413
    ├── UnsupportedFile       415
    └── ServiceError          503   ours or an upstream's fault
        ├── DependencyUnavailable   503
        ├── IndexRejected           502   the vector index refuses what we send; trying again does not help
        ├── DiskFull                507
        └── LanguageModelError      502
            ├── LanguageModelUnavailable 503
            ├── LanguageModelBusy        503
            └── LanguageModelTimeout     504

A message is for the person who called: it says what to do and holds no internals and no document text.
"""

from typing import Any, ClassVar


class PagewireError(Exception):
    """Root of everything that we raise on purpose.

    Parameters:
        message: for the caller; says what to do.
        code: overrides the class's machine-readable code.
        details: extra JSON for the caller.
        retry_after: seconds after which the same call may succeed.
    """

    code: ClassVar[str] = "internal_error"
    retryable: ClassVar[bool] = False

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        details: dict[str, Any] | None = None,
        retry_after: int | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.error_code = code or self.code
        self.details = details
        self.retry_after = retry_after


class InvalidRequest(PagewireError):
    """The request can never succeed as it is."""

    code = "invalid_request"


class UnprocessableRequest(InvalidRequest):
    """Well-formed, but a value is out of range or unknown."""

    code = "invalid_value"


class Forbidden(PagewireError):
    """The caller may not do this."""

    code = "forbidden"


class NotFound(PagewireError):
    """There is no such thing, or it belongs to another tenant."""

    code = "not_found"


class UploadStalled(PagewireError):
    """The rest of a request's body does not arrive."""

    code = "upload_stalled"
    retryable = True


class NotReady(PagewireError):
    """The thing exists but cannot be used yet."""

    code = "not_ready"
    retryable = True


class Conflict(PagewireError):
    """What is asked for cannot be done in the state that the thing is in."""

    code = "conflict"


class TooLarge(PagewireError):
    """More bytes than the limit."""

    code = "too_large"


class UnsupportedFile(PagewireError):
    """The bytes are not a PDF."""

    code = "not_a_pdf"


class ServiceError(PagewireError):
    """The fault is ours or an upstream's; trying again may help."""

    code = "service_error"
    retryable = True


class DependencyUnavailable(ServiceError):
    """Redis, Qdrant, the blob store or the retrieval service does not answer."""

    code = "dependency_unavailable"


BUSY_CODE = "server_busy"
BUSY_RETRY_AFTER_S = 5
"""About what a store's deadline is: by then those who were ahead have been answered, or refused."""


def make_busy_error() -> DependencyUnavailable:
    """Return what those are told for whom a part that works has no time left: it has too much to do, or we have."""
    message = "The server has more to do at this moment than it can answer in time; try again in a few seconds."
    return DependencyUnavailable(message, code=BUSY_CODE, retry_after=BUSY_RETRY_AFTER_S)


class IndexRejected(ServiceError):
    """The vector index refuses the call itself (another dimension, too large): trying again does not help."""

    code = "index_rejected"
    retryable = False


class IndexDamaged(IndexRejected):
    """The files of the index cannot be read: it has to be made anew."""

    code = "index_damaged"


class DiskFull(ServiceError):
    """Too little space is left where the data is."""

    code = "disk_full"


class LanguageModelError(ServiceError):
    """The language model broke off, refused, or sent what cannot be read."""

    code = "llm_error"


class LanguageModelUnavailable(LanguageModelError):
    """The provider cannot be reached or answers 5xx."""

    code = "llm_unavailable"


class LanguageModelBusy(LanguageModelError):
    """The provider answers 429 or says that it is overloaded."""

    code = "llm_busy"


class LanguageModelTimeout(LanguageModelError):
    """No token arrived within the idle timeout."""

    code = "llm_timeout"


class LanguageModelRejected(LanguageModelError):
    """The provider refuses the call itself (key, model name, request): trying again does not help."""

    code = "llm_rejected"
    retryable = False


class QuestionRejected(LanguageModelRejected):
    """The provider refuses this one question (too long, filtered), and says nothing about the next one."""


STATUS: dict[type[PagewireError], int] = {
    InvalidRequest: 400,
    UnprocessableRequest: 422,
    Forbidden: 403,
    NotFound: 404,
    UploadStalled: 408,
    NotReady: 409,
    Conflict: 409,
    TooLarge: 413,
    UnsupportedFile: 415,
    ServiceError: 503,
    IndexRejected: 502,
    DiskFull: 507,
    LanguageModelError: 502,
    LanguageModelUnavailable: 503,
    LanguageModelBusy: 503,
    LanguageModelTimeout: 504,
}
"""HTTP status per class; a class that is missing has its nearest ancestor's."""


def find_status(error: PagewireError) -> int:
    """The HTTP status of an error, by the most specific class in the table; 500 when none is."""
    for cls in type(error).__mro__:
        if cls in STATUS:
            return STATUS[cls]
    return 500
