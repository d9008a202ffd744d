"""A made-up laboratory instrument's manual (held-out set)."""

from evals.handbooks.layout import Bullets, Handbook, Heading, Prose, Question, Rows

HANDBOOK = Handbook(
    name="spectrometer",
    title="Oriel-Vance LumaSpec 320 - Owner's Manual and Service Guide",
    pages=(
        (
            Prose("Manual part number 320-MAN-04. Printed in Jena, January 2026."),
            Heading("Manufacturer"),
            Rows(
                (
                    ("Company", "Oriel-Vance Instruments GmbH"),
                    ("Address", "Otto-Schott-Str. 51, 07745 Jena, Germany"),
                    ("Managing director", "Dr. Katharina Wessling"),
                    ("Service desk", "service@oriel-vance.example"),
                    ("Employees", "163"),
                    ("Founded", "1991"),
                ),
                widths=(130, 310),
            ),
            Heading("Intended use"),
            Prose(
                "The LumaSpec 320 measures the absorption of liquids in the ultraviolet and visible range. It is "
                "meant for teaching and quality laboratories and is not approved for clinical diagnosis. It was "
                "introduced in May 2023 as the successor of the LumaSpec 300."
            ),
            Heading("Scope of delivery"),
            Bullets(
                (
                    "Spectrometer with power supply and USB-C cable",
                    "Four quartz cuvettes, 10 mm",
                    "Holmium oxide reference filter",
                    "Dust cover and two replacement fuses (T 2.5 A)",
                )
            ),
        ),
        (
            Heading("Technical data"),
            Rows(
                (
                    ("Parameter", "Value"),
                    ("Wavelength range", "190 nm to 1,100 nm"),
                    ("Spectral bandwidth", "1.8 nm"),
                    ("Wavelength accuracy", "±0.3 nm"),
                    ("Photometric range", "-0.3 to 3.0 A"),
                    ("Stray light", "< 0.05% at 220 nm"),
                    ("Light source", "Xenon flash lamp, 10^9 flashes"),
                    ("Warm-up time", "none required"),
                    ("Dimensions", "410 x 290 x 180 mm"),
                    ("Weight", "8.7 kg"),
                    ("Power consumption", "35 W"),
                    ("Ambient temperature", "15 to 35 °C"),
                    ("Interfaces", "USB-C, Ethernet, RS-232"),
                ),
                header=True,
                widths=(160, 280),
            ),
            Prose(
                "The instrument conforms to IEC 61010-1 and carries the CE mark. Its display is a 7-inch "
                "touchscreen that can be used with gloves."
            ),
        ),
        (
            Heading("Models and prices"),
            Rows(
                (
                    ("Model", "Optics", "Cell changer", "List price", "Delivery"),
                    ("320-S", "Single beam", "1 position", "€5,950", "2 weeks"),
                    ("320-D", "Double beam", "1 position", "€8,400", "4 weeks"),
                    ("320-DX", "Double beam", "8 positions", "€11,200", "6 weeks"),
                ),
                header=True,
                widths=(70, 100, 100, 90, 80),
            ),
            Prose(
                "Universities receive 12% off the list price. The validation package IQ/OQ costs €780 and is done "
                "on site by a technician in half a day."
            ),
            Heading("Warranty"),
            Prose(
                "The instrument is guaranteed for 36 months from delivery, the lamp for 60 months. The warranty "
                "ends when the sealed optics housing is opened. Repairs under warranty are done in Jena within "
                "ten working days; a loan instrument is available for €45 per day."
            ),
            Heading("Maintenance schedule"),
            Rows(
                (
                    ("Task", "Interval", "By"),
                    ("Clean the sample compartment", "weekly", "operator"),
                    ("Wavelength check with the holmium filter", "monthly", "operator"),
                    ("Replace the air filter", "every 6 months", "operator"),
                    ("Full calibration", "every 12 months", "service technician"),
                ),
                header=True,
                widths=(200, 110, 130),
            ),
        ),
        (
            Heading("Safety"),
            Bullets(
                (
                    "Never look into the open beam: ultraviolet light injures the eyes within seconds.",
                    "Unplug the instrument and wait two minutes before changing a fuse.",
                    "Spilled solvent is wiped up at once; do not use acetone on the display.",
                    "The instrument is not explosion-proof and must not stand in a fume cupboard.",
                ),
                mark="-",
            ),
            Heading("If something goes wrong"),
            Rows(
                (
                    ("Message", "Cause", "What to do"),
                    ("E02", "Lamp does not ignite", "Switch off for one minute, then call service"),
                    ("E05", "Cell changer blocked", "Remove the cuvette and press Reset"),
                    ("E11", "Dark current too high", "Close the lid and repeat the zero"),
                    ("E17", "Storage full", "Export or delete methods"),
                ),
                header=True,
                widths=(70, 150, 220),
            ),
            Heading("FAQ"),
            Prose("Can I use plastic cuvettes?"),
            Prose(
                "Above 340 nm, yes. Below that wavelength plastic absorbs too much and only quartz gives usable "
                "results."
            ),
            Prose("How many methods can be stored?"),
            Prose("The internal memory holds 500 methods and 20,000 spectra. Older spectra move to a USB stick."),
            Prose("Is the software validated?"),
            Prose(
                "The LumaLink software, version 6.1, complies with 21 CFR Part 11 if the audit option is switched "
                "on. A macOS version is expected by the end of 2026."
            ),
            Heading("Abbreviations"),
            Rows(
                (
                    ("OQ", "Operational qualification; proof that the instrument works as specified."),
                    ("SNR", "Signal-to-noise ratio; for the 320-DX better than 5,000 to 1."),
                    ("RSD", "Relative standard deviation."),
                ),
                widths=(70, 370),
            ),
        ),
    ),
    questions=(
        Question("director", "Who is the managing director of Oriel-Vance?", (1,), ("Katharina Wessling",)),
        Question("intro", "When was the LumaSpec 320 introduced?", (1,), ("May 2023",)),
        Question("clinical", "Can the instrument be used for clinical diagnosis?", (1,), ("not approved",)),
        Question("delivery", "What is included in the delivery?", (1,), ("cuvettes",)),
        Question("range", "What is the wavelength range?", (2,), ("190 nm",)),
        Question("weight", "How heavy is the LumaSpec?", (2,), ("8.7 kg",)),
        Question("power", "How much power does it consume?", (2,), ("35 W",)),
        Question("price", "How much is the 320-D?", (3,), ("8,400",)),
        Question("uni", "What discount do universities get?", (3,), ("12%",)),
        Question("warranty", "How long is the lamp guaranteed?", (3,), ("60 months",)),
        Question("void", "What ends the warranty?", (3,), ("optics housing",)),
        Question("filter", "How often must the air filter be replaced?", (3,), ("every 6 months",)),
        Question("fuse", "How long do I have to wait before changing a fuse?", (4,), ("two minutes",)),
        Question("e05", "What should I do when message E05 appears?", (4,), ("Remove the cuvette",)),
        Question("plastic", "Are plastic cuvettes possible?", (4,), ("340 nm",)),
        Question("snr", "What is the SNR of the 320-DX?", (4,), ("5,000",)),
        Question("mac", "When will the software be available for macOS?", (4,), ("2026",)),
        Question("compare", "Compare the 320-S and the 320-DX", (3,), ("5,950", "11,200")),
        Question("sales", "Who is the head of sales?"),
        Question("battery", "How long does the battery last?"),
        Question("e99", "What does message E42 mean?"),
        Question("noise", "How loud is the cooling fan?"),
    ),
)
