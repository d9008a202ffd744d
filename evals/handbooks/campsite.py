"""A made-up campsite operator's handbook (held-out set, written after the others had been looked at)."""

from evals.handbooks.layout import Bullets, Handbook, Heading, Prose, Question, Rows

HANDBOOK = Handbook(
    name="campsite",
    title="Pinnock Bay Holiday Park: Guest & Team Handbook",
    pages=(
        (
            Prose("Season 2026, second printing. Prices include all taxes."),
            Heading("The park"),
            Prose(
                "Pinnock Bay lies on 14 hectares of dunes and pine wood and has belonged to the Trevelyan family since "
                "1953. It is run by Jowan Trevelyan and his sister Elowen, who looks after bookings. In high "
                "season the team numbers 62, in winter 9. Last year 23,700 guests stayed with us."
            ),
            Heading("Season and reception"),
            Rows(
                (
                    ("Open", "20 March to 1 November"),
                    ("Reception", "8:00 to 21:00, Sundays 9:00 to 18:00"),
                    ("Arrival", "from 15:00"),
                    ("Departure", "by 10:30"),
                    ("Night warden", "+44 1632 960 555"),
                    ("Bookings", "stay@pinnockbay.example"),
                ),
                widths=(110, 330),
            ),
            Heading("Prices per night"),
            Rows(
                (
                    ("Pitch or lodge", "Low season", "High season", "Guests", "Electricity"),
                    ("Tent pitch", "£16", "£29", "up to 6", "£4 extra"),
                    ("Caravan pitch", "£21", "£38", "up to 6", "included"),
                    ("Pine cabin", "£64", "£110", "4", "included"),
                    ("Dune lodge", "£95", "£172", "6", "included"),
                ),
                header=True,
                widths=(110, 80, 80, 80, 90),
            ),
        ),
        (
            Heading("Booking terms"),
            Prose(
                "A deposit of 30% confirms the booking; the rest is due four weeks before arrival. If you cancel more "
                "than 28 days ahead you lose the deposit only; after that the full price is payable. A change of dates "
                "costs £12. We accept cards and bank transfers but no cheques."
            ),
            Heading("House rules"),
            Bullets(
                (
                    "Quiet hours are from 22:30 to 7:00.",
                    "Open fires are forbidden; gas barbecues may be used on the stone tables.",
                    "The speed limit on all park roads is 10 mph.",
                    "A maximum of two dogs per pitch, always on a lead, £3 per dog and night.",
                    "Drones may not be flown over the park.",
                )
            ),
            Heading("Facilities"),
            Prose(
                "The heated pool is open daily from 9:30 to 19:00 between May and September; children under 12 need "
                "an adult with them. The launderette by block C takes tokens at £4.50 a wash. The shop, run by "
                "Morwenna Pascoe, sells bread from 7:30. Bicycles are hired out at £14 a day."
            ),
        ),
        (
            Heading("Guests ask"),
            Prose("Is the tap water safe to drink?"),
            Prose("Yes. It comes from the public main and is tested every month."),
            Prose("May I charge my electric car?"),
            Prose("Only at the six chargers by reception, at 48p per kWh. Never use the hook-up on your pitch."),
            Prose("How far is the beach?"),
            Prose("The path through the dunes takes four minutes. The lifeguards are there from June to August."),
            Heading("For the team"),
            Prose(
                "Every accident is written into the red book within 12 hours and reported to Jowan. First aid kits "
                "hang in reception, the shop and the pool house, and are checked every Monday. New staff complete the "
                "Tide and Fire course, which lasts half a day, before their first shift. Overtime is paid at time and "
                "a half."
            ),
            Heading("Our story"),
            Rows(
                (
                    ("1953", "Jory Trevelyan opens a field for ten tents."),
                    ("1971", "First shower block."),
                    ("1998", "The pool is built."),
                    ("2012", "Twelve pine cabins replace the old chalets."),
                    ("2019", "Gold award of the county tourist board."),
                    ("2024", "Solar roof on the pool house."),
                ),
                widths=(60, 380),
            ),
            Heading("Terms"),
            Rows(
                (
                    ("EHU", "Electric hook-up; 10 amperes on tent pitches, 16 on caravan pitches."),
                    ("CDP", "Chemical disposal point, next to block A."),
                    ("Seasonal", "A pitch that is let from March to October for £2,950."),
                ),
                widths=(80, 360),
            ),
        ),
    ),
    questions=(
        Question("owner", "Who looks after bookings?", (1,), ("Elowen",)),
        Question("size", "How large is the park?", (1,), ("14 hectares",)),
        Question("guests", "How many guests stayed last year?", (1,), ("23,700",)),
        Question("arrival", "From what time can I arrive?", (1,), ("15:00",)),
        Question("cabin", "What does a pine cabin cost in high season?", (1,), ("110",)),
        Question("lodge", "How many people can stay in a dune lodge?", (1,), ("6",)),
        Question("deposit", "How much deposit do I have to pay?", (2,), ("30%",)),
        Question("cancel", "What happens if I cancel my booking?", (2,), ("deposit only",)),
        Question("quiet", "When are quiet hours?", (2,), ("22:30",)),
        Question("limit", "What is the speed limit?", (2,), ("10 mph",)),
        Question("dogs", "How many dogs can I bring?", (2,), ("two dogs",)),
        Question("pool", "What are the opening times of the pool?", (2,), ("9:30",)),
        Question("bike", "How much is it to rent a bike?", (2,), ("14",)),
        Question("water", "Can I drink the tap water?", (3,), ("public main",)),
        Question("car", "Where can I charge my electric car?", (3,), ("chargers",)),
        Question("cdp", "Where is the chemical disposal point?", (3,), ("block A",)),
        Question("ehu", "How many amperes does the EHU have on caravan pitches?", (3,), ("16",)),
        Question("story", "List everything that happened since 1998", (3,), ("pool", "Solar")),
        Question("compare", "Compare the tent pitch and the caravan pitch", (1,), ("£16", "£21")),
        Question("sauna", "How much does the sauna cost?"),
        Question("chef", "Who is the head chef of the restaurant?"),
        Question("treehouse", "What does a treehouse cost in low season?"),
        Question("golf", "When does the mini golf course close?"),
    ),
)
