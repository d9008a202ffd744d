"""Reads what a part of a form says about itself: its field, and the name of its file in any spelling."""

import re
from pathlib import PurePosixPath, PureWindowsPath
from urllib.parse import unquote_to_bytes

from python_multipart.multipart import parse_options_header

from shared.invisible_text import strip_invisible

MAX_FILENAME_CHARS = 200

# RFC 5987; forbidden in forms, and some clients send nothing else.
_EXTENDED = re.compile(r"""filename\*\s*=\s*"?(utf-8|iso-8859-1)'[^']*'([^\s";]*)""", re.IGNORECASE)
# What browsers and httpx write in place of the three characters that would end a quoted name (WHATWG HTML).
_ESCAPED = {"%22": '"', "%0D": "\r", "%0A": "\n", "%0d": "\r", "%0a": "\n"}


def read_disposition(value: bytes) -> tuple[str, str | None]:
    """Field and file name of a Content-Disposition; a part that is no file has no file name, not even an empty one."""
    _, options = parse_options_header(value)
    field = options.get(b"name", b"").decode(errors="replace")
    plain = options.get(b"filename")
    if not plain and (extended := _EXTENDED.search(value.decode("latin-1"))):
        charset, encoded = extended.groups()
        return field, unquote_to_bytes(encoded).decode(charset, errors="replace")
    if plain is None:
        return field, None
    name = plain.decode(errors="replace")
    for escaped, char in _ESCAPED.items():
        name = name.replace(escaped, char)
    return field, name


def clean_filename(given: str) -> str:
    """The last part of a path, printable and not too long; `document.pdf` when nothing is left."""
    name = PureWindowsPath(PurePosixPath(given).name).name
    printable = strip_invisible(name).translate({ord("\t"): None, ord("\n"): None}).strip()
    if len(printable) > MAX_FILENAME_CHARS:
        printable = printable[: MAX_FILENAME_CHARS - 4] + printable[-4:]
    return printable or "document.pdf"
