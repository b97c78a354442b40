"""Starts and stops the drivers of a profile."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from .driverlist import FOLDERS, InstalledDriver, installed
from .serving import REMOTE, Controlled, NotControlled
from .store.profiles import Profile

__all__ = ["Launcher"]

logger = logging.getLogger("indipyweb")

BOOT: Final = 600.0
"""Seconds in which the server is waited for that is to serve a profile from boot on."""
_PAUSE: Final = 1.0


class Launcher:
    """Makes a server serve what a profile names.

    Args:
        controlled: The server.
        folders: Where lists of drivers are.

    Attributes:
        active: Name of the profile that was started last; "" for none.
        controlled: The server.
    """

    def __init__(self, controlled: Controlled, folders: Sequence[Path] = FOLDERS) -> None:
        self.active = ""
        self.controlled = controlled
        self._folders = folders
        self._turn = asyncio.Lock()

    async def installed(self) -> dict[str, InstalledDriver]:
        """The drivers that there are."""
        return await asyncio.to_thread(installed, self._folders)

    async def running(self) -> list[dict[str, Any]]:
        """What the server serves; nothing if it cannot be reached."""
        try:
            found: list[dict[str, Any]] = (await self.controlled.look())["drivers"]
        except NotControlled:
            return []
        return [driver for driver in found if _serves(driver)]

    async def start_at_boot(self, profile: Profile) -> None:
        """Serve this profile as soon as the server can be reached, if it serves nothing by then."""
        end = asyncio.get_running_loop().time() + BOOT
        while not self.active:
            try:
                async with self._turn:  # or a profile that somebody starts meanwhile would be stopped
                    drivers = (await self.controlled.look())["drivers"]
                    if not any(_serves(driver) for driver in drivers) and not self.active:
                        for problem in await self._start(profile):
                            logger.warning("profile %s: %s", profile.name, problem)
                return
            except NotControlled as error:  # both are started at boot, in any order
                if asyncio.get_running_loop().time() > end:
                    logger.warning("profile %s is not started: %s", profile.name, error)
                    return
            await asyncio.sleep(_PAUSE)

    async def start(self, profile: Profile) -> list[str]:
        """Serve this profile, and no other; returns what could not be started.

        Raises:
            NotControlled: The server cannot be reached.
        """
        async with self._turn:
            return await self._start(profile)

    async def _start(self, profile: Profile) -> list[str]:
        known = await self.installed()
        problems = []
        await self._stop()
        self.active = profile.name
        for label in profile.labels:
            driver = known.get(label)
            if driver is None:
                problems.append(f"no driver {label} is installed")
                continue
            try:
                await self.controlled.add_installed(driver.binary, driver.label, driver.skeleton)
            except NotControlled as error:
                problems.append(f"{label}: {error}")
        for remote in profile.remotes:
            try:
                if not REMOTE.fullmatch(remote):
                    raise NotControlled("not DEVICE@HOST:PORT")
                await self.controlled.add(remote)
            except NotControlled as error:
                problems.append(f"{remote}: {error}")
        return problems

    async def stop(self) -> None:
        """Serve nothing any more.

        Raises:
            NotControlled: The server cannot be reached.
        """
        async with self._turn:
            await self._stop()

    async def _stop(self) -> None:
        self.active = ""
        problems: dict[int, NotControlled] = {}
        for driver in (await self.controlled.look())["drivers"]:
            try:
                await self.controlled.do("remove", driver["id"])
            except NotControlled as error:  # somebody else may have removed it meanwhile
                problems[driver["id"]] = error
        if problems:
            left = {driver["id"] for driver in (await self.controlled.look())["drivers"]}
            for id in left & problems.keys():
                raise problems[id]

    async def act(self, deed: str, label: str) -> None:
        """Start, stop or restart a driver by its label.

        Raises:
            NotControlled: It was not done.
        """
        async with self._turn:
            for driver in (await self.controlled.look())["drivers"]:
                if label in (driver.get("name"), driver["label"]) or label in driver["devices"]:
                    await self.controlled.do(deed, driver["id"])
                    return
            known = (await self.installed()).get(label)
            if deed not in ("start", "restart") or known is None:
                raise NotControlled(f"there is no driver {label}")
            await self.controlled.add_installed(known.binary, known.label, known.skeleton)


def _serves(driver: dict[str, Any]) -> bool:
    return driver["state"] in ("running", "waiting")
