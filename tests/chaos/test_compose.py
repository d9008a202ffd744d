"""Workers in containers, killed and replaced under 200 uploads: a part of the long form, `make chaos`."""

import json
import os
import random
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from shared.contracts.documents import DocumentStatus
from tests.compose_stack import connect, list_documents, run, run_stack, upload
from tests.pdfs import make_long_pdf

SEED = 8
WORKERS = 4
DOCUMENTS = 200
AT_ONCE = 8
KILLS = 12

pytestmark = [
    pytest.mark.docker,
    pytest.mark.timeout(3000),
    pytest.mark.skipif(os.environ.get("PAGEWIRE_CHAOS") != "1", reason="a part of the long form: make chaos"),
]

_POINTS = """
import collections, json, urllib.request as u
found, offset = collections.defaultdict(list), None
while True:
    body = json.dumps({"limit": 1000, "offset": offset, "with_payload": ["document_id", "chunk_id"]}).encode()
    url = "http://qdrant:6333/collections/pagewire/points/scroll"
    request = u.Request(url, body, {"Content-Type": "application/json"})
    result = json.load(u.urlopen(request))["result"]
    for point in result["points"]:
        found[point["payload"]["document_id"]].append(point["payload"]["chunk_id"])
    if (offset := result["next_page_offset"]) is None:
        break
print(json.dumps(found))
"""


def test_killed_containers_lose_nothing(request: pytest.FixtureRequest) -> None:
    """Every upload is ready in the end, with each of its points once, and nothing is left over."""
    failed_before = request.session.testsfailed
    chance = random.Random(SEED)
    with run_stack(lambda: request.session.testsfailed > failed_before) as stack, connect(stack) as client:
        again = ("up", "--detach", "--no-recreate", "--scale", f"ingest={WORKERS}")
        stack.compose(*again, "--wait")

        def send(number: int) -> str:
            name = f"depot-{number}"
            return upload(client, f"{name}.pdf", make_long_pdf(name, 1 + number % 4), wait=300).document_id

        with ThreadPoolExecutor(AT_ONCE) as pool:
            uploads = [pool.submit(send, number) for number in range(DOCUMENTS)]
            for done in range(KILLS):
                uploads[(done + 1) * DOCUMENTS // (KILLS + 2)].result()  # so far, and the next ones are at work
                run("docker", "kill", "--signal", "KILL", chance.choice(stack.find_containers("ingest")))
                stack.compose(*again)
            accepted = {future.result() for future in uploads}

        while not all(record.status.final for record in list_documents(client)):
            time.sleep(1)  # what has taken longer than its upload was to wait
        records = {record.document_id: record for record in list_documents(client)}
        points: dict[str, Any] = json.loads(stack.compose("exec", "-T", "retrieval", "python", "-c", _POINTS))
        left_over = stack.compose(
            "run", "--rm", "-T", "ingest", "python", "-m", "services.ingest.repair", "--grace-s", "0"
        )

    assert len(accepted) == DOCUMENTS
    assert records.keys() == accepted
    assert {record.status for record in records.values()} == {DocumentStatus.READY}
    expected = {document_id: list(range(record.chunks_total)) for document_id, record in records.items()}
    assert {document_id: sorted(chunks) for document_id, chunks in points.items()} == expected
    assert left_over.strip().endswith("nothing to repair")
