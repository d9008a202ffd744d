"""Takes citations that their passage does not support out of a model's text while it streams."""

import asyncio
import re
from collections.abc import AsyncGenerator, Collection, Iterator, Sequence
from contextlib import aclosing

from services.gateway.answers.citations import CitationFilter, group_places
from services.gateway.answers.claims import (
    CHAIN_JOINT,
    MAX_CLAIM_CHARS,
    PlacedMarker,
    find_sentence_end,
    has_ended,
)
from services.gateway.answers.evidence import EvidenceCheck
from services.gateway.ports import AnswerPiece, Completion, TextDelta

MAX_TAIL_CHARS = 200
"""How much of a sentence may come behind a citation before it is checked without the rest."""
MAX_HELD_CHARS = 4 * MAX_CLAIM_CHARS
"""How much waits at most behind a sentence's first citation; some models repeat one without end."""

_JOINT = re.compile(r"[ \t]?[,;、，；&]?[ \t]?|[-–—]")
"""What stands between two markers and goes with either; words do not."""


async def remove_unsupported(
    pieces: AsyncGenerator[AnswerPiece, None], check: EvidenceCheck, passage_count: int
) -> AsyncGenerator[AnswerPiece, None]:
    """Yield the pieces without markers whose claim is not supported.

    Text passes at once up to a marker, and then when its sentence ends: another passage may be cited by then.
    """
    citations = CitationFilter(passage_count)
    sentence = _Sentence(check)
    passed = known = 0  # characters, and places of citations

    async def feed(text: str) -> str:
        nonlocal passed, known
        markers = [marker.move(-passed) for marker in group_places(citations.places[known:])]
        passed, known = passed + len(text), len(citations.places)
        return await sentence.feed(text, markers)

    async with aclosing(pieces):
        async for piece in pieces:
            if isinstance(piece, TextDelta):
                if text := await feed(citations.feed(piece.text)):
                    yield TextDelta(text)
                continue
            if isinstance(piece, Completion) and (last := await feed(citations.finish()) + await sentence.finish()):
                yield TextDelta(last)
            yield piece


class _Sentence:
    """The sentence that is being written; holds what stands behind its first marker until it ends."""

    def __init__(self, check: EvidenceCheck) -> None:
        self._check = check
        self._sent = ""  # of this sentence
        self._held = ""
        self._markers: list[PlacedMarker] = []  # in what was sent and is held

    async def feed(self, text: str, markers: Sequence[PlacedMarker]) -> str:
        before = len(self._sent) + len(self._held)
        self._markers += (marker.move(before) for marker in markers)
        if not self._markers:
            self._sent = (self._sent + text)[-2 * MAX_CLAIM_CHARS :]
            return text
        whole = self._sent + self._held + text
        if self._is_over(whole):
            return await self._settle(whole)
        if self._held:
            self._held += text
            return ""
        passed = whole[len(self._sent) : self._markers[0].start].removesuffix("(").rstrip(" \t")
        cut = len(self._sent) + len(passed)
        self._sent, self._held = whole[:cut], whole[cut:]
        return passed

    async def finish(self) -> str:
        return await self._settle(self._sent + self._held) if self._markers else ""

    def _is_over(self, whole: str) -> bool:
        first, last = self._markers[0], self._markers[-1]
        if len(whole) - first.start > MAX_HELD_CHARS:
            return True
        tail = whole[last.end :]
        if CHAIN_JOINT.fullmatch(tail):
            return False
        if len(tail) > MAX_TAIL_CHARS or find_sentence_end(whole, last.end) is not None:
            return True
        return has_ended(whole, first.start)

    async def _settle(self, whole: str) -> str:
        """Return what was held without what is not supported."""
        citations = await asyncio.to_thread(self._check.check_markers, whole, self._markers)
        wrong = {citation.start for citation in citations if citation.supported is False}
        kept, position = [], len(self._sent)
        for start, end in _find_cuts(whole, position, self._markers, wrong):
            kept.append(whole[position:start])
            position = end
        kept.append(whole[position:])
        self._sent = whole[self._markers[-1].end :][-2 * MAX_CLAIM_CHARS :]
        self._held, self._markers = "", []
        return "".join(kept)


def _find_cuts(
    text: str, first: int, markers: Sequence[PlacedMarker], wrong: Collection[int]
) -> Iterator[tuple[int, int]]:
    """Yield the places of what is taken out: wrong markers, and with them only what cannot stand without them.

    That is what joins them to other markers, parentheses that hold nothing else, and one blank.

    Parameters:
        first: where what has not been sent yet begins.
        wrong: where the wrong markers begin.
    """
    for chain in _find_joined(text, markers):
        at = 0
        while at < len(chain):
            if chain[at].start not in wrong:
                at += 1
                continue
            run = at
            while run < len(chain) and chain[run].start in wrong:
                run += 1
            start, end = chain[at].start, chain[run - 1].end
            if at > 0:
                start = chain[at - 1].end
            elif run < len(chain):
                end = chain[run].start
            else:
                start, end = _widen(text, first, start, end)
            yield start, end
            at = run


def _find_joined(text: str, markers: Sequence[PlacedMarker]) -> Iterator[list[PlacedMarker]]:
    """Yield the markers in chains between which only joints stand."""
    chain: list[PlacedMarker] = []
    for marker in markers:
        if chain and not _JOINT.fullmatch(text, chain[-1].end, marker.start):
            yield chain
            chain = []
        chain.append(marker)
    if chain:
        yield chain


def _widen(text: str, first: int, start: int, end: int) -> tuple[int, int]:
    """Return the place of a chain with the parentheses around it and the blank before it."""
    if start > first and text[start - 1] == "(" and text[end : end + 1] == ")":
        start, end = start - 1, end + 1
    if start > first and text[start - 1] in " \t" and not text[end : end + 1].isalnum():
        start -= 1
    return start, end
