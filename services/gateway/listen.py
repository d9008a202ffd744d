"""How the gateway listens: on a socket with limits that its accepted connections inherit."""

import socket

SEND_BUFFER_BYTES = 64 * 1024
"""Kernel memory per connection. Untuned it grows to 2.8 MB for a client that does not read; 64 kB hold 1,000 tokens."""


BACKLOG = 2048


class CannotListenError(Exception):
    """The address is taken or not ours; the message says which and what to do."""


def bind_socket(host: str, port: int, *, unsent_timeout_s: float) -> socket.socket:
    """Return a bound socket; port 0 picks a free one. Raise CannotListenError.

    Parameters:
        unsent_timeout_s: seconds after which the kernel drops a connection whose client takes nothing. Without it,
            a stream that we gave up on would keep its socket, and hold up the shutdown.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(unsent_timeout_s * 1000))
    try:
        listener.bind((host, port))
        listener.listen(BACKLOG)  # from here on a second server is refused, and early clients wait instead of failing
    except OSError as error:
        listener.close()
        message = f"Cannot listen on {host}:{port} ({error.strerror}); choose another with PAGEWIRE_PORT."
        raise CannotListenError(message) from error
    return listener
