"""The soak's judges notice what they are there for."""

import base64
import random

import pytest

from .crowd import Ledger
from .pictures import Album, number_of, picture
from .viewers import FORBIDDEN, Viewer


def pictures(count: int, device: str = "C") -> list[bytes]:
    rng = random.Random(1)
    return [picture(device, serial, rng) for serial in range(1, count + 1)]


def judged(*data: bytes, vector: str = "image", complete: bool = True) -> list[str]:
    album = Album({"C"} if complete else set())
    for each in data:
        album.add("C", vector, each)
    return album.wrong


def test_right_pictures_in_order_are_right() -> None:
    assert judged(*pictures(5)) == []


def test_pictures_that_are_swapped_twice_damaged_of_another_or_none_are_noticed() -> None:
    one, two, three = pictures(3)
    assert "picture 2 after 3" in judged(one, three, two, complete=False)[0]
    assert "picture 1 after 1" in judged(one, one)[0]
    assert "damaged" in judged(one[:-1])[0]
    assert "of D" in judged(pictures(1, "D")[0])[0]
    assert "no picture" in judged(b"something else")[0]


def test_a_lost_picture_is_noticed_where_all_must_come_and_only_there() -> None:
    one, _, three = pictures(3)
    assert "pictures 2 to 2 are lost" in judged(one, three)[0]
    assert judged(one, three, complete=False) == []
    assert judged(one, three, vector="video") == []


def test_a_picture_that_is_announced_and_has_not_come_is_noticed() -> None:
    album = Album({"C"})
    album.told("C", "image", 3)  # before the first one: it has only just come
    album.add("C", "image", pictures(1)[0])
    album.told("C", "image", 1)
    assert album.wrong == []
    album.told("C", "image", 2)
    assert "announced" in album.wrong[0]


def viewer(**options: object) -> Viewer:
    defaults: dict[str, object] = {"cameras": ["C"], "complete": {"C"}}
    return Viewer(0, ["A"], [], Ledger(), random.Random(1), **{**defaults, **options})  # type: ignore[arg-type]


def blob(data: bytes, device: str = "C", size: int | None = None) -> bytes:
    text = base64.b64encode(data)
    head = b"<setBLOBVector device='%s' name='image'><oneBLOB name='a' size='%d' format='.bin'>"
    return head % (device.encode(), len(data) if size is None else size) + text + b"</oneBLOB></setBLOBVector>\n"


def test_a_viewer_finds_pictures_in_what_comes_in_pieces() -> None:
    each = viewer()
    stream = b"".join(map(blob, pictures(3)))
    for start in range(0, len(stream), 1000):
        each.received(stream[start : start + 1000])
    assert (each.album.good, each.album.wrong, each.wrong) == (3, [], [])


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b"<setNumberVector device='B' name='pos'/>\n", "sees"),
        (b"<message message='the driver of B has ended'/>\n", "may not see"),
        (b"<newNumberVector device='A' name='pos'><oneNumber name='n'>%d</oneNumber></newNumberVector>\n" % FORBIDDEN, "refused"),
        (blob(pictures(1)[0], size=7), "said to be"),
        (b"<setBLOBVector device='C' name='image'><oneBLOB name='a' size='3' len='3' attached='true'/></setBLOBVector>\n", "descriptor"),
    ],
)  # fmt: skip
def test_a_viewer_notices_what_it_must_not_be_shown(line: bytes, words: str) -> None:
    each = viewer(visible={"A", "C"}, hidden={"B"})
    each.received(line)
    assert words in " ".join(each.wrong)


def test_a_viewer_notices_pictures_that_it_has_not_enabled() -> None:
    each = viewer(cameras=["C", "D"])
    camera = each.refused_by_choice
    each.received(blob(picture(camera, 1, random.Random(1)), device=camera))
    assert "has not enabled" in each.wrong[0]


def test_the_number_of_a_picture_is_that_it_was_taken_with() -> None:
    assert [number_of("C", data) for data in pictures(3)] == [1, 2, 3]
