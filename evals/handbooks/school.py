"""A made-up school's handbook for families (held-out set)."""

from evals.handbooks.layout import Bullets, Handbook, Heading, Prose, Question, Rows

HANDBOOK = Handbook(
    name="school",
    title="Tamarind Grove School - Family Handbook 2026/27",
    pages=(
        (
            Prose("Welcome to Tamarind Grove. Please read this handbook with your child before the first day."),
            Heading("Our school in brief"),
            Rows(
                (
                    ("Principal", "Mrs Leilani Dufresne"),
                    ("Deputy Principal", "Mr Tomasz Gorecki"),
                    ("Students", "864 in years 1 to 10"),
                    ("Teachers", "57"),
                    ("Founded", "3 February 1972"),
                    ("Motto", "Curious, kind, brave"),
                    ("Address", "88 Banksia Road, Port Ellery"),
                ),
                widths=(130, 310),
            ),
            Heading("Term dates"),
            Rows(
                (
                    ("Term", "First day", "Last day", "Weeks"),
                    ("Autumn", "31 August 2026", "18 December 2026", "15"),
                    ("Spring", "6 January 2027", "26 March 2027", "12"),
                    ("Summer", "12 April 2027", "2 July 2027", "12"),
                ),
                header=True,
                widths=(90, 120, 120, 70),
            ),
            Prose(
                "There is no school on 5 October, which is a training day for teachers. Sports day is on 11 June "
                "2027 and parents are warmly invited."
            ),
        ),
        (
            Heading("The school day"),
            Prose(
                "The gates open at 7:50. Lessons begin at 8:20 and finish at 14:45, on Fridays at 13:15. Students "
                "who come late sign in at the front office. After three late arrivals in a month we call home."
            ),
            Heading("Fees and costs"),
            Rows(
                (
                    ("Item", "Amount", "Due"),
                    ("Tuition, years 1 to 6", "$2,480 per term", "first day of term"),
                    ("Tuition, years 7 to 10", "$3,150 per term", "first day of term"),
                    ("Enrolment fee", "$300, once", "with the application"),
                    ("Lunch", "$6.20 per meal", "monthly in arrears"),
                    ("School bus", "$415 per term", "first day of term"),
                ),
                header=True,
                widths=(150, 150, 140),
            ),
            Prose(
                "The second child of a family pays 15% less tuition, every further child 25% less. A place may be "
                "given up with one full term's notice in writing; otherwise the fees for the next term are due."
            ),
            Heading("After-school care"),
            Prose(
                "Care is offered from the end of lessons until 17:30 and costs $18 per afternoon. Children who are "
                "fetched late are charged $1 for each minute. The coordinator is Beatriz Monteiro, telephone "
                "555-0142."
            ),
        ),
        (
            Heading("Uniform and belongings"),
            Bullets(
                (
                    "Navy polo shirt with the school crest and grey trousers or skirt.",
                    "Black closed shoes; trainers on days with physical education only.",
                    "A wide-brimmed hat is compulsory outdoors in terms with strong sun.",
                    "Mobile phones stay switched off in the locker until the last bell.",
                    "Jewellery is limited to a watch and plain ear studs.",
                )
            ),
            Heading("Health"),
            Prose(
                "A child with a fever stays at home until 24 hours after the temperature is normal again. Report "
                "absences before 8:00 by text to 555-0119. Medicines are kept by the school nurse, Owen Pritchard, "
                "and need form H2 signed by a doctor. Our kitchen does not use nuts."
            ),
            Heading("Homework"),
            Rows(
                (
                    ("Years", "Per day", "Reading"),
                    ("1 and 2", "15 minutes", "10 minutes"),
                    ("3 to 6", "30 minutes", "20 minutes"),
                    ("7 to 10", "75 minutes", "20 minutes"),
                ),
                header=True,
                widths=(100, 120, 120),
            ),
        ),
        (
            Heading("Answers for parents"),
            Prose("How large are the classes?"),
            Prose("At most 24 children in years 1 to 6 and 26 in years 7 to 10."),
            Prose("Which foreign languages are taught?"),
            Prose(
                "French from year 3 and Japanese from year 7. Spanish will be added in September 2027, when the new "
                "language rooms are ready."
            ),
            Prose("Can my child bring a laptop?"),
            Prose(
                "From year 7 on, yes; it must be registered with the IT office. Younger children use the tablets of "
                "the school."
            ),
            Heading("Behaviour"),
            Prose(
                "We expect courtesy. Bullying is recorded and both families are invited to a talk within two school "
                "days. A third serious incident may lead to a suspension of up to five days, decided by the "
                "principal."
            ),
            Heading("Milestones"),
            Bullets(
                (
                    "1972 - The school opens in two wooden huts with 31 children.",
                    "1989 - The assembly hall is built by volunteers.",
                    "2003 - Years 7 to 10 are added.",
                    "2018 - Solar panels cover 60% of our electricity.",
                    "2025 - The choir wins the state competition.",
                ),
                mark="•",
            ),
            Heading("Short forms"),
            Rows(
                (
                    ("PTA", "Parent-teacher association; meets on the first Thursday of the month."),
                    ("IEP", "Individual education plan, reviewed every six months."),
                    ("EAL", "English as an additional language."),
                ),
                widths=(70, 370),
            ),
        ),
    ),
    questions=(
        Question("principal", "Who is the principal of the school?", (1,), ("Leilani Dufresne",)),
        Question("students", "How many students attend the school?", (1,), ("864",)),
        Question("spring", "When does the spring term start?", (1,), ("6 January 2027",)),
        Question("sports", "What date is sports day?", (1,), ("11 June",)),
        Question("friday", "When do lessons end on Friday?", (2,), ("13:15",)),
        Question("tuition", "How much is tuition for years 7 to 10?", (2,), ("3,150",)),
        Question("lunch", "What does lunch cost?", (2,), ("6.20",)),
        Question("sibling", "What reduction does the second child get?", (2,), ("15%",)),
        Question("leave", "How much notice must be given to give up a place?", (2,), ("one full term",)),
        Question("late", "What is charged when a child is picked up late from after-school care?", (2,), ("$1",)),
        Question("phones", "What is the rule about mobile phones?", (3,), ("switched off",)),
        Question("fever", "How long must a child with a fever stay at home?", (3,), ("24 hours",)),
        Question("nurse", "Who is the school nurse?", (3,), ("Owen Pritchard",)),
        Question("homework", "How much homework per day is there in years 3 to 6?", (3,), ("30 minutes",)),
        Question("class", "What is the maximum class size?", (4,), ("24",)),
        Question("spanish", "When will Spanish be taught?", (4,), ("September 2027",)),
        Question("pta", "When does the PTA meet?", (4,), ("first Thursday",)),
        Question("miles", "List all milestones from 2000 onwards", (4,), ("Solar", "choir")),
        Question("counsellor", "Who is the school psychologist?"),
        Question("pool", "When does the swimming pool open?"),
        Question("scholar", "How much is the music scholarship?"),
        Question("winter", "What is the first day of the winter term?"),
    ),
)
