"""Connections to a Redis Cluster, each to the node that has one slot, wherever that is.

Keys with the same part in braces have the same slot, and what has one slot is served by one node at a time. So a client
whose keys all begin with the same braces can do all that one of a single Redis can: transactions, scripts, pipelines,
waiting for several streams. It only has to find its node, and to find it again when another takes its place
(docs/decisions/0033).
"""

import itertools
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from redis.asyncio import ConnectionPool
from redis.asyncio.connection import Connection, SSLConnection, parse_url
from redis.crc import key_slot
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

Address = tuple[str, int]

SCHEMES = {"redis+cluster": "redis", "rediss+cluster": "rediss"}
"""Of our URLs, and of those of a single node."""


class MovedAwayError(RedisConnectionError):
    """The slot is at another node by now: a connection that is lost, to be made anew there."""


class Slot:
    """Where a slot is, as far as the clients of a process know.

    Attributes:
        prefix: what all keys begin with; its part in braces decides the slot.
        number: of the slot, as nodes write it.
        address: the node that was last heard to have it.
        hops: connections to try: each node that was named may send on to another.
    """

    def __init__(self, prefix: str, nodes: Sequence[Address]) -> None:
        self.prefix = prefix
        self.number = str(key_slot(prefix.encode()))
        self.address = nodes[0]
        self.hops = 2 * len(nodes) + 1
        self._nodes = itertools.cycle(nodes)

    def leave(self, address: Address) -> None:
        """Ask another of the nodes that were named, unless somebody has found another already."""
        if self.address == address:
            self.address = next(self._nodes)


class SlotConnection(Connection):
    """A connection to the node that has a slot. As long as no node answers it fails as any other does."""

    def __init__(self, *, slot: Slot, **options: Any) -> None:
        super().__init__(**options)
        self._slot = slot

    @property
    def is_astray(self) -> bool:
        """Whether the slot has moved since this connection was made, as far as other connections have heard."""
        return (self.host, self.port) != self._slot.address

    async def connect(self) -> None:
        """Connect where the slot is, following what the nodes say of it."""
        hops = 0
        while not self.is_connected:
            self.host, self.port = self._slot.address
            hops += 1
            try:
                await super().connect()  # type: ignore[no-untyped-call]
            except (RedisConnectionError, RedisTimeoutError) as error:
                if not isinstance(error, MovedAwayError):
                    self._slot.leave((self.host, self.port))
                if hops == self._slot.hops:
                    raise

    async def on_connect(self) -> None:
        """Begin as ever, and have the node say whether the slot is elsewhere: SUBSCRIBE and PUBLISH would not tell."""
        await super().on_connect()
        await self.send_command("EXISTS", self._slot.prefix)
        await self.read_response()

    async def read_response(self, *arguments: Any, **options: Any) -> Any:
        """Return a reply. Raise MovedAwayError where it is that the slot has moved."""
        try:
            return await super().read_response(*arguments, **options)
        except ResponseError as error:
            kind, slot, place = [*str(error).split(" "), "", ""][:3]  # MOVED SLOT HOST:PORT
            if kind != "MOVED" or slot != self._slot.number:  # of another one is of a key without the prefix
                raise
            host, _, port = place.rpartition(":")
            self._slot.address = (host or self.host, int(port))  # no host is said where it is the same
            await self.disconnect(nowait=True)
            raise MovedAwayError(str(error)) from error


class SlotTlsConnection(SlotConnection, SSLConnection):
    """The same, with TLS."""


def make_cluster_pool(url: str, prefix: str, **options: Any) -> ConnectionPool:
    """Return a pool of connections to the node that has the slot of a prefix.

    Parameters:
        url: `redis+cluster://[user:password@]host:port,host:port…`, or `rediss+cluster` with TLS.
        options: as of redis-py's ConnectionPool.
    """
    parts = urlsplit(url)
    login, at, hosts = parts.netloc.rpartition("@")
    nodes = [urlsplit(f"//{host.strip()}") for host in hosts.strip(", ").split(",")]
    kind = SCHEMES[parts.scheme]
    # As of the first of them: names and values of the query, and the escapes, are those of any URL of Redis.
    options |= parse_url(f"{kind}://{login}{at}{nodes[0].netloc}?{parts.query}")
    for name in ("host", "port", "db"):
        options.pop(name, None)
    # What was refused because the slot has moved had no effect: whoever else sends nothing twice may send this again.
    options.setdefault("retry_on_error", [MovedAwayError])
    options["connection_class"] = SlotTlsConnection if kind == "rediss" else SlotConnection
    addresses = [(node.hostname or "127.0.0.1", node.port or 6379) for node in nodes]
    return ConnectionPool(slot=Slot(prefix, addresses), **options)
