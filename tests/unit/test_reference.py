"""The reference that is made from the code is in step with it, and knows every setting and route."""

import json
import re
import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.standalone_process import ROOT

MADE = ("docs/configuration.md", ".env.example", "docs/openapi.json")
COMPOSE = (ROOT / "docker-compose.yml").read_text()


@pytest.fixture(scope="module")
def script() -> dict[str, Any]:
    """What scripts/write_reference.py defines."""
    return runpy.run_path(str(ROOT / "scripts" / "write_reference.py"))


@pytest.fixture(scope="module")
def rendered(script: dict[str, Any]) -> dict[Path, str]:
    """What the files have to hold now."""
    render: Callable[[], dict[Path, str]] = script["render_files"]
    return render()


@pytest.mark.parametrize("name", MADE)
def test_file_is_in_step_with_the_code(rendered: dict[Path, str], name: str) -> None:
    """Settings and routes are documented as they are; else run `python scripts/write_reference.py`."""
    assert (ROOT / name).read_text() == rendered[ROOT / name], "run `python scripts/write_reference.py`"


def test_every_file_is_checked(rendered: dict[Path, str]) -> None:
    """A file that the script learns to write is compared here too."""
    assert set(rendered) == {ROOT / name for name in MADE}


def test_example_sets_nothing_and_names_each_variable_once(rendered: dict[Path, str]) -> None:
    """Copied as it is, `.env.example` changes nothing; lines stay readable."""
    lines = rendered[ROOT / ".env.example"].splitlines()
    names = [match[1] for line in lines if (match := re.match(r"#([A-Z][A-Z0-9_]+)=", line))]

    assert all(line.startswith("#") or not line for line in lines)
    assert max(map(len, lines)) <= 120
    assert len(names) == len(set(names))
    assert {"PAGEWIRE_PORT", "OPENAI_API_KEY", "PAGEWIRE_TORCH"} <= set(names)


def test_example_names_what_compose_reads(rendered: dict[Path, str]) -> None:
    """Every variable that docker-compose.yml takes from outside can be looked up."""
    read = set(re.findall(r"\$\{([A-Z_]+)", COMPOSE))

    assert read <= set(re.findall(r"^#([A-Z0-9_]+)=", rendered[ROOT / ".env.example"], re.MULTILINE))


def test_addresses_fixed_in_compose_are_marked(script: dict[str, Any]) -> None:
    """What compose sets for all services is what the reference says it does."""
    block = re.search(r"^x-addresses:.*\n((?:  .*\n)+)", COMPOSE, re.MULTILINE)
    assert block is not None
    fixed = {line.split(":")[0].strip() for line in block[1].splitlines() if "${" not in line}

    assert fixed == script["FIXED_IN_COMPOSE"]


def test_openapi_describes_the_routes_that_people_call(rendered: dict[Path, str]) -> None:
    """The description is complete enough to make a client from."""
    paths = json.loads(rendered[ROOT / "docs" / "openapi.json"])["paths"]

    assert {"/documents", "/documents/{document_id}", "/query", "/query/stream", "/health/ready"} <= paths.keys()


def test_every_route_declares_its_error_body(rendered: dict[Path, str]) -> None:
    """A client that is generated from OpenAPI reads errors as they are, not as FastAPI would write them."""
    openapi = json.loads(rendered[ROOT / "docs/openapi.json"])

    for path, methods in openapi["paths"].items():
        body = "OpenAIErrorBody" if path.startswith("/v1/") else "ErrorBody"
        expected = {"application/json": {"schema": {"$ref": f"#/components/schemas/{body}"}}}
        for method, operation in methods.items():
            for status in ("4XX", "5XX"):
                assert operation["responses"][status]["content"] == expected, (method, path)
            assert "422" not in operation["responses"], (method, path)
