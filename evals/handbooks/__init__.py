"""Made-up handbooks with questions, for the extractive answer.

Its thresholds were chosen on DEVELOPMENT. HELD_OUT was looked at only afterwards: 63 of 74 answers held the
expected string then, all 16 unanswerable questions were seen. Some general faults that this showed were mended
since, so today's numbers on it are a little too good; write a new handbook for an honest one.
"""

from evals.handbooks import campsite, ferry, library, school, software, spectrometer, ward
from evals.handbooks.layout import Handbook

DEVELOPMENT: tuple[Handbook, ...] = (ward.HANDBOOK, ferry.HANDBOOK, software.HANDBOOK)
HELD_OUT: tuple[Handbook, ...] = (library.HANDBOOK, spectrometer.HANDBOOK, school.HANDBOOK, campsite.HANDBOOK)
