"""The system in containers, built from this tree and started the way users start it."""

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from shared.contracts.documents import DocumentList, DocumentRecord, UploadAccepted
from tests.conftest import skip_or_fail
from tests.standalone_process import ROOT

WAIT_S = 400
"""More than a lease (30 s) and the work itself; a slow machine may take its time, a lost document never ends."""


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
        """Where nginx, before the gateways, is published."""
        return f"http://{self.compose('port', 'nginx', '8000').strip()}"


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


@contextmanager
def run_stack(has_failed: Callable[[], bool]) -> Iterator[Stack]:
    """The whole system as `docker compose up` makes it without a key, on a free port; gone afterwards.

    Parameters:
        has_failed: asked in the end; if so, what the containers said is kept.
    """
    require_docker()
    no_keys = dict.fromkeys(("OPENAI_API_KEY", "OPENAI_BASE_URL", "ANTHROPIC_API_KEY", "GROQ_API_KEY"), "")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PAGEWIRE_")}
    # Tags of its own: whoever runs the tests keeps the images they had. Port 0: Docker picks a free one.
    # A model that a test may start; questions go there only when they ask for it.
    model = {"OPENAI_BASE_URL": "http://llm:8000/v1", "PAGEWIRE_LLM_PROVIDER": "extractive"}
    ours = {"PAGEWIRE_TAG": "e2e", "PAGEWIRE_PORT": "0"} | model
    stack = Stack(f"pagewire-e2e-{os.getpid()}", inherited | no_keys | ours)
    started = False
    try:
        stack.compose("build", COMPOSE_PARALLEL_LIMIT="1")  # as `make compose-up` does, with the reason
        stack.compose("up", "--wait", "--wait-timeout", "600")
        started = True
        yield stack
    finally:
        if not started or has_failed():
            save_logs(stack)
        stack.compose("down", "--volumes", "--timeout", "5")


def save_logs(stack: Stack) -> None:
    """Keeps what the containers said, for whoever looks into the failure."""
    folder = ROOT / "test-output"
    folder.mkdir(exist_ok=True)
    (folder / "compose.log").write_text(stack.compose("ps", "--all") + stack.compose("logs", "--no-color"))


@contextmanager
def connect(stack: Stack) -> Iterator[httpx.Client]:
    """An HTTP client of the gateway."""
    with httpx.Client(base_url=stack.url, timeout=WAIT_S, trust_env=False) as client:
        yield client


def upload(client: httpx.Client, name: str, content: bytes, **parameters: Any) -> UploadAccepted:
    """Uploads a PDF."""
    files = {"file": (name, content, "application/pdf")}
    response = client.post("/documents", files=files, params=parameters)
    assert response.status_code == httpx.codes.ACCEPTED, response.text
    return UploadAccepted.model_validate_json(response.content)


def list_documents(client: httpx.Client) -> list[DocumentRecord]:
    """Every document that there is."""
    return DocumentList.model_validate_json(client.get("/documents", params={"limit": 200}).content).documents


def inspect(container: str) -> dict[str, Any]:
    """What the engine knows of a container."""
    found: dict[str, Any] = json.loads(run("docker", "inspect", container))[0]
    return found
