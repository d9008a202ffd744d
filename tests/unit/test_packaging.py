"""What installs the project: pinned lists in step with pyproject.toml, and a Makefile that explains itself."""

import hashlib
import re
import runpy
import subprocess
import tomllib
from itertools import chain
from pathlib import Path
from zipfile import ZipFile

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version
from pypdfium2 import PdfDocument

from tests.conftest import skip_or_fail
from tests.standalone_process import ROOT

UV = ROOT / ".venv-uv" / "bin" / "uv"
PINNED = re.compile(r"^([A-Za-z0-9._-]+)==([^ ;\\]+)")
LISTS = sorted(path.name for path in (ROOT / "requirements").glob("*.txt"))


def read_pins(name: str) -> dict[str, Version]:
    """The packages of a list with their versions."""
    lines = (ROOT / "requirements" / name).read_text().splitlines()
    return {canonicalize_name(m[1]): Version(m[2]) for line in lines if (m := PINNED.match(line))}


def read_requirements() -> list[Requirement]:
    """What pyproject.toml asks for, in its base and in every extra."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = [*project["dependencies"], *chain.from_iterable(project["optional-dependencies"].values())]
    return [requirement for line in lines if (requirement := Requirement(line)).name != "pagewire"]


def test_pins_are_in_step_with_pyproject() -> None:
    """Every dependency is pinned to a version that pyproject.toml allows; else run `make lock`."""
    pins = read_pins("constraints.txt")

    for requirement in read_requirements():
        pin = pins.get(canonicalize_name(requirement.name))

        assert pin is not None, f"{requirement.name} is not pinned: run `make lock`"
        assert requirement.specifier.contains(pin, prereleases=True), f"{requirement} is pinned to {pin}: `make lock`"


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


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("thing==1.0 --hash=sha256:{hash}", ""),
        ("thing==1.0 --hash=sha256:{zeros}", "Hash mismatch"),
        ("other==1.0 --hash=sha256:{hash}", "no trusted hash"),
    ],
)
def test_what_has_not_its_hash_in_the_constraints_is_refused(tmp_path: Path, line: str, said: str) -> None:
    """The way scripts/install calls uv: with a forged hash, or none, nothing is installed."""
    if not UV.exists():
        skip_or_fail("uv is not where `make` puts it")
    wheel = tmp_path / "thing-1.0-py3-none-any.whl"
    with ZipFile(wheel, "w") as archive:
        archive.writestr("thing.py", "")
        archive.writestr("thing-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: thing\nVersion: 1.0\n")
        archive.writestr("thing-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr("thing-1.0.dist-info/RECORD", "")
    right = hashlib.sha256(wheel.read_bytes()).hexdigest()
    (tmp_path / "constraints.txt").write_text(line.format(hash=right, zeros="0" * 64))
    (tmp_path / "pyproject.toml").write_text(
        '[project]\nname = "x"\nversion = "1"\n[project.optional-dependencies]\nsome = ["thing>=1"]\n'
    )
    subprocess.run([UV, "venv", "--quiet", tmp_path / "venv"], check=True)
    where: list[str | Path] = ["--no-cache", "--no-index", "--find-links", tmp_path, "--python", tmp_path / "venv"]
    what: list[str | Path] = [
        "--require-hashes",
        "--constraints",
        tmp_path / "constraints.txt",
        "-r",
        tmp_path / "pyproject.toml",
    ]

    done = subprocess.run([UV, "pip", "install", *where, *what, "--extra", "some"], capture_output=True, check=False)

    assert said in done.stderr.decode()
    assert (done.returncode != 0) == bool(said)
    assert bool(list(tmp_path.glob("venv/lib/*/site-packages/thing.py"))) == (not said)


def test_gateway_has_no_model_libraries() -> None:
    """The gateway's image stays small: its extra asks for nothing that embeds, indexes or reads PDFs."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    named = {canonicalize_name(Requirement(line).name) for line in project["optional-dependencies"]["gateway"]}
    unwanted = {
        "pagewire",
        "torch",
        "openvino",
        "sentence-transformers",
        "transformers",
        "qdrant-client",
        "qdrant-edge-py",
        "pypdf",
    }

    assert not unwanted & named


def test_make_alone_lists_every_target() -> None:
    """`make` without a target explains each target that people call."""
    expected = {"run", "demo", "unit", "test", "coverage", "lint", "format", "lock", "eval", "compose-up", "clean"}

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
