"""Patience for all tests of faults: what is slow here is the machine."""

from collections.abc import Iterator

import pytest

from tests.patience import be_patient


@pytest.fixture(scope="module", autouse=True)
def patience() -> Iterator[None]:
    """No deadline is over that the test does not choose."""
    with pytest.MonkeyPatch.context() as patch:
        be_patient(patch)
        yield
