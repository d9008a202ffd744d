"""The system in containers: built from this tree, started the way users start it, and broken the way life breaks it."""

import json
import os
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from shared.contracts.documents import DocumentList, DocumentRecord, DocumentStatus, UploadAccepted
from shared.contracts.questions import SourcesEvent, TokenEvent
from shared.sse import Event, read_events
from tests.conftest import SHARED_DATA, skip_or_fail
from tests.pdfs import make_long_pdf
from tests.standalone_process import ROOT

HANDBOOK = SHARED_DATA / "handbook" / "zentara.pdf"
SAMPLE = ROOT / "samples" / "meridian-field-guide.pdf"
OURS = ("gateway", "retrieval", "ingest")
BUSY = (DocumentStatus.PARSING, DocumentStatus.EMBEDDING)
WORKERS = 3
JOBS_PER_WORKER = 2
"""The default of PAGEWIRE_INGEST_CONCURRENCY."""
DOCUMENTS = 12
PAGES = 24
WAIT_S = 400
"""More than a lease (30 s) and the work itself; a slow machine may take its time, a lost document never ends."""

# A first build fetches and unpacks torch; nothing else here takes minutes.
pytestmark = [pytest.mark.docker, pytest.mark.timeout(1500)]


@dataclass(frozen=True)
class Stack:
    """A Compose project of its own, so that it never meets the one of whoever runs the tests."""

    project: str
    environment: dict[str, str]

    def compose(self, *arguments: str, **variables: str) -> str:
        """Runs `docker compose`; fails with what it printed when it fails."""
        command = ("docker", "compose", "--env-file", os.devnull, "--project-name", self.project, *arguments)
        return run(*command, environment=self.environment | variables)

    def find_containers(self, service: str) -> list[str]:
        """The ids of a service's running containers."""
        return self.compose("ps", "--quiet", service).split()

    @property
    def url(self) -> str:
        """Where the gateway is published."""
        return f"http://{self.compose('port', 'gateway', '8000').strip()}"


def run(*command: str, environment: dict[str, str] | None = None) -> str:
    """What a command prints on stdout; fails with everything it printed when it fails."""
    done = subprocess.run(
        command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout[-4000:]}\n{done.stderr[-8000:]}"
    return done.stdout


def require_docker() -> None:
    """Skips on a laptop without Docker; fails in CI, where nothing may be left out."""
    try:
        run("docker", "compose", "version")
        run("docker", "version")
    except (OSError, AssertionError) as error:
        skip_or_fail(f"no Docker engine with Compose v2: {error}")


@pytest.fixture(name="stack", scope="module")
def start_stack(request: pytest.FixtureRequest) -> Iterator[Stack]:
    """The whole system as `docker compose up` makes it without a key, on a free port; gone afterwards."""
    require_docker()
    no_keys = dict.fromkeys(("OPENAI_API_KEY", "OPENAI_BASE_URL", "ANTHROPIC_API_KEY", "GROQ_API_KEY"), "")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PAGEWIRE_")}
    # Tags of its own: whoever runs the tests keeps the images they had. Port 0: Docker picks a free one.
    stack = Stack(f"pagewire-e2e-{os.getpid()}", inherited | no_keys | {"PAGEWIRE_TAG": "e2e", "PAGEWIRE_PORT": "0"})
    failed_before = request.session.testsfailed
    started = False
    try:
        stack.compose("build", COMPOSE_PARALLEL_LIMIT="1")  # as `make compose-up` does, with the reason
        stack.compose("up", "--wait", "--wait-timeout", "300")
        started = True
        yield stack
    finally:
        if not started or request.session.testsfailed > failed_before:
            save_logs(stack)
        stack.compose("down", "--volumes", "--timeout", "5")


def save_logs(stack: Stack) -> None:
    """Keeps what the containers said, for whoever looks into the failure."""
    folder = ROOT / "test-output"
    folder.mkdir(exist_ok=True)
    (folder / "compose.log").write_text(stack.compose("ps", "--all") + stack.compose("logs", "--no-color"))


@pytest.fixture(name="client")
def connect(stack: Stack) -> Iterator[httpx.Client]:
    """An HTTP client of the gateway."""
    with httpx.Client(base_url=stack.url, timeout=httpx.Timeout(WAIT_S, connect=10), trust_env=False) as client:
        yield client


def upload(client: httpx.Client, name: str, content: bytes, **parameters: Any) -> UploadAccepted:
    """Uploads a PDF."""
    files = {"file": (name, content, "application/pdf")}
    response = client.post("/documents", files=files, params=parameters)
    assert response.status_code == httpx.codes.ACCEPTED, response.text
    return UploadAccepted.model_validate_json(response.content)


def ask(client: httpx.Client, question: str, document_id: str) -> list[Event]:
    """The events of a streamed answer."""
    body = {"question": question, "document_ids": [document_id]}
    with client.stream("POST", "/query/stream", json=body) as response:
        assert response.status_code == httpx.codes.OK, response.read()
        return list(read_events(response.iter_bytes()))


def list_documents(client: httpx.Client) -> list[DocumentRecord]:
    """Every document that there is."""
    return DocumentList.model_validate_json(client.get("/documents", params={"limit": 100}).content).documents


def inspect(container: str) -> dict[str, Any]:
    """What the engine knows of a container."""
    found: dict[str, Any] = json.loads(run("docker", "inspect", container))[0]
    return found


def test_streams_an_answer_with_the_right_page(client: httpx.Client) -> None:
    """Without any key a PDF can be added and asked about: tokens, then `sources` with the page, last."""
    path, question, word, page = (
        (HANDBOOK, "What is the list price of the Magpie-7?", "68,400", 2)
        if HANDBOOK.exists()
        else (SAMPLE, "What does fault code E17 mean?", "iced", 4)
    )

    accepted = upload(client, path.name, path.read_bytes(), wait=120)
    events = ask(client, question, accepted.document_id)

    assert accepted.status is DocumentStatus.READY
    assert [event.event for event in events] == ["token"] * (len(events) - 1) + ["sources"]
    assert len(events) > 2
    answer = "".join(TokenEvent.model_validate_json(event.data).token for event in events[:-1])
    assert word in answer
    sources = SourcesEvent.model_validate_json(events[-1].data).sources
    assert page in {source.page for source in sources if source.cited}
    assert {source.document_id for source in sources} == {accepted.document_id}


def test_only_the_gateway_is_published(stack: Stack) -> None:
    """Redis, Qdrant, retrieval and the workers cannot be reached from outside; the gateway from this machine only."""
    published = {}
    for service in (*OURS, "redis", "qdrant"):
        for container in stack.find_containers(service):
            ports = inspect(container)["NetworkSettings"]["Ports"]
            published[service] = {binding["HostIp"] for bindings in ports.values() for binding in bindings or []}

    assert published == {"gateway": {"127.0.0.1"}, "retrieval": set(), "ingest": set(), "redis": set(), "qdrant": set()}


def test_containers_have_no_rights(stack: Stack) -> None:
    """Our containers run as a user without rights, on a file system that cannot be written."""
    for service in OURS:
        details = inspect(stack.find_containers(service)[0])

        assert stack.compose("exec", "-T", service, "id", "-u").strip() == "10001", service
        assert details["HostConfig"]["ReadonlyRootfs"], service
        assert details["HostConfig"]["CapDrop"] == ["ALL"], service
        assert "no-new-privileges:true" in details["HostConfig"]["SecurityOpt"], service


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
    """Of 12 uploads at once to three workers, all become ready, each once, though a busy worker is killed."""
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
