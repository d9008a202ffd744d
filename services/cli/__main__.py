"""`python -m services.cli`, the same as the command `pagewire`."""

import sys

from services.cli.main import main

sys.exit(main())
