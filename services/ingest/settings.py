"""Settings of the ingest worker."""

from pydantic import Field

from services.ingest.adapters.pdf_process import ParseLimits
from services.ingest.domain.chunking import MAX_CHUNKS
from shared.settings import IndexSettings


class IngestSettings(IndexSettings):
    """What the worker is told; `PAGEWIRE_` + the field's name in capitals."""

    ingest_concurrency: int = Field(
        default=2,
        gt=0,
        description=(
            "PAGEWIRE_INGEST_CONCURRENCY: large documents at once per worker, and as many small ones; one parses while"
            " another embeds"
        ),
    )
    lease_s: float = Field(
        default=30,
        gt=0,
        description="PAGEWIRE_LEASE_S: seconds after which a document of a worker that died is taken over",
    )
    reconcile_interval_s: float = Field(
        default=10,
        gt=0,
        description="PAGEWIRE_RECONCILE_INTERVAL_S: seconds between looks for documents that nobody works on",
    )
    max_attempts: int = Field(
        default=5,
        gt=0,
        description=(
            "PAGEWIRE_MAX_ATTEMPTS: workers that may die on a document, none getting further, before it is processed"
            " alone; as many again may die of it alone before it fails"
        ),
    )
    parse_memory_mb: int = Field(
        default=2048, gt=0, description="PAGEWIRE_PARSE_MEMORY_MB: address space of the process that reads one PDF"
    )
    parse_cpu_s: int = Field(
        default=300, gt=0, description="PAGEWIRE_PARSE_CPU_S: CPU seconds for one PDF; 1,000 pages need about 6"
    )
    parse_wall_s: int = Field(default=600, gt=0, description="PAGEWIRE_PARSE_WALL_S: seconds for one PDF in all")
    max_pages: int = Field(
        default=5000, gt=0, description="PAGEWIRE_MAX_PAGES: pages per PDF; more than the largest annual reports"
    )
    max_chunks: int = Field(
        default=MAX_CHUNKS,
        gt=0,
        description="PAGEWIRE_MAX_CHUNKS: passages per PDF, three or four to a full page; each is embedded and stored",
    )

    def make_parse_limits(self) -> ParseLimits:
        """The limits of one parse."""
        return ParseLimits(self.parse_memory_mb, self.parse_cpu_s, self.parse_wall_s, self.max_pages)
