"""Finds what each citation marker of an answer stands for: the part of its sentence that comes before it."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

MAX_CLAIM_CHARS = 1_000
"""Of what stands before a marker, and of what stands behind it; a longer "sentence" is none."""

# One set of characters to begin with, which is looked for at once: an alternative is tried at each character.
SENTENCE_END = re.compile(
    r"[\n.!?…。！？](?:(?<=\n)\n*|(?<=[.!?…])[\"'”’»)\]*_]*[ \t\u00a0]+(?=[^\sa-zà-ÿ])|(?<=[。！？]))"
)
_ABBREVIATION = re.compile(
    r"(?:^|[\s(\[])(?:[^\W\d_]|Dr|Mr|Mrs|Ms|Prof|St|vs|etc|approx|ca|cf|e\.g|i\.e|Inc|Ltd|Co|Corp|Jr|Sr|No|Nos|Nr|Fig"
    r"|Figs|Tab|Vol|Art|pp?|Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sept?|Oct|Nov|Dec|U\.S|z\.B|d\.h|\d{1,2})\.\s*$",
    re.IGNORECASE,
)
CHAIN_JOINT = re.compile(r"[ \t]?[,;、，；&]?[ \t]?|[-–—]| and ")
_LINE_END = re.compile(r"[ \t\u00a0.]*(?:\n|\Z)")
ENDED = re.compile(r"[.!?…。！？][\"'”’»)*_]*[ \t]*\Z")


@dataclass(frozen=True)
class PlacedMarker:
    """A citation marker of an answer and the passages that it names."""

    start: int
    end: int
    numbers: tuple[int, ...]

    def move(self, characters: int) -> "PlacedMarker":
        """Return the marker that many characters further on."""
        return PlacedMarker(self.start + characters, self.end + characters, self.numbers)


@dataclass(frozen=True)
class Claim:
    """What a chain of markers stands for.

    Attributes:
        markers: of the chain, in order.
        head: first and last position of what stands before it, from the marker before or the beginning of its sentence.
        tail: the same of what stands behind it, up to the next marker or the end of the sentence.
        sentence_numbers: all passages that the sentence cites.
    """

    markers: tuple[PlacedMarker, ...]
    head: tuple[int, int]
    tail: tuple[int, int]
    sentence_numbers: frozenset[int]


def find_claims(answer: str, markers: Sequence[PlacedMarker]) -> Iterator[Claim]:
    """Yield the claims of an answer, in order.

    Parameters:
        markers: all of its markers, in order.
    """
    chains = list(_find_chains(answer, markers))
    ends = _find_sentence_ends(answer, chains)
    position = 0
    sentence_start = 0
    for sentence_end in ends:
        inside = []
        while position < len(chains) and chains[position][0].start < sentence_end:
            inside.append(chains[position])
            position += 1
        numbers = frozenset(n for chain in inside for marker in chain for n in marker.numbers)
        before = sentence_start
        for at, chain in enumerate(inside):
            following = inside[at + 1][0].start if at + 1 < len(inside) else sentence_end
            start, end = chain[0].start, chain[-1].end
            head = _strip(answer, _cut_before(answer, before, start), start)
            tail = _strip(answer, end, _cut_behind(answer, end, following))
            yield Claim(chain, head, tail, numbers)
            before = end
        sentence_start = sentence_end


def find_sentence_end(text: str, start: int) -> int | None:
    """Return where the sentence at `start` ends, with the blanks behind it; None where its end is not there yet."""
    return next((match.end() for match in _find_ends(text, start)), None)


def has_ended(text: str, end: int) -> bool:
    """Return whether a sentence ends directly before `end`; after an abbreviation that cannot be told."""
    return ENDED.search(text, max(0, end - 8), end) is not None and not _is_abbreviation(text, end)


def _find_ends(text: str, start: int = 0) -> Iterator[re.Match[str]]:
    for match in SENTENCE_END.finditer(text, start):
        if match[0][0] != "." or not _is_abbreviation(text, match.end(), match.start()):
            yield match


def _is_abbreviation(text: str, end: int, start: int | None = None) -> bool:
    """Return whether the full stop before `end` belongs to a word; it stands at `start`, or not far from the end."""
    return _ABBREVIATION.search(text, max(0, (end if start is None else start) - 12), end) is not None


def _find_chains(answer: str, markers: Sequence[PlacedMarker]) -> Iterator[tuple[PlacedMarker, ...]]:
    chain: list[PlacedMarker] = []
    for marker in markers:
        if chain and not CHAIN_JOINT.fullmatch(answer, chain[-1].end, marker.start):
            yield tuple(chain)
            chain = []
        chain.append(marker)
    if chain:
        yield tuple(chain)


def _find_sentence_ends(answer: str, chains: Sequence[tuple[PlacedMarker, ...]]) -> list[int]:
    """Return where sentences end; markers behind a full stop belong to the sentence before it."""
    starts = {chain[0].start: chain[-1].end for chain in chains}
    ends = {len(answer)}
    for match in _find_ends(answer):
        end = match.end()
        if end in starts:
            chain_end = starts[end]
            # Also a line that holds nothing else.
            if match[0][0] != "\n" or (match[0] == "\n" and _LINE_END.match(answer, chain_end)):
                end = chain_end
        ends.add(end)
    for start, end in starts.items():
        if ENDED.search(answer, max(0, start - 8), start):
            ends.add(end)
    return sorted(ends)


def _cut_before(answer: str, start: int, end: int) -> int:
    """Return where the last MAX_CLAIM_CHARS begin; no word or figure is cut in two."""
    if end - start <= MAX_CLAIM_CHARS:
        return start
    blank = answer.find(" ", end - MAX_CLAIM_CHARS, end)
    return blank if blank >= 0 else end


def _cut_behind(answer: str, start: int, end: int) -> int:
    """Return where the first MAX_CLAIM_CHARS end."""
    if end - start <= MAX_CLAIM_CHARS:
        return max(start, end)
    return max(start, answer.rfind(" ", start, start + MAX_CLAIM_CHARS))


def _strip(answer: str, start: int, end: int) -> tuple[int, int]:
    text = answer[start:end]
    left = len(text) - len(text.lstrip(" \t\n,;.:)"))
    right = len(text.rstrip(" \t\n("))
    return (start + left, start + right) if left < right else (start, start)
