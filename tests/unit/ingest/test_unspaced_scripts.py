"""A PDF in Chinese or Japanese, in fonts that it only names, is read, and BM25 alone finds its passages."""

import io
from collections.abc import Sequence
from pathlib import Path

import pytest
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.cidfonts import UnicodeCIDFont
from reportlab.pdfgen.canvas import Canvas

from shared.embedding.sparse import Bm25Encoder
from tests.unit.ingest.test_pdf_process import parse

CHINESE = (
    ("起重机在十米处最多可吊起四十吨。", "每次使用前请检查制动器。"),
    ("电池充满电后可使用十二小", "时,冬季使用时间较短。"),
    ("保修期为两年,自购买之日起计算。",),
)
JAPANESE = (
    ("クレーンは最大四十トンを吊り上げます。",),
    ("バッテリーは満充電で十二時間使えま", "す。冬は短くなります。"),
    ("保証期間は購入日から二年です。",),
)


def print_pages(font: str, pages: Sequence[Sequence[str]]) -> bytes:
    pdfmetrics.registerFont(UnicodeCIDFont(font))
    buffer = io.BytesIO()
    canvas = Canvas(buffer)
    for lines in pages:
        canvas.setFont(font, 12)
        for number, line in enumerate(lines):
            canvas.drawString(50, 750 - 18 * number, line)
        canvas.showPage()
    canvas.save()
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("font", "pages", "questions"),
    [
        ("STSong-Light", CHINESE, ["起重机能吊多少吨?", "充电后能用多少小时", "保修多久?"]),
        ("HeiseiMin-W3", JAPANESE, ["クレーンの最大荷重", "バッテリーは冬に何時間使えますか", "保証は何年"]),
    ],
)
async def test_a_question_finds_its_page(
    font: str, pages: Sequence[Sequence[str]], questions: Sequence[str], tmp_path: Path
) -> None:
    """Each question another one; a word that a line's end parts is found as well."""
    read = await parse(print_pages(font, pages), tmp_path)
    texts = [page.text for page in read.read_pages()]
    assert [text.splitlines() for text in texts] == [list(lines) for lines in pages]

    bm25 = Bm25Encoder()
    weights = [dict(zip(v.indices, v.values, strict=True)) for v in bm25.encode_passages(texts)]
    for number, question in enumerate(questions):
        terms = bm25.encode_query(question).indices
        scores = [sum(page.get(term, 0.0) for term in terms) for page in weights]
        assert max(range(len(texts)), key=scores.__getitem__) == number
        assert scores[number] > 0
