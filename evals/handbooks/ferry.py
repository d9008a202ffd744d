"""A made-up ferry company's passenger handbook (development set)."""

from evals.handbooks.layout import Bullets, Handbook, Heading, Prose, Question, Rows

HANDBOOK = Handbook(
    name="ferry",
    title="Skerra Line Passenger & Crew Handbook",
    pages=(
        (
            Prose("Summer timetable 2026 - Issue 3 - Applies from 15 April 2026 to 30 September 2026"),
            Heading("The company"),
            Prose(
                "Skerra Line was founded in 1964 by Olav Brekke, who carried mail and sheep between the outer "
                "islands in a converted trawler. Today the company employs 412 people, of whom 290 work at sea. "
                "The registered office is at Tollbugata 14, Havnvik. The Managing Director is Signe Aaland and "
                "the Director of Fleet Operations is Captain Tor Emil Rasch."
            ),
            Heading("Our ships"),
            Rows(
                (
                    ("Ship", "Built", "Passengers", "Cars", "Service speed"),
                    ("MS Eider", "2009", "480", "110", "17 knots"),
                    ("MS Tern", "2016", "620", "145", "19 knots"),
                    ("MS Puffin", "2023", "300", "60", "15 knots, battery hybrid"),
                ),
                header=True,
                widths=(80, 60, 80, 60, 160),
            ),
            Prose(
                "In 2025 the three ships carried 1.4 million passengers and 98.6% of departures left within "
                "ten minutes of the timetable."
            ),
        ),
        (
            Heading("Fares"),
            Prose("All fares are one way and in kroner. Children under 6 travel free with a paying adult."),
            Rows(
                (
                    ("Route", "Adult", "Child 6-15", "Car incl. driver", "Crossing time"),
                    ("Havnvik - Storholm", "kr 145", "kr 72", "kr 520", "1 h 25 min"),
                    ("Havnvik - Lysoya", "kr 98", "kr 49", "kr 365", "50 min"),
                    ("Storholm - Ytre Skarv", "kr 210", "kr 105", "kr 780", "2 h 40 min"),
                ),
                header=True,
                widths=(130, 60, 70, 100, 90),
            ),
            Heading("Cabins and lounges"),
            Prose(
                "Two-berth cabins on MS Tern cost kr 640 per crossing and include breakfast. The Panorama Lounge "
                "on deck 7 is open to holders of a Comfort ticket, which adds kr 90 to the adult fare."
            ),
            Heading("Changes and refunds"),
            Bullets(
                (
                    "Flex tickets can be refunded in full until one hour before departure.",
                    "Standard tickets can be changed once for a fee of kr 75, but are not refundable.",
                    "If we cancel a departure, you choose between the next ship and your money back within 7 days.",
                    "For a delay of more than 90 minutes we pay back 25% of the fare.",
                ),
                mark="-",
            ),
        ),
        (
            Heading("Luggage, bicycles and animals"),
            Prose(
                "Each passenger may bring two pieces of luggage of up to 25 kg each. Bicycles cost kr 60 and are "
                "stowed on the car deck; electric bicycles must be switched off. Dogs travel free of charge but "
                "stay on a lead and outside the restaurant. Cats and other small animals must be kept in a "
                "carrier."
            ),
            Heading("Safety on board"),
            Prose(
                "The assembly stations are A on deck 5 and B on deck 6. Seven short blasts followed by one long "
                "blast is the general alarm. Lifejackets for children are kept at the information desk. The car "
                "deck is closed to passengers while the ship is under way. Smoking is allowed only on the aft sun "
                "deck."
            ),
            Heading("Frequently asked questions"),
            Prose("Q: How early must I check in with a car?"),
            Prose("A: Be at the quay 30 minutes before departure. Foot passengers may board until 10 minutes before."),
            Prose("Q: Do you have charging points for electric cars?"),
            Prose(
                "A: MS Puffin has eight charging points of 22 kW. The other ships have none, but Havnvik quay has "
                "four fast chargers."
            ),
            Prose("Q: Is there internet on board?"),
            Prose("A: Yes. One hour is free; a day pass costs kr 49."),
        ),
        (
            Heading("Crew: working rules"),
            Prose(
                "Crews work two weeks on and two weeks off. The minimum rest is 10 hours in any 24-hour period. "
                "Fire drills take place every Tuesday, abandon-ship drills on the first Friday of the month. "
                "Near misses are reported in the Bris system before the end of the watch."
            ),
            Heading("Key contacts"),
            Rows(
                (
                    ("Booking", "booking@skerra.example", "+47 55 50 10 10"),
                    ("Lost property", "lost@skerra.example", "+47 55 50 10 44"),
                    ("Operations centre (24 h)", "ops@skerra.example", "+47 55 50 19 99"),
                ),
                widths=(140, 160, 120),
            ),
            Prose("Found items are kept for 90 days and then given to the Seamen's Mission."),
            Heading("Our history"),
            Bullets(
                (
                    "1964: Olav Brekke starts the mail route to Ytre Skarv.",
                    "1978: The first car ferry, MS Alke, enters service.",
                    "1995: Skerra Line buys its rival Fjordbatene.",
                    "2009: MS Eider is delivered from the yard in Gdansk.",
                    "2023: MS Puffin becomes the first battery hybrid of the fleet.",
                    "2026: A new terminal opens at Storholm.",
                )
            ),
            Heading("Words we use"),
            Rows(
                (
                    ("ETA", "Estimated time of arrival."),
                    ("Muster", "The gathering of everyone on board at the assembly stations."),
                    ("DPA", "Designated person ashore: Liv Hovland, the link between ships and management."),
                    ("Ro-pax", "A ship that carries both rolling cargo and passengers."),
                ),
                widths=(80, 360),
            ),
        ),
    ),
    questions=(
        Question("founder", "Who founded Skerra Line?", (1,), ("Olav Brekke",)),
        Question("staff", "How many people work for the company?", (1,), ("412",)),
        Question("md", "Who is the MD of Skerra Line?", (1,), ("Signe Aaland",)),
        Question("speed", "How fast is MS Tern?", (1,), ("19 knots",)),
        Question("ontime", "What percentage of departures were on time in 2025?", (1,), ("98.6",)),
        Question("fare", "What does a car with driver cost from Havnvik to Storholm?", (2,), ("520",)),
        Question("crossing", "How long is the crossing from Storholm to Ytre Skarv?", (2,), ("2 h 40",)),
        Question("cabin", "What is the price of a cabin on MS Tern?", (2,), ("640",)),
        Question("refund", "Can I get my money back for a Flex ticket?", (2,), ("one hour before",)),
        Question("delay", "What do I get if my ferry is delayed by two hours?", (2,), ("25%",)),
        Question("bike", "What does it cost to bring a bike?", (3,), ("60",)),
        Question("dog", "Are dogs allowed?", (3,), ("on a lead",)),
        Question("alarm", "What does the general alarm sound like?", (3,), ("Seven short",)),
        Question("checkin", "When do I have to be at the quay with my car?", (3,), ("30 minutes",)),
        Question("rest", "What is the minimum rest period for crew?", (4,), ("10 hours",)),
        Question("lost", "What's the email address for lost property?", (4,), ("lost@skerra.example",)),
        Question("dpa", "Who is the designated person ashore?", (4,), ("Liv Hovland",)),
        Question("compare", "Compare MS Eider and MS Puffin", (1,), ("2009", "2023")),
        Question(
            "history", "List everything that happened after 1990 in the company's history", (4,), ("rival", "terminal")
        ),
        Question("revenue", "What was the company's annual revenue in 2025?"),
        Question("cto", "Who is the Director of Marketing?"),
        Question("motorcycle", "What is the fare for a motorcycle?"),
        Question("gull", "When was MS Guillemot built?"),
    ),
)
