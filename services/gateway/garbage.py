"""Keeps Python's garbage collector from stopping the streams."""

import gc
from typing import Final

YOUNG_OBJECTS: Final = 10_000
"""After so many new objects it looks at them, which takes milliseconds; Python's default is 700."""


def spare_collector() -> None:
    """Take what is there now out of the collector's sight, and let it look less often.

    Of the 160,000 objects of all modules none goes away, and each look at them would stop all streams for a tenth of a
    second. What requests leave in cycles is little: 10,000 objects are some MB.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS)
