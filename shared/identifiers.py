"""How ids are made and what they look like."""

import base64
import hashlib
import secrets
import uuid

POINT_NAMESPACE = uuid.UUID("6f9a4a52-5d0c-4c5e-9a0e-6c1f1b7f4d11")
"""Fixed for ever: the same chunk must get the same point id in every process and release."""


def make_document_id() -> str:
    """A new document id: `doc_` and 32 hexadecimal digits."""
    return f"doc_{uuid.uuid4().hex}"


def make_run_id() -> str:
    """A new id of one answer: `run_` and 32 hexadecimal digits."""
    return f"run_{uuid.uuid4().hex}"


def make_text_key() -> str:
    """A new key for the text of one version of a document: 32 random bytes, in base64."""
    return base64.b64encode(secrets.token_bytes(32)).decode()


def make_embedded_id(model: str, text: str) -> str:
    """The name of an embedded text, a UUID: what a model makes of the same text has the same one, and nothing else."""
    return str(uuid.UUID(bytes=hashlib.sha256(f"{model}\n{text}".encode()).digest()[:16]))


def make_point_id(tenant: str, document_id: str, version: str, chunk_id: int) -> str:
    """The id of a chunk's point: the same input gives the same UUID, so that a re-run overwrites."""
    return str(uuid.uuid5(POINT_NAMESPACE, f"{tenant}\n{document_id}\n{version}\n{chunk_id}"))
