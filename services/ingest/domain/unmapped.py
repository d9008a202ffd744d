"""Tells text whose letters cannot be told: the fonts draw shapes, and do not say which characters these are."""

import re
from typing import Final

UNMAPPED_SHARE: Final = 0.5
"""Of the characters of a page. Of some 600 PDFs one had a page with more than 0.14, and that had nothing else."""
_UNMAPPED = re.compile("[\ufffd\ue000-\uf8ff\U000f0000-\U000ffffd\U00100000-\U0010fffd]")
"""The sign for a character that is not known, and those that mean something in one font alone."""
_PRINTED = re.compile(r"\S")


def is_unmapped(raw: str) -> bool:
    """Return whether most characters of a page, as it comes out of the PDF, stand for none."""
    unmapped = len(_UNMAPPED.findall(raw))
    return unmapped > 0 and unmapped > UNMAPPED_SHARE * len(_PRINTED.findall(raw))


def count_letters(text: str) -> int:
    """Return how many letters and digits there are."""
    return sum(map(str.isalnum, text))
