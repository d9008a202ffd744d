"""What the index keeps of a document's text is sealed: unreadable without a key that is in the document's record alone.

An engine keeps what it was given in logs, segments and snapshots, for longer than anybody can say. When a version goes,
so does its key, and what is left of its text anywhere in the index is noise.

AES-256-GCM with a random nonce of 96 bits: a version has some thousand points, and a key of its own. Compressed before,
as noise cannot be by the engine.
"""

import base64
import json
import os
import zlib
from dataclasses import replace

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from shared.vector_index.port import ChunkPayload

_NONCE_BYTES = 12
_LEVEL = 6


class SealedTextError(Exception):
    """The key is not the one that the text was sealed with, or the text was damaged or belongs to another point."""


def seal_payload(payload: ChunkPayload, text_key: str) -> ChunkPayload:
    """Return the payload with its title, text and table head in `sealed` alone.

    Raises ValueError for what is no key of `make_text_key`.
    """
    text = json.dumps([payload.title, payload.text, payload.table_head], ensure_ascii=False, separators=(",", ":"))
    nonce = os.urandom(_NONCE_BYTES)
    packed = zlib.compress(text.encode("utf-8", "surrogatepass"), _LEVEL)
    sealed = AESGCM(base64.b64decode(text_key)).encrypt(nonce, packed, _name(payload))
    return replace(payload, title="", text="", table_head="", sealed=base64.b64encode(nonce + sealed).decode())


def open_payload(payload: ChunkPayload, text_key: str | None) -> ChunkPayload:
    """Return the payload as it was before it was sealed; one in plain, as older releases wrote them, as it is.

    Raises SealedTextError.
    """
    if not payload.sealed:
        return payload
    if text_key is None:
        raise SealedTextError(_name(payload).decode())
    try:
        sealed = base64.b64decode(payload.sealed)
        cipher = AESGCM(base64.b64decode(text_key))
        packed = cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], _name(payload))
    except (InvalidTag, ValueError) as error:
        raise SealedTextError(_name(payload).decode()) from error
    title, text, table_head = json.loads(zlib.decompress(packed).decode("utf-8", "surrogatepass"))
    return replace(payload, title=title, text=text, table_head=table_head, sealed="")


def _name(payload: ChunkPayload) -> bytes:
    """What the text is bound to: sealed text that is put into another point does not open there."""
    return f"{payload.document_id}@{payload.version}#{payload.chunk_id}".encode()
