"""The process of a shard: `python -m shared.vector_index.edge_child FOLDER DIMENSION PARENT`.

It reads calls from its standard input and writes their results to its standard output, one after another: a call is
(method of EdgeShard, arguments), a result (whether it went well, what was returned or our error). The first result is
that of opening. It ends when its input does.
"""

import os
import pickle
import signal
import sys
from pathlib import Path
from typing import BinaryIO

from shared.parent_process import end_with_parent
from shared.vector_index.edge_messages import LENGTH, dump_message
from shared.vector_index.edge_shard import EdgeShard, explain


def main(folder: Path, dimension: int | None, calls: BinaryIO, results: BinaryIO) -> None:
    """Open the shard, and work until there are no more calls."""
    try:
        shard = EdgeShard(folder, dimension)
    except Exception as error:  # noqa: BLE001 - the binding raises nothing else
        _write(results, (False, explain(error)))
        return
    _write(results, (True, None))
    while header := calls.read(LENGTH.size):
        method, arguments = pickle.loads(calls.read(*LENGTH.unpack(header)))  # noqa: S301 - our parent wrote it
        try:
            result = True, getattr(shard, method)(*arguments)
        except Exception as error:  # noqa: BLE001 - as above
            result = False, explain(error)
        _write(results, result)


def _write(results: BinaryIO, result: tuple[bool, object]) -> None:
    results.write(dump_message(result))
    results.flush()


if __name__ == "__main__":
    end_with_parent(int(sys.argv[3]))
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # sent to all of a group: our parent still needs us
        signal.signal(number, signal.SIG_IGN)
    with os.fdopen(os.dup(1), "wb") as output:
        os.dup2(2, 1)  # whatever the engine may print is no result
        main(Path(sys.argv[1]), int(sys.argv[2]) if sys.argv[2] else None, sys.stdin.buffer, output)
