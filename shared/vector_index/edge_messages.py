"""How the process of a shard and its parent speak: each message is a length and so many pickled bytes."""

import pickle
import struct
from typing import Any

LENGTH = struct.Struct(">I")


def dump_message(content: Any) -> bytes:
    """Return a message with its length before it."""
    pickled = pickle.dumps(content, pickle.HIGHEST_PROTOCOL)
    return LENGTH.pack(len(pickled)) + pickled
