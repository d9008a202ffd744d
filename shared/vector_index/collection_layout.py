"""How the collection of a Qdrant server is laid out: what the settings ask for, and where one that exists differs.

What is asked for holds when the collection is made. Nothing is changed in one that exists: every service starts with
settings of its own, and two that differ would have Qdrant build its index anew in turns.
"""

from dataclasses import dataclass

from qdrant_client import models

from shared.settings import IndexSettings, Quantization
from shared.vector_index.port import DENSE

_INT8_QUANTILE = 0.99
"""Share of the numbers that int8 spreads its 256 steps over: the few outliers left would make all steps coarser."""

_OVERSAMPLING = {"int8": 2.0, "binary": 4.0}
"""How many times the limit is found by the small vectors, to be ranked by the full ones. What is measured is in
docs/operations.md."""

QuantizationConfig = models.ScalarQuantization | models.BinaryQuantization


@dataclass(frozen=True)
class CollectionLayout:
    """What a new collection is made with; None leaves it to the server's own configuration.

    Parameters:
        shards: parts of the collection in all, not for each node.
        replicas: copies of each shard, the first one counted too.
    """

    on_disk_payload: bool | None = None
    quantization: Quantization = "none"
    shards: int | None = None
    replicas: int | None = None

    @property
    def write_consistency(self) -> int | None:
        """Copies that must have a write before it is acknowledged: most of them, so that it outlives a lost node."""
        return None if self.replicas is None else self.replicas // 2 + 1

    @property
    def vectors_on_disk(self) -> bool | None:
        """Full vectors beside small ones are read for the best few only: in memory they would cost what is saved."""
        return None if self.quantization == "none" else True

    def make_quantization(self) -> QuantizationConfig | None:
        """Return what the collection is told about its small vectors, which stay in memory."""
        if self.quantization == "int8":
            scalar = models.ScalarQuantizationConfig(
                type=models.ScalarType.INT8, quantile=_INT8_QUANTILE, always_ram=True
            )
            return models.ScalarQuantization(scalar=scalar)
        if self.quantization == "binary":
            return models.BinaryQuantization(binary=models.BinaryQuantizationConfig(always_ram=True))
        return None

    def make_search_params(self) -> models.SearchParams | None:
        """Return what a search for near vectors is told: by itself the server ranks by int8 vectors alone."""
        if self.quantization == "none":
            return None
        oversampling = _OVERSAMPLING[self.quantization]
        return models.SearchParams(
            quantization=models.QuantizationSearchParams(rescore=True, oversampling=oversampling)
        )

    def find_differences(self, config: models.CollectionConfig) -> dict[str, str]:
        """Return what a collection has, by the variable that asks for something else."""
        parameters = config.params
        asked_and_found = {
            "PAGEWIRE_QDRANT_ON_DISK_PAYLOAD": (self.on_disk_payload, parameters.on_disk_payload),
            "PAGEWIRE_QDRANT_QUANTIZATION": (self.quantization, _name_quantization(config)),
            "PAGEWIRE_QDRANT_SHARDS": (self.shards, parameters.shard_number),
            "PAGEWIRE_QDRANT_REPLICAS": (self.replicas, parameters.replication_factor),
        }
        return {
            variable: str(found)
            for variable, (asked, found) in asked_and_found.items()
            if asked is not None and asked != found
        }


def read_layout(settings: IndexSettings) -> CollectionLayout:
    """Return the layout of the settings."""
    return CollectionLayout(
        on_disk_payload=settings.qdrant_on_disk_payload,
        quantization=settings.qdrant_quantization,
        shards=settings.qdrant_shards,
        replicas=settings.qdrant_replicas,
    )


def _name_quantization(config: models.CollectionConfig) -> str:
    """As the setting calls it; by its class where the setting has no word for it. A vector's own goes first."""
    dense = config.params.vectors.get(DENSE) if isinstance(config.params.vectors, dict) else None
    match (dense and dense.quantization_config) or config.quantization_config:
        case None:
            return "none"
        case models.ScalarQuantization():
            return "int8"
        case models.BinaryQuantization():
            return "binary"
        case other:
            return type(other).__name__
