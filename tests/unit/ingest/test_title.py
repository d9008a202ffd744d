"""A title is what a person would call the document, never what a program wrote."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ingest.domain.title import MAX_CHARS, choose_title, read_filename

WRITTEN_BY_PROGRAMS = [
    "",
    " ",
    "a",
    "---",
    "2019",
    "12/31/2019",
    "0000320187-19-000051",
    "0001018724-18-000005",
    "d123456dex991.htm",
    "tm2112345d1_10k",
    "6f9a4a52-5d0c-4c5e-9a0e-6c1f1b7f4d11",
    "{6F9A4A52-5D0C-4C5E-9A0E-6C1F1B7F4D11}",
    "6f9a4a525d0c4c5e9a0e6c1f1b7f4d11",
    "untitled",
    "Untitled-1",
    "Untitled Document",
    "(anonymous)",
    "Document",
    "Document1",
    "Document 12",
    "Slide 1",
    "Page 1",
    "Layout 1",
    "Book1",
    "PowerPoint Presentation",
    "Microsoft PowerPoint - Presentation1",
    "Présentation PowerPoint",
    "PowerPoint-Präsentation",
    "Presentación de PowerPoint",
    "Презентация PowerPoint",
    "Unbenannt",
    "Sans titre",
    "Документ",
    "無題",
    "PowerPoint プレゼンテーション",
    "Microsoft Word - x.doc",
    "Microsoft Word - calistoMT.doc",
    "Microsoft Word - 10_0042_final.docx",
    "Microsoft Excel - Book1.xls",
    "(Microsoft Word - x.doc)",
    "C:\\Users\\ann\\Desktop\\report final.doc",
    "\\\\server\\share\\Annual Report.doc",
    "/home/ann/thesis/main.dvi",
    "file:///C|/temp/report.html",
    "https://www.example.com/annual-report",
    "about:blank",
    "annual report 2019 final.docx",
    "Layout.indd",
    "BERGTALB.SDO",
    "Pattyp2.ps",
    "main",
    "thesis",
    "arxiv_v2",
    "colorspace_sin",
    "ADBE10K22",
    "ADBE",
    "RPT-0042",
    "UNITED STATES",
    "UNITED STATES SECURITIES AND EXCHANGE COMMISSION",
    "UNITED STATES SECURITIES AND EXCHANGE COMMISSION Washington, D.C. 20549 FORM 10-K",
    "FORM 10-Q",
    "FOR IMMEDIATE RELEASE",
    "Table of Contents",
    "Verizon Communications Inc.",
    "Foot Locker, Inc.",
    "Siemens AG",
    "þÿ\x00R\x00e\x00p\x00o\x00r\x00t",
    "\\376\\377\\000R\\000e\\000p\\000o\\000r\\000t",
    "JahresabschluÃ\x9f und Lagebericht Ã¼ber 2019",
    "ÐŸÑ€Ð¸Ð²ÐµÑ‚ Ð¼Ð¸Ñ€",
    "??????? ????? 2019",
    "Rapport annuel d\ufffdtaill\ufffd",
]

WRITTEN_BY_PEOPLE = [
    "Student Guide 2026/27",
    "Handbook",
    "HANDBOOK",
    "10-K - 02/07/2019 - 3M Company",
    "Form 8-K for Foot Locker INC filed 05/19/2022",
    "ADBE 10-K FY22",
    "Q1 2023 8-K - Exhibit 99.1",
    "Amcor 4Q 2023 Exhibit 99.1 - June 30, 2023",
    "Block Ciphers: Fast Implementations on x86-64 Architecture",
    "Ladlewick Kitchens — Operations & Customer Handbook",
    "What is a document?",
    "Untitled Goose Game: a review",
    "Microsoft Corporation annual report 2019",
    "The United States Securities and Exchange Commission in 2019",
    "How we made Acme Inc. profitable",
    "TCP/IP Illustrated",
    "Jahresabschluss und Lagebericht über 2019",
    "Relatório de Gestão",
    "Годовой отчёт 2019",
    "浅谈校长的魅力",
    "年報",
    "דוח שנתי",
    "تقرير سنوي",
]


@pytest.mark.parametrize("metadata", WRITTEN_BY_PROGRAMS)
def test_what_a_program_wrote_is_no_title(metadata: str) -> None:
    """Then the largest print of the first page is one, and the file's name where that says nothing either."""
    assert choose_title(metadata, "Crane Manual", "Page 1", "x.pdf") == "Crane Manual"
    assert choose_title(metadata, metadata, metadata, "crane_manual.pdf") == "crane manual"


@pytest.mark.parametrize("metadata", WRITTEN_BY_PEOPLE)
def test_what_a_person_wrote_is_the_title(metadata: str) -> None:
    """As it stands, also in other scripts."""
    assert choose_title(metadata, "Another headline", "Another line", "x.pdf") == metadata


@pytest.mark.parametrize(
    ("metadata", "title"),
    [
        ("  Annual\n Report   2019 ", "Annual Report 2019"),
        ('"Annual Report"', "Annual Report"),
        ("Microsoft Word - Annual Report 2019.doc", "Annual Report 2019"),
        ("Microsoft PowerPoint - Kick-off of the crane project.pptx", "Kick-off of the crane project"),
        ("Annual\u200b Rep\u00adort", "Annual Report"),
        ("Field Guide Page 1 of 9", "Field Guide"),
        ("____________ Annual Report", "Annual Report"),
    ],
)
def test_a_title_is_tidied(metadata: str, title: str) -> None:
    """One line, without invisible characters, rules, quotes, and what the printing program put before it."""
    assert choose_title(metadata, "", "", "x.pdf") == title


def test_the_headline_goes_before_the_first_line_and_the_file_name() -> None:
    """It may have two lines; the running head above it is in small print."""
    assert (
        choose_title(None, "Zentara Robotics: Product & Operations\nHandbook", "Internal Page 1", "zentara.pdf")
        == "Zentara Robotics: Product & Operations Handbook"
    )


def test_the_first_line_is_a_heading_only_where_nothing_stands_out() -> None:
    """And when it is short, no sentence, and not the middle of one."""
    assert choose_title(None, "", "Field Guide", "x-1.pdf") == "Field Guide"
    assert choose_title(None, "UNITED STATES", "Field Guide", "AMAZON_2017_10K.pdf") == "AMAZON 2017 10K"
    assert choose_title(None, "", "The crane lifts forty tonnes.", "crane.pdf") == "crane"
    assert choose_title(None, "", "lifted by the crane", "crane.pdf") == "crane"
    assert choose_title(None, "", "The crane " * 20, "crane.pdf") == "crane"


@pytest.mark.parametrize(
    ("filename", "title"),
    [
        ("AMAZON_2017_10K.pdf", "AMAZON 2017 10K"),
        ("FOOTLOCKER_2022_8K_dated-2022-05-20.pdf", "FOOTLOCKER 2022 8K dated 2022-05-20"),
        ("annual-report-2023.PDF", "annual report 2023"),
        ("Follow-up of the meeting (2).pdf", "Follow-up of the meeting"),
        ("My%20Report+final.pdf", "My Report final"),
        ("report.v2.pdf", "report.v2"),
        ("年報.pdf", "年報"),
        (".pdf", ".pdf"),
        ("___", "___"),
    ],
)
def test_a_file_name_is_made_readable(filename: str, title: str) -> None:
    """No extension, words parted by spaces, dates left alone; never nothing."""
    assert read_filename(filename) == title


@given(st.text(), st.text(), st.text(), st.text(min_size=1))
def test_there_is_always_a_title(metadata: str, headline: str, line: str, filename: str) -> None:
    """Whatever a hostile file brings: one line, not too long, not empty."""
    title = choose_title(metadata, headline, line, filename)
    assert 0 < len(title) <= max(MAX_CHARS, 1)
    assert "\n" not in title or title == filename


def test_a_hostile_title_takes_no_time() -> None:
    """Megabytes of it are cut before any pattern sees them."""
    for text in ("- " * 1_000_000, "a" * 1_000_000, "_ " * 1_000_000, "Inc " * 1_000_000):
        assert choose_title(text, text, text, "x.pdf")
