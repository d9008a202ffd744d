"""Parts what is written without spaces between words, so that a word in it can be looked for.

The BM25 encoder takes for a word what stands between spaces and signs. In Chinese, Japanese and Thai that is a whole
clause, and in Korean a word with its particles: a question would have to repeat it letter by letter. So each such run
becomes the groups of neighbouring characters in it, two of each script but three of Thai's letters. No dictionary is
needed, and whoever asks for a word asks for its groups. Digits of all scripts become those of Europe. Text of other
scripts is left as it is.
"""

import re
import unicodedata
from collections.abc import Iterator
from functools import partial

_HAN = "\u3005\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003fffd"
_SYLLABLES = "\u3041-\u3096\u309d-\u309f\u30a1-\u30fa\u30fc-\u30ff\u3105-\u312f\u31a0-\u31bf\u31f0-\u31ff\uac00-\ud7a3"
"""Kana, Bopomofo and Hangul."""
_THAI = "\u0e01-\u0e3a\u0e40-\u0e46"
_LAO = "\u0e81-\u0eb9\u0ebb-\u0ebd\u0ec0-\u0ec6\u0edc-\u0edf"
_MARKS = re.compile("[\u0e47-\u0e4e\u0eba\u0ec8-\u0ece]")
"""Tones and other small signs of Thai and Lao. The encoder would end a word at each."""
_FORMS = re.compile("[\u2e80-\u2fdf\u3200-\u33ff\uff00-\uffef]+")
"""Other forms of the same characters: radicals, as PDFs often have them, squared words, narrow and wide letters."""
_DIGITS = re.compile(r"[^\D0-9]")
"""Of other scripts: a figure of an Arabic page is asked for in Arabic digits or in European ones."""

_GROUPS = (
    (re.compile(f"[{_HAN}{_SYLLABLES}]+(?:\n[{_HAN}{_SYLLABLES}]+)*"), 2),
    (re.compile(f"[{_THAI}{_LAO}]+(?:\n[{_THAI}{_LAO}]+)*"), 3),
)
"""A run, which goes on in the next line, and how many characters of it are a group."""
_SINGLE = re.compile(f"[{_HAN}]")
_CONCERNED = re.compile(f"[{_HAN}{_SYLLABLES}{_THAI}{_LAO}]|{_FORMS.pattern}|{_DIGITS.pattern}")


def part_passage(text: str) -> str:
    """Return the text with spaces around each group, and around each Chinese character: one alone may be a word."""
    return _part(text, singles=True)


def part_query(text: str) -> str:
    """Return the question with spaces around each group, and behind it the question as it was.

    So passages that were encoded before there were groups are found by what they have in common with it.
    """
    parted = _part(text, singles=False)
    return text if parted == text else f"{parted} {text}"


def _part(text: str, *, singles: bool) -> str:
    if text.isascii() or not _CONCERNED.search(text):
        return text
    text = _MARKS.sub("", _FORMS.sub(lambda match: unicodedata.normalize("NFKC", match[0]), text))
    text = _DIGITS.sub(lambda match: str(unicodedata.decimal(match[0])), text)
    for run, size in _GROUPS:
        text = run.sub(partial(_write_groups, size, singles), text)
    return text


def _write_groups(size: int, singles: bool, run: re.Match[str]) -> str:
    return f" {' '.join(_list_groups(run[0], size, singles))} "


def _list_groups(run: str, size: int, singles: bool) -> Iterator[str]:
    run = run.replace("\n", "")
    if len(run) <= size:
        yield run
    else:
        yield from (run[first : first + size] for first in range(len(run) - size + 1))
    if singles and len(run) > 1:
        yield from _SINGLE.findall(run)
