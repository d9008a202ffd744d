"""Settings that two or more services need. Built only in composition roots, never at import.

Every field names its environment variable (`PAGEWIRE_` + the field's name in capitals), its unit and the reason
for its default. A `.env` file in the working folder is read too; real environment variables win over it.
"""

import sys
from pathlib import Path
from typing import Literal, TypeVar
from urllib.parse import parse_qs, urlparse

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from shared.embedding.port import Engine

MEGABYTE = 1024 * 1024

Quantization = Literal["none", "int8", "binary"]
"""How small the vectors are that a Qdrant server keeps in memory: as they are, a byte or a bit a number."""

Settings = TypeVar("Settings", bound="SharedSettings")


def load_settings(kind: type[Settings]) -> Settings:
    """Settings from the environment; ends the process with one clear line per wrong value."""
    try:
        return kind()
    except ValidationError as error:
        problems = []
        for problem in error.errors(include_input=False):  # the input may be a key
            name = str(problem["loc"][0]) if problem["loc"] else ""
            variable = name if name.isupper() or not name else f"PAGEWIRE_{name.upper()}"
            problems.append(f"pagewire: {variable}: {problem['msg']}".replace(": :", ":"))
        sys.exit("\n".join(problems))


class SharedSettings(BaseSettings):
    """What every service is told."""

    # An empty variable is an unset one: compose files and .env templates are full of them.
    model_config = SettingsConfigDict(env_prefix="PAGEWIRE_", env_file=".env", extra="ignore", env_ignore_empty=True)

    log_level: str = Field(
        default="INFO",
        pattern="^(?i:debug|info|warning|error)$",
        description="PAGEWIRE_LOG_LEVEL: DEBUG, INFO, WARNING or ERROR",
    )
    log_format: str = Field(
        default="auto",
        pattern="^(auto|json|console)$",
        description="PAGEWIRE_LOG_FORMAT: `auto` is coloured text on a terminal and JSON elsewhere",
    )
    data_dir: Path = Field(
        default=Path("data"),
        description="PAGEWIRE_DATA_DIR: folder of everything that standalone keeps; also where uploads spool",
    )
    min_free_disk_mb: int = Field(
        default=256,
        ge=0,
        description=(
            "PAGEWIRE_MIN_FREE_DISK_MB: megabytes that stay free on the data folder's disk; below, uploads get 507,"
            " standalone's ingests wait, and standalone does not start"
        ),
    )
    redis_url: str = Field(
        default="redis://127.0.0.1:6379/0",
        description=(
            "PAGEWIRE_REDIS_URL: queue and registry; of a Redis Cluster some of its nodes,"
            " `redis+cluster://host:port,host:port`; standalone starts its own and ignores this"
        ),
    )
    redis_timeout_s: float = Field(
        default=5.0,
        gt=0,
        description="PAGEWIRE_REDIS_TIMEOUT_S: seconds per call, however many wait; a local Redis needs <1 ms",
    )
    blob_url: str | None = Field(
        default=None,
        description="PAGEWIRE_BLOB_URL: file:///folder or s3://bucket/prefix; default: `blobs` in the data folder",
    )

    @property
    def min_free_disk_bytes(self) -> int:
        """The space that stays free, in bytes."""
        return self.min_free_disk_mb * MEGABYTE

    @property
    def spool_folder(self) -> Path:
        """Where uploads arrive."""
        return self.data_dir / "spool"

    @field_validator("redis_url")
    @classmethod
    def check_redis_url(cls, url: str) -> str:
        """A cluster has no other database: what is meant to be apart from others' data would be among it."""
        if not url.partition("://")[0].endswith("+cluster"):
            return url
        parsed = urlparse(url)
        databases = {parsed.path.strip("/"), *parse_qs(parsed.query).get("db", [])}
        if databases <= {"", "0"}:
            return url
        raise ValueError("a Redis Cluster has only database 0; leave the number out of the URL.")

    @field_validator("blob_url")
    @classmethod
    def check_blob_url(cls, url: str | None) -> str | None:
        """Wrong ones are to be found before there is an upload."""
        parsed = urlparse(url or "")
        if url is None or (parsed.scheme == "s3" and parsed.netloc) or (parsed.scheme == "file" and not parsed.netloc):
            return url
        raise ValueError("this is neither file:///folder nor s3://bucket/prefix.")

    def resolve_blob_url(self) -> str:
        """The blob store's URL, with its default filled in."""
        return self.blob_url or (self.data_dir.absolute() / "blobs").as_uri()


class IndexSettings(SharedSettings):
    """What the services are told that embed text and use the vector index."""

    qdrant_url: str | None = Field(
        default=None,
        description=(
            "PAGEWIRE_QDRANT_URL: a Qdrant server, or nginx before a cluster; unset means Qdrant Edge (standalone only)"
        ),
    )
    qdrant_api_key: str | None = Field(default=None, repr=False, description="PAGEWIRE_QDRANT_API_KEY: if it asks")
    qdrant_timeout_s: int = Field(
        default=10,
        gt=0,
        description="PAGEWIRE_QDRANT_TIMEOUT_S: seconds per call as a whole; searches take milliseconds",
    )
    collection: str = Field(
        default="pagewire", description="PAGEWIRE_COLLECTION: Qdrant collection; one serves all tenants"
    )
    qdrant_on_disk_payload: bool | None = Field(
        default=None,
        description=(
            "PAGEWIRE_QDRANT_ON_DISK_PAYLOAD: `true`: texts are read from the disk, `false`: they are kept in memory;"
            " default: the server's own, which is `true` in v1.16.3. This and the next three hold for a collection"
            " that is made; docs/operations.md says how to change one that exists"
        ),
    )
    qdrant_quantization: Quantization = Field(
        default="none",
        description=(
            "PAGEWIRE_QDRANT_QUANTIZATION: vectors that the Qdrant server searches in memory: `none` (4 bytes a"
            " number), `int8` (1) or `binary` (a bit, for models of 1,000 numbers and more); the best are ranked by"
            " full ones from the disk. `none`, because it pays only where vectors do not fit into memory"
        ),
    )
    qdrant_shards: int | None = Field(
        default=None,
        gt=0,
        description=(
            "PAGEWIRE_QDRANT_SHARDS: parts of the collection, which the nodes of a Qdrant cluster share; cannot be"
            " changed later. Default: the server's own, one a node"
        ),
    )
    qdrant_replicas: int | None = Field(
        default=None,
        gt=0,
        description=(
            "PAGEWIRE_QDRANT_REPLICAS: copies of each shard, on as many nodes; a write waits for more than half of"
            " them. Default: the server's own, one"
        ),
    )
    embedding_model: str = Field(
        default="all-MiniLM-L6-v2",
        description=(
            "PAGEWIRE_EMBEDDING_MODEL: a sentence-transformers name or folder. The default's weights come as a"
            " package, so that no hub is needed. After a change `pagewire reindex` makes all documents anew, which are"
            " found by their words meanwhile"
        ),
    )
    embedding_threads: int | None = Field(
        default=None,
        gt=0,
        description="PAGEWIRE_EMBEDDING_THREADS: CPU threads of the embedding model; default: torch's own choice",
    )
    embedding_engine: Engine = Field(
        default="auto",
        description=(
            "PAGEWIRE_EMBEDDING_ENGINE: torch, openvino or auto, which is OpenVINO where its package is installed, the"
            " processor is x86 and there is no GPU: half to two thirds of torch's CPU time, with the same vectors"
        ),
    )
