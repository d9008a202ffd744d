"""Settings of the gateway."""

import math
import re
from typing import Literal, Self

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import SettingsConfigDict

from services.gateway.answers.prices import Price, parse_prices
from services.gateway.origins import split_netloc
from services.gateway.ports import EXTRACTIVE, ConversationLimits
from services.gateway.providers.language_models import LanguageModelConfig
from shared.settings import MEGABYTE, SharedSettings

_OF_NO_ANSWER = {
    *("host", "port", "allowed_hosts", "allowed_origins", "public_url", "log_level", "log_format", "heartbeat_s"),
    *("data_dir", "blob_url", "redis_url", "retrieval_url", "llm_prices"),
}
"""Settings that can be changed, or be others at another replica, while answers stay what they are."""


class GatewaySettings(SharedSettings):
    """What the gateway is told; `PAGEWIRE_` + the field's name in capitals, but for the providers' own names."""

    model_config = SettingsConfigDict(populate_by_name=True)

    host: str = Field(
        default="127.0.0.1", description="PAGEWIRE_HOST: address to listen on; without API keys keep it on loopback"
    )
    port: int = Field(default=8000, ge=0, le=65535, description="PAGEWIRE_PORT: port to listen on; 0 picks a free one")
    allowed_hosts: str | None = Field(
        default=None,
        description=(
            "PAGEWIRE_ALLOWED_HOSTS: names, with commas between, under which browsers may call the gateway besides"
            " localhost; `*`: any"
        ),
    )
    allowed_origins: str | None = Field(
        default=None,
        description=(
            "PAGEWIRE_ALLOWED_ORIGINS: other origins, with commas between, whose pages may use the gateway, e.g."
            " http://localhost:3000; `*`: any"
        ),
    )
    public_url: str | None = Field(
        default=None,
        pattern="^https?://[^/?#]+(/[^?#]*)?$",
        description=(
            "PAGEWIRE_PUBLIC_URL: where people reach the gateway, e.g. https://docs.example.com: links to pages of"
            " PDFs begin with it; default: the address under which the front end has called"
        ),
    )
    retrieval_url: str = Field(
        default="http://127.0.0.1:8001",
        description="PAGEWIRE_RETRIEVAL_URL: the retrieval service; standalone has it inside",
    )
    retrieval_timeout_s: float = Field(
        default=15, gt=0, description="PAGEWIRE_RETRIEVAL_TIMEOUT_S: seconds for one search, reranking included"
    )
    max_upload_mb: int = Field(
        default=50, gt=0, description="PAGEWIRE_MAX_UPLOAD_MB: megabytes per PDF; a 1,000-page filing has about 10"
    )
    max_uploads_at_once: int = Field(
        default=200,
        gt=0,
        description=(
            "PAGEWIRE_MAX_UPLOADS_AT_ONCE: uploads that may arrive at the same time, each with about 1 MB of memory;"
            " more get 503 `too_many_uploads`"
        ),
    )
    max_upload_wait_s: float = Field(
        default=600, gt=0, description="PAGEWIRE_MAX_UPLOAD_WAIT_S: most seconds that ?wait= may ask for"
    )
    body_idle_timeout_s: float = Field(
        default=60,
        gt=0,
        description=(
            "PAGEWIRE_BODY_IDLE_TIMEOUT_S: seconds in which 32 kB more of an upload or other body must come, or"
            " its rest"
        ),
    )
    heartbeat_s: int = Field(
        default=15,
        gt=0,
        description="PAGEWIRE_HEARTBEAT_S: seconds between comments in a silent stream; proxies cut at 60",
    )
    send_timeout_s: float = Field(
        default=30, gt=0, description="PAGEWIRE_SEND_TIMEOUT_S: seconds that a client may leave a stream unread"
    )
    shutdown_grace_s: int = Field(
        default=10,
        gt=0,
        description=(
            "PAGEWIRE_SHUTDOWN_GRACE_S: seconds that open requests have when the server stops. After SIGTERM running"
            " answers may come to their end until 3 seconds before that; Docker kills after 10 unless told otherwise"
        ),
    )

    run_deadline_s: float = Field(
        default=300,
        gt=0,
        description="PAGEWIRE_RUN_DEADLINE_S: seconds that an answer may take in all; some models never end",
    )
    max_continued_runs: int = Field(
        default=1000,
        gt=0,
        description=(
            "PAGEWIRE_MAX_CONTINUED_RUNS: answers with `on_disconnect: continue` that one process may write at the same"
            " time, because they go on when their clients have left; more get 503 `too_many_runs`"
        ),
    )
    max_answer_characters: int = Field(
        default=200_000,
        gt=0,
        description=(
            "PAGEWIRE_MAX_ANSWER_CHARACTERS: length at which an answer is cut off; ten times what"
            " PAGEWIRE_LLM_MAX_OUTPUT_TOKENS allows, for providers that do not keep to that"
        ),
    )

    unsupported_citations: Literal["keep", "remove"] = Field(
        default="keep",
        description=(
            "PAGEWIRE_UNSUPPORTED_CITATIONS: what becomes of a citation whose passage does not hold the figures, names"
            " or quotes of its sentence, where a question does not say: `keep` marks it in `citations`, `remove` takes"
            " it out of the answer, which then pauses at each citation until its sentence ends"
        ),
    )

    answer_cache: Literal["on", "off"] = Field(
        default="on",
        description=(
            "PAGEWIRE_ANSWER_CACHE: `on`: who asks again what was asked before gets the same answer again, at once and"
            " at no cost, as long as no document has come or gone; `off`: every answer is written anew, and none stays"
            " in Redis"
        ),
    )
    answer_cache_ttl_s: int = Field(
        default=86_400,
        gt=0,
        description=(
            "PAGEWIRE_ANSWER_CACHE_TTL_S: seconds that an answer is kept; a day, because a provider may put another"
            " model behind the same name, which nobody here would notice"
        ),
    )
    answer_cache_entries: int = Field(
        default=1000,
        gt=0,
        description="PAGEWIRE_ANSWER_CACHE_ENTRIES: answers kept per tenant; the oldest make room",
    )
    answer_cache_mb: int = Field(
        default=16,
        gt=0,
        description=(
            "PAGEWIRE_ANSWER_CACHE_MB: megabytes of Redis's memory for them per tenant; one from five passages has some"
            " 12 kB"
        ),
    )

    llm_prices: str | None = Field(
        default=None,
        description=(
            "PAGEWIRE_LLM_PRICES: prices of models per million tokens, in and out, with commas between, e.g."
            " gpt-5-mini=0.25/2,claude-haiku-4-5=1/5: `usage.cost` of answers is in the currency in which these are;"
            " default: no cost is told, because prices change"
        ),
    )
    conversation_ttl_s: float = Field(
        default=7 * 24 * 3600,
        ge=60,
        description=(
            "PAGEWIRE_CONVERSATION_TTL_S: seconds after its last use for which a conversation is kept; a week, so that"
            " people can go on after a weekend, and what they asked is not kept for good; not shorter than"
            " PAGEWIRE_RUN_DEADLINE_S"
        ),
    )
    conversation_max_turns: int = Field(
        default=50,
        ge=1,
        description=(
            "PAGEWIRE_CONVERSATION_MAX_TURNS: questions with their answers that are kept of a conversation; the oldest"
            " go first"
        ),
    )
    conversation_max_characters: int = Field(
        default=100_000,
        ge=10_000,
        description=(
            "PAGEWIRE_CONVERSATION_MAX_CHARACTERS: characters that are kept of a conversation; the oldest turns go"
            " first, and an answer that is longer by itself is cut"
        ),
    )
    max_conversations: int = Field(
        default=1000,
        ge=1,
        description=(
            "PAGEWIRE_MAX_CONVERSATIONS: conversations that are kept of a tenant; the one that was used least recently"
            " goes first"
        ),
    )
    rewrite_timeout_s: float = Field(
        default=5.0,
        gt=0,
        description=(
            "PAGEWIRE_REWRITE_TIMEOUT_S: seconds that the language model may take to make a follow-up a question that"
            " can be searched for by itself; then rules do it"
        ),
    )
    prompt_tokens: int = Field(
        default=32_000,
        ge=4_000,
        description=(
            "PAGEWIRE_PROMPT_TOKENS: most tokens of a prompt, by a careful estimate: what is longer loses its oldest"
            " turns, then its lowest passages. All default models have room for it; a local one may need less"
        ),
    )

    llm_provider: str | None = Field(
        default=None,
        description=(
            "PAGEWIRE_LLM_PROVIDER: openai, anthropic, groq or extractive; default: the first that is configured"
        ),
    )
    llm_chain: str | None = Field(
        default=None,
        description=(
            "PAGEWIRE_LLM_CHAIN: providers, with commas between, of which the next is asked when one fails or is silent"
            " before its first token, e.g. anthropic,openai,extractive; default: only the one of PAGEWIRE_LLM_PROVIDER,"
            " because each more is one more company that gets people's text"
        ),
    )
    llm_hedge_ms: int = Field(
        default=0,
        ge=0,
        description=(
            "PAGEWIRE_LLM_HEDGE_MS: milliseconds of silence after which the next of the chain is asked as well, and the"
            " one that speaks first answers; both are paid for; 0: never"
        ),
    )
    llm_chain_wait_s: float = Field(
        default=60,
        gt=0,
        description=(
            "PAGEWIRE_LLM_CHAIN_WAIT_S: seconds until the first token, however many of the chain are asked; two silent"
            " ones take PAGEWIRE_LLM_IDLE_TIMEOUT_S each"
        ),
    )
    llm_idle_timeout_s: float = Field(
        default=30, gt=0, description="PAGEWIRE_LLM_IDLE_TIMEOUT_S: seconds without a piece of the answer"
    )
    llm_connect_timeout_s: float = Field(
        default=5, gt=0, description="PAGEWIRE_LLM_CONNECT_TIMEOUT_S: seconds to reach the provider"
    )
    llm_max_output_tokens: int = Field(
        default=4096,
        gt=0,
        description=(
            "PAGEWIRE_LLM_MAX_OUTPUT_TOKENS: most tokens of an answer, with the thinking of models that think; bounds"
            " its cost"
        ),
    )
    openai_api_key: SecretStr | None = Field(default=None, alias="OPENAI_API_KEY")
    openai_base_url: str | None = Field(
        default=None,
        alias="OPENAI_BASE_URL",
        description="OPENAI_BASE_URL: any OpenAI-compatible server, e.g. http://127.0.0.1:11434/v1 for Ollama",
    )
    openai_model: str = Field(default="gpt-5-mini", description="PAGEWIRE_OPENAI_MODEL")
    anthropic_api_key: SecretStr | None = Field(default=None, alias="ANTHROPIC_API_KEY")
    anthropic_base_url: str | None = Field(default=None, alias="ANTHROPIC_BASE_URL")
    anthropic_model: str = Field(default="claude-haiku-4-5", description="PAGEWIRE_ANTHROPIC_MODEL")
    groq_api_key: SecretStr | None = Field(default=None, alias="GROQ_API_KEY")
    groq_base_url: str | None = Field(default=None, alias="GROQ_BASE_URL", description="GROQ_BASE_URL: the bare host")
    groq_model: str = Field(default="llama-3.3-70b-versatile", description="PAGEWIRE_GROQ_MODEL")

    @model_validator(mode="after")
    def check_provider(self) -> Self:
        """A provider that is asked for by name must have its key, or nobody would learn why it is not used."""
        if self.llm_provider is not None:
            if self.chain_providers:
                raise ValueError("PAGEWIRE_LLM_PROVIDER and PAGEWIRE_LLM_CHAIN are both set; set one of them.")
            self._check_configured("PAGEWIRE_LLM_PROVIDER", self.llm_provider)
        for provider in self.chain_providers:
            self._check_configured("PAGEWIRE_LLM_CHAIN", provider)
        if len(set(self.chain_providers)) < len(self.chain_providers):
            raise ValueError("PAGEWIRE_LLM_CHAIN names a provider twice.")
        if EXTRACTIVE in self.chain_providers[:-1]:
            raise ValueError("PAGEWIRE_LLM_CHAIN has providers behind extractive, which always answers; put it last.")
        silence_s = min(self.llm_idle_timeout_s, self.llm_hedge_ms / 1000 or math.inf)
        if len(self.chain_providers) > 1 and self.llm_chain_wait_s <= silence_s:
            raise ValueError(
                "PAGEWIRE_LLM_CHAIN_WAIT_S is over before a silent provider is left for the next one; make it longer"
                " than PAGEWIRE_LLM_IDLE_TIMEOUT_S, or than PAGEWIRE_LLM_HEDGE_MS where that is set."
            )
        if len(self.chain_providers) > 1 and self.retrieval_timeout_s + self.llm_chain_wait_s >= self.run_deadline_s:
            # The chain would not see that its providers are silent, and would ask them again and again.
            raise ValueError(
                "PAGEWIRE_RUN_DEADLINE_S may end an answer before PAGEWIRE_LLM_CHAIN_WAIT_S is over; make it longer"
                " than that and PAGEWIRE_RETRIEVAL_TIMEOUT_S together."
            )
        return self

    @model_validator(mode="after")
    def check_conversations(self) -> Self:
        """A conversation that is gone before its answer is written would lose that without a word."""
        if self.conversation_ttl_s < self.run_deadline_s:
            raise ValueError(
                "PAGEWIRE_CONVERSATION_TTL_S is over before an answer may be, which would then not be kept; make it at"
                " least as long as PAGEWIRE_RUN_DEADLINE_S."
            )
        return self

    def _check_configured(self, variable: str, provider: str) -> None:
        configured = {
            "openai": self.openai_api_key or self.openai_base_url,
            "anthropic": self.anthropic_api_key,
            "groq": self.groq_api_key,
            EXTRACTIVE: True,
        }
        if provider not in configured:
            raise ValueError(f"{variable} names {provider!r}; choose one of {', '.join(configured)}.")
        if not configured[provider]:
            raise ValueError(f"{variable} names {provider!r}, but its API key is not set.")

    @field_validator("llm_prices")
    @classmethod
    def check_prices(cls, value: str | None) -> str | None:
        """A price that cannot be read is to be found before there is an answer."""
        parse_prices(value or "")
        return value

    @field_validator("allowed_origins")
    @classmethod
    def check_origins(cls, value: str | None) -> str | None:
        """What browsers send is compared as text, so a path, or a name without its scheme, would match nothing."""
        for origin in split_list(value):
            if origin != "*" and not re.fullmatch(r"https?://[^/]+", origin):
                raise ValueError(f"{origin!r} is not an origin like http://localhost:3000")
        return value

    @property
    def known_hosts(self) -> frozenset[str] | None:
        """Names under which the gateway may be called besides those of the loopback; None: any."""
        names = {split_netloc(f"//{item}")[0] or item for item in split_list(self.allowed_hosts)}
        return None if "*" in names else frozenset(names)

    @property
    def known_origins(self) -> frozenset[str]:
        """Other origins whose pages may use the gateway."""
        return frozenset(split_list(self.allowed_origins))

    @property
    def chain_providers(self) -> list[str]:
        """The providers of the chain, in order; empty when there is none."""
        return split_list(self.llm_chain)

    @property
    def prices(self) -> dict[str, Price]:
        """The prices by model."""
        return parse_prices(self.llm_prices or "")

    @property
    def max_upload_bytes(self) -> int:
        """The upload limit in bytes."""
        return self.max_upload_mb * MEGABYTE

    def describe_answering(self) -> str:
        """Return the settings that may make another answer of the same question, as one text, without keys.

        That is all but those that certainly do not: a new one that nobody has thought of here is among them.
        """
        return self.model_dump_json(exclude=_OF_NO_ANSWER)  # which masks keys

    def make_conversation_limits(self) -> ConversationLimits:
        """How much is kept of conversations."""
        return ConversationLimits(
            ttl_s=self.conversation_ttl_s,
            max_turns=self.conversation_max_turns,
            max_characters=self.conversation_max_characters,
            max_conversations=self.max_conversations,
        )

    def make_language_model_config(self) -> LanguageModelConfig:
        """What the providers are built from."""
        return LanguageModelConfig(
            openai_api_key=self.openai_api_key,
            openai_base_url=self.openai_base_url,
            openai_model=self.openai_model,
            anthropic_api_key=self.anthropic_api_key,
            anthropic_base_url=self.anthropic_base_url,
            anthropic_model=self.anthropic_model,
            groq_api_key=self.groq_api_key,
            groq_base_url=self.groq_base_url,
            groq_model=self.groq_model,
            idle_timeout_s=self.llm_idle_timeout_s,
            connect_timeout_s=self.llm_connect_timeout_s,
            max_output_tokens=self.llm_max_output_tokens,
        )


def split_list(value: str | None) -> list[str]:
    """The items of a list with commas, in lower case, without slashes at their ends."""
    return [item.strip().lower().rstrip("/") for item in (value or "").split(",") if item.strip()]
