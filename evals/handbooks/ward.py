"""A made-up hospital ward guide (development set)."""

from evals.handbooks.layout import Bullets, Handbook, Heading, Prose, Question, Rows

HANDBOOK = Handbook(
    name="ward",
    title="Larkfield General: Ward 12 Visitor and Staff Guide",
    pages=(
        (
            Prose("Edition 7, valid from 2 January 2026. Replaces edition 6 of May 2024."),
            Heading("Ward at a glance"),
            Rows(
                (
                    ("Specialty", "Cardiology and step-down care"),
                    ("Beds", "28, of which 6 monitored"),
                    ("Ward manager", "Sister Adaeze Okonjo"),
                    ("Consultant lead", "Dr Priya Ranganathan"),
                    ("Location", "Level 4, Heron Building"),
                    ("Opened", "9 November 1998"),
                    ("Last refurbishment", "2021, at a cost of £3.2 million"),
                ),
                widths=(140, 300),
            ),
            Heading("About this guide"),
            Prose(
                "This guide is for patients, visitors and new staff. It explains how the ward runs, whom to ask "
                "and what to bring. Copies in large print are kept at the nurses' station. Please tell us when "
                "something in it is out of date."
            ),
            Heading("Getting here"),
            Prose(
                "The ward is reached by lifts C and D from the main entrance. Bus 41 stops outside the Heron "
                "Building every 12 minutes on weekdays. Parking in the multi-storey costs £2.80 for up to two "
                "hours and £9.50 for a full day; blue badge holders park free of charge."
            ),
        ),
        (
            Heading("Visiting"),
            Prose(
                "Visiting hours are 14:00 to 19:30 every day. Two visitors may sit at a bed at any one time. "
                "Children under 10 need the ward manager's permission. Flowers are not allowed in monitored bays "
                "because of the pollen."
            ),
            Heading("Daily routine"),
            Rows(
                (
                    ("Activity", "Starts", "Who", "Lasts"),
                    ("Nursing handover", "07:15", "All nurses", "20 minutes"),
                    ("Ward round", "09:00", "Consultant and registrar", "90 minutes"),
                    ("Lunch", "12:30", "Catering team", "45 minutes"),
                    ("Rest hour", "13:00", "Everyone", "60 minutes"),
                    ("Evening medication", "20:00", "Nurse in charge", "40 minutes"),
                ),
                header=True,
                widths=(130, 70, 160, 80),
            ),
            Heading("Telephone numbers"),
            Rows(
                (
                    ("Nurses' station", "01632 960 412"),
                    ("Ward clerk", "01632 960 415"),
                    ("Pharmacy helpline", "01632 960 188"),
                    ("Chaplaincy", "01632 960 020"),
                ),
                widths=(140, 300),
            ),
        ),
        (
            Heading("Infection control rules"),
            Prose("Everyone who enters the ward keeps to these rules:"),
            Bullets(
                (
                    "Clean hands with gel at the door and again after leaving a bay.",
                    "Stay away for 48 hours after the last symptom of vomiting or diarrhoea.",
                    "Staff wear sleeves above the elbow; wrist watches and stoned rings are not permitted.",
                    "Isolation rooms 3 and 4 require an apron and an FFP3 mask, which are kept in the lobby.",
                    "Spills of blood are reported on form IC-9 within one hour.",
                )
            ),
            Heading("Discharge"),
            Prose(
                "Most patients leave before 11:00. Medicines to take home are prepared by the pharmacy and take "
                "about three hours. A discharge letter goes to your general practitioner within 24 hours. If you "
                "feel unwell in the first week at home, call the nurses' station before anything else."
            ),
            Heading("Questions we often hear"),
            Prose("Can I use my mobile phone on the ward?"),
            Prose(
                "Yes, on silent and away from monitored bays. Calls are not permitted during the rest hour. "
                "The free wireless network is called Larkfield-Guest."
            ),
            Prose("Is there somewhere for relatives to stay overnight?"),
            Prose(
                "Two folding beds can be booked through the ward clerk for relatives of very sick patients. "
                "Otherwise the Cedar House hostel on site charges £38 per night."
            ),
            Prose("What should I do with my own medicines?"),
            Prose(
                "Hand them to the admitting nurse in their original boxes. They are locked in the bedside cabinet "
                "and returned to you when you go home."
            ),
        ),
        (
            Heading("Staff: shifts and leave"),
            Prose(
                "Day shifts run from 07:15 to 19:45, night shifts from 19:15 to 07:45. Annual leave is requested "
                "at least six weeks ahead through the Rosta system. Sickness is reported to the nurse in charge "
                "no later than two hours before the shift begins. Bank shifts are paid at 1.3 times the basic "
                "rate."
            ),
            Heading("Training required every year"),
            Rows(
                (
                    ("Course", "Length", "Renewal"),
                    ("Immediate life support", "1 day", "every 12 months"),
                    ("Manual handling", "3 hours", "every 24 months"),
                    ("Fire safety", "45 minutes", "every 12 months"),
                    ("Medicines management", "2 hours", "every 36 months"),
                ),
                header=True,
                widths=(170, 100, 150),
            ),
            Heading("Milestones of the ward"),
            Rows(
                (
                    ("1998", "Ward 12 opens with 22 beds."),
                    ("2006", "First step-down unit of the region starts work on the ward."),
                    ("2014", "Electronic observation charts replace paper."),
                    ("2021", "Refurbishment adds six monitored beds."),
                    ("2025", "The ward receives the Silver Heart award for patient experience."),
                ),
                widths=(60, 380),
            ),
            Heading("Abbreviations"),
            Rows(
                (
                    ("EWS", "Early warning score; calculated from seven vital signs, escalate at 5 or more."),
                    ("TTO", "To take out; the medicines that a patient receives at discharge."),
                    ("NBM", "Nil by mouth; no food or drink before a procedure, usually for six hours."),
                    ("DNACPR", "Do not attempt cardiopulmonary resuscitation."),
                ),
                widths=(80, 360),
            ),
        ),
    ),
    questions=(
        Question("beds", "How many beds does the ward have?", (1,), ("28",)),
        Question("manager", "Who is the ward manager?", (1,), ("Adaeze Okonjo",)),
        Question("opened", "When did Ward 12 open?", (1, 4), ("1998",)),
        Question("parking", "How much does it cost to park for a whole day?", (1,), ("9.50",)),
        Question("hours", "What are the visiting hours?", (2,), ("14:00",)),
        Question("round", "At what time is the ward round?", (2,), ("09:00",)),
        Question("clerk", "What is the phone number of the ward clerk?", (2,), ("960 415",)),
        Question("mask", "What do I have to wear in the isolation rooms?", (3,), ("FFP3",)),
        Question("blood", "Which form is used to report a blood spill?", (3,), ("IC-9",)),
        Question("mobile", "Am I allowed to use my phone?", (3,), ("silent",)),
        Question("overnight", "Can relatives stay overnight, and what does it cost?", (3,), ("38",)),
        Question("leave", "How far ahead must annual leave be requested?", (4,), ("six weeks",)),
        Question("fire", "How long does the fire safety course last?", (4,), ("45 minutes",)),
        Question("ews", "What is an early warning score?", (4,), ("seven vital signs",)),
        Question("miles", "List the milestones of the ward since 2010", (4,), ("Electronic", "Silver Heart")),
        Question("compare", "Compare day and night shifts", (4,), ("19:45", "07:45")),
        Question("matron", "Who is the hospital's chief pharmacist?"),
        Question("wheelchair", "How much is the deposit for a wheelchair?"),
        Question("dentist", "What is the phone number of the dental clinic?"),
        Question("asthma", "How often must the paediatric life support course be renewed?"),
    ),
)
