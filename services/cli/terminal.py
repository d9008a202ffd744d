"""What the command shows: results on stdout, problems on stderr, so that output can be piped.

Everything that came over the wire is cleaned of control characters first: a title must not drive the terminal.
"""

import sys
import unicodedata

from shared.invisible_text import strip_invisible


def clean_text(text: str) -> str:
    """Return a piece of a stream without what could steer a terminal or turn its direction; line ends and tabs stay.

    Joiners stay, because the letters that they join may be in two pieces.
    """
    return "".join(c for c in text if c in "\n\t" or not is_control(c))


def is_control(char: str) -> bool:
    """Whether it is a control character, a bidirectional override or isolate, or half a surrogate pair."""
    return unicodedata.category(char) in {"Cc", "Cs"} or "\u202a" <= char <= "\u202e" or "\u2066" <= char <= "\u2069"


def clean_line(text: str) -> str:
    """Return a whole text on one line, without anything invisible."""
    return " ".join(strip_invisible(text).split())


def say(text: str) -> None:
    """One line on stdout."""
    print(text, flush=True)


def complain(message: str) -> None:
    """One line on stderr."""
    print(f"pagewire: {clean_line(message)}", file=sys.stderr, flush=True)
