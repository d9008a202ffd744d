"""Finds what a person would call a document: by its metadata, else by its first page, else by its file's name.

Metadata are often written by programs: a number, a path, the name of the file that was printed. A title is taken from
them, or from the page, only when it reads like one.
"""

import re
from pathlib import PurePath

from services.ingest.domain.text import clean_text

MAX_CHARS = 200
MAX_HEADING_CHARS = 150
"""Two lines of large print; more is text."""
READ_CHARS = 1000
"""More of a title is not looked at: a hostile file may bring megabytes."""

_EXTENSION = re.compile(
    r"\.(docx?|docm|dotx?|odt|rtf|txt|md|wpd|wps|pages|pdf|ps|eps|prn|dvi|tex|html?|aspx?|php|xml|pptx?|pptm|odp|key|xlsx?"
    r"|xlsm|csv|indd|qxd|qxp|p65|pmd|pub|fm|ai|cdr|dwg|vsdx?|jpe?g|png|tiff?|bmp|gif|sdo|book)$",
    re.IGNORECASE,
)
_PROGRAM = re.compile(
    r"^\W*microsoft (office )?(word|powerpoint|excel|publisher|visio|project)\b[\s–-]*|^visio-", re.IGNORECASE
)
_ADDRESS = re.compile(r"^(\w:[\\/]|[\\/]|\w+://|about:|file:|www\.)|\\", re.IGNORECASE)
_IDENTIFIER = re.compile(r"^[{(]?[0-9a-f]{8}-?([0-9a-f]{4}-?){3}[0-9a-f]{12}[)}]?$|^[0-9a-f]{16,}$", re.IGNORECASE)
_MOJIBAKE = re.compile("\ufffd|þÿ|ÿþ|[ÃÂ][\u0080-\u00bf]|â€|([ÐÑ]\\S){3}|(\\\\\\d{3}){2}|\\?{3}")
_PLACEHOLDERS = frozenset(
    name.strip()
    for name in """
    untitled, unnamed, unknown, anonymous, no title, title, none, null, n a, blank, empty, new, test, output, print
    scan, scanned, scanned document, scanned image, cover, layout, slide, page, sheet, book, chapter, document, report
    presentation, file, image, form, template, draft, draft document, new document, print job, print preview
    untitled document, untitled presentation, full page photo, document title, the document title, title of document
    pdf, pdf document, word, word document, powerpoint, powerpoint presentation, power point presentation
    microsoft word, microsoft word document, microsoft excel, microsoft powerpoint, microsoft powerpoint presentation
    sans titre, sans nom, document sans titre, diapositive, présentation, présentation powerpoint
    unbenannt, ohne titel, dokument, folie, seite, präsentation, powerpoint präsentation
    sin título, documento, documento sin título, diapositiva, presentación, presentación de powerpoint
    sem título, senza titolo, apresentação do powerpoint, presentazione powerpoint, presentazione di powerpoint
    naamloos, bez tytułu, prezentacja programu powerpoint, без имени, без названия, документ, презентация powerpoint
    无标题, 未命名, 無題, 名称未設定, 文档, 幻灯片, 제목 없음, powerpoint プレゼンテーション, powerpoint 演示文稿
    for immediate release, press release, news release, media release, confidential, strictly confidential
    private and confidential, internal, internal use only, for internal use only, proprietary
    contents, table of contents, index, inhalt, inhaltsverzeichnis, table des matières, índice, 目录, 目次
    exhibit, appendix, annex, copyright
    """.replace("\n", ",").split(",")
)
"""What programs write where nobody gave a title, in the languages that they speak, and what stands at the top of any
document. In the form that `_make_key` makes."""
_FILING_COVER = re.compile(
    r"(united states( of america)? ?)?((u s )?securities and exchange commission ?)?(washington d c( \d+)? ?)?"
    r"(form \w{1,4}( \w{1,3}){0,2})?"
)
"""Of the Securities and Exchange Commission: the same on every filing. In the form that `_make_key` makes."""
_COMPANY = re.compile(
    r"(\S*[^\W\d_]\S* |& ){0,4}\S+ (inc|incorporated|ltd|limited|llc|llp|plc|corp|corporation|company|co|gmbh|ag|kg"
    r"|s\.?a|n\.?v|b\.?v|ab|asa|oyj?)\.?",
    re.IGNORECASE,
)
"""A company's name alone says whose document it is, not which."""
_PAGE_NUMBER = re.compile(r"[\s|·–-]*\b(page|seite|p\.)\s*\d+(\s*(of|/|von)\s*\d+)?$", re.IGNORECASE)
_RULE = re.compile(r"[_=*·•|-]{3,}")
_COPY = re.compile(r"\s*(\(\d+\)|- copy|- kopie)$", re.IGNORECASE)
_WORD = re.compile(r"[^\W\d_]+")
_ENDS_LIKE_PROSE = re.compile(r"[.,;:]$")


def choose_title(metadata: str | None, headline: str, first_line: str, filename: str) -> str:
    """Return what a person would call the document.

    Parameters:
        metadata: the title that the PDF says it has, if any.
        headline: the largest print of the first page, empty where nothing stands out.
        first_line: the first line of text.
        filename: of the upload.
    """
    title = tidy(metadata or "")
    if reads_like_title(title):
        return _shorten(title)
    heading = tidy(headline or first_line)
    if reads_like_title(heading) and _reads_like_heading(heading):
        return heading
    return read_filename(filename)


def tidy(raw: str) -> str:
    """Return one line without rules, page numbers, and what a printing program wrote before the title."""
    text = _RULE.sub(" ", clean_text(raw[:READ_CHARS]).replace("\n", " "))
    text = _PAGE_NUMBER.sub("", " ".join(text.split()))
    printed = _PROGRAM.sub("", text)
    if printed != text:  # the name of a file; with words in it, a title all the same
        text = printed.rstrip(")")
        without = _EXTENSION.sub("", text)
        text = without if " " in without else text
    return text.strip(" \"'“”„«»_|·•▪●◦–-")


def reads_like_title(text: str) -> bool:
    """Return whether a person may have written this as a title."""
    if _MOJIBAKE.search(text) or _ADDRESS.search(text) or _IDENTIFIER.match(text) or _EXTENSION.search(text):
        return False
    key = _make_key(text)
    if key in _PLACEHOLDERS or _FILING_COVER.fullmatch(key) or _COMPANY.fullmatch(text):
        return False
    words = _WORD.findall(text)
    letters = sum(map(len, words))
    if not text.isascii() and letters >= 2 and not any(word.isascii() for word in words):
        return True  # two signs are a word in some scripts
    if max(map(len, words), default=0) < 3 or letters < 0.3 * len(text.replace(" ", "")):
        return False
    return " " in text or _reads_like_word(text)


def read_filename(filename: str) -> str:
    """Return a file's name without its extension, its words parted by spaces."""
    stem = _EXTENSION.sub("", filename.strip()) or filename
    name = PurePath(stem).name.replace("%20", " ").replace("+", " ").replace("_", " ")
    if " " not in stem:
        name = re.sub(r"(?<=[^\W\d_]{2})-(?=\w)", " ", name)
    name = _COPY.sub("", " ".join(name.split()))
    return _shorten(clean_text(name) or filename)


def _reads_like_heading(line: str) -> bool:
    """It is short, begins with no small letter and is no sentence."""
    return len(line) <= MAX_HEADING_CHARS and not line[0].islower() and not _ENDS_LIKE_PROSE.search(line)


def _make_key(text: str) -> str:
    """The words in small letters, without punctuation and without a number at the end."""
    words = re.sub(r"[\W_]+", " ", text).strip().casefold()
    return re.sub(r"(^| )\d+$", "", words)


def _reads_like_word(text: str) -> bool:
    """A single word may be a title (Handbook); a code, or what a program calls its job (main, ADBE, x_2), is none."""
    return text.isalpha() and len(text) >= 4 and not text.islower() and (not text.isupper() or len(text) > 6)


def _shorten(text: str) -> str:
    return text if len(text) <= MAX_CHARS else text[:MAX_CHARS].rsplit(" ", 1)[0]
