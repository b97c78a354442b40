"""A program as a child of this process: how it is started, and ended with everything that it has started."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from io import FileIO
from typing import Final, NamedTuple

from indipydriver.transport.attached import PassingLink
from indipydriver.transport.descriptor import DescriptorLink
from indipydriver.transport.forked import ours_only
from indipydriver.transport.link import Link

__all__ = ["Child", "Piped", "Started", "start", "start_with_pipes"]

_PIPE_SIZE: Final = 1 << 20  # the most Linux gives without privilege; fewer wake-ups for BLOBs
_PR_SET_PDEATHSIG: Final = 1
_KILL_TIME: Final = 0.2  # seconds in which a process that has been killed ends


class Child:
    """A process that leads its own process group.

    Its status is collected only after the last signal to its group: until then its number can be nobody else's.

    Args:
        process: It has just been started, in its own session.
        lifeline: A descriptor whose closing ends the group, or -1; see :func:`_hold_alive`.

    Attributes:
        process: The process.
        exited: Done when it has ended; its status may not have been collected.
        remains: A description of what :meth:`stop` could not end, or "".
    """

    def __init__(self, process: subprocess.Popen[bytes], lifeline: int = -1) -> None:
        self.process = process
        self.remains = ""
        self._lifeline: FileIO | None = None
        self._loop = asyncio.get_running_loop()
        self._pidfd = -1
        self._is_killed = False  # a thread waits for its end, and collects its status
        self._may_signal = True
        self.exited: asyncio.Future[None] = self._loop.create_future()
        self._watch()
        if lifeline >= 0:
            self._lifeline = ours_only(FileIO(lifeline, "w"))

    async def wait(self, timeout: float) -> bool:
        """Has it ended, after at most this many seconds?"""
        if not self.exited.done():
            await asyncio.wait((self.exited,), timeout=timeout)
        return self.exited.done()

    def signal(self, number: int) -> bool:
        """Send a signal to its group; False if that is not permitted, as with programs of other users."""
        if self.process.returncode is None and not self._is_killed:
            self._may_signal = True
            try:
                os.killpg(self.process.pid, number)
            except ProcessLookupError:
                pass
            except PermissionError:
                self._may_signal = False
        return self._may_signal

    async def stop(self, grace: float, kill_after: float) -> None:
        """End it, now that its input is closed: wait, then SIGTERM, then SIGKILL, with everything that it has started.

        A process that may not be signalled, or is stuck in the kernel, is abandoned; see :attr:`remains`.
        If this is cancelled, it kills the process; calling it again waits for the end.

        Args:
            grace: Seconds before SIGTERM, and after SIGKILL.
            kill_after: Seconds between the two.
        """
        try:
            for number, seconds in ((signal.SIGTERM, grace), (signal.SIGKILL, kill_after)):
                if self._is_killed or await self.wait(seconds):
                    break
                self.signal(number)
            if not await self.wait(grace):
                why = "although it was killed" if self._may_signal else "because this server is not permitted to end it"
                self.remains = f"process {self.process.pid} is still running {why}"
        finally:
            self.kill()

    def kill(self) -> None:
        """End it and its group at once, without waiting."""
        self.signal(signal.SIGKILL)
        if self._lifeline is not None:
            self._lifeline.close()
            self._lifeline = None
        if self.process.poll() is not None:
            if not self.remains:
                self._look_for_remains()
            self._note_exit()
        elif not self._is_killed:
            with contextlib.suppress(OSError):  # no more threads: its status is collected when another one is started
                _in_thread(self._collect, f"end of {self.process.pid}")
                self._is_killed = True
                self._watched()

    def _collect(self) -> None:
        """Wait for its end, in a thread, and collect its status."""
        self.process.wait()
        with contextlib.suppress(RuntimeError):  # the loop has been closed: nobody waits any more
            self._loop.call_soon_threadsafe(self._note_exit)

    def _look_for_remains(self) -> None:
        if sys.platform == "darwin":  # it says so even of processes that have ended
            return
        try:
            os.killpg(self.process.pid, 0)
        except PermissionError:
            self.remains = f"processes of group {self.process.pid} are still running, and this server may not end them"
        except ProcessLookupError:
            pass

    def _watch(self) -> None:
        """Set `exited` when it ends, in a separate thread if the event loop cannot watch a process."""
        with contextlib.suppress(AttributeError, OSError):  # not Linux, before 5.3, or forbidden in a container
            self._pidfd = os.pidfd_open(self.process.pid)
            self._loop.add_reader(self._pidfd, self._note_exit)
            return
        loop, pid, told = self._loop, self.process.pid, self._note_exit

        def wait() -> None:
            _wait_for(pid)
            with contextlib.suppress(RuntimeError):  # the loop has been closed: nobody waits any more
                loop.call_soon_threadsafe(told)

        _in_thread(wait, f"wait for {pid}")

    def _note_exit(self) -> None:
        self._watched()
        if not self.exited.done():
            self.exited.set_result(None)

    def _watched(self) -> None:
        if self._pidfd >= 0:
            self._loop.remove_reader(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = -1


def _in_thread(function: Callable[[], object], name: str) -> None:
    """Call something that may wait for ever, in a thread that holds up neither others nor the end of the process."""
    try:
        threading.Thread(target=function, name=name, daemon=True).start()
    except RuntimeError as error:
        raise OSError(errno.EAGAIN, f"no thread: {error}") from error


def _wait_for(pid: int) -> None:
    """Wait until a child has ended, without collecting its status."""
    if hasattr(os, "waitid"):
        with contextlib.suppress(ChildProcessError):  # its status has been collected elsewhere
            os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    elif sys.platform != "linux" and sys.platform != "win32":  # macOS
        queue = select.kqueue()
        with contextlib.suppress(ProcessLookupError), contextlib.closing(queue):
            event = select.kevent(
                pid, select.KQ_FILTER_PROC, select.KQ_EV_ADD | select.KQ_EV_ONESHOT, select.KQ_NOTE_EXIT
            )
            queue.control([event], 1)


class Started(NamedTuple):
    """A program that has just been started.

    Attributes:
        child: Its process.
        link: To its standard input and output.
        errors: A non-blocking descriptor to read its standard error from.
    """

    child: Child
    link: Link
    errors: int


def start(
    label: str, program: str, args: Sequence[str], env: Mapping[str, str], *, pipes: bool, folder: str = ""
) -> Started:
    """Start a program in its own session; it ends when this process does.

    Args:
        label: Who it is, for logs.
        program: Name or path; looked up on PATH, no shell.
        args: Its arguments.
        env: Environment variables beside those of this process.
        pipes: Give it two pipes even where it could have a local socket.
        folder: The folder in which it is started, if that is possible; "": the current one.

    Raises:
        OSError: It cannot be started; nothing of it is left.
        ValueError: An argument or a variable cannot be passed to any program.
    """
    found = _find(program)
    with contextlib.ExitStack() as ours, contextlib.ExitStack() as its:
        # One local socket for both, as indiserver has it: then libindi hands BLOBs over as descriptors.
        link: Link
        if pipes or not sys.platform.startswith("linux"):
            read, its_out = _pipe(ours, its)
            its_in, write = _pipe(its, ours)
            os.set_blocking(read, False)
            os.set_blocking(write, False)
            _widen_pipe(read)
            link = DescriptorLink(label, pipes=(read, write))
        else:
            sock, its_sock = socket.socketpair()
            ours.callback(ours_only(sock).close)
            its.callback(its_sock.close)
            its_in = its_out = its_sock.fileno()
            _widen_socket(sock)
            link = PassingLink(label, sock)
        errors, its_errors = _pipe(ours, its)
        os.set_blocking(errors, False)
        _require_watching(errors)
        child = _launch([program, *args], found, (its_in, its_out, its_errors), {**os.environ, **env}, folder)
        ours.pop_all()
    return Started(child, link, errors)


class Piped(NamedTuple):
    """A program that has just been started, with non-blocking descriptors of its three pipes.

    Attributes:
        child: Its process.
        stdin: To write to.
        stdout: To read from.
        errors: To read its standard error from.
    """

    child: Child
    stdin: int
    stdout: int
    errors: int


def start_with_pipes(program: str) -> Piped:
    """Start a program in its own session, for access to its raw bytes; it ends when this process does.

    Args:
        program: Name or path; looked up on PATH, no shell.

    Raises:
        OSError: It cannot be started; nothing of it is left.
    """
    found = _find(program)
    with contextlib.ExitStack() as ours, contextlib.ExitStack() as its:
        its_in, stdin = _pipe(its, ours)
        stdout, its_out = _pipe(ours, its)
        errors, its_errors = _pipe(ours, its)
        for fd in (stdin, stdout, errors):
            os.set_blocking(fd, False)
        _require_watching(stdout)
        child = _launch([program], found, (its_in, its_out, its_errors), dict(os.environ))
        ours.pop_all()
    return Piped(child, stdin, stdout, errors)


def _launch(
    command: list[str], found: str, stdio: tuple[int, int, int], env: dict[str, str], folder: str = ""
) -> Child:
    """Start it with these descriptors; on Linux also with a pipe that keeps it alive."""
    with contextlib.ExitStack() as ours, contextlib.ExitStack() as its:
        held, lifeline = _pipe(its, ours) if sys.platform.startswith("linux") else (-1, -1)
        process = _popen(command, found, stdio, env, held, folder)
        try:
            _hold_alive(held, process.pid)
            child = Child(process, lifeline)
        except BaseException:
            _end(process)
            raise
        ours.pop_all()
    return child


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a program that has only just been started."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    with contextlib.suppress(subprocess.TimeoutExpired):  # it is another user's, and will see the end of its input
        process.wait(_KILL_TIME)


def _popen(
    command: list[str], found: str, stdio: tuple[int, int, int], env: dict[str, str], held: int, folder: str
) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            command,
            executable=found,
            stdin=stdio[0],
            stdout=stdio[1],
            stderr=stdio[2],
            env=env,
            cwd=_to_go_to(folder),
            pass_fds=(held,) if held >= 0 else (),
            start_new_session=True,
            preexec_fn=_die_with_parent(),  # noqa: PLW1509 - one system call, nothing that could wait for a thread
        )
    except subprocess.SubprocessError as error:
        raise OSError(errno.EAGAIN, str(error)) from error
    except OSError as error:
        if error.errno == errno.ENOEXEC:
            raise OSError(
                errno.ENOEXEC, "it is neither a program for this machine nor a script with a #! line", found
            ) from None
        if error.errno == errno.ENOENT and os.path.exists(found):
            raise FileNotFoundError(
                errno.ENOENT, "the interpreter named in its #! line does not exist", found
            ) from None
        raise


def away_from(folder: str) -> str:
    """This folder, if this process has left it; otherwise "".

    A process can stay in a folder that it could not enter: a server that was started as another user may be in a folder
    that only the first user may enter.
    """
    with contextlib.suppress(OSError):  # the current folder has been removed
        return "" if os.getcwd() == folder else folder
    return folder


def _to_go_to(folder: str) -> str | None:
    """The folder to which a program has to change before it starts; None: none, or it cannot."""
    folder = away_from(folder)
    return folder if os.path.isdir(folder) and os.access(folder, os.X_OK) else None


def _find(program: str) -> str:
    """The file of a program.

    Raises:
        OSError: There is no executable file.
    """
    if not hasattr(os, "killpg"):
        raise OSError(errno.ENOSYS, "programs run as drivers on POSIX systems only; Python drivers run everywhere")
    import shutil  # with two compressors, which only a server of programs needs

    found = shutil.which(program)
    if found is not None:
        return found
    if os.path.dirname(program):
        if os.path.isdir(program):
            raise IsADirectoryError(errno.EISDIR, "it is a directory", program)
        if os.path.exists(program):
            raise PermissionError(errno.EACCES, "it is not executable (chmod +x)", program)
        raise FileNotFoundError(errno.ENOENT, "there is no such file", program)
    raise FileNotFoundError(f"there is no program {program!r} on PATH")


def _require_watching(fd: int) -> None:
    loop = asyncio.get_running_loop()
    try:
        loop.remove_reader(fd)
    except NotImplementedError:
        text = "programs can be drivers only where the event loop watches descriptors, as on POSIX systems"
        raise OSError(errno.ENOSYS, text) from None


def _pipe(reader: contextlib.ExitStack, writer: contextlib.ExitStack) -> tuple[int, int]:
    """A pipe each end of which is closed with its own stack."""
    read, write = os.pipe()
    reader.callback(os.close, read)
    writer.callback(os.close, write)
    return read, write


def _widen_pipe(fd: int) -> None:
    """Request a larger pipe, for fewer wake-ups with BLOBs; otherwise the usual size will do."""
    if sys.platform.startswith("linux"):
        import fcntl

        with contextlib.suppress(OSError):
            fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, _PIPE_SIZE)


def _widen_socket(sock: socket.socket) -> None:
    """The same for a local socket, whose size is that of the sender's buffer: ours for commands only."""
    sock.setblocking(False)
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _PIPE_SIZE)


def _hold_alive(held: int, group: int) -> None:
    """On Linux the kernel kills the group when the other end of a pipe is closed, which a SIGKILL of us does too.

    PR_SET_PDEATHSIG reaches the program itself, and not what it has started, such as the driver behind a script.  The
    pipe does, as long as any process of the group has kept the descriptor `held` that it has inherited: the end of the
    pipe is an event of that descriptor, whose signal is set to SIGKILL and whose owner to the group.

    Args:
        held: The end to read from, which the program has inherited.
        group: The number of the group.
    """
    if sys.platform.startswith("linux"):
        import fcntl

        with contextlib.suppress(OSError):  # the program belongs to another user: it has to notice the end of its input
            fcntl.fcntl(held, fcntl.F_SETOWN, -group)
            fcntl.fcntl(held, fcntl.F_SETSIG, signal.SIGKILL)
            fcntl.fcntl(held, fcntl.F_SETFL, os.O_ASYNC)


def _die_with_parent() -> Callable[[], None] | None:
    """On Linux the kernel kills the driver when this process dies, even by SIGKILL."""
    if not sys.platform.startswith("linux"):
        return None
    try:
        import ctypes

        prctl = ctypes.CDLL(None, use_errno=True).prctl
    except (ImportError, OSError, AttributeError):  # a Python without ctypes: the lifeline remains
        return None
    parent = os.getpid()

    def before_exec() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # it died in between
            os._exit(1)

    return before_exec
