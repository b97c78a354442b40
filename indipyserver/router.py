"""Who gets this frame: owners, interests, snoops.  Sans-I/O.

The router is told what came from whom and says what goes to whom.  Everything rests on three tables:
which party owns a device, what each party is interested in, and (remembered until one of
those two changes) who receives what has a certain address.

Commands go down: from a client or a server above to the owner.  Everything else a device says goes to whoever is
interested: clients, servers above, drivers that snoop, and a server below whose driver snoops.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable

from indipydriver.errors import RemoteProtocolError
from indipydriver.protocol.decode import decode
from indipydriver.protocol.encode import encode
from indipydriver.protocol.frame import Address, BlobFrame, Frame
from indipydriver.protocol.messages import DelProperty, EnableBlob, GetProperties, Message, Ping
from indipydriver.protocol.tags import BlobMode, Verb
from indipydriver.protocol.via import came_through, with_via

from .devices import DeviceTable
from .interest import Interest
from .party import Delivery, Party, Role

__all__ = ["Router"]

logger = logging.getLogger("indipyserver.ipyserver")


_ROUTES: int = 8192  # addresses remembered for one party; one that invents names starts again
_COMMANDERS = (Role.CLIENT, Role.UPSTREAM)
_SERVERS = (Role.UPSTREAM, Role.REMOTE)


class Router:
    """Decides where frames go.

    Args:
        name: The name of this server in ``via`` attributes; unlike that of any other server.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.devices: DeviceTable[Party] = DeviceTable()
        self._parties: list[Party] = []
        self._serial = 0
        self._receivers: dict[tuple[Party, ...], tuple[Party, ...]] = {}
        self._handlers: dict[Verb, Callable[[Party, Frame, list[Delivery]], tuple[Party, ...]]] = {
            Verb.GET: self._get_properties,
            Verb.ENABLE_BLOB: self._enable_blob,
            Verb.NEW: self._new,
            Verb.DEF: self._definition,
            Verb.SET: self._set,
            Verb.DELETE: self._delete,
            Verb.MESSAGE: self._message,
            Verb.PING: self._ping,
            Verb.PONG: self._pong,
        }

    @property
    def parties(self) -> list[Party]:
        """All parties, in the order in which they came."""
        return self._parties

    def attach(self, party: Party) -> None:
        """A new party, which is interested in nothing yet."""
        self._serial += 1
        party.serial = self._serial
        self._parties.append(party)
        self._forget_routes()

    def detach(self, party: Party, reason: str = "") -> list[Delivery]:
        """The party is gone; returns the deletion of its devices for those who are interested in them."""
        if party not in self._parties:
            return []
        self._parties.remove(party)
        out: list[Delivery] = []
        for device in self.devices.of(party):
            out += self.release(device, reason)
        self.devices.forget(party)
        self._forget_routes()
        self._ask_links_for_blobs(out)
        return out

    def claim(self, device: str, party: Party) -> None:
        """Give a party a device for as long as it is attached, before it has defined it."""
        self.devices.claim(device, party, fixed=True)
        self._forget_routes()

    def release(self, device: str, reason: str = "") -> list[Delivery]:
        """Take a device from its owner; returns its deletion for those who are interested."""
        record = self.devices.pop(device)
        self._forget_routes()
        if record is None or not record.seen:
            return []
        frame = encode(DelProperty(device, message=reason or None))
        receivers = self._wanting(frame.address, record.owner)
        return [([frame], receivers)] if receivers else []

    def process(self, source: Party, frames: Iterable[Frame]) -> list[Delivery]:
        """What to send to whom, now that these frames have come from this party."""
        out: list[Delivery] = []
        routes = source.routes
        run: list[Frame] = []
        last: tuple[Party, ...] = ()
        for frame in frames:
            receivers = routes.get(frame.address)
            if receivers is None:
                before = len(out)
                receivers = self._handlers[frame.address.tag.verb](source, frame, out)
                if len(out) != before:
                    last = ()
            if not receivers:
                continue
            plain = frame.__class__ is Frame  # any kind of BLOB goes alone
            if plain and receivers is last:
                run.append(frame)
            else:
                run = [frame]
                out.append((run, receivers))
                last = receivers if plain else ()
        return out

    def site_message(self, text: str, timestamp: str | None = None) -> list[Delivery]:
        """A message of this server itself, to everybody."""
        out: list[Delivery] = []
        frame = encode(Message(None, text, timestamp))
        receivers = self._site_wide(frame, None, out)
        if receivers:
            out.append(([frame], receivers))
        return out

    def refresh(self, party: Party) -> list[Delivery]:
        """Ask again for all that a party is interested in, as some of it did not reach it."""
        out: list[Delivery] = []
        for request in _requests(party.interest):
            self._ask_around(party, encode(request), out)
        return out

    # Requests

    def _get_properties(self, source: Party, frame: Frame, out: list[Delivery]) -> tuple[Party, ...]:
        _, device, name = frame.address
        if came_through(frame, self.name):
            return ()
        if device is not None and device.startswith("*"):
            if source.role is Role.CLIENT:
                source.is_a_server()
                self._forget_routes()
                may = "may not" if source.rights.read_only else "may"
                logger.info("%s is a server: it %s define devices", source.label, may)
                self._want(source, None, None)
                self._tell_standing_requests(source, out)
            device = name = None
        if not source.may_see(device):
            return ()
        self._want(source, device, name)
        self._ask_around(source, frame, out)
        self._ask_links_for_blobs(out)
        return ()

    def _ask_around(self, source: Party, frame: Frame, out: list[Delivery]) -> None:
        """Pass a getProperties to whoever may answer it."""
        _, device, name = frame.address
        if device is not None and device.startswith("*"):
            device = name = None
        snoops = source.role in (Role.DRIVER, Role.REMOTE)
        if device is not None:
            record = self.devices.get(device)
            if record is not None:
                owner = record.owner
                if owner is not source or source.role is Role.DRIVER:
                    plain = encode(GetProperties(device, name))
                    out.append(
                        ([plain if owner.role is Role.DRIVER else with_via(plain, self.name, after=frame)], (owner,))
                    )
            elif snoops:
                plain = encode(GetProperties(device, name))
                self._send_up(with_via(plain, self.name, after=frame), source, out)
            return
        plain = encode(GetProperties())
        drivers = [p for p in self._parties if p.role is Role.DRIVER and p is not source]
        if drivers:
            out.append(([plain], self._intern(drivers)))
        for remote in [p for p in self._parties if p.role is Role.REMOTE and p is not source]:
            request = plain if remote.only_device is None else encode(GetProperties(remote.only_device))
            out.append(([with_via(request, self.name, after=frame)], (remote,)))
        if snoops:
            self._send_up(with_via(plain, self.name, after=frame), source, out)

    def _send_up(self, frame: Frame, source: Party | None, out: list[Delivery]) -> None:
        above = [p for p in self._parties if p.role is Role.UPSTREAM and p is not source]
        if above:
            out.append(([frame], self._intern(above)))

    def _tell_standing_requests(self, upstream: Party, out: list[Delivery]) -> None:
        """A server above has come: what snooping drivers want may be there."""
        for party in self._parties:
            if party.role not in (Role.DRIVER, Role.REMOTE):
                continue
            for request in _requests(party.interest):
                record = None if request.device is None else self.devices.get(request.device)
                if record is None:
                    out.append(([with_via(encode(request), self.name)], (upstream,)))

    def _want(self, source: Party, device: str | None, name: str | None) -> None:
        """Note an interest; what it covers and is defined is missing to this party until it is defined again."""
        interest = source.interest
        if interest.full and device is not None:
            source.complain("interests", "asks for more properties than can be kept: the new ones are ignored")
            return
        if interest.ask(device, name):
            self._forget_routes()
        for prop in self.devices.properties(device, name):
            prop.missing.add(source)

    def _enable_blob(self, source: Party, frame: Frame, out: list[Delivery]) -> tuple[Party, ...]:
        try:
            request = decode(frame)
        except RemoteProtocolError as error:
            source.complain("enableBLOB", f"sent an enableBLOB that is ignored: {error}")
            return ()
        assert isinstance(request, EnableBlob)
        if source.role in _COMMANDERS:
            if request.device is not None and not source.interest.covers(request.device, request.name):
                self._want(source, request.device, request.name)
        elif request.device is not None and not source.interest.covers(request.device, request.name):
            return ()  # from a driver it must follow the getProperties it belongs to
        source.interest.enable_blob(request.device, request.name, request.mode)
        self._forget_routes()
        self._ask_links_for_blobs(out)
        return ()

    def _ask_links_for_blobs(self, out: list[Delivery]) -> None:
        """Have each BLOB property of another server sent to us if and only if somebody here wants it."""
        for device, name, owner, prop in self.devices.blobs():
            if owner.role not in _SERVERS or not owner.takes_blobs:
                continue
            wanted = any(p.interest.wants_blob(device, name) for p in self._parties if p is not owner and p.takes_blobs)
            if wanted != prop.enabled:
                prop.enabled = wanted
                mode = BlobMode.ALSO if wanted else BlobMode.NEVER
                out.append(([encode(EnableBlob(device, name, mode))], (owner,)))

    # Commands

    def _new(self, source: Party, frame: Frame, out: list[Delivery]) -> tuple[Party, ...]:
        _, device, name = frame.address
        if not device or not name:
            source.complain("nameless", f"sent a {frame.tag.text} without device or name: dropped")
            return ()
        record = self.devices.get(device)
        owner = record.owner if record is not None else None
        if source.role not in _COMMANDERS:
            if owner is not source:
                # In a ring of servers the echo of a command comes round: no cause for alarm.
                level = logging.DEBUG if source.role is Role.REMOTE else logging.WARNING
                source.complain("command", f"sent a command to {device!r}; only clients command: dropped", level)
                return ()
            return self._remember(source, frame, self._wanting(frame.address, source, among=self._commanders()))
        if source.rights.limited and not self._may_command(source, device, out):
            return ()
        if not source.interest.covers(device, name):
            self._want(source, device, name)
        if record is not None and record.circles and source.role is Role.UPSTREAM:
            source.complain("circles", f"commands {device!r}, which comes round through it: dropped")
            return ()
        if owner is source or (owner is not None and owner.role is Role.UPSTREAM):
            text = f"{device} belongs to a server above this one; it can only be commanded there"
            out.append(([encode(Message(device, text))], (source,)))
            return ()
        with_data = isinstance(frame, BlobFrame) and bool(frame.spans)
        receivers = self._wanting(frame.address, source, among=self._commanders(), with_data=with_data)
        if owner is not None and (owner.takes_blobs or not with_data):
            receivers = self._intern([owner, *(p for p in receivers if p is not owner)])
        return self._remember(source, frame, receivers)

    def _may_command(self, source: Party, device: str, out: list[Delivery]) -> bool:
        if not source.may_see(device):
            source.complain("hidden", "sent a command to a device that it may not see: dropped")
            return False
        if source.rights.read_only:
            source.complain("read only", "may look, but not command: its command is refused")
            out.append(([encode(Message(device, "This connection is read only: the command is refused"))], (source,)))
            return False
        return True

    # What devices say

    def _owned(self, source: Party, frame: Frame, out: list[Delivery], *, claim: bool) -> bool:
        """May this party speak for this device?  A device nobody owns can be claimed."""
        device = frame.address.device
        if not self._may_define(source, frame):
            return False
        if not device:
            source.complain("nameless", f"sent a {frame.tag.text} without device: dropped")
            return False
        if source.only_device is not None and device != source.only_device:
            return False
        record = self.devices.get(device)
        if record is None:
            if claim:
                if not self.devices.claim(device, source):
                    source.complain("devices", "defines more devices than are allowed: the new ones are dropped")
                    return False
                self._forget_routes()
            return True
        if record.owner is source:
            return True
        if claim and record.owner.role is Role.UPSTREAM and source.role is not Role.UPSTREAM:
            # What a server above shows us cannot be commanded from here; the way down to it can.
            self.devices.transfer(device, source)
            self._forget_routes()
            return True
        if frame.tag.verb is Verb.DEF:
            text = f"defines {device!r}, which is already served by {record.owner.label}: refused"
            if source.complain(f"device {device}", text, logging.ERROR):
                out += self.site_message(f"{source.label} {text}")
        return False

    def _may_define(self, source: Party, frame: Frame) -> bool:
        if source.role is not Role.CLIENT and not source.rights.read_only and source.may_see(frame.device):
            return True
        source.complain(frame.tag.text, f"sent {frame.tag.text}, which it may not send: dropped")
        return False

    def _definition(self, source: Party, frame: Frame, out: list[Delivery]) -> tuple[Party, ...]:
        _, device, name = frame.address
        if not name:
            source.complain("nameless", "defined a property without name: dropped")
            return ()
        if source.role in _SERVERS and came_through(frame, self.name):
            text = f"brings back {device!r}, which it has from here: a loop of servers, refused"
            record = self.devices.get(device) if device else None
            if record is not None and record.owner is source and not record.circles:
                record.circles = True
                self._forget_routes()
            if source.complain(f"device {device}", text, logging.ERROR):
                out += self.site_message(f"{source.label} {text}")
            return ()
        if not self._owned(source, frame, out, claim=True):
            return ()
        assert device is not None
        prop, news = self.devices.define(device, name, frame)
        if prop is None:
            source.complain("properties", f"defines more properties of {device!r} than are allowed: dropped")
            return ()
        if news:
            prop.missing.clear()
            receivers = self._wanting(frame.address, source)
        elif prop.missing:
            receivers = self._wanting(frame.address, source, among=sorted(prop.missing, key=_serial))
            prop.missing.difference_update(receivers)
        else:
            receivers = ()
        receivers = self._servers_first(frame, receivers, out)
        if prop.is_blob and source.role in _SERVERS:
            out_blobs: list[Delivery] = []
            self._ask_links_for_blobs(out_blobs)
            if out_blobs:
                if receivers:
                    out.append(([frame], receivers))
                out += out_blobs
                return ()
        return receivers

    def _set(self, source: Party, frame: Frame, out: list[Delivery]) -> tuple[Party, ...]:
        if not frame.address.name:
            source.complain("nameless", f"sent a {frame.tag.text} without name: dropped")
            return ()
        # A server has to define a device before it speaks for it: only definitions know the way they have come.
        if not self._owned(source, frame, out, claim=source.role not in _SERVERS):
            return ()
        if source.role in _SERVERS and self.devices.get(frame.address.device or "") is None:
            return ()
        with_data = isinstance(frame, BlobFrame) and bool(frame.spans)
        if with_data and not source.takes_blobs:
            return ()
        return self._remember(source, frame, self._wanting(frame.address, source, with_data=with_data))

    def _delete(self, source: Party, frame: Frame, out: list[Delivery]) -> tuple[Party, ...]:
        _, device, name = frame.address
        if not device:  # "forget everything", which one party can only say of its own
            if self._may_define(source, frame):
                for owned in self.devices.of(source):
                    out += self.process(source, [encode(DelProperty(owned))])
            return ()
        if name == "":  # libindi's receiver simulator sends it; the whole device is not meant
            source.complain("nameless", "deleted a property without name: dropped")
            return ()
        if not self._owned(source, frame, out, claim=False):
            return ()
        if source.role in _SERVERS and device not in self.devices:
            return ()  # in a loop of servers this is our own, come round
        receivers = self._wanting(frame.address, source)
        if name is not None:
            self.devices.undefine(device, name)
        elif self.devices.clear(device, keep=source.role is Role.DRIVER):
            self._forget_routes()
        return receivers

    def _message(self, source: Party, frame: Frame, out: list[Delivery]) -> tuple[Party, ...]:
        device = frame.address.device
        if device:
            if not self._owned(source, frame, out, claim=False):
                return ()
            receivers = self._wanting(frame.address, source)
            if device in self.devices:
                return receivers
            if source.role in _SERVERS and came_through(frame, self.name):
                return ()
            return self._servers_first(frame, receivers, out)
        if not self._may_define(source, frame):
            return ()
        if source.role in _SERVERS and came_through(frame, self.name):
            return ()
        return self._site_wide(frame, source, out)

    def _servers_first(self, frame: Frame, receivers: tuple[Party, ...], out: list[Delivery]) -> tuple[Party, ...]:
        """Send what no owner keeps from going round to the servers among these, with our name in it.

        Returns:
            The others.
        """
        servers = [p for p in receivers if p.role in _SERVERS]
        if not servers:
            return receivers
        out.append(([with_via(frame, self.name)], self._intern(servers)))
        return self._intern(p for p in receivers if p.role not in _SERVERS)

    def _site_wide(self, frame: Frame, source: Party | None, out: list[Delivery]) -> tuple[Party, ...]:
        """All clients, drivers that snoop on everything, and (unless it came from above) servers above."""
        if source is None or source.role is not Role.UPSTREAM:
            self._send_up(with_via(frame, self.name), source, out)
        return self._intern(
            p
            for p in self._parties
            if p is not source and (p.role is Role.CLIENT or (p.role is Role.DRIVER and p.interest.everything))
        )

    # Flow control of libindi

    def _ping(self, source: Party, frame: Frame, out: list[Delivery]) -> tuple[Party, ...]:
        """Answered at once: a libindi camera holds its next BLOB until then."""
        try:
            ping = decode(frame)
        except RemoteProtocolError as error:
            source.complain("ping", f"sent a ping that is ignored: {error}")
            return ()
        assert isinstance(ping, Ping)
        out.append(([encode(Ping(ping.uid, reply=True))], (source,)))
        return ()

    def _pong(self, source: Party, frame: Frame, out: list[Delivery]) -> tuple[Party, ...]:
        return ()

    # Receivers

    def _wanting(
        self,
        address: Address,
        source: Party | None,
        *,
        among: Iterable[Party] | None = None,
        with_data: bool = False,
    ) -> tuple[Party, ...]:
        """The parties (or those among some) that are interested in this address.

        A driver may snoop on its own devices, if it says so; nobody else hears himself.
        """
        device, name = address.device, address.name
        assert device is not None
        parties = self._parties if among is None else among
        record = self.devices.get(device)
        if record is not None and record.circles:
            parties = [party for party in parties if party.role is not Role.UPSTREAM]
        return self._intern(
            [
                party
                for party in parties
                if party.interest.wants(address, with_data)
                and (party is not source or (party.role is Role.DRIVER and party.interest.names(device, name)))
                and (party.takes_blobs or not with_data)
            ]
        )

    def _commanders(self) -> list[Party]:
        return [party for party in self._parties if party.role in _COMMANDERS]

    def _intern(self, parties: Iterable[Party]) -> tuple[Party, ...]:
        """One object for each combination, so that runs of frames with the same receivers are found by identity."""
        receivers = tuple(parties)
        return self._receivers.setdefault(receivers, receivers) if receivers else ()

    def _remember(self, source: Party, frame: Frame, receivers: tuple[Party, ...]) -> tuple[Party, ...]:
        """Use the same receivers for this address until something changes.  BLOBs are asked anew."""
        if not isinstance(frame, BlobFrame):
            if len(source.routes) >= _ROUTES:
                source.routes.clear()
            source.routes[frame.address] = receivers
        return receivers

    def _forget_routes(self) -> None:
        self._receivers.clear()
        for party in self._parties:
            party.routes.clear()


def _serial(party: Party) -> int:
    return party.serial


def _requests(interest: Interest) -> list[GetProperties]:
    """The requests that make up an interest."""
    if interest.everything:
        return [GetProperties()]
    return [GetProperties(device) for device in sorted(interest.devices)] + [
        GetProperties(device, name) for device, name in sorted(interest.properties) if device not in interest.devices
    ]
