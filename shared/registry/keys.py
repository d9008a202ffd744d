"""The keys of the document registry on Redis.

`T` is a tenant and `D` a document id:

    pagewire:T:document:D   hash    the record
    pagewire:T:document:D:events  stream  its progress, for those who watch it: see scripts.py
    pagewire:T:documents    zset    ids by time of creation
    pagewire:T:documents:S  zset    those with the status S: see status_lists.py
    pagewire:T:identities   hash    sha-256 and file name → id, so that the same upload is the same document
    pagewire:T:content:H    set     ids of those whose bytes have the sha-256 H, until they are purged
    pagewire:T:ready        set     ids that can be searched
    pagewire:T:cards        set     ids of those with a card: see cards.py
    pagewire:T:cards:.W     zset    ids of those with the term W on their cards, by its weight
    pagewire:T:lease:D      string  the token of the worker that has it, with a time to live
    pagewire:T:ranges:D     hash    what is done of a large document, and who has which part: see range_scripts.py
    pagewire:T:helpers:D    zset    the tokens of those who have a part, as long as they may be writing
    pagewire:T:revision     string  of what searches see; what hangs on it: see revision.py
    pagewire:pipeline       string  what the workers of now make versions with
    pagewire:pending        set     "T/D" of what no worker has finished: the queue can be rebuilt from it
    pagewire:purging        set     "T/D" of what is deleted and still has points or bytes
    pagewire:shared         set     "T/D" of large documents that idle workers may help with
    pagewire:purged         number  of documents purged and versions dropped since Redis has written its file anew; it
                                    still has their names, and the keys of their texts
    pagewire:turn:W         string  there as long as a worker has its turn at work W, which one does for all
"""

from typing import Final

from shared.contracts.jobs import DocumentJob
from shared.event_log.port import name_document
from shared.event_log.stream_keys import make_stream_keys

PENDING: Final = "pagewire:pending"
PURGING: Final = "pagewire:purging"
SHARED: Final = "pagewire:shared"
PURGED: Final = "pagewire:purged"
PIPELINE: Final = "pagewire:pipeline"


def make_identities_key(tenant: str) -> str:
    """Return the key of a tenant's uploads."""
    return f"pagewire:{tenant}:identities"


def make_ready_key(tenant: str) -> str:
    """Return the key of a tenant's documents that can be searched."""
    return f"pagewire:{tenant}:ready"


def make_identity(sha256: str, filename: str) -> str:
    """Return what makes an upload the same as another one."""
    return f"{sha256}\n{filename}"


def make_document_key(tenant: str, document_id: str) -> str:
    """Return the key of a record."""
    return f"pagewire:{tenant}:document:{document_id}"


def parse_document_key(key: str) -> DocumentJob:
    """Return the document of the key of a record."""
    tenant, document_id = key.removeprefix("pagewire:").split(":document:", 1)
    return DocumentJob(tenant=tenant, document_id=document_id)


def make_events_key(tenant: str, document_id: str) -> str:
    """Return the key of the stream of a document's events."""
    return make_stream_keys(name_document(tenant, document_id)).events


def make_content_key(tenant: str, sha256: str) -> str:
    """Return the key of the set of documents with these bytes."""
    return f"pagewire:{tenant}:content:{sha256}"


def make_lease_key(job: DocumentJob) -> str:
    """Return the key of a document's lease."""
    return f"pagewire:{job.tenant}:lease:{job.document_id}"


def make_ranges_key(job: DocumentJob) -> str:
    """Return the key of what is done of a large document."""
    return f"pagewire:{job.tenant}:ranges:{job.document_id}"


def make_helpers_key(job: DocumentJob) -> str:
    """Return the key of those who help with a large document."""
    return f"pagewire:{job.tenant}:helpers:{job.document_id}"


def make_member(job: DocumentJob) -> str:
    """Return what stands for a document in the sets of all tenants."""
    return f"{job.tenant}/{job.document_id}"


def parse_member(member: str) -> DocumentJob:
    """Return the document that a member of those sets stands for."""
    tenant, document_id = member.rsplit("/", 1)
    return DocumentJob(tenant=tenant, document_id=document_id)
