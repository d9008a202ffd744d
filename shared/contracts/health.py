"""Wire contract of `/health/ready`, the same for every HTTP service."""

from typing import Literal

from pydantic import BaseModel

UNAVAILABLE = "unavailable"
LOADING = "loading"
OPTIONAL_PARTS = frozenset({"reranker"})
"""Parts without which the service does its work all the same."""


class Readiness(BaseModel):
    """Whether the service can do its work (200) or not, or not yet (503), and the state of each part it needs."""

    status: Literal["ok", "loading", "unavailable"]
    parts: dict[str, str]


def judge_parts(parts: dict[str, str]) -> tuple[Readiness, int]:
    """Return the body and its HTTP status: one part that is unavailable, or still loads, makes the service so."""
    needed = {state for name, state in parts.items() if name not in OPTIONAL_PARTS}
    if UNAVAILABLE in needed:
        return Readiness(status="unavailable", parts=parts), 503
    if LOADING in needed:
        return Readiness(status="loading", parts=parts), 503
    return Readiness(status="ok", parts=parts), 200
