"""What the server itself says: in brief, and never at the cost of who has asked for it."""

from __future__ import annotations

import logging

import pytest

from indipydriver.protocol.texts import LONGEST_MESSAGE
from indipyserver.relay.switchboard import Switchboard
from indipyserver.routing.endpoint import Delivery, Endpoint


def test_an_announcement_that_fails_is_logged_and_ends_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    board = Switchboard("here")

    def fail(*_: object) -> list[Delivery]:
        raise UnicodeEncodeError("ascii", "\xfc", 0, 1, "ordinal not in range(128)")

    monkeypatch.setattr(board.router, "site_message", fail)
    board.announce("the driver has ended\n" + "x" * 1000)
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert "the driver has ended" in record.getMessage()


def test_an_announcement_is_cut_to_what_all_clients_show(monkeypatch: pytest.MonkeyPatch) -> None:
    board = Switchboard("here")
    said: list[str] = []

    def note(text: str, timestamp: str | None = None, about: Endpoint | None = None) -> list[Delivery]:
        said.append(text)
        return []

    monkeypatch.setattr(board.router, "site_message", note)
    board.announce("x" * 1000)
    assert len(said[0]) == LONGEST_MESSAGE
