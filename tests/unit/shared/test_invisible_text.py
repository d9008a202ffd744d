"""What nobody can see goes, and what spells a word or an emoji stays."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.invisible_text import strip_invisible

SPELLING = "\u200c\u200d\ufe0e\ufe0f"
LETTERS = "ab1#\n\t\r\u2028\u20e3\u200b\U000e0041\u06cc\u0939\u094d❤👩🏽💻\ue000"
ODD_TEXTS = st.text(st.sampled_from(LETTERS + SPELLING))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a\u200bb\u2060c\ufeffd\u00ade", "abcde"),
        ("abc\u202egnp.exe\u2066\u200f", "abcgnp.exe"),
        ("hi\U000e0049\U000e0067\U000e007f", "hi"),
        ("a\x00b\x1b[31mc\x07", "ab[31mc"),
        ("one\r\ntwo\rthree\u2028four\u0085five\x0csix", "one\ntwo\nthree\nfour\nfive\nsix"),
        ("\ttab\n\nline", "\ttab\n\nline"),
        ("Kraków naïve 日本 ✓ € \u06dd", "Kraków naïve 日本 ✓ € \u06dd"),
        ("x\ufe0f\U000e0101\u3164\u2800\u115f\u034fy", "xy"),
        ("\ue000\U000f0000\ufffe\uffff\U0003ffff\ud800.", "."),
        ("p\u200da\u200cs\u200ds", "pass"),
    ],
)
def test_invisible_characters_go(text: str, expected: str) -> None:
    """What a reader of the page cannot see, nobody else reads."""
    assert strip_invisible(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "می\u200cخواهم",  # Persian: without the joiner it is misspelt
        "क्\u200dष क्\u200cष",  # Hindi: half forms
        "ශ්\u200dරී",  # Sinhala
        "👩🏽\u200d💻 👨\u200d👩\u200d👧 ❤\ufe0f ❤\ufe0f\u200d🔥 1\ufe0f\u20e3 ☎\ufe0e",
    ],
)
def test_words_and_emoji_stay_whole(text: str) -> None:
    """Some scripts are spelled with joiners, and one emoji can be several characters."""
    assert strip_invisible(text) == text


def test_a_spelling_character_stays_once() -> None:
    """A row of joiners could hide a message."""
    assert strip_invisible("می\u200c\u200d\u200c\u200cخ") == "می\u200cخ"
    assert strip_invisible("❤\ufe0f\ufe0e\ufe0f\u200d\u200d") == "❤\ufe0f"
    assert strip_invisible("👩\u200dx") == "👩x"


def is_seen(char: str) -> bool:
    return char != "\n" and strip_invisible(char) == char


@given(st.text() | ODD_TEXTS)
def test_nothing_invisible_is_left(text: str) -> None:
    """Any text ends without them, in one go, and can be sent as UTF-8."""
    stripped = strip_invisible(text)
    assert strip_invisible(stripped) == stripped
    stripped.encode()
    assert {unicodedata.category(char) for char in stripped if char not in "\n\t"}.isdisjoint({"Cc", "Cs", "Co", "Cn"})
    assert list(filter(is_seen, stripped)) == list(filter(is_seen, text))
