"""What is sealed can be read by who has the key, and by nobody else."""

import base64
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.identifiers import make_text_key
from shared.vector_index.port import ChunkPayload
from shared.vector_index.sealing import SealedTextError, open_payload, seal_payload

TEXT = st.text()
PAYLOAD = ChunkPayload("doc", "v1", 7, "A title", 3, 10, 42, "Cranes lift loads. " * 20, "Year | 2019", "name", 0.9, 4)


@given(title=TEXT, text=TEXT, table_head=TEXT)
def test_what_was_sealed_comes_back(title: str, text: str, table_head: str) -> None:
    """Whatever characters it has, and all else with it."""
    payload, key = replace(PAYLOAD, title=title, text=text, table_head=table_head), make_text_key()
    sealed = seal_payload(payload, key)
    assert (sealed.title, sealed.text, sealed.table_head) == ("", "", "")
    assert open_payload(sealed, key) == payload


def test_what_was_never_sealed_needs_no_key() -> None:
    """Points of older releases stay readable, whether their documents have got a key since or not."""
    assert open_payload(PAYLOAD, None) == open_payload(PAYLOAD, make_text_key()) == PAYLOAD


def test_the_same_text_is_sealed_differently_each_time() -> None:
    """Nobody sees which passages are equal."""
    key = make_text_key()
    assert seal_payload(PAYLOAD, key).sealed != seal_payload(PAYLOAD, key).sealed


def flip(sealed: str, place: int) -> str:
    content = bytearray(base64.b64decode(sealed))
    content[place] ^= 1
    return base64.b64encode(content).decode()


def test_without_the_key_nothing_opens() -> None:
    """Another key, none, a changed bit, a text of another passage, and what is no sealed text at all."""
    key = make_text_key()
    sealed = seal_payload(PAYLOAD, key)
    changed = [replace(sealed, sealed=flip(sealed.sealed, place)) for place in (0, 12, -1)]
    moved = [replace(sealed, chunk_id=8), replace(sealed, version="v2"), replace(sealed, document_id="other")]
    nonsense = [replace(sealed, sealed=text) for text in ("x", "abcd", "é", sealed.sealed[:20])]
    for payload, its_key in [
        (sealed, make_text_key()),
        (sealed, None),
        *((payload, key) for payload in changed + moved + nonsense),
    ]:
        with pytest.raises(SealedTextError):
            open_payload(payload, its_key)
