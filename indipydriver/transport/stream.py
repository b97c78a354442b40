"""Frames over asyncio's transports: TLS, and every platform."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections import deque
from time import monotonic
from typing import TYPE_CHECKING

from ..protocol.frame import Batch
from ..protocol.framer import Limits
from .framed import FramedLink
from .link import FIRST_PORTION, SLICE, Receiver, portion_after
from .sockets import LONGEST_LINK_END, LOOK_EVERY, all_is_taken, sends_no_more, tune_socket

if TYPE_CHECKING:
    import ssl

__all__ = ["StreamLink"]


class StreamLink(FramedLink, asyncio.Protocol):
    """A link that is an asyncio protocol: pass it to ``create_connection`` or ``create_server``.

    What the transport has taken is no longer `unsent`, though it is not in `bytes_sent` until it has left the process:
    it holds at most two SLICEs.

    The transport chooses how much it delivers at once. What would take too long for one turn of the event loop is kept
    and handed on in later turns. So the connection may have ended while received bytes are still to be handed on; the
    receiver is told of the end after that.

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
        self._backlog: deque[memoryview] = deque()  # received, and still to be handed on
        self._portion = FIRST_PORTION
        self._is_scheduled = False  # the handing on of the next portion
        self._input_over = False  # nothing more comes in; `_got_end` is set when all has been handed on
        self._lost = False  # the connection has ended, and there is a backlog
        self._lost_by: Exception | None = None
        self._half_closes = False
        self._lingering: asyncio.TimerHandle | None = None
        self._output_over = False  # the peer cannot be sent anything
        self._last_resort: asyncio.TimerHandle | None = None
        self._is_done = False  # the peer has everything; later failures do no harm
        self._end_by = 0.0  # in the loop's time, once the link only waits for the peer to receive everything

    @property
    def bytes_sent(self) -> int:
        transport = self._transport
        return self._taken - (transport.get_write_buffer_size() if transport is not None and not self._ended else 0)

    def is_dead(self) -> bool:
        self._notice_end()
        return self._lost or (self._output_over and self._paused)

    async def use(
        self, sock: socket.socket, host: str, tls: ssl.SSLContext | None, server_hostname: str | None = None
    ) -> None:
        """Take over a socket that is connected to a server; it is closed if that fails, or is cancelled.

        Args:
            sock: The socket.
            host: Whom it is connected to.
            tls: What the server's certificate must fulfil; None: the link is plain.
            server_hostname: The name in the certificate, if not the host.
        """
        name = None
        if tls is not None:  # a certificate does not name the zone of an address
            name = server_hostname or host.partition("%")[0]
        try:
            await asyncio.get_running_loop().create_connection(lambda: self, sock=sock, ssl=tls, server_hostname=name)
        except BaseException:
            self.abort()  # with TLS already begun, asyncio would go on watching the number of a closed descriptor
            sock.close()
            raise

    # Called by asyncio

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._half_closes = transport.get_extra_info("sslcontext") is None  # TLS cannot
        sock = transport.get_extra_info("socket")
        if sock is not None:
            with contextlib.suppress(OSError):  # the peer has already gone, which will be reported
                tune_socket(sock)
        transport.set_write_buffer_limits(high=SLICE, low=0)
        if self._closing:
            transport.abort()

    def data_received(self, data: bytes) -> None:
        if self._closing or self._ended:
            return
        if self._receiver is None or self._backlog or self._paused:
            self._backlog.append(memoryview(bytes(data)))
            if self._receiver is None or sum(map(len, self._backlog)) > SLICE:
                self._stop_transport()
        elif len(data) <= self._most_at_once:
            self._take(bytes(data))
        else:
            self._backlog.append(memoryview(bytes(data)))
            self._take_portion()

    def eof_received(self) -> bool:
        self._input_over = True
        if self._ended:  # by what came with it
            return False
        if not self._half_closes:  # asyncio waits for ever for a peer that takes nothing
            self._last_resort = asyncio.get_running_loop().call_later(LONGEST_LINK_END, self._cut)
            self._end_output()
        return self._half_closes if self._backlog else self._linger_or_end()

    def _end_output(self) -> None:
        """With TLS, a peer that sends no more cannot be sent anything: asyncio would drop it, and log each attempt."""
        self._output_over = True
        self._drop_queue()
        asyncio.get_running_loop().call_soon(self._tell_drained)  # reading may be paused until the queue has drained

    def _cut(self) -> None:
        """End the connection; what has been received is still handed on."""
        if self._transport is not None and not self._lost:
            self._transport.abort()

    def _notice_end(self) -> None:
        """Look whether the peer has ended its side: with TLS, asyncio does not tell while reading is paused."""
        if self._stopped and not (self._half_closes or self._output_over or self._ended) and self._transport:
            sock = self._transport.get_extra_info("socket")
            if sock is not None and sends_no_more(sock.fileno()):
                self._end_output()

    def _linger_or_end(self) -> bool:
        """The peer sends no more; True if it is still sent to."""
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
        if self._ended or not self._backlog:
            self._end(None if self._is_done else exc)
            return
        self._lost, self._lost_by = True, exc and exc.with_traceback(None)
        self._closing = True
        self._drop_queue()
        self._tell_drained()  # reading may be paused until the queue has drained

    # Handing on what has been received

    @property
    def _most_at_once(self) -> int:
        """A portion, and a little more, as TLS delivers it: a small remainder does not deserve its own turn."""
        return self._portion + (self._portion >> 3)

    def _take_soon(self) -> None:
        if not self._is_scheduled and not self._paused:
            self._is_scheduled = True
            asyncio.get_running_loop().call_soon(self._take_portion_now)

    def _take_portion_now(self) -> None:
        self._is_scheduled = False
        if self._backlog and not self._paused:
            self._take_portion()

    def _take_portion(self) -> None:
        """Hand on some of the backlog, and the rest in later turns; after the last of it, read on or end."""
        first = self._backlog[0]
        if len(first) <= self._most_at_once:
            del self._backlog[0]
        else:
            self._backlog[0] = first[self._portion :]
            first = first[: self._portion]
        self._take(bytes(first))
        if self._backlog:
            self._take_soon()
        elif self._lost:
            self._end(self._lost_by)
        elif not self._input_over:
            if not self._paused:
                self._start_transport()
        elif not self._closing and not self._linger_or_end() and self._half_closes:
            assert self._transport is not None
            self._transport.close()

    def _take(self, data: bytes) -> None:
        began = monotonic()
        if self.linger:
            self.last_received = asyncio.get_running_loop().time()
        self._received(data)
        self._portion = portion_after(self._portion, len(data), monotonic() - began)

    def _drop_backlog(self) -> None:
        self._backlog.clear()
        self._lost_by = None  # whoever ends the link need not be told

    # Called by the user

    def open(self, receiver: Receiver) -> None:
        self._receiver = receiver
        assert self._transport is not None, "the link is not connected"
        loop = asyncio.get_running_loop()
        if self._ended:  # before it was opened
            loop.call_soon(receiver.link_closed, None)
        elif self._backlog:
            self._take_soon()
            self.flush()
        elif self._transport.is_closing():
            loop.call_soon(self._end, None)
        else:
            if self._paused:
                self._stop_transport()
            self.flush()

    def write(self, batch: Batch) -> None:
        if not self._output_over:
            super().write(batch)

    def flush(self) -> None:
        if self._out and not self._clogged and not self._ended and not self._sending and self._receiver is not None:
            self._send()

    def pause_reading(self) -> None:
        self._paused = True
        if self._receiver is not None:  # before, asyncio's TLS would hold back the end of its handshake
            self._stop_transport()

    def resume_reading(self) -> None:
        self._paused = False
        if self._receiver is None or self._ended:
            return
        if self._backlog:
            self._take_soon()
        else:
            self._start_transport()

    def _stop_transport(self) -> None:
        transport = self._transport
        if not self._stopped and not self._input_over and transport is not None and not transport.is_closing():
            self._stopped = True
            transport.pause_reading()

    def _start_transport(self) -> None:
        transport = self._transport
        if self._stopped and not self._input_over and transport is not None and not transport.is_closing():
            self._stopped = False
            transport.resume_reading()

    def close(self) -> None:
        if self._lost:
            self._leave()
        if self._closing or self._ended:
            return
        self._closing = True
        self._drop_backlog()
        if self._receiver is None:
            self._drop_queue()
        elif self._transport is not None and not self._transport.is_closing():
            # What the peer has sent must be read although nobody wants it: with TLS its close_notify follows, and
            # TCP would reset the connection.
            self._start_transport()
            asyncio.get_running_loop().call_soon(asyncio.get_running_loop().call_soon, self._send)
            return
        self._send()

    def abort(self) -> None:
        self._closing = True
        self._drop_queue()
        if self._lost:
            self._leave()
        else:
            self._drop_backlog()
            if self._transport is not None and not self._ended:
                self._transport.abort()

    def _socket_used(self) -> socket.socket | None:
        if self._transport is None or self._ended or self._lost:
            return None
        sock: socket.socket | None = self._transport.get_extra_info("socket")
        return sock

    def _leave(self) -> None:
        """The connection has already ended, and nobody wants what was received before that."""
        self._drop_backlog()
        if not self._ended:
            asyncio.get_running_loop().call_soon(self._end, None)

    def _send(self) -> None:
        transport = self._transport
        if transport is None or self._ended:
            return
        self._notice_end()
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
        if self._closing and not self._out and not self._end_by:
            loop = asyncio.get_running_loop()
            self._end_by = loop.time() + LONGEST_LINK_END
            loop.call_soon(self._close_transport)  # in a turn of its own: asyncio may be in the middle of writing

    def _close_transport(self) -> None:
        """End when the peer's system has received everything that was sent."""
        transport = self._transport
        assert transport is not None
        if transport.is_closing():
            return
        loop = asyncio.get_running_loop()
        if not self._is_taken(transport) and loop.time() < self._end_by:
            if self._half_closes:
                with contextlib.suppress(OSError):  # the peer has just gone, which will be reported
                    transport.write_eof()
            self._lingering = loop.call_later(LOOK_EVERY, self._close_transport)
        else:
            self._is_done = True
            transport.close()

    def _is_taken(self, transport: asyncio.Transport) -> bool:
        sock = transport.get_extra_info("socket")
        return not transport.get_write_buffer_size() and (sock is None or all_is_taken(sock))

    def _release(self) -> None:
        self._drop_backlog()
        for timer in (self._lingering, self._last_resort):
            if timer is not None:
                timer.cancel()
        if self._transport is not None and not self._transport.is_closing():
            self._transport.abort()
