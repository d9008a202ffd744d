"""Neither the garbage collector nor threads that compute stop the streams."""

import subprocess
import sys

SCRIPT = """
import gc, sys, weakref
from services.gateway.pauses import shorten_pauses

class Node: pass

turn = sys.getswitchinterval()
shorten_pauses()
assert sys.getswitchinterval() <= turn / 10
assert gc.get_freeze_count() > 1000 and len(gc.get_objects()) < 100
node = Node()
node.itself, gone = node, weakref.ref(node)
del node
kept = [[] for _ in range(11_000)]
assert gone() is None
"""


def test_what_is_there_at_the_start_is_left_alone_and_later_cycles_go() -> None:
    """In a process of its own, because it is for all of it."""
    subprocess.run([sys.executable, "-c", SCRIPT], check=True, timeout=60)
