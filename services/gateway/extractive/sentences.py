"""Cuts running text into sentences."""

import re

_SENTENCE_END = re.compile(r"[.!?…][\"'”’)\]]*\s+(?=[\"'“‘(\[]*[^\W_a-z])")
_ABBREVIATION = re.compile(
    r"^\(?\d{1,2}[.)]\s+$|(?:^|[\s(\[])(?:[^\W\d_]|Dr|Mr|Mrs|Ms|Prof|St|Str|vs|etc|approx|ca|cf|e\.g|i\.e|Ed|Inc|Ltd|Co"
    r"|Corp|Jr|Sr|tel|ext|max|min|incl|excl|Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sep|Sept|Oct|Nov|Dec)\.\s+$",
    re.IGNORECASE,
)
# These abbreviate before a number only: "No. 5", but "No. It is not."
_NUMBERED = re.compile(r"(?:^|[\s(\[])(?:No|Nos|Nr|Fig|Figs|Tab|Vol|Art|pp?)\.\s+$", re.IGNORECASE)


def split_sentences(text: str) -> list[str]:
    """The sentences of running text; a full stop after an abbreviation or initial ends none."""
    sentences: list[str] = []
    start = 0
    for end in _SENTENCE_END.finditer(text):
        before, after = text[max(start, end.end() - 12) : end.end()], text[end.end()]
        if _ABBREVIATION.search(before) or (after.isdigit() and _NUMBERED.search(before)):
            continue
        sentences.append(text[start : end.end()].strip())
        start = end.end()
    sentences.append(text[start:].strip())
    return [sentence for sentence in sentences if sentence]
