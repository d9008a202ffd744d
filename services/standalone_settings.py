"""The settings of the standalone system, apart from its parts: wrong ones are said before the models are imported."""

from dataclasses import dataclass
from typing import Self

from services.gateway.settings import GatewaySettings
from services.ingest.settings import IngestSettings
from services.retrieval.settings import RetrievalSettings
from shared.settings import load_settings


@dataclass(frozen=True)
class StandaloneSettings:
    """The settings of all services, read from the same environment."""

    gateway: GatewaySettings
    retrieval: RetrievalSettings
    ingest: IngestSettings

    def point_at(self, redis_url: str) -> Self:
        """The same settings with every service at the private Redis."""
        private = {"redis_url": redis_url}
        return type(self)(
            gateway=self.gateway.model_copy(update=private),
            retrieval=self.retrieval.model_copy(update=private),
            ingest=self.ingest.model_copy(update=private),
        )


def load_standalone_settings() -> StandaloneSettings:
    """All settings; ends the process with one clear line per wrong value."""
    return StandaloneSettings(
        gateway=load_settings(GatewaySettings),
        retrieval=load_settings(RetrievalSettings),
        ingest=load_settings(IngestSettings),
    )
