"""An index folder that is damaged, or whose points are lost: what the start says, and how all documents come back."""

import asyncio
import random
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from services.gateway.settings import GatewaySettings
from services.ingest.settings import IngestSettings
from services.ingest.worker import build_parser
from services.retrieval.settings import RetrievalSettings
from services.standalone_rebuild import rebuild
from services.standalone_settings import StandaloneSettings
from services.standalone_system import PartNotUsableError
from shared.embedding.dense import DenseEmbedder
from shared.errors import IndexDamaged
from shared.metrics import make_registry
from shared.vector_index.edge import EdgeIndex
from tests.contract.test_vector_index import DIMENSION, make_points
from tests.loaded_system import LoadedParts, run_loaded_system
from tests.pdfs import make_pdf

SEED = 8


def cut(path: Path) -> None:
    """As a full disk or a crash leaves it."""
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def scramble(path: Path) -> None:
    """As a broken disk gives it back."""
    path.write_bytes(random.Random(SEED).randbytes(path.stat().st_size))


DAMAGES = [
    pytest.param(pattern, damage, id=f"{pattern} {damage.__name__}")
    for pattern in ("edge_config.json", "segments/*/segment.json", "segments/*/payload_index/config.json")
    for damage in (cut, empty, scramble)
] + [
    pytest.param("segments/*/mutable_id_tracker.mappings", scramble, id="mappings scramble"),
    pytest.param("segments/*/payload_storage/config.json", empty, id="payload_storage/config.json empty"),
]


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with points, closed in order."""
    folder = tmp_path_factory.mktemp("sound") / "index"

    async def fill() -> None:
        index = EdgeIndex(folder, DIMENSION)
        await index.prepare()
        await index.upsert("t", make_points("t", "doc", "v1", 20))
        await index.close()

    asyncio.run(fill())
    return folder


@pytest.mark.parametrize(("pattern", "damage"), DAMAGES)
def test_a_damaged_folder_is_named_with_what_to_do(sound: Path, pattern: str, damage: Callable[[Path], None]) -> None:
    """Not a traceback of the engine: the folder, and the command that makes a new one."""
    (path,) = sound.glob(f"shard-1/{pattern}")
    content = path.read_bytes()
    damage(path)

    async def open_it() -> str:
        index = EdgeIndex(sound, DIMENSION)
        try:
            await index.prepare()
        except IndexDamaged as error:
            return error.message
        finally:
            await index.close()
        return "it could be opened"

    message = asyncio.run(open_it())
    path.write_bytes(content)

    assert asyncio.run(open_it()) == "it could be opened"
    assert str(sound) in message
    assert "services.standalone_rebuild" in message


@pytest.mark.parametrize("current", ["shard-2", "", "\ufffd/..", "../elsewhere", None])
def test_a_folder_without_its_points_is_not_an_empty_index(tmp_path: Path, current: str | None) -> None:
    """As half a restore leaves it: what is there is kept, and the start says what to do."""
    folder = tmp_path / "index"
    left = folder / "shard-3"
    left.mkdir(parents=True)
    if current is not None:
        (folder / "current").write_text(current)

    with pytest.raises(IndexDamaged, match="standalone_rebuild"):
        asyncio.run(EdgeIndex(folder, DIMENSION).prepare())

    assert left.exists()


@pytest.fixture
def standalone(redis_url: str, tmp_path: Path, settings: GatewaySettings) -> StandaloneSettings:
    """A whole system on an empty data folder."""
    return StandaloneSettings(
        gateway=settings,
        retrieval=RetrievalSettings(redis_url=redis_url, data_dir=tmp_path, reranker_model=""),
        ingest=IngestSettings(redis_url=redis_url, data_dir=tmp_path, reconcile_interval_s=0.2),
    )


def make_parts(settings: StandaloneSettings, embedder: DenseEmbedder) -> LoadedParts:
    """What the start and the command work with."""
    return LoadedParts(settings, embedder, build_parser(settings.ingest))


async def add(client: httpx.AsyncClient, text: str) -> str:
    files = {"file": (f"{text.split()[1]}.pdf", make_pdf([text]))}
    return str((await client.post("/documents", params={"wait": 60}, files=files)).json()["document_id"])


@pytest.mark.parametrize("lost", ["damaged", "points"])
async def test_every_document_comes_back_without_its_pdf(
    standalone: StandaloneSettings, embedder: DenseEmbedder, tmp_path: Path, lost: str
) -> None:
    """From what was read of it before; what was set aside goes in the end, and ids and records stay."""
    async with run_loaded_system(standalone, embedder) as client:
        ids = {
            await add(client, f"The {animal} weighs {n + 5} kilograms.") for n, animal in enumerate(("otter", "lynx"))
        }
    (config,) = await asyncio.to_thread(lambda: list((tmp_path / "index").glob("*/edge_config.json")))
    if lost == "damaged":
        await asyncio.to_thread(empty, config)
        (tmp_path / "index.damaged-1" / "segments").mkdir(parents=True)  # of two the other was removed, then power went
    for path in await asyncio.to_thread(lambda: list((tmp_path / "blobs").rglob("*.pdf"))):
        await asyncio.to_thread(path.unlink)  # whoever opened a PDF would fail now
    parts = await asyncio.to_thread(make_parts, standalone, embedder)
    if lost == "damaged":
        with pytest.raises(PartNotUsableError, match=r"services\.standalone_rebuild"):
            async with parts.open(make_registry()):
                pass
    told: list[str] = []

    await rebuild(standalone, parts, force=lost == "points", say=told.append)

    assert told[0] == "the index is made anew, for 2 documents"
    assert await asyncio.to_thread(lambda: sorted(path.name for path in tmp_path.glob("index*"))) == ["index"]
    async with run_loaded_system(standalone, embedder) as client:
        documents = (await client.get("/documents")).json()["documents"]
        assert {(document["document_id"], document["status"]) for document in documents} == {(i, "ready") for i in ids}
        answer = (await client.post("/query", json={"question": "How heavy is the lynx?"})).json()
        assert "6 kilograms" in answer["answer"]


async def test_what_can_be_used_is_left_alone(
    standalone: StandaloneSettings, embedder: DenseEmbedder, tmp_path: Path
) -> None:
    """And what a rebuild that was broken off has set aside is removed once nothing is left to be made."""
    async with run_loaded_system(standalone, embedder) as client:
        document_id = await add(client, "The otter weighs five kilograms.")
    (tmp_path / "index.damaged-0" / "segments").mkdir(parents=True)
    told: list[str] = []

    await rebuild(standalone, await asyncio.to_thread(make_parts, standalone, embedder), force=False, say=told.append)

    assert told == []
    assert not (tmp_path / "index.damaged-0").exists()
    async with run_loaded_system(standalone, embedder) as client:
        record = (await client.get(f"/documents/{document_id}")).json()
        assert (record["status"], record["chunks_done"]) == ("ready", 1)
