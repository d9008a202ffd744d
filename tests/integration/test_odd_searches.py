"""Searches that nobody planned for: odd questions and ids, and clients that leave at any stage."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from services.retrieval.adapters.term_proximity_reranker import TermProximityReranker
from services.retrieval.domain import glossary as glossary_module
from services.retrieval.domain.fusion import FusionWeights
from services.retrieval.main import create_app
from services.retrieval.settings import RetrievalSettings, load_glossary
from services.retrieval.use_cases import search_passages as use_case
from services.retrieval.use_cases.search_passages import SearchDependencies, SearchOptions
from services.retrieval.use_cases.search_permits import SearchPermits
from shared.embedding.dense import DenseEmbedder
from shared.embedding.sparse import Bm25Encoder
from shared.identifiers import make_document_id, make_point_id
from shared.registry.port import DocumentRegistry, Lease, NewDocument
from shared.registry.redis_registry import RedisDocumentRegistry
from shared.vector_index.edge import EdgeIndex
from shared.vector_index.port import ChunkPayload, IndexPoint
from tests.http_server import serve_app
from tests.patience import PATIENT_S

TEXTS = (
    "The crane lifts nine tonnes.",
    "Capital expenditures were 12 million in 2018.",
    "起重机能吊九吨。",
    "الرافعة ترفع تسعة أطنان",
    "😀 means that the station is well.",
)
PERMITS = 3


@pytest.fixture
async def index(tmp_path: Path, embedder: DenseEmbedder) -> AsyncIterator[EdgeIndex]:
    opened = EdgeIndex(tmp_path / "index", embedder.dimension)
    await opened.prepare()
    yield opened
    await opened.close()


@pytest.fixture
async def documents(index: EdgeIndex, registry: RedisDocumentRegistry, embedder: DenseEmbedder) -> list[str]:
    """The ids of searched documents, of which each has one of the texts."""
    vectors = (await embedder.embed_passages(TEXTS)).tolist()
    ids: list[str] = []
    for text, dense, sparse in zip(TEXTS, vectors, Bm25Encoder().encode_passages(TEXTS), strict=True):
        new = NewDocument("default", make_document_id(), f"{len(ids)}.pdf", str(len(ids)), 1)
        await registry.create(new)
        ids.append(new.document_id)
        lease = await registry.claim(job_of(new), "w", 60_000)
        assert isinstance(lease, Lease)
        payload = ChunkPayload(ids[-1], "v1", 0, f"{len(ids)}", 1, 0, len(text), text)
        await index.upsert("default", [IndexPoint(make_point_id("default", ids[-1], "v1", 0), payload, dense, sparse)])
        await registry.publish(lease, "v1", [])
    return ids


def job_of(new: NewDocument) -> Any:
    from shared.contracts.jobs import DocumentJob

    return DocumentJob(tenant=new.tenant, document_id=new.document_id)


@pytest.fixture
async def dependencies(
    index: EdgeIndex, registry: DocumentRegistry, embedder: DenseEmbedder, documents: list[str]
) -> SearchDependencies:
    bm25 = Bm25Encoder()
    known = await asyncio.to_thread(load_glossary, "built-in")
    options = SearchOptions(candidates=50, rerank_count=None, fusion=FusionWeights(), glossary=known)
    return SearchDependencies(
        embedder, bm25, index, registry, TermProximityReranker(bm25), options, permits=SearchPermits(PERMITS)
    )


@pytest.fixture
async def client(dependencies: SearchDependencies) -> AsyncIterator[httpx.AsyncClient]:
    app = await asyncio.to_thread(create_app, RetrievalSettings(), dependencies)
    async with serve_app(app) as server, httpx.AsyncClient(base_url=server.url, timeout=PATIENT_S) as opened:
        yield opened


async def search(client: httpx.AsyncClient, query: str, **body: Any) -> httpx.Response:
    return await client.post("/search", json={"tenant": "default", "query": query, **body})


ODD = {
    "stop words": "what is the of and to",
    "punctuation": "?!.,;:-" * 500,
    "one sign": "?",
    "emoji": "😀👩‍👩‍👧‍👦🏽" * 200,
    "right to left": "ما وزن ما ترفعه الرافعة؟ " * 100,
    "mixed scripts": "crane 起重机 الرافعة кран γερανός Straße " * 90,
    "Chinese": "起重机能吊多少吨" * 500,
    "invisible": "\u200b\u2060\ufeff" * 100,
    "NUL": "\0crane\0" * 500,
    "overriding": "\u202ecrane\u202c" * 400,
    "accents": "a" + "\u0301" * 3999,
    "one word": "x" * 4000,
    "rare terms": " ".join(f"q{number:x}z" for number in range(700)),
    "figures": "1,234.5 " * 500,
    "a term again and again": "capex? " * 570,
    "every term of the glossary": "",
    "quotes": '"a\\" ' * 800,
    "markup": "<script>{{7*7}}</script> ${jndi:ldap://x} %s %n ' OR 1=1 --",
}


@pytest.mark.parametrize("kind", ODD)
async def test_every_question_is_answered(
    client: httpx.AsyncClient, kind: str, dependencies: SearchDependencies
) -> None:
    """Whatever it is made of: with passages of which each is there once, and numbers that are numbers."""
    terms = (" ".join(term) for term in dependencies.options.glossary.entries)
    query = (ODD[kind] or " ".join(terms))[:4000]

    answer = await search(client, query, top_k=50)

    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert len({passage["document_id"] for passage in found["passages"]}) == len(found["passages"]) <= len(TEXTS)
    assert "NaN" not in answer.text
    assert "Infinity" not in answer.text
    assert len({term["term"] for term in found["terms"]}) == len(found["terms"])


@pytest.mark.parametrize("body", ['"\\ud800"', '"a\\udfff"', "null", '""', "7", f'"{"x" * 4001}"'])
async def test_what_is_no_question_is_refused(client: httpx.AsyncClient, body: str) -> None:
    """Half a character, too, which neither Redis nor the index could be asked for. The error does not repeat it."""
    content = f'{{"tenant": "default", "query": {body}}}'
    answer = await client.post("/search", content=content, headers={"Content-Type": "application/json"})

    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "invalid_value")
    assert "xxx" not in answer.text


async def test_ids_of_documents_may_be_any(client: httpx.AsyncClient, documents: list[str]) -> None:
    """Unknown ones are not found, one that is there twice is found once, none is an empty answer."""
    unknown = [f"doc_{number:032x}" for number in range(999)]
    for ids, expected in (
        ([*unknown, documents[0]], {documents[0]}),
        (documents[:2] * 500, {*documents[:2]}),
        (unknown, set()),
        ([], set()),
        (["../..", "a:b", "*", "\0", "{default}", "x" * 200, "'", "😀"], set()),
    ):
        answer = await search(client, "crane", top_k=50, filter={"document_ids": ids})
        assert answer.status_code == 200, answer.text
        found = [passage["document_id"] for passage in answer.json()["passages"]]
        assert sorted(found) == sorted(expected)
    assert (await search(client, "crane", filter={"document_ids": [*unknown, *documents]})).status_code == 422


async def test_no_question_is_read_on_the_event_loop(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reading 4,000 characters, encoding and reranking them takes long enough to hold others up."""
    computed: dict[str, set[int]] = {}

    def note(owner: Any, name: str) -> None:
        function: Callable[..., Any] = getattr(owner, name)

        def noting(*arguments: Any, **named: Any) -> Any:
            computed.setdefault(name, set()).add(threading.get_ident())
            return function(*arguments, **named)

        monkeypatch.setattr(owner, name, noting)

    for owner, name in (
        (use_case, "clean_question"),
        (use_case, "find_names"),
        (use_case, "join_passages"),
        (glossary_module.Glossary, "find_terms"),
        (Bm25Encoder, "encode_query"),
        (Bm25Encoder, "list_terms"),
    ):
        note(owner, name)

    assert (await search(client, "What was the capex of 2018?")).status_code == 200

    assert len(computed) == 6
    assert {name for name, threads in computed.items() if threading.get_ident() in threads} == set()


STAGES = {
    "cards": (RedisDocumentRegistry, "find_cards"),
    "revision": (RedisDocumentRegistry, "look_at_versions"),
    "embedding": (DenseEmbedder, "embed_query"),
    "index": (EdgeIndex, "search"),
    "reranking": (TermProximityReranker, "score"),
}


@pytest.mark.parametrize("stage", STAGES)
async def test_a_search_whose_client_leaves_ends_where_it_is(
    client: httpx.AsyncClient, dependencies: SearchDependencies, stage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However far it is: it goes no further, and its permit is given back, each time."""
    owner, name = STAGES[stage]
    real = getattr(owner, name)
    begun: asyncio.Queue[None] = asyncio.Queue()
    ended: asyncio.Queue[bool] = asyncio.Queue()
    held = True

    async def hold(*arguments: Any, **named: Any) -> Any:
        begun.put_nowait(None)
        try:
            while held:
                await asyncio.sleep(0.01)
        finally:
            ended.put_nowait(held)
        return await real(*arguments, **named)

    monkeypatch.setattr(owner, name, hold)
    finish = use_case._finish_passages
    finished = 0

    def count(*arguments: Any) -> Any:
        nonlocal finished
        finished += 1
        return finish(*arguments)

    monkeypatch.setattr(use_case, "_finish_passages", count)
    for _ in range(PERMITS + 2):
        task = asyncio.create_task(search(client, "What does the crane lift?"))
        await begun.get()
        assert dependencies.permits._left == PERMITS - 1
        task.cancel()
        assert await ended.get(), "it was let go on"
        while dependencies.permits._left < PERMITS:
            await asyncio.sleep(0.01)

    held = False
    assert (await search(client, "What does the crane lift?")).status_code == 200
    assert finished == 1


async def test_a_permit_comes_back_whatever_fails(
    dependencies: SearchDependencies, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where something raises that nobody foresaw: a service that has lost its permits refuses everybody."""

    async def break_down(*_: Any, **__: Any) -> Any:
        raise RuntimeError("unforeseen")

    for owner, name in STAGES.values():
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, break_down)
            app = await asyncio.to_thread(create_app, RetrievalSettings(), replace(dependencies))
            async with serve_app(app) as server, httpx.AsyncClient(base_url=server.url, timeout=PATIENT_S) as broken:
                for _ in range(PERMITS + 1):
                    assert (await search(broken, "What does the crane lift?")).status_code == 500
        assert dependencies.permits._left == PERMITS
