"""A gateway as `services.gateway.main` makes it, which has the patience of tests: `python -m tests.patient_gateway`."""

import pytest

from services.gateway.main import main
from tests.patience import be_patient

if __name__ == "__main__":
    be_patient(pytest.MonkeyPatch())
    main()
