"""Writes the sample PDF that the demo and the tests use: made-up facts, one topic a page, the same bytes every time.

Run `.venv/bin/python scripts/make_sample.py` after a change and commit the PDF with it.
"""

import sys
from pathlib import Path

from reportlab.lib import colors
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import getSampleStyleSheet
from reportlab.lib.units import cm
from reportlab.platypus import Flowable, PageBreak, Paragraph, SimpleDocTemplate, Spacer, Table, TableStyle

TARGET = Path(__file__).parent.parent / "samples" / "meridian-field-guide.pdf"

PAGES: list[tuple[str, list[str]]] = [
    (
        "Meridian M4 Weather Station: Field Guide",
        [
            "The Meridian M4 is an unattended weather station for mountain huts, glaciers and remote islands. It is "
            "built by Halvorsen Instruments, a company of 63 people founded in Tromsø in 2009 by the glaciologist "
            "Ingrid Halvorsen and the clockmaker Tomas Reyes.",
            "The station measures air temperature, humidity, pressure, wind, snow height and solar radiation once a "
            "minute, keeps 14 months of readings on board, and reports over satellite every 20 minutes. In a gale "
            "warning it reports every two minutes until the wind has stayed below 17 metres per second for an hour.",
            "This guide is for the people who carry a station up and set it up. Nobody needs training in electronics. "
            "Two people need about three hours, plus one hour for the anchors where the ground is rock.",
        ],
    ),
    (
        "Installation",
        [
            "<b>Choosing the site.</b> Keep ten times the height of the nearest obstacle between it and the mast. The "
            "solar panel faces the equator and is tilted to the latitude plus 15 degrees, so that snow slides off.",
            "<b>Setting the mast.</b> The mast is 3.2 metres high and stands on three anchors. Tighten the guy wires "
            "crosswise to 40 newton metres with the grey torque wrench in the lid of the box. A wire that hums in a "
            "light wind is too tight and will break in the first winter.",
            "<b>First start.</b> Turn the red key to position 2 and wait for the lamp to blink green twice. Three "
            "amber blinks mean that the station has no view of a satellite: turn the antenna by a quarter and try "
            "again. The first report arrives within nine minutes.",
        ],
    ),
    ("Technical data", ["All values hold from -45 to +50 degrees Celsius unless a line says otherwise."]),
    (
        "Care and faults",
        [
            "<b>Battery.</b> The lithium iron phosphate battery holds 96 ampere hours and carries the station through "
            "31 days without sun. Replace it after eight years or when it holds less than 60 ampere hours, whichever "
            "comes first. Never charge it below -20 degrees: the heater must run first.",
            "<b>Calibration.</b> The humidity sensor drifts by half a percent a year and is exchanged every 24 months. "
            "The other sensors are checked every five years at the works in Tromsø.",
            "<b>Fault codes.</b> Code E17 means that the anemometer is iced up: the station heats it for six minutes "
            "and tries again. Code E23 means water in the logger case: switch off, open the drain screw and dry the "
            "case for a day. Code E40 means that the memory is full, which happens only where the satellite link has "
            "been down for more than 14 months.",
        ],
    ),
    (
        "Warranty and service",
        [
            "Halvorsen Instruments repairs or replaces a faulty station free of charge for six years from the day of "
            "its first report. Damage by bears, avalanches and lightning is covered; damage by opening the sealed "
            "logger case is not.",
            "The service desk answers around the clock. A spare station leaves the depots in Tromsø, Innsbruck or "
            "Punta Arenas within 48 hours. Renting one costs 190 euros a week.",
            "Stations that have served their time are taken back at no cost. In 2025 the company took back 412 "
            "stations and used 87 percent of their mass again.",
        ],
    ),
]

DATA = [
    ["Quantity", "Value"],
    ["Weight with mast and anchors", "48 kg"],
    ["Wind speed it withstands", "83 m/s"],
    ["Accuracy of air temperature", "0.08 degrees Celsius"],
    ["Range of the snow height sensor", "0 to 9.5 m"],
    ["Power drawn on average", "1.4 W"],
    ["Solar panel", "55 W"],
    ["Satellite messages included per month", "2,200"],
    ["Protection of the logger case", "IP68, 2 m for 72 hours"],
]


def build_story() -> list[Flowable]:
    """All that is on the pages, in order."""
    styles = getSampleStyleSheet()
    story: list[Flowable] = []
    for heading, paragraphs in PAGES:
        story.append(Paragraph(heading, styles["Heading1"]))
        for text in paragraphs:
            story += [Paragraph(text, styles["BodyText"]), Spacer(1, 0.3 * cm)]
        if heading == "Technical data":
            style = TableStyle(
                [("GRID", (0, 0), (-1, -1), 0.5, colors.grey), ("FONT", (0, 0), (-1, 0), "Helvetica-Bold")]
            )
            story.append(Table(DATA, colWidths=[9 * cm, 6 * cm], style=style))
        story.append(PageBreak())
    return story


def write_sample(target: Path) -> None:
    """Writes the PDF; `invariant` leaves out the time and the random id."""
    target.parent.mkdir(exist_ok=True)
    document = SimpleDocTemplate(
        str(target),
        pagesize=A4,
        title="Meridian M4 Field Guide",
        author="Pagewire maintainers",
        invariant=1,
    )
    document.build(build_story())


if __name__ == "__main__":
    write_sample(Path(sys.argv[1]) if len(sys.argv) > 1 else TARGET)
