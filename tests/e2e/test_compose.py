"""The system in containers: built from this tree, started the way users start it, and broken the way life breaks it."""

import json
import socket
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress

import httpx
import pytest
from httpx_sse import EventSource, ServerSentEvent

from shared.contracts.documents import DocumentStatus
from shared.contracts.questions import SourcesEvent, TokenEvent
from tests.compose_stack import WAIT_S, Stack, connect, inspect, list_documents, run, run_stack, upload
from tests.pdfs import make_long_pdf
from tests.standalone_process import ROOT

SAMPLE = ROOT / "samples" / "meridian-field-guide.pdf"
HELD_LLM = ROOT / "tests" / "e2e" / "held_llm.py"
OURS = ("gateway", "retrieval", "ingest")
BUSY = (DocumentStatus.PARSING, DocumentStatus.EMBEDDING)
WORKERS = 3
JOBS_PER_WORKER = 2
"""The default of PAGEWIRE_INGEST_CONCURRENCY."""
DOCUMENTS = 10
"""More than the workers can hold, so that whoever is left has work while the killed one's leases run out."""
PAGES = 8

# A first build fetches and unpacks torch; nothing else here takes minutes.
pytestmark = [pytest.mark.docker, pytest.mark.timeout(1800)]


@pytest.fixture(name="stack", scope="module")
def start_stack(request: pytest.FixtureRequest) -> Iterator[Stack]:
    """One for all tests here: it takes minutes to start."""
    failed_before = request.session.testsfailed
    with run_stack(lambda: request.session.testsfailed > failed_before) as stack:
        yield stack


@pytest.fixture(name="client")
def connect_client(stack: Stack) -> Iterator[httpx.Client]:
    """An HTTP client of the gateway."""
    with connect(stack) as client:
        yield client


def ask(client: httpx.Client, question: str, document_id: str) -> list[ServerSentEvent]:
    """The events of a streamed answer."""
    body = {"question": question, "document_ids": [document_id]}
    with client.stream("POST", "/query/stream", json=body) as response:
        assert response.status_code == httpx.codes.OK, response.read()
        return [event for event in EventSource(response).iter_sse() if event.data]  # heartbeats have none


def test_streams_an_answer_with_the_right_page(client: httpx.Client) -> None:
    """Without any key a PDF can be added and asked about: tokens, then `sources` with the page, last."""
    accepted = upload(client, SAMPLE.name, SAMPLE.read_bytes(), wait=120)
    events = ask(client, "What does fault code E17 mean?", accepted.document_id)

    assert accepted.status is DocumentStatus.READY
    assert [event.event for event in events] == ["token"] * (len(events) - 1) + ["sources"]
    assert len(events) > 2
    answer = "".join(TokenEvent.model_validate_json(event.data).token for event in events[:-1])
    assert "iced" in answer
    sources = SourcesEvent.model_validate_json(events[-1].data).sources
    assert 4 in {source.page for source in sources if source.cited}
    assert {source.document_id for source in sources} == {accepted.document_id}


def test_only_nginx_is_published(stack: Stack) -> None:
    """All others cannot be reached from outside; nginx from this machine only."""
    published = {}
    for service in (*OURS, "nginx", "redis", "qdrant"):
        for container in stack.find_containers(service):
            ports = inspect(container)["NetworkSettings"]["Ports"]
            published[service] = {binding["HostIp"] for bindings in ports.values() for binding in bindings or []}

    assert published.pop("nginx") == {"127.0.0.1"}
    assert published == {"gateway": set(), "retrieval": set(), "ingest": set(), "redis": set(), "qdrant": set()}


def test_containers_have_no_rights(stack: Stack) -> None:
    """Our containers and nginx run as a user without rights, on a file system that cannot be written."""
    for service in (*OURS, "nginx"):
        details = inspect(stack.find_containers(service)[0])

        assert stack.compose("exec", "-T", service, "id", "-u").strip() == "10001", service
        assert details["HostConfig"]["ReadonlyRootfs"], service
        assert details["HostConfig"]["CapDrop"] == ["ALL"], service
        assert "no-new-privileges:true" in details["HostConfig"]["SecurityOpt"], service


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_no_website_gets_in_under_its_own_name(client: httpx.Client, method: str) -> None:
    """One that has pointed its name at this machine (DNS rebinding) can neither list nor ask nor delete."""
    path = "/query" if method == "POST" else "/documents" if method == "GET" else "/documents/doc_1"
    host, port = client.base_url.host, client.base_url.port
    for foreign in ("evil.example", f"evil.example:{port}", f"{host}.evil.example"):
        response = client.request(method, path, headers={"Host": foreign, "Origin": f"http://{foreign}"})

        assert (response.status_code, response.json()["error"]["code"]) == (403, "foreign_host")


def test_no_website_gets_in_through_a_browser(client: httpx.Client) -> None:
    """The page of another website may not ask or delete; our own page, as which nginx shows it, may."""
    port = client.base_url.port
    for origin, known in [
        ("http://evil.example", False),
        ("null", False),
        ("http://localhost:3000", False),
        (f"http://localhost:{port}", True),
    ]:
        # A connection for each: nginx passes bodies on as they come, and closes one whose request has its answer before
        # its body is there, though the answer did not say so.
        headers = {"Host": f"localhost:{port}", "Origin": origin, "Connection": "close"}
        answers = [
            client.post("/query", json={}, headers=headers),
            client.delete("/documents/doc_1", headers=headers),
        ]
        expected = ["invalid_value", "not_found"] if known else ["foreign_origin"] * 2
        assert [answer.json()["error"]["code"] for answer in answers] == expected, origin


def test_other_containers_reach_the_gateway_by_its_name(stack: Stack) -> None:
    """A front end in a container of its own asks `gateway` or `nginx`."""
    program = "import sys, urllib.request as u; print(u.urlopen(sys.argv[1] + '/health/live').status)"
    for url in ("http://gateway:8000", "http://nginx:8000"):
        assert stack.compose("exec", "-T", "retrieval", "python", "-c", program, url).strip() == "200"


def test_metrics_are_told_inside_alone(stack: Stack, client: httpx.Client) -> None:
    """Each service tells its own where Prometheus would ask, and nginx none of it."""
    program = "import sys, urllib.request as u; print(u.urlopen(sys.argv[1] + '/metrics').read().decode())"
    for url, name in (
        ("http://gateway:8000", "pagewire_queued_jobs"),
        ("http://retrieval:8001", "pagewire_reranker_info"),
        ("http://ingest:8002", "pagewire_jobs_in_progress"),
    ):
        assert f"\n{name}" in stack.compose("exec", "-T", "retrieval", "python", "-c", program, url)

    assert client.get("/metrics").status_code == httpx.codes.NOT_FOUND


@pytest.fixture(name="llm")
def start_held_llm(stack: Stack) -> Iterator[str]:
    """A container with a model that says one word and waits; its id."""
    image = inspect(stack.find_containers("gateway")[0])["Config"]["Image"]
    options = ("--detach", "--network", f"{stack.project}_edge", "--network-alias", "llm", "--entrypoint", "python")
    container = run("docker", "run", *options, image, "-c", HELD_LLM.read_text()).strip()
    try:
        wait_for_file(container, "/tmp/ready")
        yield container
    finally:
        run("docker", "rm", "--force", container)


def wait_for_file(container: str, path: str) -> None:
    """Return when a file is there."""
    look = f"for n in $(seq {WAIT_S}); do test -e {path} && exit; sleep 0.2; done; false"
    run("docker", "exec", container, "sh", "-c", look)


def test_a_stream_passes_nginx_token_by_token(client: httpx.Client, llm: str) -> None:
    """The first token is here while the model still holds the second back."""
    accepted = upload(client, SAMPLE.name, SAMPLE.read_bytes(), wait=120)
    body = {
        "question": "What does E17 mean?",
        "document_ids": [accepted.document_id],
        "provider": "openai",
        "cache": False,
    }

    with client.stream("POST", "/query/stream", json=body) as response:
        events = EventSource(response).iter_sse()
        assert "first" in next(events).data
        run("docker", "exec", llm, "touch", "/tmp/go")
        rest = [event for event in events if event.data]  # heartbeats have none

    assert [event.event for event in rest] == ["token"] * (len(rest) - 1) + ["sources"]
    assert "second" in "".join(event.data for event in rest)


def test_a_client_that_leaves_nginx_ends_the_call_to_the_model(client: httpx.Client, llm: str) -> None:
    """Through nginx and the gateway: nobody pays for tokens that nobody reads."""
    accepted = upload(client, SAMPLE.name, SAMPLE.read_bytes(), wait=120)
    body = {
        "question": "What does E17 mean?",
        "document_ids": [accepted.document_id],
        "provider": "openai",
        "cache": False,
    }

    with client.stream("POST", "/query/stream", json=body) as response:
        assert "first" in next(EventSource(response).iter_sse()).data

    wait_for_file(llm, "/tmp/left")


def test_half_requests_lock_nobody_out(client: httpx.Client) -> None:
    """1,005 clients that begin a request and do not go on; others are served."""
    with ExitStack() as stack:
        for _ in range(1005):
            half = stack.enter_context(socket.create_connection((client.base_url.host, client.base_url.port or 80)))
            half.sendall(b"GET / HTTP/1.1\r\nHost:")
        with httpx.Client(base_url=client.base_url, timeout=WAIT_S, trust_env=False) as another:
            assert another.get("/health/live").status_code == httpx.codes.OK
        half.settimeout(WAIT_S)
        with suppress(ConnectionError):
            assert half.recv(1) == b"", "its time is over"


def test_too_much_is_refused_with_our_own_error(client: httpx.Client) -> None:
    """A file that is too large, by the gateway; too many headers, by nginx."""
    large = client.post("/documents", files={"file": ("large.pdf", b"%PDF-" + b"0" * 51 * 1024 * 1024)})
    headers = client.get("/health/live", headers={"X-Large": "x" * 100_000})

    assert (large.status_code, large.json()["error"]["code"]) == (413, "too_large")
    assert (headers.status_code, headers.json()["error"]["code"]) == (431, "headers_too_large")
    assert headers.headers["x-request-id"] == headers.json()["error"]["request_id"]


def test_several_gateways_share_the_port(stack: Stack, client: httpx.Client) -> None:
    """Both answer, and what one is told the other knows; when one is killed the other goes on alone."""
    stack.compose("up", "--detach", "--wait", "--no-recreate", "--scale", "gateway=2")
    accepted = upload(client, SAMPLE.name, SAMPLE.read_bytes(), wait=120)
    body = {"question": "What does E17 mean?", "document_ids": [accepted.document_id]}
    gateways = stack.find_containers("gateway")
    assert len(gateways) == 2
    while not all("question_answered" in read_logs(gateway) for gateway in gateways):
        assert client.post("/query", json=body).status_code == httpx.codes.OK

    run("docker", "kill", "--signal", "KILL", gateways[0])
    for _ in range(10):
        assert client.post("/query", json=body).status_code == httpx.codes.OK


def read_logs(container: str) -> str:
    """What a container has written to standard error so far."""
    done = subprocess.run(("docker", "logs", container), capture_output=True, text=True, check=True)
    return done.stderr


def test_workers_and_stores_have_no_way_out(stack: Stack) -> None:
    """What opens people's PDFs, and what keeps their contents, is on an internal network only."""
    for service in ("ingest", "redis", "qdrant"):
        networks = inspect(stack.find_containers(service)[0])["NetworkSettings"]["Networks"]

        assert list(networks) == [f"{stack.project}_back"], service

    assert run("docker", "network", "inspect", "-f", "{{.Internal}}", f"{stack.project}_back").strip() == "true"


def test_gateway_image_has_no_model_libraries(stack: Stack) -> None:
    """The gateway's image holds neither torch nor Qdrant, nor the code of the other services."""
    names = ("torch", "sentence_transformers", "transformers", "qdrant_client", "qdrant_edge", "pypdfium2")
    program = (
        "import importlib.util as u, os, json;"
        f"print(json.dumps([[n for n in {names!r} if u.find_spec(n)], sorted(os.listdir('/app/services'))]))"
    )

    libraries, code = json.loads(stack.compose("exec", "-T", "gateway", "python", "-c", program))

    assert libraries == []
    assert set(code) <= {"__init__.py", "__pycache__", "gateway"}


def test_a_killed_worker_loses_no_document(stack: Stack, client: httpx.Client) -> None:
    """Of 10 uploads at once to three workers, all become ready, each once, though a busy worker is killed."""
    stack.compose("up", "--detach", "--wait", "--no-recreate", "--scale", f"ingest={WORKERS}")
    pdfs = {f"depot-{number}.pdf": make_long_pdf(f"Depot {number}", PAGES) for number in range(DOCUMENTS)}
    with ThreadPoolExecutor(DOCUMENTS) as pool:
        uploads = [pool.submit(upload, client, *pdf, wait=WAIT_S) for pdf in pdfs.items()]
        wait_until_all_workers_are_busy(client)
        run("docker", "kill", "--signal", "KILL", stack.find_containers("ingest")[0])
        document_ids = {future.result().document_id for future in uploads}

    records = [record for record in list_documents(client) if record.document_id in document_ids]
    assert [record.status for record in records] == [DocumentStatus.READY] * DOCUMENTS
    assert {record.filename for record in records} == pdfs.keys()
    assert {record.pages_done for record in records} == {PAGES}
    for record in records:
        assert count_points(stack, record.document_id) == record.chunks_total == record.chunks_done
    again = upload(client, *next(iter(pdfs.items())))
    assert again.duplicate
    assert again.document_id in document_ids


def wait_until_all_workers_are_busy(client: httpx.Client) -> None:
    """Returns when more documents are worked on than all workers but one can hold, so that no worker is idle."""
    limit = time.monotonic() + WAIT_S
    while sum(record.status in BUSY for record in list_documents(client)) <= (WORKERS - 1) * JOBS_PER_WORKER:
        assert time.monotonic() < limit, "the workers never became busy"
        time.sleep(0.05)


def count_points(stack: Stack, document_id: str) -> int:
    """How many points of a document the index holds; asked inside, as nothing but the gateway is published."""
    condition = {"key": "document_id", "match": {"value": document_id}}
    program = (
        "import json, sys, urllib.request as u;"
        "r = u.Request('http://qdrant:6333/collections/pagewire/points/count', sys.argv[1].encode(),"
        " {'Content-Type': 'application/json'});"
        "print(json.load(u.urlopen(r))['result']['count'])"
    )
    body = json.dumps({"exact": True, "filter": {"must": [condition]}})
    return int(stack.compose("exec", "-T", "retrieval", "python", "-c", program, body))
