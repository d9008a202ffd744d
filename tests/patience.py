"""How long tests wait for what has to come, and a product that has the same patience.

A machine that others keep busy stands still for seconds at any moment. A deadline that a test does not wait for must
not be over then: neither the test's own nor one of the product's, which are made for people who wait.
"""

import os
from typing import Any

import pytest

PATIENT_S = 60

PATIENT_ENVIRONMENT: dict[str, str] = {
    f"PAGEWIRE_{name}": str(seconds)
    for name, seconds in {
        "REDIS_TIMEOUT_S": PATIENT_S,
        "QDRANT_TIMEOUT_S": PATIENT_S,
        "RETRIEVAL_TIMEOUT_S": PATIENT_S,
        "REWRITE_TIMEOUT_S": PATIENT_S,
        "LLM_CONNECT_TIMEOUT_S": PATIENT_S,
        "LLM_IDLE_TIMEOUT_S": PATIENT_S,
        "LLM_CHAIN_WAIT_S": 2 * PATIENT_S,
    }.items()
}
"""For settings that a test does not choose itself."""


def be_patient(patch: pytest.MonkeyPatch) -> None:
    """Make all of the product's deadlines as long that are no settings, and those that are, unless they are chosen."""
    from services.gateway import active_runs, answer_cache, retrieval_client, stop_requests
    from shared.event_log import redis_log

    constants: list[tuple[Any, str, int]] = [
        (active_runs, "DEADLINE_S", PATIENT_S),
        (answer_cache, "DEADLINE_S", PATIENT_S),
        (retrieval_client, "_CONNECT_S", PATIENT_S),
        (retrieval_client, "_FINGERPRINT_S", PATIENT_S),
        (retrieval_client, "_READY_S", PATIENT_S),
        (stop_requests, "DEADLINE_S", PATIENT_S),
        (stop_requests, "REPLY_S", PATIENT_S),
        (redis_log, "BEGIN_S", PATIENT_S),
        (redis_log, "ALIVE_MS", PATIENT_S * 1000),
    ]
    for module, name, value in constants:
        patch.setattr(module, name, value)
    for name, text in PATIENT_ENVIRONMENT.items():
        if name not in os.environ:
            patch.setenv(name, text)
