"""A made-up municipal library's handbook (held-out set)."""

from evals.handbooks.layout import Bullets, Handbook, Heading, Prose, Question, Rows

HANDBOOK = Handbook(
    name="library",
    title="Brackwater Public Libraries: Handbook for Members",
    pages=(
        (
            Prose("Adopted by the Library Committee on 6 March 2026. In force from 1 April 2026."),
            Heading("Key facts"),
            Rows(
                (
                    ("Branches", "7, plus one mobile library"),
                    ("Items held", "318,000"),
                    ("Active members", "41,250 (December 2025)"),
                    ("Chief Librarian", "Honora Blythe"),
                    ("Head of Children's Services", "Kwame Asante-Reid"),
                    ("Central library", "2 Cornhill, Brackwater"),
                    ("Annual budget", "£6.1 million"),
                ),
                widths=(160, 280),
            ),
            Heading("Joining"),
            Prose(
                "Membership is free for everyone who lives, works or studies in the county. Bring proof of "
                "address and a photo identification. Under-16s need the signature of a parent or guardian. "
                "Visitors may join for up to three months for a deposit of £20, which is returned with the card."
            ),
            Prose(
                "A lost card is replaced for £2.50. Please report the loss at once, since you answer for "
                "everything borrowed on your card until then."
            ),
        ),
        (
            Heading("Borrowing"),
            Rows(
                (
                    ("Item", "Loan period", "Maximum", "Renewals", "Overdue charge"),
                    ("Books", "3 weeks", "20", "4", "15p per day"),
                    ("DVDs", "1 week", "6", "1", "50p per day"),
                    ("Magazines", "1 week", "5", "none", "10p per day"),
                    ("Board games", "2 weeks", "2", "1", "£1 per day"),
                    ("E-books", "3 weeks", "10", "2", "none"),
                ),
                header=True,
                widths=(80, 80, 70, 70, 100),
            ),
            Prose(
                "The overdue charge for one item never exceeds £8. Nothing is charged on a children's ticket. "
                "Once a member owes £15 or more, borrowing stops until the sum is paid."
            ),
            Heading("Reservations and inter-library loans"),
            Prose(
                "Reservations of items in our own stock cost nothing. We keep a reserved item for 8 days after "
                "telling you that it has arrived. A loan from another authority costs £6, or £18.40 when it "
                "comes from the British Library."
            ),
            Heading("Opening hours"),
            Rows(
                (
                    ("Branch", "Weekdays", "Saturday", "Sunday"),
                    ("Central", "8:30 to 20:00", "9:00 to 17:00", "12:00 to 16:00"),
                    ("Harbour", "9:30 to 18:00", "9:30 to 13:00", "closed"),
                    ("Millfield", "10:00 to 17:00", "10:00 to 14:00", "closed"),
                ),
                header=True,
                widths=(90, 110, 110, 110),
            ),
        ),
        (
            Heading("Computers, printing and rooms"),
            Prose(
                "Members may use a public computer for two hours a day. Printing costs 10p per page in black and "
                "white and 40p in colour. The Local Studies room holds parish registers from 1538 and may be used "
                "by appointment."
            ),
            Prose(
                "The Tanner Room seats 60 and is let at £24 an hour, or £12 for registered charities. Bookings are "
                "made with Ines Calloway, rooms@brackwater-libraries.example, and can be cancelled free of charge "
                "until five days before."
            ),
            Heading("Conduct"),
            Bullets(
                (
                    "Food may be eaten in the foyer only; drinks with a lid are welcome everywhere.",
                    "Children under 8 must be accompanied by someone aged 16 or over.",
                    "Photography needs the permission of the duty manager.",
                    "Assistance dogs are the only animals admitted.",
                )
            ),
            Heading("Your questions"),
            Prose("How do I renew a book?"),
            Prose(
                "Online, at any desk, or by calling 01632 960 733 at any hour. A book that somebody else has "
                "reserved cannot be renewed."
            ),
            Prose("Do you accept donated books?"),
            Prose("Yes, if they are clean and less than five years old, at the Harbour branch on Wednesdays."),
            Prose("What if I damage a book?"),
            Prose(
                "You pay the replacement price plus £3 for processing. Books that cannot be bought any more are "
                "charged at £25."
            ),
        ),
        (
            Heading("The story of the libraries"),
            Rows(
                (
                    ("1887", "Reading room opens above the corn exchange."),
                    ("1909", "Carnegie grant pays for the Central library."),
                    ("1954", "First mobile library, a converted bus."),
                    ("1992", "Card catalogue replaced by computers."),
                    ("2015", "Harbour branch moves into the old customs house."),
                    ("2024", "Fines for children abolished."),
                ),
                widths=(60, 380),
            ),
            Heading("Mobile library"),
            Prose(
                "The van visits 34 villages every fortnight. Its timetable is posted in each parish hall. The "
                "driver, Desmond Pike, carries about 2,400 books and takes requests."
            ),
            Heading("Complaints"),
            Prose(
                "Tell the duty manager first. If you remain unhappy, write to the Chief Librarian, who replies "
                "within 15 working days. The last step is the Local Government Ombudsman."
            ),
            Heading("Glossary"),
            Rows(
                (
                    ("ILL", "Inter-library loan."),
                    ("OPAC", "Online public access catalogue; search it at opac.brackwater-libraries.example."),
                    ("RFID", "Radio-frequency identification; the tags by which the self-service desks know a book."),
                    ("Legal deposit", "The duty of publishers to give a copy of each book to national libraries."),
                ),
                widths=(90, 350),
            ),
        ),
    ),
    questions=(
        Question("librarian", "Who is the Chief Librarian?", (1,), ("Honora Blythe",)),
        Question("members", "How many active members are there?", (1,), ("41,250",)),
        Question("join", "What do I need to bring to become a member?", (1,), ("proof of",)),
        Question("card", "How much does it cost to replace a lost card?", (1,), ("2.50",)),
        Question("dvd", "How long can I borrow a DVD?", (2,), ("1 week",)),
        Question("cap", "What is the maximum overdue charge for one item?", (2,), ("£8",)),
        Question("ill", "What does an ILL from the British Library cost?", (2,), ("18.40",)),
        Question("sunday", "When is the Central library open on Sunday?", (2,), ("12:00",)),
        Question("print", "How much is colour printing?", (3,), ("40p",)),
        Question("room", "How many people fit into the Tanner Room?", (3,), ("60",)),
        Question("food", "Where may I eat?", (3,), ("foyer",)),
        Question("renew", "How can I renew a book?", (3,), ("01632 960 733",)),
        Question("damage", "What happens if I damage a book?", (3,), ("replacement price",)),
        Question("carnegie", "When was the Carnegie grant?", (4,), ("1909",)),
        Question("driver", "Who drives the mobile library?", (4,), ("Desmond Pike",)),
        Question("complaint", "How long does the Chief Librarian take to answer a complaint?", (4,), ("15 working",)),
        Question("rfid", "What does RFID stand for?", (4,), ("Radio-frequency",)),
        Question("story", "List the events in the libraries' story before 1960", (4,), ("Carnegie", "1954")),
        Question("compare", "Compare the loan periods of books and board games", (2,), ("3 weeks", "2 weeks")),
        Question("it", "Who is the Head of Digital Services?"),
        Question("vinyl", "What is the loan period for vinyl records?"),
        Question("cafe", "What are the opening hours of the cafe?"),
        Question("salary", "What is the starting salary of a library assistant?"),
    ),
)
