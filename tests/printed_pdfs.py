"""PDFs whose characters stand where a test wants them, in any script and any order, without a font file."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

SIZE = 10
ADVANCE = 6.0
"""Points from one character to the next: each is as wide in Courier."""


class Print(NamedTuple):
    """Characters that the content stream prints one after the other, from a place in points from the lower left."""

    left: float
    bottom: float
    chars: Sequence[str]
    backwards: bool = False
    """Each is printed left of the one before."""


def print_pdf(prints: Sequence[Print], *, width: int = 600, height: int = 800) -> bytes:
    """A page with these prints, in this order. An entry of `chars` may stand for several letters, as ligatures do."""
    chars = sorted({char for piece in prints for char in piece.chars})
    codes = {char: f"{number:02X}" for number, char in enumerate(chars, start=33)}
    stream = " ".join(
        f"1 0 0 1 {piece.left} {piece.bottom} Tm "
        f"[{(' 1200 ' if piece.backwards else ' ').join(f'<{codes[char]}>' for char in piece.chars)}] TJ"
        for piece in prints
    )
    return _assemble(f"BT /F {SIZE} Tf {stream} ET", {codes[char]: char for char in chars}, width, height)


def print_unmapped_pdf(lines: Sequence[str], *, to: Callable[[str], str]) -> bytes:
    """A page on which these lines stand in Courier, for who looks at it; its font says that each character is another.

    Parameters:
        to: what the font says of a character.
    """
    shown = "".join(f"1 0 0 1 50 {740 - 20 * n} Tm <{line.encode('ascii').hex()}> Tj " for n, line in enumerate(lines))
    codes = {f"{ord(char):02X}": to(char) for char in {*"".join(lines)} - {" "}}
    return _assemble(f"BT /F 12 Tf {shown} ET", {**codes, "20": " "}, 600, 800)


def _assemble(stream: str, meanings: Mapping[str, str], width: int, height: int) -> bytes:
    """A page with this content, whose font says what its codes mean."""
    entries = "".join(f"<{code}> <{char.encode('utf-16-be').hex()}> " for code, char in meanings.items())
    entries = f"{len(meanings)} beginbfchar {entries} endbfchar"
    cmap = f"begincmap 1 begincodespacerange <00> <FF> endcodespacerange {entries} endcmap"
    objects = (
        "<</Type/Catalog/Pages 2 0 R>>",
        "<</Type/Pages/Kids[3 0 R]/Count 1>>",
        f"<</Type/Page/Parent 2 0 R/MediaBox[0 0 {width} {height}]/Resources<</Font<</F 5 0 R>>>>/Contents 4 0 R>>",
        f"<</Length {len(stream)}>>stream\n{stream}\nendstream",
        "<</Type/Font/Subtype/Type1/BaseFont/Courier/ToUnicode 6 0 R>>",
        f"<</Length {len(cmap)}>>stream\n{cmap}\nendstream",
    )
    body = "".join(f"{number} 0 obj{content} endobj\n" for number, content in enumerate(objects, start=1))
    return f"%PDF-1.4\n{body}trailer<</Root 1 0 R/Size 7>>\n%%EOF\n".encode()
