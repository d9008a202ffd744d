"""Builds the language models that are configured, and says which one answers by default."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final

from pydantic import SecretStr

from services.gateway.extractive.extractive_model import ExtractiveModel
from services.gateway.ports import LanguageModel

EXTRACTIVE: Final = "extractive"
PREFERENCE: Final = ("openai", "anthropic", "groq", EXTRACTIVE)
_NO_KEY: Final = "no-key-needed"  # local servers ignore it; the SDK insists on one


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
    """The configured models by provider name; `extractive` is always among them.

    Close each when done. The SDKs are imported here and only where needed: importing one takes up to seconds, which
    someone who runs without any key should not wait for.
    """
    models: dict[str, LanguageModel] = {}
    limits: dict[str, Any] = {
        "idle_timeout_s": config.idle_timeout_s,
        "connect_timeout_s": config.connect_timeout_s,
        "max_output_tokens": config.max_output_tokens,
    }
    openai_key = _read_key(config.openai_api_key) or (_NO_KEY if config.openai_base_url else None)
    if openai_key:
        from services.gateway.providers.openai_model import OpenAIModel

        models["openai"] = OpenAIModel(
            api_key=openai_key, model=config.openai_model, base_url=config.openai_base_url, **limits
        )
    if anthropic_key := _read_key(config.anthropic_api_key):
        from services.gateway.providers.anthropic_model import AnthropicModel

        models["anthropic"] = AnthropicModel(
            api_key=anthropic_key, model=config.anthropic_model, base_url=config.anthropic_base_url, **limits
        )
    if groq_key := _read_key(config.groq_api_key):
        from services.gateway.providers.groq_model import GroqModel

        models["groq"] = GroqModel(api_key=groq_key, model=config.groq_model, base_url=config.groq_base_url, **limits)
    models[EXTRACTIVE] = ExtractiveModel()
    return models


def choose_default_provider(models: Collection[str], configured: str | None) -> str:
    """The configured provider, or the first that is there of openai, anthropic, groq and extractive.

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


def _read_key(key: SecretStr | None) -> str | None:
    """The key without blanks around it, or None: compose passes an unset variable on as an empty string."""
    return (key.get_secret_value().strip() or None) if key else None
