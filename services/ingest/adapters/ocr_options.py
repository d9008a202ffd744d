"""What text recognition (OCR) works with: found by the worker at its start, given to each process that reads a PDF."""

from dataclasses import dataclass

WALL_PER_CPU = 8
"""Seconds that may go by for one of CPU: what reads pages stands back behind all else."""


@dataclass(frozen=True)
class OcrOptions:
    """The engine, and what it may cost.

    Attributes:
        program: tesseract.
        tessdata: the folder of its languages; None: where it looks by itself.
        languages: their codes, joined by `+`.
        dpi: of the pictures that pages are turned into.
        page_s: CPU seconds for one look at a page, and as many for making a picture of it.
        document_s: CPU seconds for all pages of a PDF.
        pictures: whether pictures on pages that have text of their own are read, too.
    """

    program: str
    tessdata: str | None
    languages: str
    dpi: int
    page_s: int
    document_s: int
    pictures: bool

    @property
    def wall_s(self) -> int:
        """The most seconds that reading pictures of one PDF takes, on a machine that is busy otherwise."""
        return WALL_PER_CPU * (self.document_s + 2 * self.page_s)

    @property
    def reading(self) -> str:
        """What tells apart what is read with other options from the same PDF: a part of a name."""
        return f"ocr-{self.languages.replace('+', '.')}-{self.dpi}" + ("-pictures" if self.pictures else "")


def make_command(program: str, tessdata: str | None, *arguments: str) -> list[str]:
    """Return tesseract's command line."""
    return [program, *arguments, *(["--tessdata-dir", tessdata] if tessdata else [])]
