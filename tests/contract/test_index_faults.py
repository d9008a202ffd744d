"""Faults that a real Qdrant server cannot be made to have, by a local HTTP server: which of them are for good."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest
from fastapi import FastAPI, Request, Response

from shared.embedding.sparse import Bm25Encoder
from shared.errors import DependencyUnavailable, DiskFull, IndexRejected
from shared.vector_index.port import ChunkPayload, IndexPoint, IndexQuery
from shared.vector_index.server import ServerIndex
from tests.http_server import serve_app
from tests.patience import PATIENT_S

BM25 = Bm25Encoder()
POINT_ID = "00000000-0000-0000-0000-000000000001"
POINT = IndexPoint(
    POINT_ID, ChunkPayload("doc", "v1", 0, "T", 1, 0, 4, "text"), [1.0, 0.0], BM25.encode_passages(["text"])[0]
)

UPSERTED = b'{"result": {"operation_id": 0, "status": "completed"}, "status": "ok", "time": 0}'


@asynccontextmanager
async def connect(app: FastAPI) -> AsyncIterator[ServerIndex]:
    """An index on a server."""
    async with serve_app(app) as server:
        index = await asyncio.to_thread(ServerIndex, server.url, "c", 2, api_key=None, timeout_s=PATIENT_S)
        yield index
        await index.close()


@asynccontextmanager
async def answering(status: int, content: str | bytes, headers: dict[str, str]) -> AsyncIterator[ServerIndex]:
    """An index whose server answers everything in one way."""
    app = FastAPI()

    @app.api_route("/{path:path}", methods=["GET", "PUT", "POST", "DELETE"])
    async def answer(path: str) -> Response:
        return Response(content, status, headers)

    async with connect(app) as index:
        yield index


async def call_everything(index: ServerIndex) -> set[type[object]]:
    """The errors of all the calls that a job and a search make; also the type of a result, where one has none."""
    results: Sequence[object] = await asyncio.gather(
        index.prepare(),
        index.upsert("t", [POINT]),
        index.search("t", IndexQuery(POINT.dense, POINT.sparse, 5)),
        index.delete_document("t", "doc"),
        index.count("t"),
        index.find_vectors("t", [POINT_ID]),
        return_exceptions=True,
    )
    return {type(result) for result in results}


@pytest.mark.parametrize("status", [400, 413, 422])
async def test_a_call_that_is_wrong_as_such_is_rejected(status: int) -> None:
    """Trying it again is no use. What the server says about it may quote the document, so it goes no further."""
    async with answering(status, '{"status": {"error": "Wrong input: secret text"}}', {}) as index:
        with pytest.raises(IndexRejected) as caught:
            await index.upsert("t", [POINT])
        assert "secret" not in caught.value.message
        assert await call_everything(index) == {IndexRejected}


@pytest.mark.parametrize(
    ("status", "headers"),
    [
        (401, {}),
        (403, {}),
        (404, {}),
        (408, {}),
        (429, {}),
        (429, {"Retry-After": "7"}),
        (429, {"Retry-After": "soon"}),
        (500, {}),
        (502, {}),
        (503, {}),
        (507, {}),
    ],
)
async def test_a_server_in_trouble_is_tried_again(status: int, headers: dict[str, str]) -> None:
    """Overload, faults, and what its operator mends: a key, a collection that was lost."""
    async with answering(status, "{}", headers) as index:
        assert await call_everything(index) == {DependencyUnavailable}


FOREIGN_POINT = '{"id": 1, "version": 0, "score": 0.5, "payload": {"text": "of somebody else"}, "vector": [1.0]}'


@pytest.mark.parametrize(
    "content",
    [
        "<html>Welcome</html>",
        b"<html>D\xe9sol\xe9</html>",
        "",
        '{"result": ',
        "[" * 100_000,
        "null",
        "[]",
        "{}",
        '{"result": null}',
        '{"result": {}}',
        '{"result": []}',
        '{"result": [{"points": []}]}',
        f'{{"result": [{{"points": [{FOREIGN_POINT}]}}, {{"points": []}}]}}',
        f'{{"result": {{"points": [{FOREIGN_POINT}]}}}}',
    ],
    ids=range(14),
)
async def test_an_answer_that_is_not_of_qdrant_is_tried_again(content: str | bytes) -> None:
    """Something else answers 200 under the address, a proxy for instance."""
    async with answering(200, content, {"Content-Type": "text/html"}) as index:
        assert await call_everything(index) == {DependencyUnavailable}


async def test_an_answer_that_is_always_the_same_is_not_asked_for_again_for_ever() -> None:
    """Vectors are asked for until all that there are have come: one that nobody asked for brings that no further."""
    point = '{"id": 1, "payload": {"embedded": "another"}, "vector": {"dense": [1.0, 0.0]}}'
    async with answering(200, f'{{"result": {{"points": [{point}]}}}}', {}) as index:
        assert await index.find_vectors("t", [POINT_ID]) == {}


async def test_an_answer_that_drips_ends_at_the_deadline_of_the_call() -> None:
    """Each byte comes in time, the last one much too late: the call is over by then, and its connection is closed."""
    left = asyncio.Event()

    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n")
        for byte in UPSERTED.ljust(1000):
            if writer.is_closing():
                left.set()
                break
            writer.write(bytes([byte]))
            await asyncio.sleep(0.005)
        writer.close()

    async with await asyncio.start_server(drip, "127.0.0.1", 0) as server:
        host, port = server.sockets[0].getsockname()
        index = await asyncio.to_thread(ServerIndex, f"http://{host}:{port}", "c", 2, api_key=None, timeout_s=1)
        with pytest.raises(DependencyUnavailable):
            await index.upsert("t", [POINT])
        await left.wait()
        await index.close()


def make_server(version: str = "1.16.3", indexed: Sequence[str] = (), full: str = "") -> FastAPI:
    """A server with the collection, in which these fields are indexed.

    Parameters:
        full: what it says where it is to make an index, or to write points.
    """
    app = FastAPI()
    config = {
        "params": {
            "vectors": {"dense": {"size": 2, "distance": "Cosine"}},
            "sparse_vectors": {"bm25": {"modifier": "idf"}},
        },
        "hnsw_config": {"m": 16, "ef_construct": 100, "full_scan_threshold": 10000},
        "optimizer_config": {
            "deleted_threshold": 0.2,
            "vacuum_min_vector_number": 1000,
            "default_segment_number": 0,
            "flush_interval_sec": 5,
        },
    }
    collection = {
        "status": "green",
        "optimizer_status": "ok",
        "segments_count": 1,
        "config": config,
        "payload_schema": {field: {"data_type": "keyword", "points": 1} for field in indexed},
    }

    @app.get("/")
    async def root() -> dict[str, str]:
        return {"title": "qdrant", "version": version}

    @app.get("/collections/c/exists")
    async def exists() -> dict[str, object]:
        return {"result": {"exists": True}, "status": "ok", "time": 0}

    @app.get("/collections/c")
    async def describe() -> dict[str, object]:
        return {"result": collection, "status": "ok", "time": 0}

    @app.put("/collections/c/index")
    @app.put("/collections/c/points")
    @app.post("/collections/c/points/delete")
    async def write() -> Response:
        return Response(full or UPSERTED, 500 if full else 200, {"Content-Type": "application/json"})

    return app


FULL = '{"status": {"error": "Service internal error: No space left on device: WAL buffer size exceeds"}, "time": 0.1}'
INDEXED = ("tenant", "document_id", "generation", "embedded")


async def test_a_server_whose_disk_is_full_is_searched_and_not_written_to() -> None:
    """It refuses every write and answers searches, also of a service that starts just then: which writes nothing."""
    app = make_server(indexed=INDEXED, full=FULL)

    @app.post("/collections/c/points/query/batch")
    async def search() -> dict[str, object]:
        return {"result": [{"points": []}, {"points": []}], "status": "ok", "time": 0}

    async with connect(app) as index:
        await index.prepare()
        await index.search("t", IndexQuery(POINT.dense, POINT.sparse, 5))
        for writing in (index.upsert("t", [POINT]), index.delete_document("t", "doc")):
            with pytest.raises(DiskFull):
                await writing


@pytest.mark.parametrize("missing", INDEXED)
async def test_an_index_of_a_field_that_is_missing_is_made(missing: str) -> None:
    """Whoever made the collection may have been killed before it."""
    app = make_server(indexed=[field for field in INDEXED if field != missing], full=FULL)
    async with connect(app) as index:
        with pytest.raises(DiskFull):
            await index.prepare()


@pytest.mark.parametrize(
    ("version", "by_tenant"),
    [("1.16.3", False), ("1.18.9", False), ("1.19.0", True), ("2.0.1-dev", True), ("?", False)],
)
async def test_a_server_that_can_is_asked_to_count_words_among_a_tenants_own(version: str, by_tenant: bool) -> None:
    """Its version says whether it can; it is asked for once. Others count those of all tenants."""
    app, asked = make_server(version), []

    @app.post("/collections/c/points/query/batch")
    async def search(request: Request) -> dict[str, object]:
        asked.append(await request.json())
        return {"result": [{"points": []}, {"points": []}], "status": "ok", "time": 0}

    async with connect(app) as index:
        await index.prepare()
        await index.search("t", IndexQuery(POINT.dense, POINT.sparse, 5))

    (batch,) = asked
    dense, bm25 = batch["searches"]
    corpus = {"must": [{"key": "tenant", "match": {"value": "t"}}]}
    assert dense.get("params") is None
    assert bm25.get("params") == ({"idf": {"corpus": corpus}} if by_tenant else None)
