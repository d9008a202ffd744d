"""Builds the language models that are configured, and says which one answers by default."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pydantic import SecretStr

from services.gateway.extractive.extractive_model import ExtractiveModel
from services.gateway.ports import EXTRACTIVE, LanguageModel
from services.gateway.providers import sdk_clients
from services.gateway.providers.chain import ProviderChain
from services.gateway.providers.chat_completions import ChatCompletionsModel
from services.gateway.providers.messages import MessagesModel

PREFERENCE: Final = ("openai", "anthropic", "groq", EXTRACTIVE)
_NO_KEY: Final = "no-key-needed"  # local servers ignore it; the SDK insists on one
_OPENAI_HOST: Final = "api.openai.com"
_REASONING_MODEL: Final = re.compile(r"o\d|gpt-5(?!-chat)")


@dataclass(frozen=True)
class LanguageModelConfig:
    """Keys, addresses and limits of the providers; a provider without a key is left out.

    `openai` is also there when only its base URL is set, for local servers. The base URL of `openai` ends in `/v1`,
    those of `anthropic` and `groq` are the bare host; None is the provider itself. Times are in seconds.
    """

    openai_api_key: SecretStr | None
    openai_base_url: str | None
    openai_model: str
    anthropic_api_key: SecretStr | None
    anthropic_base_url: str | None
    anthropic_model: str
    groq_api_key: SecretStr | None
    groq_base_url: str | None
    groq_model: str
    idle_timeout_s: float
    connect_timeout_s: float
    max_output_tokens: int


def build_language_models(config: LanguageModelConfig) -> dict[str, LanguageModel]:
    """Return the configured models by provider; `extractive` is always among them. Close each when done.

    Takes up to seconds, for the imports of the SDKs: call it in a thread or before the event loop runs.

    Raises:
        ValueError: a key cannot be sent.
    """
    models: dict[str, LanguageModel] = {}
    if key := _read_key("openai", config.openai_api_key) or (_NO_KEY if config.openai_base_url else None):
        openai = sdk_clients.open_openai(key, config.openai_base_url, config.connect_timeout_s)
        models["openai"] = ChatCompletionsModel(
            openai,
            provider="openai",
            model=config.openai_model,
            options=choose_openai_options(openai.base_url.host, config.max_output_tokens),
            short_options=choose_short_options(openai.base_url.host, config.openai_model),
            idle_timeout_s=config.idle_timeout_s,
        )
    if key := _read_key("anthropic", config.anthropic_api_key):
        models["anthropic"] = MessagesModel(
            sdk_clients.open_anthropic(key, config.anthropic_base_url, config.connect_timeout_s),
            provider="anthropic",
            model=config.anthropic_model,
            max_output_tokens=config.max_output_tokens,
            idle_timeout_s=config.idle_timeout_s,
        )
    if key := _read_key("groq", config.groq_api_key):
        models["groq"] = ChatCompletionsModel(
            sdk_clients.open_groq(key, config.groq_base_url, config.connect_timeout_s),
            provider="groq",
            model=config.groq_model,
            # The token counts come unasked, in x_groq.usage of the last chunk.
            options={"max_completion_tokens": config.max_output_tokens},
            idle_timeout_s=config.idle_timeout_s,
        )
    models[EXTRACTIVE] = ExtractiveModel()
    return models


def choose_openai_options(host: str, max_output_tokens: int) -> dict[str, Any]:
    """Return what a server that `openai` names takes: other servers may reject a field that only OpenAI itself knows.

    Parameters:
        max_output_tokens: includes the reasoning of models that reason.
    """
    if _is_openai(host):
        return {
            "max_completion_tokens": max_output_tokens,
            "stream_options": {"include_usage": True, "include_obfuscation": False},
        }
    return {"max_tokens": max_output_tokens, "stream_options": {"include_usage": True}}


def choose_short_options(host: str, model: str) -> dict[str, Any]:
    """Return what makes a model of OpenAI that reasons answer soon; others refuse it."""
    return {"reasoning_effort": "low"} if _is_openai(host) and _REASONING_MODEL.match(model) else {}


def _is_openai(host: str) -> bool:
    return host == _OPENAI_HOST or host.endswith(f".{_OPENAI_HOST}")


def choose_default_provider(models: Collection[str], configured: str | None) -> str:
    """Return the configured provider, or the first that is there of openai, anthropic, groq and extractive.

    Raises:
        ValueError: the configured provider is not available.
    """
    if configured:
        if configured not in models:
            raise ValueError(
                f"Language model provider {configured!r} is not available. Available: {', '.join(sorted(models))}. "
                "A provider becomes available when its API key is set."
            )
        return configured
    return next(name for name in PREFERENCE if name in models)


def build_chain(
    models: Mapping[str, LanguageModel], providers: Sequence[str], *, wait_s: float, hedge_ms: int
) -> ProviderChain | None:
    """Return the chain of these providers; None when none are named.

    Parameters:
        wait_s: seconds until the first piece of an answer, however many are asked.
        hedge_ms: milliseconds of silence after which the next one is asked as well; 0: never.

    Raises:
        ValueError: one of the providers is not available.
    """
    if not providers:
        return None
    members = [models[choose_default_provider(models, name)] for name in providers]
    return ProviderChain(members, wait_s=wait_s, hedge_s=hedge_ms / 1000 or None)


def _read_key(provider: str, key: SecretStr | None) -> str | None:
    """Return the key without blanks around it, or None: compose passes an unset variable on as an empty string.

    Raises:
        ValueError: no HTTP header can hold it: tried all the same, it would stand in the error, and in the logs.
    """
    text = key.get_secret_value().strip() if key else ""
    if not (text.isascii() and text.isprintable()):
        raise ValueError(f"The API key of {provider} holds characters that no key has; copy it again.")
    return text or None
