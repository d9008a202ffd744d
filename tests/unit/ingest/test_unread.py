"""What the owner of a document hears about pages that could not be read, or not well."""

import pytest

from services.ingest.domain.pages import Page, Recognition
from services.ingest.domain.unread import (
    NO_TEXT,
    OCR_BUDGET,
    OCR_EMPTY,
    OCR_FAILED,
    UNMAPPED,
    Unread,
    explain_no_text,
    make_warnings,
)


def test_each_page_is_warned_of_for_what_befell_it() -> None:
    """And only then; the message says what to do, and the pages are named."""
    pages = [
        Page(1, "text"),
        Page(2, ""),
        Page(3, ""),
        Page(4, ""),
        Page(5, "own text, and a picture"),
        Page(6, ""),
        Page(7, "read well", recognition=Recognition(0, 9, 0.93)),
        Page(8, "reod bodly", recognition=Recognition(0, 10, 0.6)),
        Page(9, ""),
    ]
    warnings = make_warnings(pages, {UNMAPPED: [9], OCR_EMPTY: [3], OCR_BUDGET: [4, 5], OCR_FAILED: [6]})

    assert [(warning.code, warning.pages) for warning in warnings] == [
        ("pages_without_text", [2]),
        ("pages_without_text", [9]),
        ("pages_without_text", [3]),
        ("ocr_budget", [4, 5]),
        ("ocr_failed", [6]),
        ("poor_ocr", [8]),
    ]
    assert "PAGEWIRE_OCR" in warnings[0].detail
    assert "PAGEWIRE_OCR_DOCUMENT_S" in warnings[3].detail
    assert make_warnings([Page(1, "text")], {}) == []


@pytest.mark.parametrize(
    ("unread", "code", "said"),
    [
        pytest.param({NO_TEXT: [1, 2]}, "no_text", "PAGEWIRE_OCR", id="nobody tried"),
        pytest.param({UNMAPPED: [1, 2]}, "no_text", "fonts", id="letters that are none"),
        pytest.param({OCR_EMPTY: [1, 2]}, "no_text", "found none", id="nothing to read"),
        pytest.param({OCR_EMPTY: [1], OCR_BUDGET: [2]}, "too_costly", "Split", id="one cost too much"),
        pytest.param({OCR_EMPTY: [1], OCR_FAILED: [2]}, "no_text", "failed", id="one failed"),
    ],
)
def test_a_document_without_text_hears_what_can_be_done(unread: Unread, code: str, said: str) -> None:
    """About the page that is easiest to help."""
    failure = explain_no_text(unread)

    assert failure.code == code
    assert said in failure.detail
