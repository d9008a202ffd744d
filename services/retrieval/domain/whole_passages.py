"""Makes of ranked passages what a reader should see: neighbours joined, and nothing twice."""

from collections.abc import Iterable

from shared.contracts.search import Passage

_WHITE_SPACE = 2
"""Most characters between neighbours: the ends of a line and of a blank one. Where there are more, a line that is in no
passage stands there, such as a running head."""
MAX_CHARS = 4000
"""Of a joined passage. A page of print has less; one that is a whole website could fill a prompt alone."""


def join_passages(ranked: Iterable[Passage], count: int) -> list[Passage]:
    """Return the best `count` passages, best first.

    A passage that touches one that is already there, on the same page, lengthens it, up to MAX_CHARS; of those of equal
    text the best stays. So what was found beside or again takes no place from what was not seen yet. A joined passage
    has the scores and the `chunk_id` of its best part. No more of `ranked` is read than that takes.
    """
    kept: list[Passage] = []
    texts: set[str] = set()
    for passage in ranked:
        if (text := _normalise(passage)) in texts:
            continue
        touched = [other for other in kept if _touch(passage, other)]
        if not touched and len(kept) == count:
            break
        texts.add(text)
        place = kept.index(touched[0]) if touched else len(kept)
        for other in reversed(touched):  # two, where it closes the gap between them; the better one is first
            kept.remove(other)
            passage = _join(passage, other)
        kept.insert(place, passage)
    return kept


def _normalise(passage: Passage) -> str:
    return " ".join(f"{passage.table_head} {passage.text}".split())


def _touch(one: Passage, other: Passage) -> bool:
    """Return whether two passages are of one page and overlap, or have nothing but white space between them."""
    if (one.document_id, one.page) != (other.document_id, other.page):
        return False
    if max(one.end, other.end) - min(one.start, other.start) > MAX_CHARS:
        return False
    return max(one.start, other.start) <= min(one.end, other.end) + _WHITE_SPACE


def _join(worse: Passage, better: Passage) -> Passage:
    first, second = sorted((worse, better), key=lambda passage: (passage.start, -passage.end))
    gap = "\n" * (second.start - first.end)
    rest = second.text[max(first.end - second.start, 0) :] if second.end > first.end else ""
    read = [passage.ocr_confidence for passage in (first, second) if passage.ocr_confidence is not None]
    return better.model_copy(
        update={
            "start": first.start,
            "end": max(first.end, second.end),
            "text": f"{first.text}{gap}{rest}",
            "table_head": first.table_head,
            "ocr_confidence": min(read, default=None),
        }
    )
