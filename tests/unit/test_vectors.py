"""Vectors: their attributes, and what each send puts on the wire."""

import asyncio
import io
import itertools
import os
from datetime import UTC, datetime, timedelta, timezone
from xml.etree import ElementTree as ET
from zoneinfo import ZoneInfo

import pytest

import indipydriver as ipd
from indipydriver.errors import DefinitionError, IndiError, LocalProtocolError
from indipydriver.propertyvectors import timestamp_string
from indipydriver.testing import DriverHarness, driver_test
from tests.support.together import in_a_thread_unless_locked

TIME = datetime(2026, 1, 2, 3, 4, 5)
T = 'timestamp="2026-01-02T03:04:05"'


def switches(rule="OneOfMany", perm="rw"):
    members = [ipd.SwitchMember("s1", "S 1", "On"), ipd.SwitchMember("s2")]
    return ipd.SwitchVector("sw", "Switch L", "G1", perm, rule, "Ok", members)


def lights():
    return ipd.LightVector("li", "Light L", "G1", "Idle", [ipd.LightMember("l1", "L 1")])


def texts():
    return ipd.TextVector("tx", "Text L", "G3", "rw", "Ok", [ipd.TextMember("t1", "T 1", "abc"), ipd.TextMember("t2")])


def numbers(perm="rw"):
    members = [ipd.NumberMember("n1", "N 1", "%8.3f", 0, 100.5, 1, 5), ipd.NumberMember("n2", membervalue="1:30:00")]
    return ipd.NumberVector("nu", "Num L", "G2", perm, "Ok", members)


def blobs(perm="ro"):
    return ipd.BLOBVector("bl", "Blob L", "G4", perm, "Ok", [ipd.BLOBMember("b1", "B 1"), ipd.BLOBMember("b2")])


ALL = [switches, lights, texts, numbers, blobs]


class harness(DriverHarness):
    """The given vectors in a device "Dev"; what was sent on entry is forgotten."""

    def __init__(self, *vectors):
        super().__init__(ipd.IPyDriver(ipd.Device("Dev", vectors)))

    async def __aenter__(self):
        await super().__aenter__()
        self.frames.clear()
        return self

    async def taken(self):
        """The elements that have been sent since the last call, as text."""
        await self.settle()
        found = [frame.raw.decode() for frame in self.frames]
        self.frames.clear()
        return found


# --- without a driver ------------------------------------------------------------------


@pytest.mark.parametrize("make", ALL)
def test_attributes(make):
    vector = make()
    assert vector.vectortype == type(vector).__name__
    assert (vector.enable, vector.devicename, vector.driver, vector.changed) == (True, None, None, True)
    assert (vector.timeout, vector.message) == ("0", "")
    with pytest.raises(TypeError, match="does not belong to a driver"):
        assert vector.device
    with pytest.raises(TypeError):
        hash(vector)


@pytest.mark.parametrize("make", ALL)
@driver_test
async def test_a_send_without_a_driver_says_so(make):
    vector = make()
    for send in (vector.send_defVector, vector.send_setVectorMembers, vector.send_delProperty):
        with pytest.raises(AttributeError, match="does not belong to a driver") as caught:
            await send()
        assert isinstance(caught.value, IndiError)


@driver_test
async def test_a_send_before_the_run_says_so():
    vector = texts()
    ipd.IPyDriver(ipd.Device("Dev", [vector]))
    with pytest.raises(AttributeError, match="does not run yet"):
        await vector.send_setVector()


def test_it_is_a_mapping_of_values():
    vector = switches()
    assert dict(vector) == {"s1": "On", "s2": "Off"}
    assert list(vector) == ["s1", "s2"]
    assert vector.get("no") is None
    assert vector.data["s2"].label == "s2"
    vector.update({"s1": "Off", "s2": "On"})
    assert list(vector.values()) == ["Off", "On"]
    assert repr(numbers()) == "{'n1': NumberMember('n1', '5'), 'n2': NumberMember('n2', '1:30:00')}"
    del vector["s1"]
    assert list(vector) == ["s2"]
    assert not ipd.TextVector("t", "", "", "rw", "Ok", [])


def test_mistakes_raise_and_change_nothing():
    """They used to be written to a log, and a script had no way to notice."""
    vector = switches()
    with pytest.raises(KeyError):
        vector["no"] = "On"
    with pytest.raises(ValueError, match="'s1'"):
        vector["s1"] = "Maybe"
    for attribute in ("state", "perm", "rule"):
        before = getattr(vector, attribute)
        with pytest.raises(ValueError, match="'sw'"):
            setattr(vector, attribute, "nonsense")
        assert getattr(vector, attribute) == before
    with pytest.raises(KeyError):
        vector["no"]
    assert dict(vector) == {"s1": "On", "s2": "Off"}


@pytest.mark.parametrize("wrong", [{"n1": 7, "n2": "no number"}, {"n1": 7, "no": 1}, [("n1", 7), ("n2", None)]])
def test_a_mistake_in_one_of_several_values_changes_none(wrong):
    vector = numbers()
    before = dict(vector)
    with pytest.raises((KeyError, ValueError)):
        vector.update(wrong)
    with pytest.raises((KeyError, ValueError)):
        vector |= wrong
    with pytest.raises(KeyError):
        vector.update(n1=7, no=1)
    assert dict(vector) == before
    vector.update([("n1", 1)], n2=2)
    vector |= {"n1": 3}
    assert dict(vector) == {"n1": "3", "n2": "2"}


@pytest.mark.parametrize("wrong", [{"state": "Fine"}, {"state": None}, {"perm": "w"}, {"rule": "Any"}])
def test_a_vector_cannot_be_made_wrong(wrong):
    """A wrong word in the constructor used to end the server at the next getProperties."""
    right = {"name": "v", "label": "", "group": "", "perm": "rw", "rule": "AnyOfMany", "state": "Ok"}
    ipd.SwitchVector(**right, switchmembers=[])
    with pytest.raises(ValueError, match="'v'"):
        ipd.SwitchVector(**{**right, **wrong}, switchmembers=[])


def test_names_and_members_are_checked():
    with pytest.raises(DefinitionError):
        ipd.TextVector("café", "", "", "rw", "Ok", [])
    with pytest.raises(DefinitionError):
        ipd.TextVector("", "", "", "rw", "Ok", [])
    with pytest.raises(TypeError, match="TextMember"):
        ipd.TextVector("t", "", "", "rw", "Ok", [ipd.NumberMember("n")])
    with pytest.raises(DefinitionError, match="two members"):
        ipd.TextVector("t", "", "", "rw", "Ok", [ipd.TextMember("a"), ipd.TextMember("a")])
    assert list(ipd.TextVector("t", "", "", "rw", "Ok", (ipd.TextMember(n) for n in "ab"))) == ["a", "b"]


def test_what_counts_as_a_change():
    vector = numbers()
    for attribute, value, again in [
        ("state", "Ok", False),
        ("state", "Busy", True),
        ("timeout", 0, False),
        ("timeout", 2.5, True),
        ("timeout", "2.5", False),
        ("message", "", False),
        ("message", "hello", True),
        ("message", "hello", False),
        ("message", "", False),
        ("perm", "ro", False),
    ]:
        vector.changed = False
        setattr(vector, attribute, value)
        assert vector.changed is again, (attribute, value)
    assert (vector.timeout, vector.message) == ("2.5", "hello")
    assert lights().perm == "ro"


def test_numbers_of_a_vector():
    vector = numbers()
    assert vector.getfloatvalue("n2") == 1.5
    assert vector.getformattedvalue("n1") == "   5.000"
    with pytest.raises(KeyError):
        vector.getfloatvalue("no")


def test_blobsize():
    vector = blobs()
    vector.set_blobsize("b1", 5)
    assert vector.data["b1"].blobsize == 5
    with pytest.raises(ValueError, match="int"):
        vector.set_blobsize("b1", "5")
    with pytest.raises(KeyError):
        vector.set_blobsize("no", 5)
    assert not hasattr(vector, "send_setVector")


def test_timestamps():
    """Any zone is converted."""
    for time in (
        TIME,
        TIME.replace(tzinfo=UTC),
        TIME.replace(tzinfo=ZoneInfo("UTC")),
        (TIME + timedelta(hours=2)).replace(tzinfo=timezone(timedelta(hours=2))),
    ):
        assert timestamp_string(time) == "2026-01-02T03:04:05"
    assert timestamp_string(TIME.replace(microsecond=678900)).endswith("05.678900")
    with pytest.raises(ValueError, match="datetime"):
        timestamp_string("2026-01-02")


# --- on the wire -----------------------------------------------------------------------


@driver_test
async def test_definitions():
    vectors = [switches(), lights(), numbers(), texts(), blobs()]
    async with harness(*vectors) as h:
        for vector in vectors:
            await vector.send_defVector(timestamp=TIME)
        assert await h.taken() == [
            (
                f'<defSwitchVector device="Dev" name="sw" label="Switch L" group="G1" state="Ok" perm="rw" '
                f'rule="OneOfMany" {T} timeout="0"><defSwitch name="s1" label="S 1">On</defSwitch>'
                '<defSwitch name="s2" label="s2">Off</defSwitch></defSwitchVector>'
            ),
            (
                f'<defLightVector device="Dev" name="li" label="Light L" group="G1" state="Idle" {T}>'
                '<defLight name="l1" label="L 1">Idle</defLight></defLightVector>'
            ),
            (
                f'<defNumberVector device="Dev" name="nu" label="Num L" group="G2" state="Ok" perm="rw" {T} '
                'timeout="0">'
                '<defNumber name="n1" label="N 1" format="%8.3f" min="0" max="100.5" step="1">5</defNumber>'
                '<defNumber name="n2" label="n2" format="%g" min="0" max="0" step="0">1.5</defNumber>'
                "</defNumberVector>"
            ),
            (
                f'<defTextVector device="Dev" name="tx" label="Text L" group="G3" state="Ok" perm="rw" {T} timeout="0">'
                '<defText name="t1" label="T 1">abc</defText><defText name="t2" label="t2" /></defTextVector>'
            ),
            (
                f'<defBLOBVector device="Dev" name="bl" label="Blob L" group="G4" state="Ok" perm="ro" {T}>'
                '<defBLOB name="b1" label="B 1" /><defBLOB name="b2" label="b2" /></defBLOBVector>'
            ),
        ]


@driver_test
async def test_an_update_with_everything():
    vector = switches()
    async with harness(vector) as h:
        vector.changed = True
        await vector.send_setVector("hello & é", TIME.replace(microsecond=678900), 3.5, "Busy")
        assert await h.taken() == [
            (
                '<setSwitchVector device="Dev" name="sw" state="Busy" timestamp="2026-01-02T03:04:05.678900" '
                'timeout="3.5" message="hello &amp; é"><oneSwitch name="s2">Off</oneSwitch>'
                '<oneSwitch name="s1">On</oneSwitch></setSwitchVector>'
            )
        ]
        assert (vector.state, vector.timeout, vector.changed) == ("Busy", "3.5", False)
        assert not any(member.changed for member in vector.data.values())


@driver_test
async def test_text_goes_out_as_utf_8():
    """It used to go out as decimal references, which clients in C show as they are."""
    vector = texts()
    async with harness(vector) as h:
        vector["t1"] = "café"
        await vector.send_setVectorMembers(members=["t1"], timestamp=TIME)
        assert "<oneText name=\"t1\">café</oneText>" in (await h.taken())[0]  # fmt: skip


@driver_test
async def test_what_xml_cannot_carry_is_left_out():
    """Such characters used to go out raw, and clients lost their connection."""
    vector = texts()
    async with harness(vector) as h:
        vector.update({"t1": "a\x01b", "t2": "a\ud800b"})
        await vector.send_setVector(message="x\x00y")
        (raw,) = await h.taken()
        assert ">ab<" in raw
        assert ">a?b<" in raw
        assert 'message="xy"' in raw


@driver_test
async def test_label_and_group_may_be_none():
    """None could not be serialised; at the next getProperties everything ended."""
    async with harness(ipd.TextVector("v", None, None, "rw", "Ok", [ipd.TextMember("a")])) as h:
        await h.driver["Dev"]["v"].send_defVector()
        assert ' name="v" label="v" state="Ok"' in (await h.taken())[0].replace(' group=""', "")


@driver_test
async def test_some_members():
    vector = numbers()
    async with harness(vector) as h:
        vector.data["n1"].changed = vector.data["n2"].changed = True
        await vector.send_setVectorMembers(state="Alert", timeout=3, timestamp=TIME, members=["n2", "unknown"])
        await vector.send_setVectorMembers(timestamp=TIME)
        await vector.send_setVectorMembers(timestamp=TIME, members="n1")
        start = f'<setNumberVector device="Dev" name="nu" state="Alert" {T} timeout="3"'
        assert await h.taken() == [
            f'{start}><oneNumber name="n2">1.5</oneNumber></setNumberVector>',
            f"{start} />",
            f'{start}><oneNumber name="n1">5</oneNumber></setNumberVector>',
        ]


@driver_test
async def test_clients_that_read_only_decimals_get_numbers_and_their_limits_right():
    """libindi's client reads what is sexagesimal only as the value in a definition, and else its first component, so that
    it would show 12 for an update to 12:30:00, whatever the format."""
    given = {"g": "12:30:00", "p": "-0 30", "plain": "1.50", "empty": "", "m": "12:30:00", "blanks": "12 30 00"}
    given["copied"] = "\N{NO-BREAK SPACE}1.50\N{EM SPACE}"
    formats = {"g": "%g", "p": "%.2f deg", "m": "%9.6m", "blanks": "%9.6m"}
    members = [
        ipd.NumberMember(name, None, formats.get(name, ""), "-23:30", "23:30:00", "0:30", value)
        for name, value in given.items()
    ]
    vector = ipd.NumberVector("nu", "", "", "rw", "Ok", members)
    sent = {"g": "12.5", "p": "-0.5", "plain": "1.50", "empty": "0.0", "m": "12.5", "blanks": "12.5"}
    sent["copied"] = "1.50"
    async with harness(vector) as h:
        for _ in range(3):  # the second fills in a form, if there is one
            await vector.send_defVector()
            (definition,) = [ET.fromstring(text) for text in await h.taken()]
            assert {member.get("name"): member.text for member in definition} == sent
            for member in definition:
                assert [member.get(key) for key in ("min", "max", "step")] == ["-23.5", "23.5", "0.5"]
            await vector.send_setVector()
            await vector.send_setVectorMembers(members=list(given))
            for update in await h.taken():
                assert {member.get("name"): member.text for member in ET.fromstring(update)} == sent
        assert dict(vector) == given


@driver_test
async def test_what_a_thread_updates_together_is_sent_together():
    """A right ascension with the declination of another place would be a third one."""

    class Number(ipd.NumberMember):
        @property
        def membervalue(self):
            value = super().membervalue
            act()
            return value

        @membervalue.setter
        def membervalue(self, value):
            ipd.NumberMember.membervalue.__set__(self, value)

    class Numbers(ipd.NumberVector):
        def __setitem__(self, name, value):
            super().__setitem__(name, value)
            look()

    def nothing():
        pass

    act = look = nothing
    vector = Numbers("nu", "", "", "ro", "Ok", [Number("RA"), Number("DEC")])
    steps = itertools.count(1)
    seen = []
    async with harness(vector) as h:
        act = in_a_thread_unless_locked(lambda: vector.update(dict.fromkeys(vector, next(steps))))
        await vector.send_setVector()
        await vector.send_setVector(allvalues=False)
        await vector.send_setVectorMembers(members=["RA", "DEC"])
        await vector.send_defVector()
        act = nothing
        for text in await h.taken():
            right_ascension, declination = [member.text for member in ET.fromstring(text)]
            assert right_ascension == declination
        look = in_a_thread_unless_locked(lambda: seen.append([vector["RA"], vector["DEC"]]))
        vector.update(RA=1000, DEC=1000)
        look()
        assert [len(set(pair)) for pair in seen] == [1]


@driver_test
async def test_lights_have_no_timeout_and_read_only_vectors_do_not_show_theirs():
    vectors = [lights(), numbers("ro")]
    async with harness(*vectors) as h:
        for vector in vectors:
            await vector.send_setVector(timeout=5)
        taken = await h.taken()
        assert len(taken) == 2
        assert [raw for raw in taken if "timeout" in raw] == []
        assert [vector.timeout for vector in vectors] == ["0", "5"]


@driver_test
async def test_a_message_goes_out_once():
    """It used to appear again in all later updates, and as new to clients that came later."""
    vector = texts()
    async with harness(vector) as h:
        await vector.send_setVector(message="careful")
        await vector.send_setVector()
        await vector.send_defVector()
        assert ["careful" in raw for raw in await h.taken()] == [True, False, False]
        assert vector.message == "careful"


@driver_test
async def test_only_changes():
    """A vector in state Ok used to be sent again and again."""
    vector = numbers()
    async with harness(vector) as h:
        await vector.send_setVector()
        await h.taken()

        async def send(**arguments):
            await vector.send_setVector(allvalues=False, timestamp=TIME, **arguments)
            return await h.taken()

        assert await send() == []
        vector["n1"] = 6
        assert ["n1" in raw and "n2" not in raw for raw in await send()] == [True]
        assert await send() == []
        vector.state = "Busy"
        assert len(await send()) == 1
        assert len(await send(state="Ok")) == 1
        assert await send(state="Ok") == []
        assert len(await send(timeout=9)) == 1
        assert len(await send(message="new")) == 1
        assert await send(message="new") == []


@driver_test
async def test_a_command_wants_an_answer_even_if_nothing_changes():
    """The client shows Busy until there is one."""
    vector = numbers()
    async with harness(vector) as h:
        await vector.send_setVector()
        await h.set_number("Dev", "nu", n1=5)
        await h.taken()
        await vector.send_setVector(allvalues=False)
        await vector.send_setVector(allvalues=False)
        assert len(await h.taken()) == 1


class Slow(ipd.IPyDriver):
    """Its hardware() reports all the time, also while a command is handled, which takes two seconds."""

    def __init__(self, answer):
        super().__init__(ipd.Device("Dev", [numbers()]))
        self.answer = answer

    async def hardware(self):
        while not self.stop:
            await self["Dev"]["nu"].send_setVector(allvalues=False)
            await asyncio.sleep(0.5)

    async def rxevent(self, event):
        if self.answer is not None:
            await self.answer(event.vector)
        await asyncio.sleep(2)


@pytest.mark.parametrize(
    ("answer", "wait"),
    [
        (None, 2),
        (lambda vector: vector.send_setVector(allvalues=False), 0),
        (lambda vector: asyncio.create_task(vector.send_setVector(allvalues=False)), 0),
        (lambda vector: asyncio.to_thread(asyncio.run, vector.send_setVector(allvalues=False)), 0),
    ],
    ids=["none", "here", "in a task", "in a thread"],
)
@driver_test
async def test_what_others_send_while_a_command_is_handled_is_no_answer_to_it(answer, wait):
    """A client would take the present state, Ok, for the end of what has not even begun."""
    async with DriverHarness(Slow(answer)) as h:
        await h.advance(0.6)
        loop = asyncio.get_running_loop()
        for _ in range(2):
            began = loop.time()
            await h.set_number("Dev", "nu", n1=5)
            await h.wait_for("Dev", "nu", state="Ok", timeout=5)
            assert loop.time() - began == pytest.approx(wait, abs=0.1)
            await h.advance(3)


@driver_test
async def test_who_asks_later_does_not_keep_a_change_from_the_others():
    """The answer to one client's getProperties reaches nobody else."""
    vector = numbers()
    async with harness(vector) as h:
        await vector.send_setVector()
        vector.state = "Busy"
        await h.get_properties("Dev", "nu")
        await h.taken()
        await vector.send_setVector(allvalues=False)
        assert len(await h.taken()) == 1


@pytest.mark.parametrize("make", ALL)
@driver_test
async def test_a_send_with_a_wrong_argument_changes_nothing(make):
    """The timeout, message and state used to be taken over before the mistake was seen."""
    vector = make()
    async with harness(vector) as h:
        before = (vector.state, vector.timeout, vector.message)
        sends = [vector.send_defVector, vector.send_setVectorMembers]
        for send in [*sends, getattr(vector, "send_setVector", sends[0])]:
            for wrong in ({"state": "Fine"}, {"state": "Busy", "timestamp": "now"}):
                with pytest.raises(ValueError, match=r"must be one of|datetime"):
                    await send(message="text", timeout=9, **wrong)
        with pytest.raises(ValueError, match="datetime"):
            await vector.send_delProperty(timestamp=5)
        assert (vector.state, vector.timeout, vector.message) == before
        assert vector.enable
        assert await h.taken() == []


@pytest.mark.parametrize("make", ALL)
@driver_test
async def test_deleted_and_defined_again(make):
    vector = make()
    async with harness(vector) as h:
        vector.changed = False
        await vector.send_delProperty("bye", TIME)
        await vector.send_delProperty("bye", TIME)
        assert await h.taken() == [f'<delProperty device="Dev" name="{vector.name}" {T} message="bye" />'] * 2
        assert not vector.enable
        assert vector.changed
        assert all(member.changed for member in vector.data.values())
        await vector.send_defVector()
        await vector.send_setVectorMembers()
        assert await h.taken() == []
        vector.enable = True
        await vector.send_defVector()
        assert len(await h.taken()) == 1


# --- BLOBs -----------------------------------------------------------------------------


def sets(found):
    return [raw.replace(f" {T}", "") for raw in found]


@driver_test
async def test_a_blob():
    vector = blobs()
    vector.data["b1"].blobformat = ".bin"
    async with harness(vector) as h:
        vector["b1"] = b"hello bytes"
        await vector.send_setVectorMembers(members=["b1", "b2"], timestamp=TIME)
        await vector.send_setVectorMembers(state="Alert", timestamp=TIME)
        assert sets(await h.taken()) == [
            (
                '<setBLOBVector device="Dev" name="bl" state="Ok"><oneBLOB name="b1" format=".bin" size="11">'
                "aGVsbG8gYnl0ZXM=</oneBLOB></setBLOBVector>"
            ),
            '<setBLOBVector device="Dev" name="bl" state="Alert" />',
        ]


@driver_test
async def test_the_size_is_that_of_each_blob():
    """The size of the first one used to be kept for all that followed."""
    vector = blobs()
    async with harness(vector) as h:
        for data in (b"x" * 11, b"x" * 25):
            vector["b1"] = data
            await vector.send_setVectorMembers(members=["b1"])
        vector.set_blobsize("b1", 99)
        vector.data["b1"].blobformat = ".z"  # a size of its own means something only for data that is compressed
        await vector.send_setVectorMembers(members=["b1"])
        sizes = [raw.partition(' size="')[2].partition('"')[0] for raw in await h.taken()]
        assert sizes == ["11", "25", "99"]


@driver_test
async def test_files(tmp_path):
    """An open file could be sent once; the second time the client got an empty update."""
    vector = blobs()
    (tmp_path / "a.fits").write_bytes(b"data")
    async with harness(vector) as h:
        vector["b1"] = io.BytesIO(b"data")
        vector["b2"] = tmp_path / "a.fits"
        for _ in range(2):
            await vector.send_setVectorMembers(members=["b1", "b2"])
        for raw in await h.taken():
            assert '<oneBLOB name="b1" format="" size="4">ZGF0YQ==<' in raw
            assert '<oneBLOB name="b2" format=".fits" size="4">ZGF0YQ==<' in raw


@driver_test
async def test_a_file_that_cannot_be_read_is_not_an_answer():
    """An empty update used to go out, which acknowledges a command."""
    vector = blobs()
    async with harness(vector) as h:
        vector["b1"] = "/nowhere/at/all.fits"
        with pytest.raises(ValueError, match="cannot be read"):
            await vector.send_setVectorMembers(state="Busy", message="text", members=["b1"])
        assert await h.taken() == []
        assert (vector.state, vector.message) == ("Ok", "")


@driver_test
async def test_updates_of_a_blob_vector_stay_in_order_while_a_thread_encodes():
    vector = blobs()
    async with harness(vector) as h:
        vector["b1"] = bytes(2_000_000)
        large = asyncio.create_task(vector.send_setVectorMembers(state="Busy", members=["b1"]))
        await asyncio.sleep(0)
        await vector.send_setVectorMembers(state="Ok")
        await vector.send_delProperty()
        assert large.done()
        await h.settle()
        tags = [(frame.tag.text, 'state="Busy"' in frame.raw[:80].decode()) for frame in h.frames]
        assert tags == [("setBLOBVector", True), ("setBLOBVector", False), ("delProperty", False)]


@driver_test
async def test_a_large_blob_leaves_the_loop_to_others():
    """Base64 used to be made in the event loop, which held up all else in the driver."""
    vector = blobs()
    async with harness(vector) as h:
        loop = asyncio.get_running_loop()
        vector["b1"] = bytes(1_000_000)
        threads = 0
        original = loop.run_in_executor

        def counted(*args):
            nonlocal threads
            threads += 1
            return original(*args)

        loop.run_in_executor = counted
        await vector.send_setVectorMembers(members=["b1"])
        assert threads == 1
        vector["b1"] = bytes(1000)
        await vector.send_setVectorMembers(members=["b1"])
        assert threads == 1
        del loop.run_in_executor
        await h.taken()


@pytest.mark.parametrize("arguments", [{}, {"state": "Ok", "timeout": 3, "message": "sent"}])
@pytest.mark.parametrize("what", ["definition", "update", "members"])
@driver_test
async def test_the_state_that_a_thread_assigns_during_a_send_goes_out_with_the_next(what, arguments):
    vector = numbers()
    async with DriverHarness(ipd.IPyDriver(ipd.Device("D", [vector]))) as h:
        await vector.send_setVector(state="Busy")
        name = "_def_frame" if what == "definition" else "_set_frame"
        make = getattr(vector, name)

        def meanwhile(*args):
            setattr(vector, name, make)
            frame = make(*args)
            vector.state = "Alert"  # what a thread does at this moment
            vector.timeout = 7
            return frame

        setattr(vector, name, meanwhile)
        if what == "definition":
            await vector.send_defVector(**arguments)
        elif what == "update":
            await vector.send_setVector(**arguments)
        else:
            await vector.send_setVectorMembers(**arguments)
        assert (vector.state, vector.timeout, vector.changed) == ("Alert", "7", True)
        await vector.send_setVector(allvalues=False)
        await h.settle()
        assert h.property("D", "nu").state == "Alert"
        assert not vector.changed


@driver_test
async def test_a_send_that_fails_leaves_what_has_changed_to_the_next():
    vector = numbers()
    async with DriverHarness(ipd.IPyDriver(ipd.Device("D", [vector]))):
        for send in (vector.send_defVector, vector.send_setVector):
            vector.state = "Busy" if vector.state != "Busy" else "Ok"
            vector.note_command()
            with pytest.raises(ValueError, match="receivers would refuse it"):
                await send(message="x" * 20_000)
            assert vector.changed
            assert vector._is_commanded


@pytest.mark.parametrize("size", [[700 << 20], [200 << 20] * 3])
@pytest.mark.parametrize("is_open", [False, True])
@driver_test
async def test_files_that_are_too_large_are_refused_unread(size, is_open, tmp_path, monkeypatch):
    members = []
    for n, each in enumerate(size):
        path = tmp_path / str(n)
        path.touch()
        os.truncate(path, each)
        members.append(ipd.BLOBMember(f"b{n}", membervalue=path.open("rb") if is_open else path))
    vector = ipd.BLOBVector("v", "", "", "ro", "Ok", members)
    monkeypatch.setattr(ipd.BLOBMember, "getbytes", lambda value: pytest.fail("it is read"))
    async with DriverHarness(ipd.IPyDriver(ipd.Device("D", [vector]))):
        with pytest.raises(LocalProtocolError, match="cannot be sent: receivers take at most"):
            await vector.send_setVectorMembers(members=list(vector))
    for member in members:
        if is_open:
            member.membervalue.close()
