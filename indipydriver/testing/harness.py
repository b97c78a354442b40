"""A client without a server, for tests of a driver."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import reprlib
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Final, ParamSpec, Self, TypeVar

from ..errors import RemoteProtocolError
from ..ipydriver import IPyDriver
from ..propertymembers import as_text
from ..propertyvectors import timestamp_string
from ..protocol.decode import decode
from ..protocol.encode import encode
from ..protocol.frame import Batch, Frame
from ..protocol.messages import (
    AnyMessage,
    DefVector,
    DelProperty,
    GetProperties,
    Message,
    NewVector,
    OneBlob,
    OneMember,
    SetVector,
)
from ..protocol.tags import VectorKind
from ..transport.calling import refuse_within_loop
from ..transport.memory import memory_pair
from .virtualtime import VirtualTimeLoop

__all__ = ["DriverHarness", "Property", "driver_test", "run"]

_T = TypeVar("_T")
_P = ParamSpec("_P")

_VIRTUAL_MOMENT: Final = 1e-6
"""Seconds of virtual time: they pass when all that can be done now has been done."""


def run(test: Callable[..., Coroutine[Any, Any, _T]], *args: Any, real_time: bool = False) -> _T:
    """Run a test that is a coroutine function, and return what it returns.

    Args:
        test: The coroutine function.
        args: Its arguments.
        real_time: True: use the clock, for tests with sockets or processes.

    Raises:
        RuntimeError: An event loop is already running, as in a notebook: there, use ``await test()``.
    """
    refuse_within_loop("await test()")
    with asyncio.Runner(loop_factory=None if real_time else VirtualTimeLoop) as runner:
        try:
            return runner.run(test(*args))
        except (KeyboardInterrupt, SystemExit):
            _end_tasks(runner.get_loop())
            raise


def _end_tasks(loop: asyncio.AbstractEventLoop) -> None:
    """End what still runs after KeyboardInterrupt or SystemExit.

    Each task that ends with one of these stops the loop again, and the runner would leave the others pending.
    """
    for task in asyncio.all_tasks(loop):
        task.cancel()
    for _ in range(len(asyncio.all_tasks(loop)) + 1):
        if tasks := asyncio.all_tasks(loop):
            with contextlib.suppress(KeyboardInterrupt, SystemExit):
                loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))


def driver_test(test: Callable[_P, Coroutine[Any, Any, None]]) -> Callable[_P, None]:
    """Make a coroutine function a test function: as :func:`run`, for pytest's fixtures and parameters."""

    @functools.wraps(test)
    def wrapper(*args: _P.args, **kwargs: _P.kwargs) -> None:
        run(functools.partial(test, *args, **kwargs))

    return wrapper


@dataclass
class Property:
    """A vector as a client sees it.

    Attributes:
        defined: False before its definition and after its deletion.
        state: The last known state; "Busy" after a command, until it is answered.
        values: Text of each member, or bytes of a BLOB; None for a BLOB that has not been sent.
        timeout: Seconds, as text; None if it has none.
        message: The text of the last message that arrived with it.
        definition: The last definition.
        updates: How many updates have arrived.
    """

    defined: bool = False
    state: str = "Idle"
    values: dict[str, Any] = field(default_factory=dict)
    timeout: str | None = None
    message: str = ""
    definition: DefVector | None = None
    updates: int = 0

    def __str__(self) -> str:
        if not self.defined:
            return "not defined" if self.definition is None else "deleted"
        values = {name: value if isinstance(value, str) else reprlib.repr(value) for name, value in self.values.items()}
        shown = ", ".join([self.state, *(f"{name}={value}" for name, value in values.items())])
        return f"{shown}; {self.message}" if self.message else shown


class DriverHarness:
    """Runs a driver and is its only client. Use it with ``async with``.

    If the driver ends too early, the reason is raised by the method that is waiting, and at the end of the block.

    Args:
        driver: The driver.
        shutdown_grace: Seconds that the driver has to end by itself at the end of the test.

    Attributes:
        driver: The driver.
        frames: Everything that it has sent, as frames.
        messages: Everything that it has sent, decoded.
        texts: The human-readable messages among them, including those in definitions and updates.
        faults: What it has sent that is not INDI.
    """

    def __init__(self, driver: IPyDriver, *, shutdown_grace: float = 5.0) -> None:
        self.driver = driver
        self.frames: list[Frame] = []
        self.messages: list[AnyMessage] = []
        self.texts: list[str] = []
        self._grace = shutdown_grace
        self._properties: dict[tuple[str, str], Property] = {}
        self._link, self._drivers_link = memory_pair("the driver", "a test")
        self._task: asyncio.Task[None] | None = None
        self._news = asyncio.Event()
        self._closed = False
        self.faults: list[RemoteProtocolError] = []

    async def __aenter__(self) -> Self:
        self._link.open(self)
        self._task = asyncio.create_task(self.driver.serve(self._drivers_link, shutdown_grace=self._grace))
        try:
            await self.send(GetProperties())
            await self.settle()
        except BaseException:  # without this nothing would end the driver: __aexit__() is not called
            await self._end()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        task = await self._end()
        if error is None:
            task.result()
        elif not task.cancelled():
            task.exception()  # the test's own error matters more

    async def _end(self) -> asyncio.Task[None]:
        """End the driver."""
        assert self._task is not None
        if not self._task.done():  # otherwise the next run would be shut down
            self.driver.shutdown()
            if not self.driver.stop:  # the author's shutdown() does not end it
                self._link.close()
        try:
            await asyncio.wait([self._task])
        finally:
            self._link.abort()
        return self._task

    # --- time ---

    async def advance(self, seconds: float) -> None:
        """Let time pass, with everything that happens meanwhile."""
        await asyncio.sleep(seconds)
        await self.settle()

    async def settle(self) -> None:
        """Let everything happen that takes no time. This is exact in virtual time; otherwise it is a few loop turns.

        If a driver sends without a pause, virtual time never passes, and this never returns.
        """
        if isinstance(asyncio.get_running_loop(), VirtualTimeLoop):
            await asyncio.sleep(_VIRTUAL_MOMENT)
        else:
            for _ in range(20):
                await asyncio.sleep(0)

    # --- to the driver ---

    async def send(self, message: AnyMessage) -> None:
        """Send any message: commands, or news from other devices for drivers that snoop.

        When this returns, all effects that take no time have happened.
        """
        await self.send_frame(encode(message))

    async def send_frame(self, frame: Frame) -> None:
        """Send a frame as it is."""
        self._link.write(Batch([frame]))
        self._link.flush()
        await self.settle()

    async def get_properties(self, device: str | None = None, vector: str | None = None) -> None:
        """Ask for definitions."""
        await self.send(GetProperties(device, vector))

    async def set_switch(
        self, device: str, vector: str, values: Mapping[str, str] | None = None, /, **members: str
    ) -> None:
        """Set switches, by keyword, or by dict if their names are not Python identifiers."""
        await self._command(VectorKind.SWITCH, device, vector, {**(values or {}), **members})

    async def set_number(
        self, device: str, vector: str, values: Mapping[str, float | str] | None = None, /, **members: float | str
    ) -> None:
        """Set numbers."""
        await self._command(VectorKind.NUMBER, device, vector, {**(values or {}), **members})

    async def set_text(
        self, device: str, vector: str, values: Mapping[str, str] | None = None, /, **members: str
    ) -> None:
        """Set text values."""
        await self._command(VectorKind.TEXT, device, vector, {**(values or {}), **members})

    async def send_blob(
        self, device: str, vector: str, member: str, data: bytes, format: str = ".bin", size: int | None = None
    ) -> None:
        """Send a BLOB; `size` is its size after inflating, by default its length."""
        blob = OneBlob(member, data, len(data) if size is None else size, format)
        await self._send_command(NewVector(VectorKind.BLOB, device, vector, (blob,), timestamp_string()))

    async def _command(self, kind: VectorKind, device: str, vector: str, values: Mapping[str, object]) -> None:
        members = tuple(OneMember(name, as_text(value)) for name, value in values.items())
        await self._send_command(NewVector(kind, device, vector, members, timestamp_string()))

    async def _send_command(self, message: NewVector) -> None:
        frame = encode(message)
        self.property(message.device, message.name).state = "Busy"  # like all clients, until they are answered
        await self.send_frame(frame)

    # --- from the driver ---

    def property(self, device: str, vector: str) -> Property:
        """What is known about a vector; always the same object."""
        return self._properties.setdefault((device, vector), Property())

    async def wait_for(
        self,
        device: str,
        vector: str,
        *,
        state: str | None = None,
        values: Mapping[str, Any] | None = None,
        defined: bool = True,
        timeout: float = 1.0,
    ) -> Property:
        """Wait until a vector is as described, and return it.

        Args:
            state: None: any.
            values: The values of some members, as text; None: any.
            defined: False: wait for its deletion.
            timeout: Seconds, virtual under :func:`run`.

        Raises:
            AssertionError: It did not happen in time.
        """
        seen = self.property(device, vector)

        def as_wanted() -> bool:
            return (
                seen.defined == defined
                and state in (None, seen.state)
                and all(seen.values.get(name) == value for name, value in (values or {}).items())
            )

        wanted = [f"state {state}"] if state else []
        wanted += [f"values {dict(values)}"] if values else []
        wanted += [] if defined else ["deleted"]
        await self.wait_until(as_wanted, f"{device} {vector}: {', '.join(wanted) or 'defined'}", timeout)
        return seen

    async def wait_until(
        self, condition: Callable[[], bool], what: str = "the condition", timeout: float = 1.0
    ) -> None:
        """Wait until a condition holds; it is checked whenever the driver has sent something."""
        try:
            async with asyncio.timeout(timeout):
                while not (condition() or self._closed):
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            known = "".join(f"\n  {' '.join(name)}: {seen}" for name, seen in self._properties.items())
            raise AssertionError(f"not within {timeout:g} s: {what}; known:{known or ' nothing'}") from None
        if not condition():
            assert self._task is not None
            await self._task  # raises what has ended the driver
            raise AssertionError(f"the driver has ended before: {what}")

    def assert_state(self, device: str, vector: str, state: str) -> None:
        """Assert that the vector is defined and has this state."""
        seen = self.property(device, vector)
        assert seen.defined, f"{device} {vector} is not defined"
        assert seen.state == state, f"{device} {vector} is {seen.state}, not {state}; its message: {seen.message!r}"

    def assert_values(
        self, device: str, vector: str, values: Mapping[str, Any] | None = None, /, **members: Any
    ) -> None:
        """Assert that the vector is defined and that these members have these values, as text."""
        seen = self.property(device, vector)
        assert seen.defined, f"{device} {vector} is not defined"
        for name, value in {**(values or {}), **members}.items():
            assert name in seen.values, f"{device} {vector} has no member {name!r}"
            assert seen.values[name] == value, f"{device} {vector} {name} is {seen.values[name]!r}, not {value!r}"

    def assert_deleted(self, device: str, vector: str) -> None:
        """Assert that the vector has been defined, and deleted since."""
        seen = self.property(device, vector)
        assert seen.definition is not None, f"{device} {vector} has never been defined"
        assert not seen.defined, f"{device} {vector} is still defined"

    # --- called by the link ---

    def frames_received(self, frames: list[Frame]) -> None:
        for frame in frames:
            self.frames.append(frame)
            try:
                message = decode(frame)
            except RemoteProtocolError as fault:
                self.faults.append(fault)
                continue
            self.messages.append(message)
            self._apply(message)
        self._news.set()

    def fault_received(self, fault: RemoteProtocolError) -> None:
        self.faults.append(fault)

    def link_drained(self) -> None:
        pass

    def link_closed(self, error: Exception | None) -> None:
        self._closed = True
        self._news.set()

    def _apply(self, message: AnyMessage) -> None:
        match message:
            case DefVector():
                seen = self.property(message.device, message.name)
                seen.defined, seen.definition, seen.state = True, message, message.state.value
                seen.timeout = message.timeout
                is_blob = message.kind is VectorKind.BLOB
                seen.values = {member.name: None if is_blob else member.value for member in message.members}
                self._text(seen, message.message)
            case SetVector():
                seen = self.property(message.device, message.name)
                seen.updates += 1
                seen.state = message.state.value if message.state else seen.state
                seen.timeout = message.timeout or seen.timeout
                for member in message.members:
                    seen.values[member.name] = member.data if isinstance(member, OneBlob) else member.value
                self._text(seen, message.message)
            case DelProperty():
                for (device, name), seen in self._properties.items():
                    if device == message.device and message.name in (None, name):
                        seen.defined = False
                if message.message:
                    self.texts.append(message.message)
            case Message():
                self.texts.append(message.message)
            case _:
                pass

    def _text(self, seen: Property, text: str | None) -> None:
        if text:
            seen.message = text
            self.texts.append(text)
