"""Says which characters nobody can see, for all services.

They can hide instructions from the person who reads a document, but not from a model, and can make a name or a tag look
like another.
"""

import re
import unicodedata

_ASCII_INVISIBLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_LINE_BREAKS = re.compile("\r\n|[\r\x0b\x0c\x85\u2028\u2029]")
# Control, format (zero-width, bidi, tags), half surrogate pairs, private use (no glyph without the font of the PDF),
# unassigned.
_INVISIBLE_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Co", "Cn"})
# Of a format category, but printed: signs that stand with Arabic, Syriac and Kaithi figures.
_PRINTED = re.compile("[\u0600-\u0605\u06dd\u070f\u0890\u0891\u08e2\U000110bd\U000110cd]")
# Of other categories, but not seen: joiners, fillers, the blank of braille, variation selectors.
_BLANK = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\uffa0\ufe00-\ufe0f\U000e0100-\U000e01ef]")

# Some invisible characters spell what is seen, and stay just there: the joiners of Persian, Hindi and their like, and
# what makes one emoji of several or tells an emoji from a letter-like sign.
_SPELLING = "\u200c\u200d\ufe0e\ufe0f"
_JOINED_SCRIPTS = "\u0620-\u0dff\u1000-\u109f\u1780-\u18af\U00011000-\U00011fff\U0001e900-\U0001e95f"
_EMOJI = (
    "\u00a9\u00ae\u203c\u2049\u2122\u2139\u2190-\u21ff\u2300-\u2328\u232b-\u27bf\u2900-\u297f\u2b00-\u2bff"
    "\u3030\u303d\u3297\u3299\U0001f000-\U0001faff"
)
# What stands before is looked at last, because looking back from each character takes long.
_IDLE_SELECTOR = re.compile(
    f"[\ufe0e\ufe0f](?:(?!\u20e3)(?<![{_EMOJI}].)|(?=\u20e3)(?<![0-9#*{_EMOJI}].))",
)
_IDLE_JOINER = re.compile(
    f"\u200c(?<![{_JOINED_SCRIPTS}].)"
    f"|\u200d(?:(?<![{_JOINED_SCRIPTS}{_EMOJI}\ufe0f].)|(?<=[{_EMOJI}\ufe0f].)(?![{_EMOJI}]))"
)


def strip_invisible(text: str) -> str:
    """Return the text without the characters that nobody can see; line breaks become `\\n`, tabs stay.

    Dropped are control, zero-width, bidi, tag, filler, private-use and unassigned characters and half surrogate pairs.
    A joiner between letters whose script is spelled with it, and a selector or joiner within an emoji, stay. Stripping
    twice changes nothing more.
    """
    if text.isascii() and not _ASCII_INVISIBLE.search(text):
        return text  # nearly all texts, and a look at each kind of character takes ten times as long
    text = _LINE_BREAKS.sub("\n", text)
    invisible = {char for char in set(text) if _is_invisible(char)}
    if not invisible:
        return text
    if dropped := invisible.difference(_SPELLING):
        text = re.sub(f"[{re.escape(''.join(dropped))}]", "", text)
    if invisible.isdisjoint(_SPELLING):
        return text
    return _IDLE_JOINER.sub("", _IDLE_SELECTOR.sub("", text))


def _is_invisible(char: str) -> bool:
    if char in "\n\t" or _PRINTED.match(char):
        return False
    return unicodedata.category(char) in _INVISIBLE_CATEGORIES or _BLANK.match(char) is not None
