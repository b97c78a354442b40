"""Who gets this frame: owners, interests, snoops.  Sans-I/O.

The router is told what came from whom and says what goes to whom.  It knows which endpoint owns a device, what each is
interested in, and (cached until one of these changes) who receives elements with a given address.  Commands go down,
to the owner.  What a device says goes to whoever is interested: clients, servers above, drivers that snoop, and servers
below whose drivers snoop.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from typing import Generic

from indipydriver.errors import RemoteProtocolError
from indipydriver.protocol.decode import decode
from indipydriver.protocol.encode import encode
from indipydriver.protocol.frame import Address, Frame
from indipydriver.protocol.messages import DelProperty, EnableBlob, GetProperties, Message, Ping
from indipydriver.protocol.refusals import READ_ONLY, commanded_above
from indipydriver.protocol.tags import TAGS, VectorKind, Verb
from indipydriver.protocol.via import came_through, hops_of, is_only_watched

from .announcements import Announcing, gone_for_limited
from .bloblinks import BlobLinks
from .devices import DeviceTable
from .endpoint import COMMANDERS, SERVERS, Delivery, E, Role
from .onlyblobs import OnlyBlobs
from .requests import Asking, requests_of, subject
from .routes import EVERYBODY, Routes, bits_of, has_data
from .takeovers import Takeovers
from .ways import Ways

__all__ = ["Router"]

logger = logging.getLogger("indipyserver.ipyserver")

_UPDATE_TAGS = {kind: TAGS[f"set{kind}Vector"] for kind in VectorKind}


class Router(Generic[E]):
    """Decides where frames go.

    Args:
        name: The name of this server in ``via`` attributes; unique among servers.
        clock: The time in seconds, from any starting point.

    Attributes:
        endpoints: All endpoints, in order of arrival.
    """

    def __init__(self, name: str, clock: Callable[[], float] = time.monotonic) -> None:
        self.name = name
        self.devices: DeviceTable[E] = DeviceTable()
        self._clock = clock
        self._answers = 0  # changes whenever a waiting request may have been answered
        self.endpoints: list[E] = []
        self._asking: Asking[E] = Asking(name, self.devices, self.endpoints, clock)
        self._routes: Routes[E] = Routes(self.devices, self.endpoints)
        self._ways: Ways[E] = Ways(name, self._routes)
        self._takeovers = Takeovers(clock)
        self._announcing: Announcing[E] = Announcing(name, self.devices, self.endpoints)
        self._blobs: BlobLinks[E] = BlobLinks(self.devices)
        self._only: OnlyBlobs[E] = OnlyBlobs(self.devices)
        self._serial = 0
        self._handlers: dict[Verb, Callable[[E, Frame, list[Delivery[E]]], tuple[E, ...]]] = {
            Verb.GET: self._get_properties,
            Verb.ENABLE_BLOB: self._enable_blob,
            Verb.NEW: self._new,
            Verb.DEF: self._definition,
            Verb.SET: self._set,
            Verb.DELETE: self._delete,
            Verb.MESSAGE: self._message,
            Verb.PING: self._ping,
            Verb.PONG: lambda *_: (),
        }

    def attach(self, endpoint: E) -> None:
        """Add an endpoint, which is interested in nothing yet."""
        endpoint.serial = self._serial = self._serial + 1
        self._routes.seat(endpoint)
        self.endpoints.append(endpoint)
        self._answers += 1
        self._routes.forget()

    def detach(self, endpoint: E, reason: str = "") -> list[Delivery[E]]:
        """Remove an endpoint; returns the deletions of its devices for those who are interested in them."""
        if endpoint not in self.endpoints:
            return []
        self.endpoints.remove(endpoint)
        self._answers += 1
        out: list[Delivery[E]] = []
        lost: dict[str, set[E]] = {}
        for device in self.devices.of(endpoint):
            lost[device] = self._asking.ask_refused(device, out)
            out += self.release(device, reason)
        self._asking.ask_above(lost, out)
        self._blobs.left(endpoint, out)
        self.devices.forget(endpoint, endpoint.bit)
        self._only.forget(endpoint)
        self._routes.forget()
        self._routes.unseat(endpoint)
        if not self.endpoints:
            self._takeovers.forget()
        return out

    def may_claim(self, device: str) -> bool:
        """Would :meth:`claim` give this device to a new driver?

        Only if nobody below has it: a server above has to give its device up for a driver here.
        """
        record = self.devices.get(device)
        return record is None or record.vacant or record.watched

    def claim(self, device: str, endpoint: E) -> list[Delivery[E]]:
        """Give an endpoint a device for as long as it is attached, before it has defined it.

        Returns:
            If a server above had defined it: the deletion, for those who are interested.

        Raises:
            ValueError: It belongs to somebody else; see :meth:`may_claim`.
        """
        if not self.may_claim(device):
            raise ValueError(f"the device {device!r} already exists")
        out: list[Delivery[E]] = []
        self._take_over(device, endpoint, out, fixed=True)
        return out

    def _take_over(
        self, device: str, endpoint: E, out: list[Delivery[E]], *, fixed: bool = False, watched: bool = False
    ) -> bool:
        """Give an endpoint a device, even if another one owns it; False if it already owns as many as are allowed.

        An endpoint that loses it is asked when it is free again, like those whose definitions of it were refused.
        """
        self._answers += 1
        endpoint.answers += 1
        before = self.devices.get(device)
        self._blobs.stop(device, out)
        out += self.release(device, f"{device} is served by another driver or server from now on")
        return self.devices.claim(device, endpoint, fixed=fixed, watched=watched, before=before)

    def release(self, device: str, reason: str = "") -> list[Delivery[E]]:
        """Take a device from its owner; returns its deletion for those who are interested."""
        record = self.devices.pop(device)
        self._routes.forget()
        if record is None or not record.seen:
            return []
        frame = encode(DelProperty(device, message=reason or None))
        return gone_for_limited(frame, self._routes.wanting(frame.address, record.owner))

    def route(self, source: E, frames: Iterable[Frame]) -> list[Delivery[E]]:
        """Decide what to send to whom, given these frames from this endpoint."""
        out: list[Delivery[E]] = []
        routes = source.routes
        run: list[Frame] = []
        last: tuple[E, ...] = ()
        for frame in frames:
            receivers = routes.get(frame.address)
            if receivers is None:
                before = len(out)
                try:
                    receivers = self._handlers[frame.address.tag.verb](source, frame, out)
                except Exception:  # a bug in this package must not cost the other frames
                    if source.complain("unroutable", f"sent {frame!r}, which could not be routed", logging.ERROR):
                        logger.exception("the reason is:")
                    continue
                if len(out) != before:
                    last = ()
            if not receivers:
                continue
            plain = frame.__class__ is Frame  # a BLOB of any kind goes alone
            if plain and receivers is last:
                run.append(frame)
            else:
                run = [frame]
                out.append((run, receivers))
                last = receivers if plain else ()
        if self._blobs.modes:
            self._blobs.read(source, out)
        return out

    def sole_receiver(self, source: E, address: Address) -> E | None:
        """The only receiver of such frames from this endpoint, if they change nothing here; None: see :meth:`route`."""
        receivers = source.routes.get(address, ())
        return receivers[0] if len(receivers) == 1 and not self._blobs.modes else None

    def site_message(
        self, text: str, timestamp: str | None = None, about: E | Iterable[str] | None = None
    ) -> list[Delivery[E]]:
        """A message from this server itself; see :meth:`Announcing.message`."""
        return self._announcing.message(text, timestamp, about)

    def refresh(self, endpoint: E) -> list[Delivery[E]]:
        """Ask again for everything an endpoint is interested in, because it has missed some of it."""
        out: list[Delivery[E]] = []
        for request in requests_of(endpoint.interest):
            self._want(endpoint, request.device, request.name)
            self._asking.ask_around(endpoint, encode(request), out)
        return out

    # Requests

    def _get_properties(self, source: E, frame: Frame, out: list[Delivery[E]]) -> tuple[E, ...]:
        device, name = subject(frame)
        if (frame.device or "").startswith("*") and source.role is Role.CLIENT:
            source.become_server()
            self._routes.forget()
            may = "may not" if source.rights.read_only else "may"
            logger.info("%s is a server: it %s define devices", source.label, may)
            self._asking.tell_standing_requests(source, out)
        elif source.role is Role.CLIENT and not source.passes_on and hops_of(frame):
            source.passes_on = True  # a server that wants one device is known only by this
            self._routes.forget()
        if came_through(frame, self.name) or not source.may_see(device):
            return ()
        answers = self._answers - (0 if self.devices.owns(source, device) else source.answers)  # others answer it
        if source.requested.note(device, name, frozenset(hops_of(frame)), answers, self._clock()):
            return ()
        self._want(source, device, name)
        self._asking.ask_around(source, frame, out)
        self._blobs.wishes_changed(source, device, name, out)
        return ()

    def _want(self, source: E, device: str | None, name: str | None, *, definitions: bool = True) -> None:
        """Record an interest; the properties it covers count as missing until their definitions have been sent."""
        interest = source.interest
        if device is not None and source.role in COMMANDERS:
            known = interest.asked(device, name) if definitions else interest.includes(device, name)
        else:  # the devices a driver has named matter even if it gets everything
            known = device is not None and (device in interest.devices or (device, name) in interest.properties)
        if not known and interest.full and device is not None:
            source.complain("interests", "asks for more properties than can be kept: the new ones are ignored")
            return
        bit, told_of_news = source.bit, definitions and source.role in COMMANDERS
        for defined, properties in self.devices.defined(device, name):
            for its_name, prop in properties.items() if source.may_see(defined) else ():
                prop.missing |= bit
                if told_of_news and not interest.asked(defined, its_name):
                    prop.unseen |= bit
        if not known and interest.ask(device, name, definitions=definitions):
            self._routes.forget()

    def _enable_blob(self, source: E, frame: Frame, out: list[Delivery[E]]) -> tuple[E, ...]:
        try:
            request = decode(frame)
        except RemoteProtocolError as error:
            source.complain("enableBLOB", f"sent an enableBLOB that is ignored: {error}")
            return ()
        assert isinstance(request, EnableBlob)
        if request.device is not None and not source.interest.covers(request.device, request.name):
            if source.role not in COMMANDERS:
                return ()  # from a driver it must follow the getProperties it belongs to
            self._want(source, request.device, request.name, definitions=False)
        if source.interest.full:
            source.complain("interests", "enables BLOBs of more properties than can be kept: the new ones are ignored")
        if source.interest.enable_blob(request.device, request.name, request.mode):
            self._routes.forget()
            for device in self._only.mode_changed(source, request.device, request.mode):
                self._asking.ask_around(source, encode(GetProperties(device)), out)
        self._blobs.mode_set(source, request.device, request.name, out)
        return ()

    # Commands

    def _new(self, source: E, frame: Frame, out: list[Delivery[E]]) -> tuple[E, ...]:
        _, device, name = frame.address
        if not device or not name:
            source.complain("nameless", f"sent a {frame.tag.text} without device or name: dropped")
            return ()
        record = self.devices.get(device)
        owner = record.owner if record is not None else None
        with_data = has_data(frame)
        if source.role not in COMMANDERS:
            if owner is not source:
                # In a ring of servers the echo of a command comes back, which is harmless.
                level = logging.DEBUG if source.role is Role.REMOTE else logging.WARNING
                source.complain("command", f"sent a command to {device!r}; only clients command: dropped", level)
                return ()
            among = self._routes.commanders() if source.takes_blobs or not with_data else ()
            receivers = self._routes.wanting(frame.address, source, among=among, with_data=with_data)
            return self._routes.remember(source, frame, self._routes.intern_for_command(receivers))
        if source.rights.limited and not self._command_or_refuse(source, device, out):
            return ()
        if not source.interest.covers(device, name):
            self._want(source, device, name, definitions=False)
            self._blobs.wishes_changed(source, device, name, out)
        if record is not None and record.circles and source.is_above:
            source.complain("circles", f"commands {device!r}, which comes back through it: dropped")
            return ()
        if owner is source or (owner is not None and owner.role is Role.UPSTREAM):
            out.append(([encode(Message(device, commanded_above(device)))], (source,)))
            return ()
        receivers = self._routes.wanting(frame.address, source, among=self._routes.commanders(), with_data=with_data)
        if owner is not None and (owner.takes_blobs or not with_data):
            receivers = (owner, *(p for p in receivers if p is not owner))
        return self._routes.remember(source, frame, self._routes.intern_for_command(receivers))

    def _command_or_refuse(self, source: E, device: str, out: list[Delivery[E]]) -> bool:
        if not source.may_see(device):
            source.complain("hidden", "sent a command to a device that it may not see: dropped")
            return False
        if source.rights.read_only:
            source.complain("read only", "is read-only: its command is refused")
            out.append(([encode(Message(device, READ_ONLY))], (source,)))
            return False
        return True

    # What devices say

    def _own_or_refuse(self, source: E, frame: Frame, out: list[Delivery[E]], *, claim: bool) -> bool:
        """Claim a device nobody owns; True if this endpoint may speak for it, else it is told why not."""
        device = frame.address.device
        assert device, "whoever asks has looked"
        record = self.devices.get(device)
        if record is not None and record.owner is source:  # what follows was asked when it became the owner
            return True
        if not source.may_speak(frame) or source.only_device not in (None, device):
            return False
        watched = source.role is Role.UPSTREAM or is_only_watched(frame)
        if claim and (record is None or self._takeovers.may_take(device, record, watched=watched)):
            if not self.devices.has_room(source):
                source.complain("devices", "defines more devices than are allowed: the new ones are dropped")
                return False
            return self._take_over(device, source, out, watched=watched)
        if record is None:
            return True
        if frame.tag.verb is Verb.DEF:
            record.refused.add(source)
            text = f"defines {device!r}, which is already served by"
            if source.complain_of(device, "taken", f"{text} {record.owner.label}: refused"):
                told = f"{source.public_label} {text} {record.owner.public_label}: refused"
                out += self.site_message(told, about=(device,))
        return False

    def _definition(self, source: E, frame: Frame, out: list[Delivery[E]]) -> tuple[E, ...]:
        _, device, name = frame.address
        if not device or not name:
            source.complain("nameless", f"sent a {frame.tag.text} without device or name: dropped")
            return ()
        if source.role in SERVERS and came_through(frame, self.name):
            if source.may_speak(frame):
                self._brought_back(source, device, out)
            return ()
        record = self.devices.get(device)
        if (record is None or record.owner is not source) and not self._own_or_refuse(source, frame, out, claim=True):
            return ()
        if source.asked.waiting:
            self._note_answer(source, device, name)
        prop, news = self.devices.define(device, name, frame)
        if prop is None:
            source.complain("properties", f"defines more properties of {device!r} than are allowed: dropped")
            return ()
        # Drop the cached route: those who get this now get updates, too, and the first update must be recorded.
        if source.routes:
            source.routes.pop(Address(_UPDATE_TAGS[prop.kind], device, name), None)
        receivers: tuple[E, ...] = ()
        if news or prop.missing:
            among = EVERYBODY if news else prop.missing
            receivers = self._routes.wanting_definition(frame.address, source, among)
            if prop.missing:
                others = ~bits_of(receivers)
                prop.missing &= others
                prop.unseen &= others
            if self._only:
                self._only.passed(frame.address, prop, source, among=among, news=news)
        if receivers:
            receivers = self._ways.to_servers_and_others(frame, receivers, out, watched=source.role is Role.UPSTREAM)
        if prop.is_blob:
            out_blobs: list[Delivery[E]] = []
            self._blobs.defined(device, name, self.endpoints, out_blobs)
            if out_blobs:
                if receivers:
                    out.append(([frame], receivers))
                out += out_blobs
                return ()
        return receivers

    def _brought_back(self, source: E, device: str, out: list[Delivery[E]]) -> None:
        """Handle a definition that has come back to this server."""
        record = self.devices.get(device)
        if record is not None and record.owner is source and not record.circles:
            record.circles = True
            self._routes.forget()
        text = f"brings back {device!r}, which it has from here: a loop of servers, refused"
        if source.complain_of(device, "loop", text):
            out += self.site_message(f"{source.public_label} {text}", about=(device,))

    def _note_answer(self, source: E, device: str, name: str | None) -> None:
        """Note that an owner has defined or deleted a property: from now on requests are passed on again."""
        if source.asked.note_answer(device, name):
            self._answers += 1
            source.answers += 1

    def _set(self, source: E, frame: Frame, out: list[Delivery[E]]) -> tuple[E, ...]:
        _, device, name = frame.address
        if not device or not name:
            source.complain("nameless", f"sent a {frame.tag.text} without device or name: dropped")
            return ()
        # A server has to define a device before it speaks for it: only definitions carry the path they have taken.
        if not self._own_or_refuse(source, frame, out, claim=source.role not in SERVERS):
            return ()
        if device not in self.devices:
            return ()
        with_data = has_data(frame)
        if with_data and not source.takes_blobs:
            return ()
        receivers = self._routes.wanting(
            frame.address, source, among=self._note_update(source, frame), with_data=with_data
        )
        return self._routes.remember(source, frame, receivers)

    def _note_update(self, source: E, frame: Frame) -> Iterable[E] | None:
        """Record that a property has changed; returns who can make sense of the update, None for everybody.

        Clients that have asked for its definition get that first.  Others, and drivers that snoop, know what they
        want without it.
        """
        _, device, name = frame.address
        assert device is not None
        assert name is not None
        prop = self.devices.property(device, name)
        if prop is not None:
            prop.changed = True
            if self._only:
                self._only.passed(frame.address, prop, source)
            return self._routes.but(prop.unseen) if prop.unseen else None
        return [
            endpoint
            for endpoint in self.endpoints
            if endpoint.role not in COMMANDERS or not endpoint.interest.asked(device, name)
        ]

    def _delete(self, source: E, frame: Frame, out: list[Delivery[E]]) -> tuple[E, ...]:
        _, device, name = frame.address
        if not device:  # "forget everything", which an endpoint can say only of its own devices
            if name:  # which of its devices is meant?
                source.complain("nameless", "deleted a property without its device: dropped")
            elif source.may_speak(frame):
                for owned in self.devices.shown_by(source):
                    out += self.route(source, [encode(DelProperty(owned))])
            return ()
        if name == "":  # libindi's receiver simulator sends it, and does not mean the whole device
            source.complain("nameless", "deleted a property without name: dropped")
            return ()
        if not self._own_or_refuse(source, frame, out, claim=False):
            return ()
        record = self.devices.get(device)
        if source.role in SERVERS and (record is None or came_through(frame, self.name)):
            return ()  # in a loop of servers this is our own, which has come back
        self._note_answer(source, device, name)
        receivers = self._routes.wanting(frame.address, source)
        asked = self._asking.ask_refused(device, out) if name is None else set()
        if name is None:
            self.devices.clear(device, keep=source.role is Role.DRIVER)
            self._routes.forget()
        elif (prop := self.devices.undefine(device, name)) is not None:
            source.routes.pop(Address(_UPDATE_TAGS[prop.kind], device, name), None)
        goes_round = (record is not None and record.circles) or bool(hops_of(frame))
        if name is None and source.role in SERVERS:  # the reason it gives may name more than the device
            told = gone_for_limited(frame, receivers)
            out += self._ways.of_each(told, out) if goes_round else told
            self._asking.ask_above({device: asked | {source}}, out)
            return ()
        return self._ways.to_servers_and_others(frame, receivers, out) if goes_round else receivers

    def _message(self, source: E, frame: Frame, out: list[Delivery[E]]) -> tuple[E, ...]:
        device = frame.address.device
        if device:
            if not self._own_or_refuse(source, frame, out, claim=False):
                return ()
            receivers = self._routes.wanting(frame.address, source)
            if device not in self.devices:
                if source.role in SERVERS and came_through(frame, self.name):
                    return ()
                return self._ways.to_servers_and_others(frame, receivers, out)
            return self._ways.plainly(frame, receivers, out)
        if not source.may_speak(frame):
            return ()
        if source.only_device is not None:
            return ()  # a link for one device: messages without device arrive over other links
        if source.role in SERVERS and came_through(frame, self.name):
            return ()
        receivers = self._announcing.to_all(frame, source, out, devices=self.devices.of(source))
        return self._ways.plainly(frame, self._routes.intern(receivers), out)

    # Flow control of libindi

    def _ping(self, source: E, frame: Frame, out: list[Delivery[E]]) -> tuple[E, ...]:
        """Answer at once: a libindi camera holds its next BLOB until then."""
        try:
            ping = decode(frame)
        except RemoteProtocolError as error:
            source.complain("ping", f"sent a ping that is ignored: {error}")
            return ()
        assert isinstance(ping, Ping)
        out.append(([encode(Ping(ping.uid, reply=True))], (source,)))
        return ()
