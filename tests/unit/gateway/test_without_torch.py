"""The gateway where only its own requirements are installed: no torch, no Qdrant.

`make unit` and `make test` make that environment, name it in PAGEWIRE_GATEWAY_VENV and run the gateway's unit tests in
it, so no test of it leans on another service's libraries.
"""

import os
import subprocess
from pathlib import Path

import pytest

from tests.conftest import skip_or_fail
from tests.standalone_process import ROOT

UNWANTED = ("torch", "sentence_transformers", "transformers", "qdrant_client", "qdrant_edge", "pypdf", "pypdfium2")


@pytest.fixture(name="python")
def find_gateway_python() -> Path:
    """The interpreter of the gateway's environment."""
    folder = os.environ.get("PAGEWIRE_GATEWAY_VENV", "")
    if not folder:
        skip_or_fail("PAGEWIRE_GATEWAY_VENV is not set; run this through `make test`")
    return Path(folder) / "bin" / "python"


def run(python: Path, *arguments: str) -> str:
    """What a program prints in the gateway's environment; fails with all of it when the program fails."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PAGEWIRE_", "COV_"))}
    done = subprocess.run(
        [str(python), *arguments],
        cwd=ROOT,
        env=environment | {"PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.mark.parametrize("module", UNWANTED)
def test_environment_lacks_what_others_need(python: Path, module: str) -> None:
    """What is tested here is worth something: the model libraries are truly absent."""
    found = run(python, "-c", f"import importlib.util as u; print(u.find_spec({module!r}))")

    assert found.strip() == "None"


def test_gateway_imports(python: Path) -> None:
    """The whole gateway can be imported, entry point and all."""
    run(python, "-W", "error", "-c", "import services.gateway.main")
