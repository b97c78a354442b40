"""Whatever comes at the control socket is a request or a mistake, however it is cut into pieces."""

import json
from collections.abc import Coroutine
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from indipyserver.control.desk import REQUESTS
from indipyserver.control.wire import Code, ControlError, Request, encode, failure, read_request
from indipyserver.lines import CommandError, Lines
from tests.support.controlled import Site

CODES = {value for name, value in vars(Code).items() if not name.startswith("_")}
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)
NAMES = st.sampled_from(["do", "id", "v", "driver", "spec", "lines", "log", "name", "config"]) | st.text()
ARGUMENTS = st.dictionaries(NAMES, VALUES)


def outcome(line: str) -> Request | ControlError:
    try:
        return read_request(line)
    except ControlError as error:
        return error


def driven(coroutine: Coroutine[Any, None, Any]) -> Any:
    """What it returns; it waits for nothing but its next turn."""
    while True:
        try:
            coroutine.send(None)
        except StopIteration as end:
            return end.value


def check(found: Request | ControlError) -> None:
    if isinstance(found, ControlError):
        assert found.code in CODES
        answer = encode(failure(found.id, found.code, found.text))
        assert answer.count(b"\n") == 1
        assert json.loads(answer)["ok"] is False
    else:
        assert all(value is None or isinstance(value, str | int) for value in found.arguments.values())


@given(st.text())
def test_any_text(line: str) -> None:
    check(outcome(line))


@given(VALUES)
def test_any_json(value: object) -> None:
    check(outcome(json.dumps(value)))


@given(ARGUMENTS, st.sampled_from([*REQUESTS, "dance"]))
def test_any_request_has_an_answer(arguments: dict[str, object], do: str) -> None:
    arguments.pop("spec", None)  # which would start something
    found = outcome(json.dumps({**arguments, "do": do}))
    check(found)
    if isinstance(found, Request):
        try:
            result = driven(Site().ask(found.do, **found.arguments))
        except ControlError as error:
            check(error)
        else:
            assert json.loads(encode(result)) == result


@given(st.lists(st.binary(max_size=30)), st.integers(1, 20))
def test_any_pieces_are_the_same_lines(pieces: list[bytes], limit: int) -> None:
    def lines(parts: list[bytes]) -> list[str]:
        cutter = Lines(limit)
        found = [line for part in parts for line in cutter.feed(part)] + cutter.finish()
        return [str(line) if isinstance(line, CommandError) else f"line {line}" for line in found]

    whole = b"".join(pieces)
    assert lines(pieces) == lines([whole]) == lines([bytes((byte,)) for byte in whole])
