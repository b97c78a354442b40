"""Frames over asyncio's transports: TLS, and every platform."""

from __future__ import annotations

import asyncio
import contextlib

from ..protocol.framer import Limits
from .descriptor import tune_socket
from .framed import FramedLink
from .link import SLICE, Receiver

__all__ = ["StreamLink"]


class StreamLink(FramedLink, asyncio.Protocol):
    """A link that is an asyncio protocol: pass it to ``create_connection`` or ``create_server``.

    What the transport has taken counts as sent: it holds at most two SLICEs.

    Args:
        label: Who is at the other end, for logs.
        limits: What the peer may send.
        linger: See :class:`FramedLink`; it has no effect with TLS.
    """

    def __init__(self, label: str, limits: Limits | None = None, *, linger: float = 0.0) -> None:
        super().__init__(label, limits)
        self.linger = linger
        self._transport: asyncio.Transport | None = None
        self._clogged = False  # the transport has asked us to wait
        self._sending = False
        self._stopped = False  # the transport does not read
        self._early: list[bytes] = []  # what came before open()
        self._half_closes = False
        self._lingering: asyncio.TimerHandle | None = None

    # Called by asyncio

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._half_closes = transport.get_extra_info("sslcontext") is None  # TLS cannot
        sock = transport.get_extra_info("socket")
        if sock is not None:
            with contextlib.suppress(OSError):  # it has gone already, which will be told
                tune_socket(sock)
        transport.set_write_buffer_limits(high=SLICE, low=0)
        if self._closing:
            transport.abort()

    def data_received(self, data: bytes) -> None:
        if self._receiver is None or self._early:
            self._early.append(bytes(data))
            if not self._stopped and self._transport is not None:
                self._stopped = True
                self._transport.pause_reading()
        elif not self._closing and not self._ended:
            if self.linger:
                self.last_received = asyncio.get_running_loop().time()
            self._received(bytes(data))

    def eof_received(self) -> bool:
        self._got_end = True
        if not self._half_closes or not self.linger or not self.last_received:
            return False
        if self._closing or self._ended or self._receiver is None or self.unfinished:
            return False
        loop = asyncio.get_running_loop()
        wait = self.last_received + self.linger - loop.time()
        if self.input_ended is not None:
            loop.call_soon(self._tell_input_ended)  # the transport is in the middle of a read
        elif wait > 0:
            self._lingering = loop.call_later(wait, self.close)
        else:
            return False
        return True

    def _tell_input_ended(self) -> None:
        if self.input_ended is not None and not self._ended:
            self.input_ended()

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
        if self._paused:
            self._stop_transport()
        else:
            self._start_transport()
        if self._ended:  # before it was opened
            loop.call_soon(receiver.link_closed, None)
        elif self._transport.is_closing():
            loop.call_soon(self._end, None)
        else:
            self.flush()

    def flush(self) -> None:
        if self._out and not self._clogged and not self._ended and not self._sending and self._receiver is not None:
            self._send()

    def pause_reading(self) -> None:
        self._paused = True
        self._stop_transport()

    def resume_reading(self) -> None:
        self._paused = False
        if self._receiver is not None and not self._ended:
            self._start_transport()

    def _stop_transport(self) -> None:
        # Not before open(): asyncio's TLS would hold back the end of its handshake.
        transport = self._transport
        if self._receiver is None or self._got_end or self._stopped:
            return
        if transport is not None and not transport.is_closing():
            self._stopped = True
            transport.pause_reading()

    def _start_transport(self) -> None:
        if self._early:
            asyncio.get_running_loop().call_soon(self._deliver_early)
        if self._stopped and self._transport is not None and not self._transport.is_closing():
            self._stopped = False
            self._transport.resume_reading()

    def _deliver_early(self) -> None:
        if self._early and not self._paused and not self._closing:
            data = b"".join(self._early)
            self._early.clear()
            self._start_transport()
            self._received(data)

    def close(self) -> None:
        if self._closing or self._ended:
            return
        self._closing = True
        if self._receiver is None:
            self._drop_queue()
        elif self._transport is not None and not self._transport.is_closing():
            # What the peer has sent must be read, though nobody wants it: with TLS its farewell comes behind it, and
            # TCP would reset the connection.
            self._start_transport()
            asyncio.get_running_loop().call_soon(asyncio.get_running_loop().call_soon, self._send)
            return
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
        if self._lingering is not None:
            self._lingering.cancel()
        if self._transport is not None and not self._transport.is_closing():
            self._transport.abort()
