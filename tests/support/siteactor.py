"""The far end of a line to a :class:`tests.support.site.Site`, and what the test knows of it."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from indipyserver.relay.peer import Peer

from .client import Cutter
from .sitelink import SiteLink
from .siterules import Endpoint, Kind, Said
from .sitesocket import SocketEnd

if TYPE_CHECKING:
    from .site import Site

__all__ = ["Actor"]


class Actor(Endpoint):
    """An endpoint with a line to the server.

    Attributes:
        answers: It answers what it is asked; if not, it does later.
        questions: What it was asked and has not answered.
        patient: Its link may end: it has been slow, has sent what cannot be understood, or is to leave.
        mine: What it has defined, with the state and value of now.
        defined: The same, as it was last defined.
        view: What it has been told of others, as it would show it.
        enabled: The BLOBs that the server has asked it for.
        taken: How many elements it has got.
        refusals: How often it was told that its command was refused, by device.
    """

    __slots__ = (
        "answers", "cutter", "defined", "enabled", "last", "link", "mine", "patient", "peer", "pongs", "questions",
        "refusals", "site", "taken", "view",
    )  # fmt: skip

    def __init__(self, site: Site, kind: Kind, label: str) -> None:
        super().__init__(kind, label)
        self.site = site
        self.answers = True
        self.patient = False
        self.taken = 0
        self.refusals: Counter[str | None] = Counter()
        self.questions: list[tuple[str | None, str | None]] = []
        self.mine: dict[tuple[str, str], tuple[str, str]] = {}
        self.defined: dict[tuple[str, str], tuple[str, str]] = {}
        self.view: dict[tuple[str, str], list[str | None]] = {}
        self.enabled: dict[tuple[str, str], str] = {}
        self.last: dict[tuple[Endpoint, str], int] = {}
        self.pongs = 0
        self.cutter = Cutter()
        self.link: SiteLink | SocketEnd
        if kind in (Kind.CAMERA, Kind.NEIGHBOUR):
            self.link = SocketEnd(label, self._told, 0 if site.count % 2 else 1 << 20)
        else:
            self.link = SiteLink(label, self._heard, self._told, self._gone)
        self.peer: Peer

    def _heard(self, said: Said) -> None:
        self.site.heard(self, said)

    def _gone(self) -> None:
        self.site.ended(self)

    def _told(self, data: bytes) -> None:
        for element in self.cutter.feed(data):
            self.taken += 1
            self.site.guarded(self.site.got, self, element)  # the server is not to be disturbed by it
