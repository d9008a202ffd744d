"""Reads the name of a form part's file in any spelling, and makes it one that can be shown and stored."""

import re
from pathlib import PurePosixPath, PureWindowsPath
from urllib.parse import unquote_to_bytes

from multipart import MultipartSegment

from shared.invisible_text import strip_invisible

MAX_FILENAME_CHARS = 200

# RFC 5987; forbidden in forms, and some clients send nothing else.
_EXTENDED = re.compile(r"""filename\*\s*=\s*"?(utf-8|iso-8859-1)'[^']*'([^\s";]*)""", re.IGNORECASE)


def read_filename(part: MultipartSegment) -> str | None:
    """Return the file's name; None for a part that is no file, which has not even an empty name.

    The part's headers are expected as Latin-1, whatever they are in: then no byte of them can be wrong.
    """
    if not part.filename and (extended := _EXTENDED.search(part["Content-Disposition"])):
        charset, encoded = extended.groups()
        return unquote_to_bytes(encoded).decode(charset, errors="replace")
    return None if part.filename is None else part.filename.encode("latin-1").decode(errors="replace")


def clean_filename(given: str) -> str:
    """Return the last part of a path, printable and not too long; `document.pdf` when nothing is left."""
    name = PureWindowsPath(PurePosixPath(given).name).name
    printable = strip_invisible(name).translate({ord("\t"): None, ord("\n"): None}).strip()
    if len(printable) > MAX_FILENAME_CHARS:
        printable = printable[: MAX_FILENAME_CHARS - 4] + printable[-4:]
    return printable or "document.pdf"
