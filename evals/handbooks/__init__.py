"""Made-up handbooks with questions, for the extractive answer.

Seven are drawn from their text by `layout.py`. The other seventeen lie in `pdfs/`, made by people who knew neither
our code nor each other's questions: printed from HTML by Chromium, set by reportlab or drawn line by line, and asked
about in other words than the documents use. Each was measured once before anything that it shows was mended:

    set                                                      answer holds    not found
    library, spectrometer, school, campsite                  63 of 74        16 of 16
    brightfell, kestrion, quillbase, havenlock, orlava, thalweg   39 of 96   10 of 12
    velomar, quillbank, kestrane, brindle, aldermoor, harnby  69 of 96       10 of 12
    brimsund, ladlewick, galecrest, quillmere, osmelle        70 of 80       10 of 10

What they showed was mended in general terms since, so today's numbers on them are too good. Nobody has looked at the
failures of HELD_OUT_PDFS yet; for an honest number write a new handbook.
"""

from pathlib import Path

from evals.handbooks import campsite, ferry, library, school, software, spectrometer, ward
from evals.handbooks.layout import Handbook

DEVELOPMENT: tuple[Handbook, ...] = (ward.HANDBOOK, ferry.HANDBOOK, software.HANDBOOK)
HELD_OUT: tuple[Handbook, ...] = (library.HANDBOOK, spectrometer.HANDBOOK, school.HANDBOOK, campsite.HANDBOOK)

PDFS = Path(__file__).parent / "pdfs"
HELD_OUT_PDFS = ("quillbank", "aldermoor", "harnby")
DEVELOPMENT_PDFS = tuple(sorted(folder.name for folder in PDFS.iterdir() if folder.name not in HELD_OUT_PDFS))
"""Folders in `pdfs/`, each with one PDF and its questions.jsonl."""
