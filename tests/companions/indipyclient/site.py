"""Messages of an imaginary server, short to write."""

from indipydriver.protocol.messages import DefMember, DefVector, DelProperty, Message, OneBlob, OneMember, SetVector
from indipydriver.protocol.tags import Permission, State, SwitchRule, VectorKind


def define(device="Mount", name="EQ", kind=VectorKind.NUMBER, state=State.IDLE, timeout=None, message=None, **more):
    """A definition with the members of `more` that are no fields of it; RA and DEC if there are none."""
    fields = {key: more.pop(key) for key in ("label", "group", "perm", "rule", "timestamp") if key in more}
    fields.setdefault("perm", None if kind is VectorKind.LIGHT else Permission.READ_WRITE)
    if kind is VectorKind.SWITCH:
        fields.setdefault("rule", SwitchRule.ONE_OF_MANY)
    members = []
    for member, value in (more or {"RA": "1", "DEC": "2"}).items():
        if kind is VectorKind.NUMBER:
            value, *limits = value if isinstance(value, tuple) else (value,)
            members.append(DefMember(member, str(value), member, "%g", *map(str, limits)))
        else:
            members.append(DefMember(member, value, member))
    return DefVector(kind, device, name, state, tuple(members), timeout=timeout, message=message, **fields)


def update(device="Mount", name="EQ", kind=VectorKind.NUMBER, state=None, message=None, timestamp=None, **values):
    """An update of these members."""
    if kind is VectorKind.BLOB:
        members = tuple(OneBlob(member, data, len(data), ".bin") for member, data in values.items())
    else:
        members = tuple(OneMember(member, str(value)) for member, value in values.items())
    return SetVector(kind, device, name, members, state, None, timestamp, message)


def delete(device="Mount", name=None, message=None):
    return DelProperty(device, name, None, message)


def say(text, device=None):
    return Message(device, text)
