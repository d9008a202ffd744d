"""What installs the project: pinned lists in step with pyproject.toml, and a Makefile that explains itself."""

import re
import runpy
import subprocess
import sys
import tomllib
from pathlib import Path, PurePath

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version
from pypdfium2 import PdfDocument

from tests.standalone_process import ROOT

EXTRAS = ("gateway", "index", "retrieval", "ingest", "standalone", "dev")
LISTS = sorted(path.name for path in (ROOT / "requirements").glob("*.txt"))
PINNED = re.compile(r"^([A-Za-z0-9._-]+)==([^ ;\\]+)")


def read_pins(name: str) -> dict[str, Version]:
    """The packages of a list with their versions."""
    lines = (ROOT / "requirements" / name).read_text().splitlines()
    return {canonicalize_name(m[1]): Version(m[2]) for line in lines if (m := PINNED.match(line))}


def read_requirements(extra: str) -> list[Requirement]:
    """What pyproject.toml asks for: its base and an extra, with the extras that this one includes."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    found = []
    waiting = [*project["dependencies"], f"pagewire[{extra}]"]
    while waiting:
        requirement = Requirement(waiting.pop())
        if requirement.name == "pagewire":
            waiting += [line for name in requirement.extras for line in project["optional-dependencies"][name]]
        else:
            found.append(requirement)
    return found


def test_every_extra_has_a_list() -> None:
    """Each extra of pyproject.toml can be installed from a pinned list, the small ones inside others apart."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

    missing = {extra for extra in project["optional-dependencies"] if f"{extra}.txt" not in LISTS}

    assert missing == {"cli"}  # part of standalone, never installed alone


@pytest.mark.parametrize("extra", EXTRAS)
def test_list_is_in_step_with_pyproject(extra: str) -> None:
    """Every dependency of an extra is pinned to a version that pyproject.toml allows; else run `make lock`."""
    pins = read_pins(f"{extra}.txt") | read_pins("torch.txt")

    for requirement in read_requirements(extra):
        pin = pins.get(canonicalize_name(requirement.name))

        assert pin is not None, f"{requirement.name} is not in requirements/{extra}.txt: run `make lock`"
        assert requirement.specifier.contains(pin, prereleases=True), f"{requirement} is pinned to {pin}: `make lock`"


def test_lists_agree_on_versions() -> None:
    """A package has one version in all lists, so services that share a contract share its libraries."""
    expected = read_pins("dev.txt") | read_pins("torch.txt") | read_pins("uv.txt")

    for name in LISTS:
        assert read_pins(name).items() <= expected.items(), name


@pytest.mark.parametrize("name", LISTS)
def test_list_names_no_index_and_hashes_everything(name: str) -> None:
    """Where packages come from is the machine's business, and what comes is checked by its hash."""
    text = (ROOT / "requirements" / name).read_text()
    blocks = re.split(r"\n(?=[a-z0-9])", text)

    assert "://" not in text
    assert "--index" not in text
    assert "--extra-index" not in text
    assert "--find-links" not in text
    for block in blocks:
        assert block.startswith("#") or "--hash=sha256:" in block, block


def test_gateway_has_no_model_libraries() -> None:
    """The gateway's image stays small: nothing that embeds or indexes is in its list."""
    unwanted = {"torch", "sentence-transformers", "transformers", "qdrant-client", "qdrant-edge-py", "pypdf"}

    assert not unwanted & read_pins("gateway.txt").keys()


def test_gpu_packages_are_in_their_own_list_only() -> None:
    """torch and what it brings for GPUs can be replaced by the CPU build, so no other list may hold them."""
    gpu = read_pins("torch.txt").keys()

    assert "torch" in gpu
    for name in LISTS:
        if name != "torch.txt":
            assert not gpu & read_pins(name).keys(), name


def test_there_is_no_wheel(tmp_path: Path) -> None:
    """A wheel would install packages named `services` and `shared`; who builds one is told what to do instead."""
    backend = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]
    build = f"import {backend['build-backend']} as backend; backend.build_wheel({str(tmp_path)!r})"

    done = subprocess.run(
        [sys.executable, "-c", build],
        cwd=ROOT / backend["backend-path"][0],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 1
    assert "scripts/install" in done.stderr
    assert not list(tmp_path.iterdir())


def test_images_get_what_they_copy() -> None:
    """What the Dockerfile takes from the tree is in the tree, and is sent to the engine."""
    dockerfile = (ROOT / "deploy" / "Dockerfile").read_text()
    sent = [
        line.removeprefix("!").removesuffix("/**")
        for line in (ROOT / "deploy" / "Dockerfile.dockerignore").read_text().splitlines()
        if line.startswith("!")
    ]
    copied = {
        path
        for match in re.finditer(r"^COPY (?!--from)(.+) \S+$", dockerfile, re.MULTILINE)
        for path in match[1].split()
    }

    assert copied
    for path in copied:
        assert (ROOT / path).exists(), path
        assert any(PurePath(path).match(pattern) or path.startswith(f"{pattern}/") for pattern in sent), path


def test_make_alone_lists_every_target() -> None:
    """`make` without a target explains each target that people call."""
    expected = {"run", "demo", "test", "lint", "format", "lock", "eval", "compose-up", "clean"}

    output = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    listed = set(re.findall(r"^ *make ([a-z-]+)  +\S", output, re.MULTILINE))

    assert expected <= listed


def test_every_public_target_is_described() -> None:
    """A target without a description does not exist for those who run `make`; only the plumbing may have none."""
    rules = re.findall(r"^([a-z-]+):(?!=)(.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)

    undescribed = {target for target, rest in rules if "## " not in rest}

    assert undescribed == {"standalone", "dev", "gateway-venv"}


def test_sample_is_what_its_script_makes(tmp_path: Path) -> None:
    """The committed sample PDF is our own, small, and the same bytes whenever it is made."""
    sample = ROOT / "samples" / "meridian-field-guide.pdf"
    write_sample = runpy.run_path(str(ROOT / "scripts" / "make_sample.py"))["write_sample"]

    for name in ("first.pdf", "second.pdf"):
        write_sample(tmp_path / name)

    assert (tmp_path / "first.pdf").read_bytes() == (tmp_path / "second.pdf").read_bytes()
    assert read_text(tmp_path / "first.pdf") == read_text(sample)
    assert sample.stat().st_size < 40_000


def read_text(path: Path) -> list[str]:
    """The text of each page."""
    with PdfDocument(path) as document:
        return [page.get_textpage().get_text_range() for page in document]
