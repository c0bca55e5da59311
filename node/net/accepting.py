"""Accepting connections for as long as the daemon lives, also while the system has no file descriptor to spare."""

from __future__ import annotations

import errno
import logging

import trio

logger = logging.getLogger(__name__)

_OUT_OF_RESOURCES = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
_RETRY_S = 0.1


async def next_stream(listener: trio.SocketListener) -> trio.SocketStream:
    """The next connection. Clients that left before they were accepted are passed over (trio does that)."""
    while True:
        try:
            return await listener.accept()
        except OSError as error:
            if error.errno not in _OUT_OF_RESOURCES:
                raise
            logger.warning("cannot accept a connection for now: %s", error.strerror)
            await trio.sleep(_RETRY_S)
