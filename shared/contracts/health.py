"""Wire contract of `/health/ready`, the same for every HTTP service."""

from typing import Literal

from pydantic import BaseModel

UNAVAILABLE = "unavailable"


class Readiness(BaseModel):
    """Whether the service can do its work (200) or not (503), and the state of each part it needs."""

    status: Literal["ok", "unavailable"]
    parts: dict[str, str]


def judge_parts(parts: dict[str, str]) -> tuple[Readiness, int]:
    """The body and its HTTP status: one part that is unavailable makes the service so."""
    broken = UNAVAILABLE in parts.values()
    return Readiness(status="unavailable" if broken else "ok", parts=parts), 503 if broken else 200
