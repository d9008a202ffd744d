"""Keeps the streams from standing still: for the garbage collector, and for threads that compute."""

import gc
import sys
from typing import Final

YOUNG_OBJECTS: Final = 10_000
"""After so many new objects the collector looks at them, which takes milliseconds; Python's default is 700."""
THREAD_TURN_S: Final = 0.0005
"""So long a thread keeps the interpreter when another one wants it; Python's default is 5 ms."""


def shorten_pauses() -> None:
    """Let the collector look less often and at less, and the event loop soon have its turn.

    Of the 160,000 objects of all modules none goes away, and each look at them would stop all streams for a tenth of a
    second: what is there now is taken out of the collector's sight. What requests leave in cycles is little: 10,000
    objects are some MB.

    While a thread looks up an answer's evidence, the event loop gets the interpreter back only when the thread's turn
    is over: by Python's default 5 ms after a token has come, and later still where several threads take turns.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS)
    sys.setswitchinterval(THREAD_TURN_S)
