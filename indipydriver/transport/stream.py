"""Frames over asyncio's transports: TLS, and every platform."""

from __future__ import annotations

import asyncio

from ..protocol.framer import Limits
from .framed import FramedLink
from .link import SLICE, Receiver

__all__ = ["StreamLink"]


class StreamLink(FramedLink, asyncio.Protocol):
    """A link that is an asyncio protocol: pass it to ``create_connection`` or ``create_server``.

    What the transport has taken counts as sent: it holds at most two SLICEs.

    Args:
        label: Who is at the other end, for logs.
        limits: What the peer may send.
    """

    def __init__(self, label: str, limits: Limits | None = None) -> None:
        super().__init__(label, limits)
        self._transport: asyncio.Transport | None = None
        self._clogged = False  # the transport has asked us to wait
        self._sending = False
        self._early: list[bytes] = []  # what came before open()

    # Called by asyncio

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.set_write_buffer_limits(high=SLICE, low=0)
        transport.pause_reading()  # until open()
        if self._closing:
            transport.abort()

    def data_received(self, data: bytes) -> None:
        if self._receiver is None:
            self._early.append(bytes(data))
        elif not self._closing and not self._ended:
            self._received(bytes(data))

    def eof_received(self) -> bool:
        return False  # TLS cannot be half closed

    def pause_writing(self) -> None:
        self._clogged = True

    def resume_writing(self) -> None:
        self._clogged = False
        self._send()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(exc)

    # Called by the user

    def open(self, receiver: Receiver) -> None:
        self._receiver = receiver
        assert self._transport is not None, "the link is not connected"
        loop = asyncio.get_running_loop()
        if self._early and not self._closing:
            loop.call_soon(self._received, b"".join(self._early))
            self._early.clear()
        if self._ended:  # before it was opened
            loop.call_soon(receiver.link_closed, None)
            return
        if self._transport.is_closing():
            loop.call_soon(self._end, None)
            return
        if not self._paused:
            self._transport.resume_reading()
        self.flush()

    def flush(self) -> None:
        if self._out and not self._clogged and not self._ended and not self._sending and self._receiver is not None:
            self._send()

    def pause_reading(self) -> None:
        if not self._paused and self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()
        self._paused = True

    def resume_reading(self) -> None:
        if self._paused and self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()
        self._paused = False

    def close(self) -> None:
        if self._closing or self._ended:
            return
        self._closing = True
        if self._receiver is None:
            self._drop_queue()
        self._send()

    def abort(self) -> None:
        self._closing = True
        self._drop_queue()
        if self._transport is not None and not self._ended:
            self._transport.abort()

    def _send(self) -> None:
        transport = self._transport
        if transport is None or self._ended:
            return
        self._sending = True  # what is written from within link_drained waits for its turn
        try:
            while self._out and not self._clogged:
                buffers = self._next_slice()
                count = sum(map(len, buffers))
                transport.write(b"".join(buffers) if len(buffers) > 1 else buffers[0])
                self._sent(count)
                if self._above_water:
                    self._tell_drained()
        finally:
            self._sending = False
        if self._closing and not self._out:
            transport.close()

    def _release(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.abort()
