"""Reads questions as pages are read, so that their words meet."""

import unicodedata

from shared.invisible_text import strip_invisible

_WIDE = {wide: wide - 0xFEE0 for wide in range(0xFF01, 0xFF5F)} | {0x3000: 0x20}
"""Letters, digits and signs of ASCII that are as wide as Chinese ones, as they are typed there."""


def clean_question(question: str) -> str:
    """Return the question without characters that nobody can see, and with letters and their accents in one.

    Who copies from a page or the name of a file copies soft hyphens, spaces without width, and accents apart from their
    letters; the text of pages has none of these. Wide letters become narrow ones, which the model knows.
    """
    return unicodedata.normalize("NFC", strip_invisible(question)).translate(_WIDE)
