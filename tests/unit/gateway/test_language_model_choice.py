"""Which language models a configuration gives, and which of them answers by default."""

from contextlib import nullcontext
from dataclasses import replace

import pytest
from pydantic import SecretStr, ValidationError

from services.gateway.providers.language_models import (
    LanguageModelConfig,
    build_chain,
    build_language_models,
    choose_default_provider,
)
from services.gateway.settings import GatewaySettings

KEY = SecretStr("sk-key")
NOTHING = LanguageModelConfig(
    openai_api_key=None,
    openai_base_url=None,
    openai_model="gpt",
    anthropic_api_key=None,
    anthropic_base_url=None,
    anthropic_model="claude",
    groq_api_key=None,
    groq_base_url=None,
    groq_model="llama",
    idle_timeout_s=1,
    connect_timeout_s=1,
    max_output_tokens=1,
)


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (NOTHING, {"extractive"}),
        (replace(NOTHING, groq_api_key=SecretStr(" ")), {"extractive"}),
        (replace(NOTHING, openai_base_url="http://127.0.0.1:11434/v1"), {"openai", "extractive"}),
        (replace(NOTHING, openai_api_key=KEY), {"openai", "extractive"}),
        (replace(NOTHING, anthropic_api_key=KEY), {"anthropic", "extractive"}),
        (replace(NOTHING, groq_api_key=KEY), {"groq", "extractive"}),
    ],
)
def test_a_provider_is_there_when_its_key_is_set(config: LanguageModelConfig, expected: set[str]) -> None:
    """A local server needs only its address, an empty key is no key, and extractive is always there."""
    models = build_language_models(config)
    assert set(models) == expected
    assert all(models[name].provider == name for name in models)


def test_models_have_their_names_and_the_local_server_its_address() -> None:
    """Nothing gets mixed up between providers."""
    config = replace(NOTHING, openai_base_url="http://localhost:1/v1", anthropic_api_key=KEY, groq_api_key=KEY)
    models = build_language_models(config)
    names = {name: model.model for name, model in models.items() if name != "extractive"}
    assert names == {"openai": "gpt", "anthropic": "claude", "groq": "llama"}


@pytest.mark.parametrize("key", ["sk-ключ", "sk-two\nlines"])
@pytest.mark.parametrize("provider", ["openai", "anthropic", "groq"])
def test_a_key_that_cannot_be_sent_is_refused(provider: str, key: str) -> None:
    """It is noticed at the start, and the message, which ends up in logs, does not hold the key."""
    config = replace(NOTHING, **{f"{provider}_api_key": SecretStr(key)})  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=f"^The API key of {provider} holds") as caught:
        build_language_models(config)
    assert key not in str(caught.value)


@pytest.mark.parametrize(
    ("available", "configured", "expected"),
    [
        (["extractive"], None, "extractive"),
        (["extractive", "groq"], None, "groq"),
        (["extractive", "groq", "anthropic"], "", "anthropic"),
        (["extractive", "groq", "anthropic", "openai"], None, "openai"),
        (["extractive", "groq", "openai"], "groq", "groq"),
        (["extractive", "openai"], "extractive", "extractive"),
    ],
)
def test_default_is_the_configured_one_or_the_first_there_is(
    available: list[str], configured: str | None, expected: str
) -> None:
    """A real model goes before the extractive one unless configured otherwise."""
    assert choose_default_provider(available, configured) == expected


def test_absent_default_is_refused_with_what_is_available() -> None:
    """A typo or a missing key is noticed at the start, not with the first question."""
    with pytest.raises(ValueError, match=r"'anthropic' is not available\. Available: extractive, openai"):
        choose_default_provider(["openai", "extractive"], "anthropic")


def make_settings(**chosen: object) -> GatewaySettings:
    """Settings with keys of openai and groq, whatever the environment says."""
    keys = {"openai_api_key": "sk-1", "groq_api_key": "sk-2", "anthropic_api_key": None, "openai_base_url": None}
    return GatewaySettings.model_validate({"llm_provider": None, "llm_chain": None, **keys, **chosen})


def test_a_chain_is_asked_in_the_order_in_which_it_is_written() -> None:
    """Blanks and capitals do not matter; without one there is no chain, whatever keys are set."""
    assert make_settings(llm_chain="groq, OpenAI,extractive").chain_providers == ["groq", "openai", "extractive"]
    assert make_settings().chain_providers == []
    models = build_language_models(replace(NOTHING, openai_api_key=KEY, groq_api_key=KEY))
    chain = build_chain(models, ["groq", "openai"], wait_s=1, hedge_ms=0)
    assert chain is not None
    assert (chain.provider, chain.model, list(chain.describe_members())) == ("groq", "llama", ["groq", "openai"])
    assert build_chain(models, [], wait_s=1, hedge_ms=0) is None
    with pytest.raises(ValueError, match="'anthropic' is not available"):
        build_chain(models, ["anthropic"], wait_s=1, hedge_ms=0)


@pytest.mark.parametrize(
    ("chain", "provider", "problem"),
    [
        ("openai,skynet", None, "PAGEWIRE_LLM_CHAIN names 'skynet'; choose one of"),
        ("openai,anthropic", None, "PAGEWIRE_LLM_CHAIN names 'anthropic', but its API key is not set"),
        ("openai,groq,openai", None, "names a provider twice"),
        ("extractive,openai", None, "put it last"),
        ("openai,groq", "openai", "both set"),
        (None, "anthropic", "PAGEWIRE_LLM_PROVIDER names 'anthropic', but its API key is not set"),
    ],
)
def test_a_chain_that_cannot_be_asked_is_refused(chain: str | None, provider: str | None, problem: str) -> None:
    """At the start, and not when the first of it fails."""
    with pytest.raises(ValidationError, match=problem):
        make_settings(llm_chain=chain, llm_provider=provider)


@pytest.mark.parametrize(
    ("chain", "idle_timeout_s", "hedge_ms", "is_fit"),
    [
        ("openai,groq", 59, 0, True),
        ("openai,groq", 60, 0, False),
        ("openai,groq", 90, 500, True),
        ("openai,groq", 90, 60_000, False),
        ("openai", 90, 0, True),
    ],
)
def test_a_chain_has_time_to_leave_a_silent_provider(
    chain: str, idle_timeout_s: float, hedge_ms: int, is_fit: bool
) -> None:
    """Else the wait for the first token would end with the first provider, and the next one never be asked."""
    chosen = {"llm_chain": chain, "llm_idle_timeout_s": idle_timeout_s, "llm_hedge_ms": hedge_ms}
    with nullcontext() if is_fit else pytest.raises(ValidationError, match="PAGEWIRE_LLM_CHAIN_WAIT_S is over before"):
        make_settings(**chosen, llm_chain_wait_s=60)


@pytest.mark.parametrize(
    ("chain", "deadline_s", "is_fit"), [("openai,groq", 75, False), ("openai,groq", 76, True), ("openai", 75, True)]
)
def test_a_run_has_time_for_the_whole_wait_of_its_chain(chain: str, deadline_s: float, is_fit: bool) -> None:
    """Else its deadline would end the silence of providers, and their circuits would learn nothing."""
    times = {"retrieval_timeout_s": 15, "llm_chain_wait_s": 60, "run_deadline_s": deadline_s}
    with nullcontext() if is_fit else pytest.raises(ValidationError, match="PAGEWIRE_RUN_DEADLINE_S may end"):
        make_settings(llm_chain=chain, **times)
