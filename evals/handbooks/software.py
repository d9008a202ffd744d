"""A made-up software product manual (development set)."""

from evals.handbooks.layout import Bullets, Handbook, Heading, Prose, Question, Rows

HANDBOOK = Handbook(
    name="software",
    title="Quillbase 5 Administrator Manual",
    pages=(
        (
            Prose("Document QB-ADM-500, revision C, published 20 February 2026 by Tessel Software Ltd."),
            Heading("1 Introduction"),
            Prose(
                "Quillbase is a records server for small archives. It stores scanned documents, indexes their "
                "text and keeps an audit trail of every change. Version 5.0 was released on 11 November 2025 and "
                "is the first version that runs without an external database."
            ),
            Heading("1.1 System requirements"),
            Rows(
                (
                    ("Item", "Minimum", "Recommended"),
                    ("Processor", "2 cores", "8 cores"),
                    ("Memory", "4 GB", "16 GB"),
                    ("Disk", "20 GB", "500 GB SSD"),
                    ("Operating system", "Debian 12, Windows Server 2022", "Debian 13"),
                    ("Browser", "Firefox 115, Chrome 118", "latest"),
                ),
                header=True,
                widths=(110, 180, 130),
            ),
            Heading("1.2 Default ports"),
            Rows(
                (
                    ("Web interface", "8443/tcp"),
                    ("Replication", "7710/tcp"),
                    ("Metrics", "9187/tcp, disabled by default"),
                ),
                widths=(140, 260),
            ),
        ),
        (
            Heading("2 Editions and licences"),
            Prose(
                "Every edition contains full-text search, the audit trail and the REST interface. Licences are "
                "sold per server and per year."
            ),
            Rows(
                (
                    ("Edition", "Users", "Records", "Price per year", "Support"),
                    ("Desk", "5", "50,000", "$490", "Community forum"),
                    ("Team", "50", "2 million", "$3,900", "E-mail, two working days"),
                    ("Archive", "unlimited", "unlimited", "$14,500", "Phone and e-mail, 4 hours"),
                ),
                header=True,
                widths=(70, 70, 80, 90, 150),
            ),
            Prose(
                "Charities and schools receive a discount of 40% on the Team edition. Upgrades between editions "
                "take effect at once and are charged pro rata. A trial licence lasts 30 days and cannot be "
                "extended."
            ),
            Heading("2.1 Termination"),
            Prose(
                "A licence that has expired turns the server read-only after a grace period of 14 days. No data is "
                "deleted. Customers may end a contract in writing three months before its renewal date."
            ),
        ),
        (
            Heading("3 Backup and restore"),
            Prose(
                "The command qbctl backup writes a consistent copy while the server runs. Keep at least three "
                "copies in two places. A nightly backup is scheduled at 02:30 unless the setting backup.schedule "
                "says otherwise. To restore, stop the server, run qbctl restore with the path of the copy, and "
                "start it again; a restore of one million records takes about 25 minutes on recommended hardware."
            ),
            Heading("3.1 Encryption"),
            Prose(
                "Records are encrypted with AES-256-GCM. The master key is kept in the file /etc/quillbase/master.key "
                "and must be readable by the service account only. Losing the key makes all records unreadable; "
                "Tessel cannot recover it."
            ),
            Heading("3.2 Password rules"),
            Bullets(
                (
                    "Passwords have at least 14 characters.",
                    "An account is locked for 15 minutes after five failed attempts.",
                    "Sessions end after 8 hours or after 45 minutes without activity.",
                    "Two-factor authentication with TOTP is mandatory for administrators.",
                ),
                mark="1",
            ),
            Heading("3.3 Limits"),
            Rows(
                (
                    ("Maximum file size", "2 GB"),
                    ("Maximum path length", "1,024 characters"),
                    ("Requests per minute and token", "600"),
                    ("Retention of the audit trail", "10 years"),
                ),
                widths=(200, 200),
            ),
        ),
        (
            Heading("4 Troubleshooting"),
            Rows(
                (
                    ("Code", "Meaning", "Remedy"),
                    ("QB-104", "Index is out of date", "Run qbctl reindex"),
                    ("QB-221", "Disk nearly full", "Free at least 5 GB or move the store"),
                    ("QB-307", "Clock differs by more than 30 s", "Check the NTP service"),
                    ("QB-410", "Licence expired", "Install a new licence file"),
                ),
                header=True,
                widths=(70, 180, 190),
            ),
            Heading("4.1 Common questions"),
            Prose("Can I run Quillbase in a container?"),
            Prose(
                "Yes. The image quillbase/server:5.0 is published for amd64 and arm64. Mount /var/lib/quillbase as a "
                "volume, or all records are lost when the container is removed."
            ),
            Prose("Which file formats are indexed?"),
            Prose(
                "PDF, DOCX, ODT, TIFF and plain text. E-mail in EML format will follow in version 5.2, planned for "
                "September 2026."
            ),
            Prose("Does Quillbase send data to Tessel?"),
            Prose("No. There is no telemetry. Update checks are made only when an administrator presses the button."),
            Heading("4.2 Release history"),
            Rows(
                (
                    ("Version", "Date", "Highlights"),
                    ("3.0", "June 2019", "REST interface"),
                    ("4.0", "March 2022", "Replication, two-factor authentication"),
                    ("4.5", "October 2023", "OCR in 14 languages"),
                    ("5.0", "November 2025", "Embedded storage engine, arm64"),
                ),
                header=True,
                widths=(70, 110, 250),
            ),
            Heading("4.3 Terms"),
            Rows(
                (
                    ("RPO", "Recovery point objective; with replication 5 seconds, without it 24 hours."),
                    ("Fonds", "The records that come from one creator."),
                    ("WORM", "Write once, read many; a store whose records cannot be changed."),
                ),
                widths=(80, 360),
            ),
            Prose("Security reports go to Mireille Vasquez-Holm, head of product security, at psirt@tessel.example."),
        ),
    ),
    questions=(
        Question("release", "When was version 5.0 released?", (1, 4), ("November 2025",)),
        Question("memory", "How much memory is recommended?", (1,), ("16 GB",)),
        Question("port", "Which port does the web interface use?", (1,), ("8443",)),
        Question("team", "How much does the Team edition cost?", (2,), ("3,900",)),
        Question("users", "How many users can the Desk edition have?", (2,), ("5",)),
        Question("charity", "Is there a discount for schools?", (2,), ("40%",)),
        Question("trial", "How long does the trial last?", (2,), ("30 days",)),
        Question("expired", "What happens when my licence expires?", (2,), ("read-only",)),
        Question("backup", "At what time does the nightly backup run?", (3,), ("02:30",)),
        Question("cipher", "How are records encrypted?", (3,), ("AES-256",)),
        Question("password", "What is the minimum password length?", (3,), ("14 characters",)),
        Question("filesize", "What's the maximum file size?", (3,), ("2 GB",)),
        Question("error", "What does error QB-307 mean?", (4,), ("Clock differs",)),
        Question("docker", "Can it run in a Docker container?", (4,), ("quillbase/server",)),
        Question("formats", "Which file formats are indexed?", (4,), ("DOCX",)),
        Question("rpo", "What is the recovery point objective with replication?", (4,), ("5 seconds",)),
        Question("compare", "What is the difference between the Desk and Archive editions?", (2,), ("490", "14,500")),
        Question("versions", "List all releases from 2022 on", (4,), ("4.5", "5.0")),
        Question("security", "Who is the head of product security?", (4,), ("Mireille Vasquez-Holm",)),
        Question("gpu", "Which graphics card is recommended?"),
        Question("mac", "How much does the Enterprise edition cost?"),
        Question("ldap", "How do I connect Quillbase to LDAP?"),
        Question("qb999", "What does error QB-512 mean?"),
    ),
)
