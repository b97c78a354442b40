"""What a check looks for: a rule for each kind of fault, with the expectation and the remedy.  Sans-I/O."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

__all__ = ["RULES", "Finding", "Findings", "Rule", "Severity"]


class Severity(StrEnum):
    """How bad it is."""

    ERROR = "error"
    """Violates INDI 1.7."""
    WARNING = "warning"
    """Legal, or common among libindi's drivers, but KStars or libindi's client library would misbehave."""
    NOTE = "note"
    """Worth knowing."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One kind of fault.

    Attributes:
        code: Its name, which does not change from release to release.
        severity: How bad it is.
        source: The authority for it.
        expected: What should have been seen.
        advice: What to do about it.
    """

    code: str
    severity: Severity
    source: str
    expected: str
    advice: str


@dataclass(slots=True)
class Finding:
    """One fault that was seen, once or several times.

    Attributes:
        rule: What was broken.
        seen: What was seen, the first time.
        device: The device, or None if it concerns none.
        name: The property, or None.
        member: The member, or None.
        count: How often it was seen.
    """

    rule: Rule
    seen: str
    device: str | None = None
    name: str | None = None
    member: str | None = None
    count: int = 1

    @property
    def code(self) -> str:
        return self.rule.code

    @property
    def severity(self) -> Severity:
        return self.rule.severity

    @property
    def where(self) -> str:
        """Device, property and member, joined by dots as indi_getprop does."""
        return ".".join(part for part in (self.device, self.name, self.member) if part)


class Findings:
    """The findings so far; the same fault in the same place counts once."""

    MOST: Final = 10_000

    def __init__(self) -> None:
        self._found: dict[tuple[str, str | None, str | None, str | None], Finding] = {}

    def add(
        self, code: str, seen: str, device: str | None = None, name: str | None = None, member: str | None = None
    ) -> None:
        """Remember a fault.

        Args:
            code: The name of the rule.
            seen: What was seen.
            device: The device, or None.
            name: The property, or None.
            member: The member, or None.
        """
        key = (code, device, name, member)
        found = self._found.get(key)
        if found is not None:
            found.count += 1
        elif len(self._found) < self.MOST:
            self._found[key] = Finding(RULES[code], seen, device, name, member)

    def __iter__(self) -> Iterator[Finding]:
        """The worst first, otherwise in the order in which they were seen."""
        order = list(Severity)
        return iter(sorted(self._found.values(), key=lambda finding: order.index(finding.severity)))

    def __len__(self) -> int:
        return len(self._found)

    def of(self, severity: Severity) -> list[Finding]:
        """Those of one severity."""
        return [finding for finding in self._found.values() if finding.severity is severity]


_INDI: Final = "INDI 1.7"
_LIBINDI: Final = "libindi"
_KSTARS: Final = "libindi's convention, on which KStars relies"
_E, _W, _N = Severity.ERROR, Severity.WARNING, Severity.NOTE

_TABLE: Final = (
    # The stream
    Rule("stray-output", _E, _INDI, "nothing but INDI's elements on standard output",
         "Print to standard error, or log: standard output belongs to the protocol."),
    Rule("malformed", _E, _INDI, "well-formed XML elements of INDI",
         "Write elements with an XML library or with indipydriver, and escape & < > and quotes in text."),
    Rule("too-large", _E, "this server's limits", "elements and start tags of a sane size",
         "Send large data as a BLOB; look for an element that is never closed."),
    Rule("too-many", _E, "this server's limits", "a sane number of devices and properties",
         "Servers drop what is beyond their limits; look for a loop that creates new names."),
    Rule("cut-short", _E, _INDI, "whole elements up to the end of the stream",
         "Flush standard output before the driver ends, and write each element in one piece."),
    Rule("bare-ampersand", _W, "INDI 1.7; libindi's parser swallows text up to the next semicolon",
         "every & written as an entity", "Escape text before it is written."),
    Rule("numeric-reference", _W, _LIBINDI, "characters as they are, in UTF-8",
         "libindi shows &#176; literally: write the character itself."),
    Rule("comment", _W, _LIBINDI, "no comments", "libindi's parser ends a comment at the first >: leave them out."),
    Rule("control-character", _W, "INDI 1.7 (XML)", "text without control characters",
         "Remove control characters, for example from what a device has replied, before it is sent."),
    Rule("not-utf8", _N, "INDI 1.7 says ISO 8859-1, current clients expect UTF-8", "ASCII, or else UTF-8",
         "Prefer ASCII in labels and texts; otherwise encode them as UTF-8."),
    Rule("xml-declaration", _N, _INDI, "elements without XML declarations between them",
         "libindi writes them and clients skip them, but a parser that reads the stream as one document fails."),
    Rule("leading-entity", _N, _LIBINDI, "text that does not begin with an entity",
         "libindi does not decode an entity at the very beginning of a text: put another character first."),
    Rule("prints", _W, _INDI, "no use of print() in a driver",
         "Before a driver that is a program runs, what it prints breaks the stream of the protocol: log instead."),
    # Elements
    Rule("foreign-element", _E, _INDI, "only elements that a device may send",
         "Commands go to devices, never from them."),
    Rule("attribute-missing", _E, _INDI, "all required attributes", "Add the attribute."),
    Rule("name-empty", _W, _LIBINDI, "a name that is not empty",
         "Clients drop what has no name: set the name before the property is defined or deleted."),
    Rule("name-too-long", _W, "libindi: 64 bytes including the final NUL", "names of at most 63 bytes",
         "Shorten the name; the label is what users see."),
    Rule("label-too-long", _N, "libindi: 64 bytes including the final NUL",
         "labels, groups and formats of at most 63 bytes", "libindi cuts it: shorten it."),
    Rule("message-too-long", _N, "libindi: 255 bytes including the final NUL", "messages of at most 254 bytes",
         "libindi cuts it: send several messages."),
    Rule("name-not-ascii", _W, _LIBINDI, "names in ASCII",
         "Clients differ in their encoding: put such text into the label."),
    Rule("word-unknown", _E, _INDI, "one of the words of INDI, spelled exactly",
         "States are Idle Ok Busy Alert; switches Off On; rules OneOfMany AtMostOne AnyOfMany; perm ro wo rw."),
    Rule("word-spelling", _W, _LIBINDI, "the words of INDI, spelled exactly",
         "It can be guessed here; libindi compares whole words and rejects it."),
    Rule("child-unknown", _E, _INDI, "children of the one kind that the element may have",
         "A defXVector holds defX, a setXVector oneX."),
    Rule("timestamp-form", _W, _INDI, "a timestamp as YYYY-MM-DDTHH:MM:SS, without a zone", "Use this form, in UTC."),
    Rule("timestamp-zone", _W, _INDI, "timestamps in UTC",
         "It differs from this machine's clock: convert local time to UTC."),
    Rule("timeout-form", _W, _INDI, "a timeout in seconds, 0 or more", "Send a number."),
    # Definitions
    Rule("no-definitions", _E, _INDI, "definitions in answer to getProperties",
         "Answer getProperties by sending a def*Vector for each property."),
    Rule("members-missing", _W, _INDI, "at least one member", "Define a property when its members are known."),
    Rule("member-duplicate", _E, _INDI, "members with unique names", "Rename one of them."),
    Rule("label-missing", _N, _INDI, "a human-readable label", "Without one the name is shown."),
    Rule("group-missing", _N, _INDI, "a group", "Clients show properties by group, as tabs."),
    Rule("number-unreadable", _E, _INDI, "a number, plain or sexagesimal", "Write a plain decimal number."),
    Rule("number-empty", _W, _INDI, "a value for every number", "Clients keep the old value, or assume 0."),
    Rule("number-not-finite", _W, _LIBINDI, "a finite number", "Send the last good value, with state Alert or Idle."),
    Rule("number-format", _E, "INDI 1.7: it is given to printf", "one printf conversion for a double, or INDI's %m",
         "Use for example %.2f, or %10.6m for degrees."),
    Rule("number-format-empty", _W, _INDI, "a format", "libindi shows nothing with an empty format: use %g."),
    Rule("number-format-integer", _W, "C: %d with a double is undefined", "a conversion for a double, such as %.0f",
         "KStars gives the format to printf with a double: use %.0f for whole numbers."),
    Rule("range-reversed", _W, _INDI, "min not above max; equal for no range", "Exchange them, or make them equal."),
    Rule("step-negative", _W, _INDI, "a step of 0 or more", "0 means that there is no step."),
    Rule("value-outside-range", _N, _INDI, "values within min and max",
         "Widen the range, or correct the value: a client's spin box shows another one."),
    Rule("rule-at-start", _W, _INDI, "a definition that keeps its own switch rule",
         "OneOfMany wants exactly one switch On, AtMostOne no more than one. For buttons use AtMostOne or AnyOfMany."),
    Rule("switch-write-only", _N, _INDI, "perm ro or rw for switches",
         "libindi uses wo too, so clients accept it; use rw."),
    Rule("redefined", _W, _LIBINDI, "delProperty before a property is defined again with other contents",
         "libindi's client ignores a second definition: send delProperty first."),
    # Updates
    Rule("update-undefined", _W, _INDI, "updates of defined properties only",
         "Clients drop it: define the property first, and do not update it after its delProperty."),
    Rule("update-kind", _E, _INDI, "updates of the kind that was defined",
         "Send the setXVector that belongs to the defXVector."),
    Rule("update-stateless", _W, _LIBINDI, "a state in every update",
         "INDI 1.7 makes it optional, but libindi's client drops an update without one."),
    Rule("update-empty", _N, _INDI, "at least one member in an update", "Clients take it as a mere change of state."),
    Rule("member-unknown", _E, _INDI, "members that were defined",
         "Update only members of the definition; for a BLOB this crashes libindi's client."),
    Rule("rule-broken", _E, _INDI, "updates that keep the switch rule: at most one switch On",
         "Send the switch that goes Off as well as the one that goes On."),
    Rule("none-on", _W, _INDI, "one switch On in an update of a OneOfMany property",
         "Turn one On; a property of buttons is better AtMostOne."),
    Rule("sexagesimal-update", _W, "libindi: its client reads sexagesimal in definitions only",
         "plain decimals in updates", "Send 5.5, with a format that ends in m: the client shows it as 5:30:00."),
    Rule("delete-undefined", _W, _INDI, "delProperty for defined properties only", "Clients ignore it."),
    Rule("delete-everything", _E, _INDI, "a device in delProperty", "Name the device whose properties are gone."),
    # BLOBs
    Rule("blob-attribute", _E, _INDI, "size and format in every oneBLOB",
         "Add them: size is the number of bytes before base64."),
    Rule("blob-size", _E, _INDI, "size equal to the number of bytes, after inflating if the format ends in .z",
         "Take the length of the data itself, not of its base64 text or of what was compressed."),
    Rule("blob-length", _E, "libindi's attributes len and enclen",
         "len equal to the bytes before base64, enclen to its characters",
         "Correct or omit it: readers truncate the data there, or wait for more."),
    Rule("blob-base64", _E, _INDI, "base64", "Encode with a base64 library; only white space may be added."),
    Rule("blob-inflate", _E, _INDI, "a zlib stream, as the format ends in .z",
         "Compress with zlib, or drop the .z (.fz is not zlib)."),
    Rule("blob-format", _W, _INDI, "a format that begins with a dot, such as .fits",
         "KStars chooses the viewer and the file name by it."),
    # Answers
    Rule("get-unanswered", _E, _INDI, "every getProperties answered with all definitions that match",
         "Answer each one, not only the first: every client that connects sends one."),
    Rule("get-name-unanswered", _W, "INDI 1.7; libindi 1.9.9 does not define lights when asked for by name",
         "every getProperties with device and name answered with that definition",
         "Drivers that snoop ask in this way: check the name attribute."),
    Rule("get-too-much", _W, _INDI, "for a device and a name, the definition of that property only",
         "Check the device and name attributes of getProperties."),
    Rule("get-foreign", _N, _INDI, "no answer to a getProperties for the device of another driver",
         "libindi 1.9.9 does this too, and servers filter it: check the device attribute."),
    Rule("unanswered", _E, "INDI 1.7: a client shows Busy until the device says otherwise",
         "an answer to every command",
         "Send a set*Vector with the new state after every command, even if nothing has changed."),
    Rule("answered-by-message", _W, _LIBINDI, "an update in answer to a command, not only a message",
         "The property stays Busy at the client: send a set*Vector with its state, too."),
    Rule("slow-answer", _N, "KStars", "a first answer to a command within a second",
         "Answer with state Busy at once, and do the work after that."),
    Rule("handler-failed", _E, "indipydriver", "handlers that do not raise",
         "Catch what may fail, and answer with Alert and a human-readable message; an instrument raises Refused."),
    Rule("slip", _W, "indipydriver", "a class that says what was meant",
         "The driver library logs this, too: such a slip has no effect, or another than the author expects."),
    Rule("not-awaited", _E, "Python", "coroutines that are awaited",
         "Write await in front of the call: without it, nothing happens."),
    Rule("blocks-loop", _E, "asyncio", "an event loop that is never held up for half a second",
         "All drivers and clients wait meanwhile: await asyncio.to_thread(...); see the guide to blocking calls."),
    Rule("same-value-refused", _W, _INDI, "the present values accepted as a command",
         "It was answered with Alert. If its message gives a good reason, that is fine."),
    Rule("range-not-enforced", _W, "libindi refuses it; some of its own drivers do not",
         "a number outside min and max refused", "Check it, keep the old value, and answer with Alert and a message."),
    Rule("garbage-accepted", _W, "libindi refuses it; some of its own drivers do not",
         "a value that is not a number refused", "Keep the old value, and answer with Alert and a message."),
    Rule("read-only-changed", _E, _INDI, "commands to a read-only property ignored",
         "perm is a hint for clients: the device itself has to refuse."),
    Rule("refused-in-silence", _W, _LIBINDI, "an answer to a command that is refused",
         "The property stays Busy at the client: send a set*Vector with state Alert and the old values."),
    # The connection and the device
    Rule("connection-missing", _N, _KSTARS, "a CONNECTION property",
         "KStars lists the device, but Ekos uses only devices that can be connected."),
    Rule("connection-form", _W, _KSTARS, "CONNECTION as a OneOfMany, rw switch with CONNECT and DISCONNECT",
         "Give it this kind, rule and perm, and these member names: KStars looks for them."),
    Rule("connection-state", _W, _KSTARS, "state Ok and CONNECT On when connected, DISCONNECT On when not",
         "Answer a CONNECTION command with both switches and state Ok, or Idle after DISCONNECT."),
    Rule("connection-refused", _N, _KSTARS, "a connection to the device",
         "It answered Alert, as drivers do without their hardware; what it defines when connected was not checked."),
    Rule("connection-nothing", _N, _KSTARS, "operating properties that appear when the device is connected",
         "Define what needs the hardware only then."),
    Rule("connection-kept", _W, _KSTARS, "operating properties deleted when the device is disconnected",
         "Send a delProperty for each property that was defined on connecting."),
    Rule("driver-info-missing", _N, _KSTARS, "a DRIVER_INFO property",
         "KStars learns from it what kind of device it is."),
    Rule("driver-info-form", _W, _KSTARS,
         "DRIVER_INFO as a ro text with DRIVER_NAME, DRIVER_EXEC, DRIVER_VERSION, DRIVER_INTERFACE",
         "DRIVER_INTERFACE is the decimal sum of the bits of what the device is: 1 telescope, 2 CCD, ..."),
    # What the device says it is
    Rule("interface-missing", _W, "the client that is named", "what the device needs to be accepted as what it says",
         "Define it when the device is connected; see the page of the standard properties."),
    Rule("interface-kind", _W, "the client that is named", "a standard property of the standard's kind, rule and perm",
         "Give a property of your own another name, or define this one as the standard has it."),
    Rule("interface-members", _W, "the client that is named", "the members of the standard, in their order",
         "Clients find members by their place: define all of them, in this order."),
    Rule("interface-values", _W, "the client that is named", "real values in the definition",
         "Define it when the values are known: later updates are ignored."),
    # Pings and the end
    Rule("ping-uid", _E, "libindi 1.9.7", "pings with a uid of 1 to 64 bytes, and replies with the uid that was asked",
         "Return the uid unchanged."),
    Rule("ping-unanswered", _N, "libindi 1.9.7", "a server that answers pingRequest", "Older servers do not."),
    Rule("ended-early", _E, _INDI, "a driver that keeps running",
         "Its log, or what it has written to standard error, tells why."),
    Rule("dies-of-unknown-member", _W, "libindi; some of its own cameras die",
         "a command to a member that was not defined ignored or refused",
         "Any client can end the driver in this way: check that the member exists before using its value."),
    Rule("crashed", _E, _INDI, "an orderly end when standard input ends",
         "Its log, or what it has written to standard error, tells why."),
    Rule("ignores-end", _W, _LIBINDI, "a driver that ends when its standard input ends",
         "Servers stop drivers like this, and kill those that stay: end when a read returns nothing more."),
)  # fmt: skip

RULES: Final[dict[str, Rule]] = {rule.code: rule for rule in _TABLE}
"""Every rule by its code."""
