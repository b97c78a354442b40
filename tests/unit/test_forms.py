"""What a driver sends again and again is written once, and says the same."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable, Iterator
from typing import ClassVar

import pytest

from indipydriver import NumberMember, NumberVector, SwitchMember, SwitchVector, TextMember, TextVector
from indipydriver.errors import LocalProtocolError
from indipydriver.protocol.encode import PASSING, encode
from indipydriver.protocol.forms import Form, Forms
from indipydriver.protocol.frame import Frame
from indipydriver.protocol.messages import DefMember, DefVector, OneBlob, OneMember, SetVector
from indipydriver.protocol.tags import TAGS, Permission, State, VectorKind

NUMBERS = SetVector(VectorKind.NUMBER, "D", "N", (OneMember("a", "1"), OneMember("b", "2")), State.OK, "5", "t")


def test_all_that_stays_the_same_is_kept() -> None:
    frame = Form(NUMBERS).fill(State.BUSY, "2026-01-02T03:04:05", ["8", "9"])
    assert frame is not None
    assert frame.raw.decode() == (
        '<setNumberVector device="D" name="N" state="Busy" timestamp="2026-01-02T03:04:05" timeout="5">'
        '<oneNumber name="a">8</oneNumber><oneNumber name="b">9</oneNumber></setNumberVector>'
    )


@pytest.mark.parametrize("name", ["%", "%s", ">0<", ' state="Ok"', ' timestamp="0"', "0", "100 %d"])
def test_names_that_look_like_a_gap(name: str) -> None:
    message = NUMBERS._replace(device=name, name=name, members=(OneMember(name, "1"), OneMember("b", "2")))
    assert Form(message).fill(State.OK, "t", ["1", "2"]) == encode(message)


@pytest.mark.parametrize("value", ["", "<", "&", "a\nb", "\x01", '"'])
def test_values_that_need_more_than_filling_in(value: str) -> None:
    form = Form(SetVector(VectorKind.TEXT, "D", "T", (OneMember("a", "1"),)))
    assert form.fill(State.OK, "t", [value]) is None
    assert form.fill(State.OK, "t", ["x"]) is not None


def test_a_word_that_a_switch_cannot_be() -> None:
    form = Form(SetVector(VectorKind.SWITCH, "D", "S", (OneMember("a", "Off"),)))
    assert form.fill(State.OK, "t", ["Maybe"]) is None
    assert form.fill(State.OK, "t", ["On"]) is not None


def test_what_may_be_beyond_a_limit_is_left_to_the_encoder() -> None:
    form = Form(SetVector(VectorKind.TEXT, "D", "T", (OneMember("a", "1"),)))
    frame = form.fill(State.OK, "t", ["x"])
    assert frame is not None
    longest = PASSING - frame.size + 1
    assert form.fill(State.OK, "t", ["x" * longest]) is not None
    assert form.fill(State.OK, "t", ["x" * (longest + 1)]) is None


def test_what_cannot_be_sent_has_no_form() -> None:
    with pytest.raises(LocalProtocolError):
        Form(NUMBERS._replace(name=""))


def test_a_definition_of_blobs_has_no_values() -> None:
    message = DefVector(
        VectorKind.BLOB, "D", "B", State.OK, (DefMember("b", "", "B"),), perm=Permission.READ_ONLY, timestamp="t"
    )
    assert Form(message).fill(State.OK, "t", [""]) == encode(message)


class Messages:
    """Counts how often a message is made."""

    def __init__(self, message: SetVector | DefVector = NUMBERS) -> None:
        self.message = message
        self.made = 0

    def __call__(self) -> SetVector | DefVector:
        self.made += 1
        return self.message


def sent(forms: Forms, what: object, messages: Messages, *, comes_again: bool = False) -> Frame:
    values = [member.value for member in messages.message.members if not isinstance(member, OneBlob)]
    return forms.encode(what, State.OK, "t", "", values, messages, comes_again=comes_again)


def test_a_form_is_made_for_what_comes_again() -> None:
    """Of members that change in ever new combinations, none would be used twice."""
    forms, messages = Forms(), Messages()
    for made in (1, 2, 2, 2):
        assert sent(forms, "A", messages) == encode(NUMBERS)
        assert messages.made == made
    for what in range(1000):
        sent(forms, what, messages)
    assert messages.made == 1002
    assert len(forms._forms) == 1
    assert len(forms._seen) <= 8
    sent(forms, "A", messages)
    assert messages.made == 1002


def test_a_definition_comes_again() -> None:
    forms, messages = Forms(), Messages()
    for _ in range(3):
        sent(forms, "A", messages, comes_again=True)
    assert messages.made == 1


def test_few_forms_are_kept_and_the_oldest_goes() -> None:
    """A vector whose members change together in many ways keeps no form for each."""
    forms, messages = Forms(), Messages()
    for what in range(9):
        sent(forms, what, messages, comes_again=True)
    assert list(forms._forms) == list(range(1, 9))


class _Key(str):
    """Something to be sent; whoever looks it up lets a thread run, when that is set."""

    __slots__ = ()
    interrupt: ClassVar[Callable[[], None] | None] = None

    def __hash__(self) -> int:
        interrupt, _Key.interrupt = _Key.interrupt, None
        if interrupt is not None:
            interrupt()
        return super().__hash__()


def test_two_threads_that_send_new_things_at_once_disturb_neither() -> None:
    """As when a thread sends some members, then others, while the event loop defines the vector for clients."""
    forms = Forms()

    def send(what: str) -> None:
        forms.encode(_Key(what), State.OK, "t", "", ["1", "2"], lambda: NUMBERS, comes_again=True)

    for step in range(60):
        for number in range(20):
            send(f"{step} {number}")
        counted = iter(range(step % 20))

        def interrupt(counted: Iterator[int] = counted, step: int = step) -> None:
            if next(counted, None) is None:
                send(f"{step} other")
            else:
                _Key.interrupt = interrupt

        _Key.interrupt = interrupt
        send(f"{step} last")
        _Key.interrupt = None


def test_what_is_too_long_only_with_its_gaps_filled_is_encoded() -> None:
    """A definition of texts that are all empty is shorter than its form."""
    room = 1 << 20
    message = DefVector(VectorKind.TEXT, "D", "T", State.OK, (), perm=Permission.READ_ONLY, timestamp="t")
    members: tuple[DefMember, ...] = ()
    for label in ("x" * 900, "x" * 950, "x" * 970, "x" * 985, "x" * 990):
        members = tuple([DefMember(f"a{n:04d}", "", label) for n in range(1000)])
        message = message._replace(members=members)
        forms, messages = Forms(), Messages(message)
        try:
            expected = encode(message)
        except LocalProtocolError:
            break
        assert expected.size <= room
        assert sent(forms, "A", messages, comes_again=True) == expected


def test_an_update_is_never_taken_for_the_definition_of_a_vector_without_members() -> None:
    vector = TextVector("T", "", "", "ro", "Ok", [])
    vector.devicename = "D"
    definition(vector)
    keys = [what for what in vector._forms._forms if isinstance(what, tuple)]
    assert [what[0] for what in keys] == ["def"]


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda vector: pickle.loads(pickle.dumps(vector))])
def test_copies_send_the_same(copied) -> None:  # type: ignore[no-untyped-def]
    vector = numbers()
    definition(vector)
    other = copied(vector)
    call = vector._checked("", None, None, None)
    assert other._def_frame(call).address.tag is TAGS["defNumberVector"]
    assert other._def_frame(call) == vector._def_frame(call)


def test_with_a_text_it_is_encoded() -> None:
    forms = Forms()
    told = NUMBERS._replace(message="<slow>")
    assert forms.encode(1, State.OK, "t", "<slow>", ["1", "2"], lambda: told) == encode(told)


def numbers() -> NumberVector:
    vector = NumberVector("N", "l", "g", "rw", "Ok", [NumberMember("a", "A", "%g", 0, 9, 1, 5), NumberMember("b")])
    vector.devicename = "D"
    return vector


def definition(vector: NumberVector | TextVector | SwitchVector) -> str:
    call = vector._checked("", None, None, None)
    raw = vector._def_frame(call).raw.decode()
    assert vector._def_frame(call).raw.decode() == raw
    return raw


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda vector: setattr(vector, "label", "other"), ' label="other"'),
        (lambda vector: setattr(vector, "group", "other"), ' group="other"'),
        (lambda vector: setattr(vector, "perm", "wo"), ' perm="wo"'),
        (lambda vector: setattr(vector, "timeout", 7), ' timeout="7"'),
        (lambda vector: setattr(vector, "state", "Busy"), ' state="Busy"'),
        (lambda vector: setattr(vector, "name", "other"), ' name="other"'),
        (lambda vector: setattr(vector, "devicename", "other"), ' device="other"'),
        (lambda vector: setattr(vector.data["a"], "name", "other"), '<defNumber name="other"'),
        (lambda vector: setattr(vector.data["a"], "label", "other"), ' label="other"'),
        (lambda vector: setattr(vector.data["a"], "format", "%.3f"), ' format="%.3f"'),
        (lambda vector: setattr(vector.data["a"], "min", -3), ' min="-3"'),
        (lambda vector: setattr(vector.data["a"], "max", 33), ' max="33"'),
        (lambda vector: setattr(vector.data["a"], "step", 0.3), ' step="0.3"'),
        (lambda vector: setattr(vector.data["a"], "membervalue", 8), ">8<"),
    ],
)
def test_whatever_changes_is_in_the_next_definition(change, told) -> None:  # type: ignore[no-untyped-def]
    vector = numbers()
    assert told not in definition(vector)
    change(vector)
    assert told in definition(vector)


def test_a_rule_that_changes_is_in_the_next_definition() -> None:
    vector = SwitchVector("S", "l", "g", "rw", "OneOfMany", "Ok", [SwitchMember("s", membervalue="On")])
    vector.devicename = "D"
    assert ' rule="OneOfMany"' in definition(vector)
    vector.rule = "AnyOfMany"
    assert ' rule="AnyOfMany"' in definition(vector)


def test_an_empty_text_is_defined_as_before() -> None:
    vector = TextVector("T", "l", "g", "rw", "Ok", [TextMember("t", membervalue="x")])
    vector.devicename = "D"
    assert '<defText name="t" label="t">x</defText>' in definition(vector)
    vector["t"] = ""
    assert '<defText name="t" label="t" />' in definition(vector)
