"""BLOBs that a thread reads and encodes: what happens meanwhile neither overtakes them nor gets lost."""

import asyncio
import contextlib
import gc
import io
import threading

import pytest

import indipydriver as ipd
from indipydriver.locks import open_files
from indipydriver.protocol.encode import encode
from indipydriver.protocol.frame import Batch
from indipydriver.protocol.messages import DefVector, DelProperty, GetProperties, SetVector
from indipydriver.testing import DriverHarness, driver_test
from indipydriver.transport.threads import LARGE_WORK


def blobs(name="IMG"):
    return ipd.BLOBVector(name, "", "", "ro", "Ok", [ipd.BLOBMember("b", blobformat=".x")])


class Camera(ipd.IPyDriver):
    def __init__(self):
        self.image = blobs()
        self.number = ipd.NumberVector("N", "", "", "rw", "Ok", [ipd.NumberMember("n")])
        super().__init__(ipd.Device("C", [self.image, blobs("OTHER"), self.number]))

    def send(self, value=None, **arguments):
        """A send that has reached its thread."""
        if value is not None:
            self.image["b"] = value
        return asyncio.create_task(self.image.send_setVectorMembers(members=["b"], **arguments))


class SlowFile:
    """A file of which every reading waits until the test says so."""

    def __init__(self, content=b"x"):
        self.content = content
        self.may_end = threading.Event()
        self.has_begun = False

    def seek(self, position):
        self.has_begun = True

    def read(self):
        assert self.may_end.wait(10)
        return self.content


@contextlib.asynccontextmanager
async def camera():
    async with DriverHarness(Camera()) as h:
        h.frames.clear()
        h.messages.clear()
        yield h, h.driver


def kinds(h):
    return [type(message) for message in h.messages]


async def in_thread(file):
    """Let a send get as far as its thread."""
    for _ in range(5):
        await asyncio.sleep(0)
    assert not file.may_end.is_set()


@driver_test
async def test_the_deletion_of_a_device_takes_its_turn():
    async with camera() as (h, driver):
        file = SlowFile()
        sending = driver.send(file)
        await in_thread(file)
        deleting = asyncio.create_task(driver["C"].send_delProperty("unplugged"))
        await in_thread(file)
        assert driver["C"].enable
        file.may_end.set()
        await asyncio.gather(sending, deleting)
        await driver.image.send_setVectorMembers(members=["b"])  # it is gone
        await h.settle()
        assert kinds(h) == [SetVector, DelProperty]


@driver_test
async def test_without_a_blob_under_way_a_deletion_waits_for_nothing():
    async with camera() as (h, driver):
        coro = driver["C"].send_delProperty()
        with pytest.raises(StopIteration):
            coro.send(None)
        assert not driver["C"].enable
        await h.settle()
        assert kinds(h) == [DelProperty]


@pytest.mark.parametrize("what", ["device", "vector", "deleted vector"])
@driver_test
async def test_what_is_disabled_while_a_thread_encodes_is_not_sent(what):
    async with camera() as (h, driver):
        file = SlowFile()
        sending = driver.send(file, state="Alert", message="not sent", timeout=5)
        await in_thread(file)
        if what == "deleted vector":
            deleting = asyncio.create_task(driver.image.send_delProperty())  # takes its turn
            await in_thread(file)
        (driver["C"] if what == "device" else driver.image).enable = False
        file.may_end.set()
        await sending
        if what == "deleted vector":
            await deleting
        await h.settle()
        assert kinds(h) == ([DelProperty] if what == "deleted vector" else [])
        assert (driver.image.state, driver.image.timeout, driver.image.message) == ("Ok", "0", "")


@driver_test
async def test_a_device_that_is_defined_again_gets_no_blob_before_its_definition():
    async with camera() as (h, driver):
        file = SlowFile()
        sending = driver.send(file)
        await in_thread(file)

        async def again():
            await driver["C"].send_delProperty()
            driver["C"].enable = True
            await driver.image.send_defVector()

        redefining = asyncio.create_task(again())
        await in_thread(file)
        file.may_end.set()
        await asyncio.gather(sending, redefining)
        await h.settle()
        assert kinds(h) == [SetVector, DelProperty, DefVector]


@driver_test
async def test_what_is_assigned_while_a_thread_encodes_stays():
    async with camera() as (h, driver):
        image = driver.image
        image.changed = True
        file = SlowFile(b"first")
        sending = driver.send(file, state="Ok", timeout=1, message="sent")
        await in_thread(file)
        assert not image.changed
        image["b"] = b"second"
        image.state = "Alert"
        image.timeout = 7
        file.may_end.set()
        await sending
        await h.settle()
        (sent,) = h.messages
        assert (sent.members[0].data, sent.state, sent.message) == (b"first", "Ok", "sent")
        assert (image.state, image.timeout, image.message) == ("Alert", "7", "sent")
        assert image.changed
        await driver.send()
        await h.settle()
        assert (h.messages[-1].members[0].data, h.messages[-1].state) == (b"second", "Alert")
        assert not image.changed


@driver_test
async def test_what_was_told_to_a_send_is_that_of_the_vector_afterwards():
    async with camera() as (h, driver):
        file = SlowFile()
        file.may_end.set()
        await driver.send(file, state="Busy", timeout=3, message="sent")
        assert (driver.image.state, driver.image.timeout, driver.image.message) == ("Busy", "3", "sent")
        assert not driver.image.changed
        await h.settle()


@pytest.mark.parametrize("how", ["unreadable", "cancelled"])
@driver_test
async def test_a_send_that_fails_has_changed_nothing(how):
    async with camera() as (h, driver):
        driver.image.changed = True
        file = SlowFile(b"" if how == "unreadable" else b"x")
        sending = driver.send(file, state="Alert", timeout=3, message="not sent")
        await in_thread(file)
        if how == "cancelled":
            sending.cancel()
        else:
            file.may_end.set()
        with pytest.raises((ValueError, asyncio.CancelledError)):
            await sending
        file.may_end.set()
        assert (driver.image.state, driver.image.timeout, driver.image.message) == ("Ok", "0", "")
        assert driver.image.changed
        await h.settle()
        assert h.messages == []
        await driver.send(b"next")  # nobody keeps the turn
        await h.settle()
        assert h.messages[0].members[0].data == b"next"


@driver_test
async def test_the_value_is_that_of_the_call_however_long_its_turn_is_away():
    async with camera() as (h, driver):
        file = SlowFile(b"first")
        sends = [driver.send(file)]
        await in_thread(file)
        for value in (b"second", b"third"):
            sends.append(driver.send(value))
            await in_thread(file)
        driver.image["b"] = b"never sent"
        file.may_end.set()
        await asyncio.gather(*sends)
        await h.settle()
        assert [message.members[0].data for message in h.messages] == [b"first", b"second", b"third"]


@pytest.mark.parametrize("size", [100, 4 * LARGE_WORK])
@pytest.mark.parametrize("view", [bytearray, memoryview])
@driver_test
async def test_a_buffer_may_be_written_to_as_soon_as_it_has_been_sent(size, view):
    """A camera fills the same buffer with its next picture."""
    async with camera() as (h, driver):
        buffer = bytearray(b"1" * size)
        sending = driver.send(view(buffer))
        await asyncio.sleep(0)  # the send has been called
        buffer[:] = b"2" * size
        await sending
        await h.settle()
        assert h.messages[0].members[0].data == b"1" * size


@driver_test
async def test_other_vectors_wait_for_no_thread():
    async with camera() as (h, driver):
        file = SlowFile()
        sending = driver.send(file)
        await in_thread(file)
        await driver.number.send_setVector()
        await driver["C"]["OTHER"].send_setVectorMembers(state="Busy")
        assert not sending.done()
        file.may_end.set()
        await sending
        await h.settle()
        assert [message.name for message in h.messages] == ["N", "OTHER", "IMG"]


@driver_test
async def test_a_disk_that_hangs_takes_one_thread_however_often_it_is_tried():
    """With all of them taken, no driver of the process could call anything in a thread."""
    async with camera() as (h, driver):
        files = [SlowFile() for _ in range(3)]
        for file in files:
            sending = driver.send(file)
            await in_thread(file)
            sending.cancel()
            await asyncio.wait((sending,))
        await driver.send(b"bytes")  # for which nothing has to be read
        driver["C"]["OTHER"]["b"] = other = SlowFile(b"of another vector")
        other.may_end.set()
        await driver["C"]["OTHER"].send_setVectorMembers(members=["b"])
        assert [file.has_begun for file in files] == [True, False, False]
        for file in files:
            file.may_end.set()
        await driver.send(files[2])
        await h.settle()
        assert [message.members[0].data for message in h.messages] == [b"bytes", b"of another vector", b"x"]


@driver_test
async def test_nobody_is_told_of_a_read_that_fails_after_its_send_was_given_up():
    """asyncio logged a traceback."""
    failures = []
    asyncio.get_running_loop().set_exception_handler(lambda _, what: failures.append(what))
    async with camera() as (_, driver):
        file = SlowFile("no bytes")
        sending = driver.send(file)
        await in_thread(file)
        sending.cancel()
        await asyncio.wait((sending,))
        file.may_end.set()
        await driver.send(io.BytesIO(b"x"))  # it waits for that read
        del sending
        gc.collect()
    assert failures == []


@driver_test
async def test_who_asks_for_definitions_waits_for_no_thread():
    """A file on a disk that hangs would hold up those of all vectors."""
    async with camera() as (h, driver):
        file = SlowFile()
        sending = driver.send(file, state="Busy")
        await in_thread(file)
        h._link.write(Batch([encode(GetProperties())]))
        h._link.flush()
        for _ in range(20):
            await asyncio.sleep(0)
        assert not file.may_end.is_set()
        assert [message.name for message in h.messages] == ["IMG", "OTHER", "N"]
        assert h.messages[0].state == "Ok"
        file.may_end.set()
        await sending
        await h.settle()
        assert h.property("C", "IMG").state == "Busy"


class FileInPieces:
    """A file that is read in pieces from a position, as any; it waits at the first piece until the test says so."""

    content = b"0123456789" * 10

    def __init__(self):
        self.position = 0
        self.may_go_on = threading.Event()
        self.readers = self.most_readers = 0

    def seek(self, position):
        self.position = position

    def read(self):
        self.readers += 1
        self.most_readers = max(self.most_readers, self.readers)
        pieces = []
        while piece := self.content[self.position : self.position + 10]:
            pieces.append(piece)
            self.position += len(piece)
            assert self.may_go_on.wait(10)
        self.readers -= 1
        return b"".join(pieces)


@pytest.mark.parametrize("who", ["another vector", "a send after one that was cancelled"])
@driver_test
async def test_an_open_file_is_read_by_one_thread_at_a_time(who):
    async with camera() as (h, driver):
        file = FileInPieces()
        first = driver.send(file)
        await in_thread_of(file)
        if who == "another vector":
            other = driver["C"]["OTHER"]
            other["b"] = file
            second = asyncio.create_task(other.send_setVectorMembers(members=["b"]))
        else:
            first.cancel()
            await asyncio.wait((first,))
            second = driver.send()
        threading.Timer(0.05, file.may_go_on.set).start()  # the second thread has had time to begin
        await asyncio.wait((first, second))
        assert file.most_readers == 1
        sent = [message.members[0].data for message in h.messages]
        assert sent == [FileInPieces.content] * (2 if who == "another vector" else 1)


async def in_thread_of(file):
    """Let a send begin to read."""
    while not file.readers:
        await asyncio.sleep(0)


def test_no_lock_of_a_file_is_kept():
    file = io.BytesIO(b"x")
    ipd.BLOBMember.getbytes(file)
    assert not len(open_files._locks)


@driver_test
async def test_what_is_assigned_while_a_blob_is_encoded_stays_even_if_it_is_what_was_there():
    """The next exposure may begin meanwhile."""
    vector = ipd.BLOBVector("IMAGE", "", "", "rw", "Busy", [ipd.BLOBMember("b", blobformat=".x")])
    vector.timeout = 5
    async with DriverHarness(ipd.IPyDriver(ipd.Device("D", [vector]))):
        vector["b"] = bytes(4_000_000)
        sending = asyncio.create_task(vector.send_setVectorMembers(members=["b"], state="Ok", timeout=0))
        await asyncio.sleep(0)
        vector.state = "Busy"
        vector.timeout = 5
        await sending
        assert (vector.state, vector.timeout) == ("Busy", "5")


@driver_test
async def test_a_state_assigned_while_a_send_waits_for_its_turn_stays():
    vector = ipd.BLOBVector("IMAGE", "", "", "rw", "Idle", [ipd.BLOBMember("b", blobformat=".x")])
    async with DriverHarness(ipd.IPyDriver(ipd.Device("D", [vector]))):
        vector["b"] = bytes(4_000_000)
        first = asyncio.create_task(vector.send_setVectorMembers(members=["b"], state="Busy"))
        second = asyncio.create_task(vector.send_setVectorMembers(members=["b"], state="Ok"))
        await asyncio.sleep(0)
        vector.state = "Alert"
        await asyncio.gather(first, second)
        assert vector.state == "Alert"
        assert vector.changed
