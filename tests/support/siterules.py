"""Who must hear what, by the decisions about routing alone; it shares no code with the server.

:class:`Rules` is told each element as the server reads it, and notes for each endpoint what it must get, and what it
may get beside that. All else it must not get.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum
from fnmatch import fnmatchcase

PATTERN = "[!S]*"
"""The devices that exist for limited clients: all but Secret."""
HIDDEN = "Secret"


class Kind(Enum):
    """What an endpoint is."""

    CLIENT = "client"
    LIMITED = "limited client"
    WATCHER = "read-only client"
    ABOVE = "server above"
    LIMITED_ABOVE = "limited server above"
    WATCHER_ABOVE = "read-only server above"
    DRIVER = "driver"
    REMOTE = "server below"
    NO_BLOBS = "server below without BLOBs"
    ONLY_A = "server below for A"
    LOCAL = "driver in this process"
    CAMERA = "driver on a local socket"
    NEIGHBOUR = "client on a local socket"


CLIENTS = (Kind.CLIENT, Kind.LIMITED, Kind.WATCHER, Kind.NEIGHBOUR)
ABOVES = (Kind.ABOVE, Kind.LIMITED_ABOVE, Kind.WATCHER_ABOVE)
BELOWS = (Kind.REMOTE, Kind.NO_BLOBS, Kind.ONLY_A)
DRIVERS = (Kind.DRIVER, Kind.LOCAL, Kind.CAMERA)
SOURCES = (Kind.DRIVER, Kind.CAMERA, *BELOWS, Kind.ABOVE, Kind.LIMITED_ABOVE)


@dataclass(slots=True, eq=False)
class Said:
    """One element that somebody sends.

    Attributes:
        verb: def, set, new, del, message, get, mode, ping.
        serial: Stands in its timestamp; larger for what is sent later.
        data: It carries the data of a BLOB.
        stream: It is a frame of a video.
        state: The state it says, if any.
        value: The value it says, if any; for enableBLOB the mode.
        payloads: The bytes of its BLOBs.
        files: Descriptors that go along with it.
        doubtful: Not everybody can be given it: a file cannot be read.
        reply: A driver of this process answers a getProperties with it.
    """

    verb: str
    device: str | None
    name: str | None
    serial: int
    raw: bytes
    data: bool = False
    stream: bool = False
    state: str | None = None
    value: str | None = None
    payloads: tuple[bytes, ...] = ()
    files: tuple[int, ...] = ()
    doubtful: bool = False
    reply: bool = False

    def __repr__(self) -> str:
        words = [self.verb, repr(self.device), repr(self.name), f"#{self.serial}", self.state or "", self.value or ""]
        return f"<{' '.join(words)} {len(self.raw)} bytes>"


@dataclass(slots=True)
class Property:
    """What its owner says of it; a state of None is not known for sure.

    Attributes:
        defined: State and value of the last definition.
        changed: Something has been said of it since.
    """

    state: str | None
    value: str | None
    defined: tuple[str | None, str | None] = (None, None)
    changed: bool = False


@dataclass(slots=True, eq=False)
class Endpoint:
    """An endpoint as the rules see it.

    Attributes:
        asked: What it has asked for with getProperties: (None, None), (device, None), (device, name).
        wants: That, and what its commands and enableBLOBs concern.
        missing: Properties that it is interested in and that were not defined to it since, or of which it has missed
            something, as its mode was Only.
        unseen: Those of them that a client has asked for and has never been given, or of which it has missed news: it
            gets no news of them before.
        owed: What it must still get, in order, for each source and class.
        allowed: All that it may get.
        refused: Commands of which it must be told that they are refused, by device.
        closing: The server has ended its connection, and sends what waits.
    """

    kind: Kind
    label: str
    asked: set[tuple[str | None, str | None]] = field(default_factory=set)
    wants: set[tuple[str | None, str | None]] = field(default_factory=set)
    modes: dict[tuple[str | None, str | None], str] = field(default_factory=dict)
    missing: set[tuple[str, str]] = field(default_factory=set)
    unseen: set[tuple[str, str]] = field(default_factory=set)
    owed: dict[tuple[Endpoint, str], list[Said]] = field(default_factory=dict)
    allowed: dict[int, Endpoint] = field(default_factory=dict)
    refused: Counter[str | None] = field(default_factory=Counter)
    pings: int = 0
    closing: bool = False
    closed: bool = False

    def __repr__(self) -> str:
        return f"<{self.label}>"

    @property
    def commands(self) -> bool:
        """It is a client or a server above."""
        return self.kind in CLIENTS or self.kind in ABOVES

    def sees(self, device: str | None) -> bool:
        return device is None or self.kind not in (Kind.LIMITED, Kind.LIMITED_ABOVE) or fnmatchcase(device, PATTERN)

    def covers(self, device: str, name: str | None, wants: set[tuple[str | None, str | None]]) -> bool:
        """Has it asked for this property; without a name, for anything of this device?"""
        if not self.sees(device):
            return False
        if (None, None) in wants or (device, None) in wants:
            return True
        return any(d == device for d, _ in wants) if name is None else (device, name) in wants

    def mode(self, device: str, name: str | None) -> str:
        """The newest mode for this property; without a name, for its device."""
        for key in ((device, name), (device, None), (None, None)):
            if key in self.modes:
                return self.modes[key]
        return "Never"

    @property
    def takes_blobs(self) -> bool:
        return self.kind is not Kind.NO_BLOBS


class Rules:
    """The rules of routing.

    Attributes:
        owners: Who speaks for a device.
        vacant: Devices that a program has deleted and not defined since: others may take them.
        truth: What is defined, by device and name, as the owners have said.
    """

    def __init__(self) -> None:
        self.endpoints: list[Endpoint] = []
        self.owners: dict[str, Endpoint] = {}
        self.vacant: set[str] = set()
        self.truth: dict[tuple[str, str], Property] = {}

    # Life

    def came(self, endpoint: Endpoint) -> None:
        self.endpoints.append(endpoint)

    def gone(self, endpoint: Endpoint) -> None:
        endpoint.closed = True
        if endpoint in self.endpoints:
            self.endpoints.remove(endpoint)
        for device in [device for device, owner in self.owners.items() if owner is endpoint]:
            self._release(device)

    def claimed(self, endpoint: Endpoint, device: str) -> None:
        """A driver of this process has this device, whether it defines it or not."""
        self.owners[device] = endpoint

    def _release(self, device: str) -> None:
        self.owners.pop(device, None)
        self.vacant.discard(device)
        self._forget(device)

    def _forget(self, device: str) -> None:
        for key in [key for key in self.truth if key[0] == device]:
            self._undefine(key)

    def _undefine(self, key: tuple[str, str]) -> None:
        self.truth.pop(key, None)
        for endpoint in self.endpoints:
            endpoint.missing.discard(key)
            endpoint.unseen.discard(key)
            if endpoint.kind is Kind.LOCAL:  # what it has not yet looked at is void
                for lane in endpoint.owed:
                    endpoint.owed[lane] = [said for said in endpoint.owed[lane] if (said.device, said.name) != key]

    # What is said

    def hear(self, source: Endpoint, said: Said) -> None:
        """The server reads this element."""
        getattr(self, f"_{said.verb}")(source, said)

    def _get(self, source: Endpoint, said: Said) -> None:
        device, name = said.device or None, said.name or None
        if device is None or device == "*":
            device = name = None
        if not source.sees(device):
            return
        if source.commands:
            found = {key for key in self.truth if source.covers(*key, {(device, name)})}
            source.unseen |= {key for key in found if not source.covers(*key, source.asked)}
        source.asked.add((device, name))
        source.wants.add((device, name))
        missing = {key for key in self.truth if source.covers(*key, {(device, name)})}
        if device is None:  # the others answer that: what it says itself of its own devices is no answer to it
            missing = {key for key in missing if self.owners.get(key[0]) is not source}
        source.missing |= missing

    def _mode(self, source: Endpoint, said: Said) -> None:
        device, name = said.device or None, said.name or None
        assert said.value is not None
        if device is None:
            name = None
            source.modes.clear()
        elif not source.covers(device, name, source.wants):
            if not source.commands:
                return
            source.wants.add((device, name))
            source.missing |= {key for key in self.truth if source.covers(*key, {(device, name)})}
        if name is None:
            source.modes = {key: mode for key, mode in source.modes.items() if key[0] != device}
        source.modes[device, name] = said.value

    def _ping(self, source: Endpoint, said: Said) -> None:
        source.pings += 1

    def _new(self, source: Endpoint, said: Said) -> None:
        device, name = said.device, said.name
        if not device or not name or not source.sees(device):
            return
        if not source.commands:  # the echo of a command at a server below, and nothing else, may come this way
            if self.owners.get(device) is source and (source.takes_blobs or not said.data):
                for endpoint in self._interested(source, said):
                    if endpoint.commands:
                        endpoint.allowed[said.serial] = source
            return
        if source.kind in (Kind.WATCHER, Kind.WATCHER_ABOVE):
            source.refused[device] += 1
            return
        if not source.covers(device, name, source.wants):
            source.wants.add((device, name))
            if (device, name) in self.truth:
                source.missing.add((device, name))
        owner = self.owners.get(device)
        if owner is source or (owner is not None and owner.kind in ABOVES):
            source.refused[device] += 1
            return
        if owner is not None and (owner.takes_blobs or not said.data):
            self._owe(owner, source, said, "command")
        for endpoint in self._interested(source, said):
            if endpoint.commands:
                self._owe(endpoint, source, said, "data")

    def _def(self, source: Endpoint, said: Said) -> None:
        device, name = said.device, said.name
        if not device or not name or not self._speaks(source, said, claim=True):
            return
        known = self.truth.get((device, name))
        self.vacant.discard(device)
        now = said.state, said.value
        if known is None:
            news = True
        elif source.kind is Kind.LOCAL:
            news = not said.reply
        else:
            news = known.changed or known.defined != now
        self.truth[device, name] = Property(*now, now)
        self._missed(source, said, news)
        for endpoint in self._interested(source, said):
            if news or (device, name) in endpoint.missing:
                endpoint.missing.discard((device, name))
                endpoint.unseen.discard((device, name))
                self._owe(endpoint, source, said, "data")
            elif not endpoint.commands:  # it may have been behind: then all is asked for again
                endpoint.allowed[said.serial] = source

    def _set(self, source: Endpoint, said: Said) -> None:
        device, name = said.device, said.name
        if not device or not name:
            return
        if not self._speaks(source, said, claim=source.kind in DRIVERS) or self.owners.get(device) is not source:
            return
        if said.data and not source.takes_blobs:
            return
        known = self.truth.get((device, name))
        if known is not None:
            known.state = known.state and (said.state or known.state)
            known.value = said.value or known.value
            known.changed = True
            self._missed(source, said, True)
        for endpoint in self._interested(source, said):
            if (device, name) in endpoint.unseen:
                continue
            if known is not None:
                self._owe(endpoint, source, said, "data")
            elif not endpoint.commands or not endpoint.covers(device, name, endpoint.asked):
                endpoint.allowed[said.serial] = source

    def _missed(self, source: Endpoint, said: Said, news: bool) -> None:
        """Who gets BLOBs only is not told this: it is given a definition before anything else, when it wants more."""
        assert said.device
        assert said.name
        key = said.device, said.name
        if said.name.startswith("img"):
            return
        for endpoint in self.endpoints:
            if (
                endpoint is source
                or endpoint.mode(said.device, None) != "Only"
                or not endpoint.covers(*key, endpoint.asked)
            ):
                continue
            if news:
                endpoint.missing.add(key)
                if endpoint.commands:
                    endpoint.unseen.add(key)

    def _del(self, source: Endpoint, said: Said) -> None:
        device, name = said.device, said.name
        if not device:
            if not name and self._may_speak(source, said):
                for owned in [owned for owned, owner in self.owners.items() if owner is source]:
                    self._deleted(source, owned)
            return
        if name == "" or not self._may_speak(source, said) or self.owners.get(device, source) is not source:
            return
        known = (device, name) in self.truth if name else any(d == device for d, _ in self.truth)
        for endpoint in self._interested(source, said):
            if known:
                self._owe(endpoint, source, said, "data")
            else:
                endpoint.allowed[said.serial] = source
        if self.owners.get(device) is source:
            if name:
                self._undefine((device, name))
            else:
                self._deleted(source, device)

    def _deleted(self, source: Endpoint, device: str) -> None:
        """A program keeps the name of a device that it has deleted until somebody else wants it."""
        if source.kind in DRIVERS:
            self._forget(device)
            if source.kind is not Kind.LOCAL:
                self.vacant.add(device)
        else:
            self._release(device)

    def _message(self, source: Endpoint, said: Said) -> None:
        if not self._may_speak(source, said):
            return
        if said.device:
            if self.owners.get(said.device, source) is source:
                for endpoint in self._interested(source, said):
                    if said.device in self.owners:
                        self._owe(endpoint, source, said, "data")
                    else:
                        endpoint.allowed[said.serial] = source
            return
        for endpoint in self.endpoints:
            if endpoint is source:
                continue
            if source.kind is Kind.ONLY_A:  # what concerns no device comes round through others
                endpoint.allowed[said.serial] = source
            elif (
                endpoint.kind in (Kind.CLIENT, Kind.WATCHER, Kind.NEIGHBOUR)
                or (endpoint.kind in DRIVERS and (None, None) in endpoint.wants)
                or (endpoint.kind is Kind.ABOVE and source.kind not in ABOVES)
            ):
                self._owe(endpoint, source, said, "data")
            elif endpoint.kind not in BELOWS:
                endpoint.allowed[said.serial] = source

    # Who

    def _may_speak(self, source: Endpoint, said: Said) -> bool:
        """May it say anything of this device at all?"""
        if source.kind in CLIENTS or source.kind is Kind.WATCHER_ABOVE or not source.sees(said.device):
            return False
        return source.kind is not Kind.ONLY_A or not said.device or said.device == "A"

    def _speaks(self, source: Endpoint, said: Said, *, claim: bool) -> bool:
        """Does it own this device, or may it take it?"""
        device = said.device
        assert device
        if not self._may_speak(source, said):
            return False
        owner = self.owners.get(device)
        if owner is None:
            if claim:
                self.owners[device] = source
            return True
        if owner is source:
            return True
        if claim and source.kind not in ABOVES and (owner.kind in ABOVES or device in self.vacant):
            self._release(device)  # what was defined goes with its owner
            self.owners[device] = source
            return True
        return False

    def _interested(self, source: Endpoint, said: Said) -> Iterator[Endpoint]:
        device, name = said.device, said.name
        assert device
        for endpoint in self.endpoints:
            if not endpoint.covers(device, name, endpoint.wants):
                continue
            if endpoint is source:
                named = {(d, n) for d, n in endpoint.wants if d is not None}
                if endpoint.kind not in DRIVERS or not endpoint.covers(device, name, named):
                    continue
            blob = name is not None and name.startswith("img")
            if said.data:
                if endpoint.mode(device, name) == "Never" or not endpoint.takes_blobs:
                    continue
            elif endpoint.mode(device, None) == "Only" and said.verb != "del" and not (blob and said.verb != "new"):
                continue
            yield endpoint

    def _owe(self, endpoint: Endpoint, source: Endpoint, said: Said, what: str) -> None:
        """It must get this; a driver of this process only what concerns a property that is there."""
        if not said.serial or endpoint.closing:
            return
        endpoint.allowed[said.serial] = source
        if endpoint.closed or said.doubtful:
            return
        if endpoint.kind is Kind.LOCAL and (
            (said.device, said.name) not in self.truth or (said.verb == "new" and said.value is None and not said.data)
        ):
            return
        endpoint.owed.setdefault(self.lane(source, endpoint, said), []).append(said)

    @staticmethod
    def lane(source: Endpoint, endpoint: Endpoint, said: Said) -> tuple[Endpoint, str]:
        """Elements of one lane keep their order on the way from one endpoint to another."""
        what = "command" if said.verb == "new" and not endpoint.commands else "data"
        if Kind.LOCAL in (source.kind, endpoint.kind):
            what += f" {said.device} {said.name}"
        return source, what

    def wanted(self, owner: Endpoint, device: str, name: str) -> bool:
        """Does anybody want the data of this BLOB property from its owner, another server?"""
        return owner.takes_blobs and any(
            endpoint is not owner
            and endpoint.takes_blobs
            and endpoint.covers(device, name, endpoint.wants)
            and endpoint.mode(device, name) != "Never"
            for endpoint in self.endpoints
        )
