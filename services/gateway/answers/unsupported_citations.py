"""Takes citations that their passage does not support out of a model's text while it streams."""

import asyncio
import re
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from services.gateway.answers.citations import CitationFilter, group_places
from services.gateway.answers.claims import CHAIN_JOINT, ENDED, MAX_CLAIM_CHARS, SENTENCE_END, PlacedMarker
from services.gateway.answers.evidence import EvidenceCheck
from services.gateway.ports import AnswerPiece, Completion, TextDelta

MAX_TAIL_CHARS = 200
"""How much of a sentence may come behind a citation before it is checked without the rest."""

_LEAD = re.compile(r"[ \t]*\(?\Z")


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
        lead = _LEAD.search(whole, len(self._sent), self._markers[0].start)
        cut = lead.start() if lead else self._markers[0].start
        passed, self._sent, self._held = whole[len(self._sent) : cut], whole[:cut], whole[cut:]
        return passed

    async def finish(self) -> str:
        return await self._settle(self._sent + self._held) if self._markers else ""

    def _is_over(self, whole: str) -> bool:
        last = self._markers[-1]
        tail = whole[last.end :]
        if CHAIN_JOINT.fullmatch(tail):
            return False
        if len(tail) > MAX_TAIL_CHARS or SENTENCE_END.search(tail):
            return True
        return ENDED.search(whole, 0, self._markers[0].start) is not None

    async def _settle(self, whole: str) -> str:
        """Return what was held without what is not supported."""
        citations = await asyncio.to_thread(self._check.check_markers, whole, self._markers)
        wrong = {citation.start for citation in citations if citation.supported is False}
        kept, position = [], len(self._sent)
        for marker in self._markers:
            if marker.start not in wrong:
                continue
            start = marker.start
            if CHAIN_JOINT.fullmatch(whole, position, start):
                start = position  # what joined it to the one before
            elif whole[start - 1 : start] == "(" and whole[marker.end : marker.end + 1] == ")":
                pass
            elif whole[start - 1 : start] in (" ", "\t") and start > position:
                start -= 1
            kept.append(whole[position:start])
            position = marker.end
        kept.append(whole[position:])
        self._sent = whole[self._markers[-1].end :][-2 * MAX_CLAIM_CHARS :]
        self._held, self._markers = "", []
        return "".join(kept).replace(" ()", "") if wrong else "".join(kept)
