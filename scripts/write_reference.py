"""Writes the reference that follows from the code: docs/configuration.md, .env.example and docs/openapi.json.

    python scripts/write_reference.py           # after a change of a setting or a route
    python scripts/write_reference.py --check   # says what is out of step and ends with exit status 1

The text of a setting is the description of its field; change it there and run this again.
"""

import argparse
import json
import sys
import textwrap
import tomllib
from collections.abc import Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from annotated_types import Ge, Gt, Le, Lt
from pydantic.fields import FieldInfo

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))  # also where the project is not installed

from services.gateway.main import create_app  # noqa: E402
from services.gateway.settings import GatewaySettings  # noqa: E402
from services.ingest.settings import IngestSettings  # noqa: E402
from services.retrieval.settings import RetrievalSettings  # noqa: E402
from shared.settings import IndexSettings, SharedSettings  # noqa: E402

WIDTH = 118
FIXED_IN_COMPOSE = frozenset(
    {"PAGEWIRE_HOST", "PAGEWIRE_REDIS_URL", "PAGEWIRE_QDRANT_URL", "PAGEWIRE_RETRIEVAL_URL", "PAGEWIRE_DATA_DIR"}
)
"""Addresses that docker-compose.yml sets itself; a test compares."""

UNTOLD = {
    "OPENAI_API_KEY": "key of OpenAI, or of any server that speaks its protocol; setting it switches the provider on",
    "ANTHROPIC_API_KEY": "key of Anthropic; setting it switches the provider on",
    "ANTHROPIC_BASE_URL": "another server that speaks Anthropic's protocol: the bare host, without /v1",
    "GROQ_API_KEY": "key of Groq; setting it switches the provider on",
    "PAGEWIRE_OPENAI_MODEL": "model of the provider openai; a local server wants the name of one that it has",
    "PAGEWIRE_ANTHROPIC_MODEL": "model of the provider anthropic",
    "PAGEWIRE_GROQ_MODEL": "model of the provider groq",
}
"""Text of settings whose field has none of its own."""

UNITS = {"_s": "seconds", "_mb": "megabytes", "_url": "URL", "_dir": "folder", "_tokens": "tokens", "_pages": "pages"}
"""Unit by the end of a field's name."""

HEADER = """\
# Settings of Pagewire. Copy to `.env` and uncomment what you change; everything works without this file.
# `make run` and `docker compose` both read `.env`; a variable that is really set in the environment wins over it.
# Lines marked (run) are fixed inside compose, which has its own addresses. What each is for: docs/configuration.md.
# Made by scripts/write_reference.py from the settings in the code; do not edit.
"""

INTRODUCTION = """\
# Configuration

Everything works without any setting. Settings are environment variables; a file `.env` in the working folder is read
too, and a variable that is really set in the environment wins over it. A wrong value ends the process at its start,
with one line per problem that names the variable.

Made by `python scripts/write_reference.py` from the fields in the code; do not edit.
`tests/unit/test_reference.py` fails when this page, `.env.example` or `docs/openapi.json` is out of step.

With `make run` one process reads the tables of all services. With compose each service reads the first table and
those that name it; addresses marked † are fixed there by `docker-compose.yml`, `PAGEWIRE_PORT` is the port on which
the gateway is published, and only the gateway is given the keys of language models.
"""


@dataclass(frozen=True)
class Setting:
    """One environment variable."""

    name: str
    default: str
    unit: str
    text: str


@dataclass(frozen=True)
class Group:
    """Settings that one part of the system reads."""

    title: str
    source: str
    settings: list[Setting]


def read_settings(kind: type[SharedSettings], without: type[SharedSettings] | None = None) -> list[Setting]:
    """The fields of a class, without those that it has from another one."""
    known: Mapping[str, FieldInfo] = without.model_fields if without else {}
    return [read_setting(name, field) for name, field in kind.model_fields.items() if name not in known]


def read_setting(name: str, field: FieldInfo) -> Setting:
    """A field as its reader sees it. Raises SystemExit when nothing says what it is for."""
    variable = field.alias or f"PAGEWIRE_{name.upper()}"
    told = (field.description or "").removeprefix(variable).removeprefix(":").strip()
    text = told or UNTOLD.get(variable, "")
    if not text:
        sys.exit(f"write_reference: {variable} has no description: give its field one")
    default = "" if field.default is None else str(field.default)
    return Setting(variable, default, describe_unit(name, field), text)


def describe_unit(name: str, field: FieldInfo) -> str:
    """Unit and range, e.g. `seconds, above 0`."""
    unit = next((unit for end, unit in UNITS.items() if name.endswith(end)), "")
    if not unit:
        unit = "number" if field.annotation in (int, float, int | None) else "text"
    low = high = ""
    for rule in field.metadata:
        match rule:
            case Gt(gt=bound):
                low = f"above {bound}"
            case Ge(ge=bound):
                low = f"from {bound}"
            case Le(le=bound):
                high = f"to {bound}"
            case Lt(lt=bound):
                high = f"below {bound}"
            case _:
                pass
    limits = " ".join(part for part in (low, high) if part)
    return f"{unit}, {limits}" if limits else unit


def collect_groups() -> list[Group]:
    """Every setting, by who reads it."""
    return [
        Group("Every service", "shared/settings.py", read_settings(SharedSettings)),
        Group("Gateway", "services/gateway/settings.py", read_settings(GatewaySettings, SharedSettings)),
        Group("Retrieval and ingest", "shared/settings.py", read_settings(IndexSettings, SharedSettings)),
        Group("Retrieval", "services/retrieval/settings.py", read_settings(RetrievalSettings, IndexSettings)),
        Group("Ingest", "services/ingest/settings.py", read_settings(IngestSettings, IndexSettings)),
    ]


def list_others() -> list[Group]:
    """Variables that our settings do not hold: the installation, compose, libraries and the command line read them."""
    return [
        Group(
            "Docker compose",
            "docker-compose.yml",
            [
                Setting(
                    "PAGEWIRE_PUBLISH",
                    "127.0.0.1",
                    "address",
                    "where the gateway is published; without API keys anyone who reaches it may use it",
                ),
                Setting(
                    "PAGEWIRE_BACK_INTERNAL",
                    "true",
                    "true or false",
                    "whether Qdrant, Redis and the workers have no way out; `false` for blobs in S3 or a model from a"
                    " hub",
                ),
                Setting("PAGEWIRE_IMAGE", "pagewire", "text", "first part of the images' names"),
                Setting("PAGEWIRE_TAG", "latest", "text", "tag of our images"),
                Setting("NGINX_IMAGE", "nginx:stable-bookworm", "text", "image of nginx, before the gateways"),
                Setting("REDIS_IMAGE", "redis:7-bookworm", "text", "image of Redis"),
                Setting("QDRANT_IMAGE", "qdrant/qdrant:v1.16.3", "text", "image of Qdrant; the one that is tested"),
            ],
        ),
        Group(
            "Installation, libraries, command line",
            "read from the environment; from `.env` only by compose",
            [
                Setting(
                    "PAGEWIRE_TORCH",
                    "auto",
                    "auto, cpu or default",
                    "build of torch that `make` and the images take: `auto` is the small CPU build where it can be"
                    " had; `default` for a GPU",
                ),
                Setting(
                    "HF_HUB_OFFLINE",
                    "",
                    "1 or unset",
                    "1: never ask the Hugging Face hub, only its cache; saves a wait where the hub is blocked",
                ),
                Setting(
                    "PAGEWIRE_URL",
                    "http://127.0.0.1:8000",
                    "URL",
                    "the gateway that the command `pagewire` talks to; never read from `.env`",
                ),
            ],
        ),
    ]


def render_configuration() -> str:
    """docs/configuration.md."""
    parts = [INTRODUCTION]
    for group in [*collect_groups(), *list_others()]:
        source = f"`{group.source}`" if group.source.endswith((".py", ".yml")) else group.source
        rows = [
            f"| `{setting.name}`{' †' if setting.name in FIXED_IN_COMPOSE else ''} |"
            f" {f'`{setting.default}`' if setting.default else 'none'} | {setting.unit} |"
            f" {setting.text.replace('|', chr(92) + '|')} |"
            for setting in group.settings
        ]
        head = ["| variable | default | unit | what and why |", "|---|---|---|---|"]
        parts.append("\n".join([f"## {group.title}", "", f"Source: {source}.", "", *head, *rows]) + "\n")
    return "\n".join(parts)


def render_environment() -> str:
    """.env.example: each variable once, commented out, with its default."""
    parts = [HEADER]
    seen: set[str] = set()
    for group in [*collect_groups(), *list_others()]:
        settings = [setting for setting in group.settings if setting.name not in seen]
        seen |= {setting.name for setting in settings}
        title = f"{group.title}: {group.source}" if group.source.startswith("read") else group.title
        lines = [f"# --- {title.lower()} ---", ""]
        for setting in settings:
            lines += [f"# {line}" for line in textwrap.wrap(describe_setting(setting), WIDTH)]
            lines.append(f"#{setting.name}={setting.default}")
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


def describe_setting(setting: Setting) -> str:
    """What stands above a variable in .env.example: its text, and what the text does not say."""
    mark = "(run) " if setting.name in FIXED_IN_COMPOSE else ""
    unit = setting.unit.partition(",")[0]
    unsaid = unit in set(UNITS.values()) - {"URL", "folder"} and unit not in setting.text.lower()
    default = "" if setting.default or "default" in setting.text else "; default: none"
    return f"{mark}{setting.text}{f' ({unit})' if unsaid else ''}{default}"


def render_openapi() -> str:
    """docs/openapi.json."""

    def open_nothing() -> AbstractAsyncContextManager[Any]:
        raise RuntimeError("the app is described here, not started")

    described = create_app(open_nothing).openapi()
    # Which release is installed here, if any, is no part of the contract.
    described["info"]["version"] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    return json.dumps(described, indent=2, ensure_ascii=False) + "\n"


def render_files() -> dict[Path, str]:
    """What each file has to hold."""
    return {
        ROOT / "docs" / "configuration.md": render_configuration(),
        ROOT / ".env.example": render_environment(),
        ROOT / "docs" / "openapi.json": render_openapi(),
    }


def find_stale(files: Mapping[Path, str]) -> Iterable[Path]:
    """Files that do not hold what they have to."""
    return [path for path, text in files.items() if not path.exists() or path.read_text() != text]


def main() -> int:
    """Runs the command; returns the exit status."""
    parser = argparse.ArgumentParser(description="Writes docs/configuration.md, .env.example and docs/openapi.json.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit status 1 when a file is out of step")
    check = parser.parse_args().check
    files = render_files()
    stale = find_stale(files)
    for path in stale:
        if not check:
            path.parent.mkdir(exist_ok=True)
            path.write_text(files[path])
        print(f"{'out of step' if check else 'written'}: {path.relative_to(ROOT)}")  # noqa: T201 a command's output
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
