"""Says how an answer ended: every provider and server has its own words for it, the contract knows four."""

from typing import Final

from services.gateway.providers.llm_errors import INTERRUPTED, build_error
from shared.contracts.questions import FinishReason

_MEANINGS: Final[dict[str, FinishReason]] = {
    # chat completions, and what servers that speak the protocol send in their place
    "stop": "stop",
    "eos": "stop",
    "eos_token": "stop",
    "length": "length",
    "model_length": "length",
    "content_filter": "filtered",
    # Anthropic
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "refusal": "filtered",
}
_FAILURES: Final = frozenset({"abort", "cancelled", "canceled", "error"})
"""What vLLM, SGLang and OpenRouter write where the model did not end its answer but something broke."""


def read_finish_reason(word: str, *, provider: str) -> FinishReason:
    """Return the contract's word for a provider's; a word that nobody told us is `other`.

    Raises:
        LanguageModelError: the word says that the provider failed.
    """
    if word in _FAILURES:
        raise build_error(INTERRUPTED, provider=provider)
    return _MEANINGS.get(word, "other")
