"""The keys of the document registry on Redis.

`T` is a tenant and `D` a document id. On a Redis Cluster `pagewire` is `{pagewire}`: see
shared/redis_client.py.

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
    pagewire:untidied       hash    "T/D" of what is final → the edition behind which is still to be tidied up
    pagewire:shared         set     "T/D" of large documents that idle workers may help with
    pagewire:purged         number  of documents purged and versions dropped since Redis has written its file anew; it
                                    still has their names, and the keys of their texts
    pagewire:turn:W         string  there as long as a worker has its turn at work W, which one does for all
"""

from shared.contracts.documents import DocumentStatus
from shared.contracts.jobs import DocumentJob
from shared.event_log.port import name_document
from shared.event_log.stream_keys import make_stream_keys
from shared.redis_client import PREFIX
from shared.registry.revision import RevisionKeys, make_revision_keys


class RegistryKeys:
    """The keys, on a Redis where all begin with `prefix`."""

    def __init__(self, prefix: str = PREFIX) -> None:
        self._prefix = prefix
        self.pending = f"{prefix}pending"
        self.purging = f"{prefix}purging"
        self.untidied = f"{prefix}untidied"
        self.shared = f"{prefix}shared"
        self.purged = f"{prefix}purged"
        self.pipeline = f"{prefix}pipeline"

    def turn(self, work: str) -> str:
        """Return the key of a worker's turn."""
        return f"{self._prefix}turn:{work}"

    def documents(self, tenant: str, status: DocumentStatus | None = None) -> str:
        """Return the key of the list of a tenant's documents, of all or of those with a status."""
        return f"{self._prefix}{tenant}:documents" + (f":{status.value}" if status is not None else "")

    def identities(self, tenant: str) -> str:
        """Return the key of a tenant's uploads."""
        return f"{self._prefix}{tenant}:identities"

    def ready(self, tenant: str) -> str:
        """Return the key of a tenant's documents that can be searched."""
        return f"{self._prefix}{tenant}:ready"

    def cards(self, tenant: str) -> str:
        """Return the key of a tenant's documents that have a card; those of terms begin with it."""
        return f"{self._prefix}{tenant}:cards"

    def content(self, tenant: str, sha256: str) -> str:
        """Return the key of the set of documents with these bytes."""
        return f"{self._prefix}{tenant}:content:{sha256}"

    def revision(self, tenant: str) -> RevisionKeys:
        """Return the keys of a tenant's revision and of what holds for it."""
        return make_revision_keys(self._prefix, tenant)

    def document(self, tenant: str, document_id: str) -> str:
        """Return the key of a record."""
        return f"{self._prefix}{tenant}:document:{document_id}"

    def parse_document(self, key: str) -> DocumentJob:
        """Return the document of the key of a record."""
        tenant, document_id = key.removeprefix(self._prefix).split(":document:", 1)
        return DocumentJob(tenant=tenant, document_id=document_id)

    def match(self, kind: str) -> str:
        """Return the pattern of the keys of a kind, of all tenants: of what stands behind the tenant."""
        return f"{self._prefix}*:{kind}"

    def parse_tenant(self, key: str, kind: str) -> str:
        """Return the tenant of a key of a kind."""
        return key.removeprefix(self._prefix).removesuffix(f":{kind}")

    def events(self, tenant: str, document_id: str) -> str:
        """Return the key of the stream of a document's events."""
        return make_stream_keys(self._prefix, name_document(tenant, document_id)).events

    def lease(self, job: DocumentJob) -> str:
        """Return the key of a document's lease."""
        return f"{self._prefix}{job.tenant}:lease:{job.document_id}"

    def ranges(self, job: DocumentJob) -> str:
        """Return the key of what is done of a large document."""
        return f"{self._prefix}{job.tenant}:ranges:{job.document_id}"

    def helpers(self, job: DocumentJob) -> str:
        """Return the key of those who help with a large document."""
        return f"{self._prefix}{job.tenant}:helpers:{job.document_id}"


def make_identity(sha256: str, filename: str) -> str:
    """Return what makes an upload the same as another one."""
    return f"{sha256}\n{filename}"


def make_member(job: DocumentJob) -> str:
    """Return what stands for a document in the sets of all tenants."""
    return f"{job.tenant}/{job.document_id}"


def parse_member(member: str) -> DocumentJob:
    """Return the document that a member of those sets stands for."""
    tenant, document_id = member.rsplit("/", 1)
    return DocumentJob(tenant=tenant, document_id=document_id)
