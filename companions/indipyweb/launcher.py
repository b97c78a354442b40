"""Starts and stops the drivers of a profile."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from .driverlist import InstalledDriver, installed
from .serving import REMOTE, Controlled, NotControlled
from .store.profiles import Profile

__all__ = ["Launcher"]

logger = logging.getLogger("indipyweb")

BOOT: Final = 600.0
"""Seconds to wait for the server that serves the profile for the boot."""
_PAUSE: Final = 1.0


class Launcher:
    """Makes a server serve the drivers of a profile.

    Args:
        controlled: The server.
        folders: The folders with lists of drivers; by default the usual ones.

    Attributes:
        active: Name of the last profile that was started; "" for none.
        controlled: The server.
    """

    def __init__(self, controlled: Controlled, folders: Sequence[Path] = ()) -> None:
        self.active = ""
        self.controlled = controlled
        self._folders = folders
        self._turn = asyncio.Lock()

    async def installed(self) -> dict[str, InstalledDriver]:
        """The installed drivers."""
        return await asyncio.to_thread(installed, self._folders)

    async def running(self) -> list[dict[str, Any]]:
        """What the server serves; empty if it cannot be reached."""
        try:
            found: list[dict[str, Any]] = (await self.controlled.look())["drivers"]
        except NotControlled:
            return []
        return [driver for driver in found if _serves(driver)]

    async def start_at_boot(self, chosen: Callable[[], Profile | None]) -> None:
        """Serve a profile as soon as the server can be reached, if it serves nothing by then; the log says so.

        Args:
            chosen: The profile for the boot as it is now, as it may be changed while the server cannot be reached.
        """
        end = asyncio.get_running_loop().time() + BOOT
        is_told = False
        profile = chosen()
        while profile is not None and not self.active:
            try:
                async with self._turn:  # otherwise a profile that is started meanwhile would be stopped
                    drivers = (await self.controlled.look())["drivers"]
                    present = chosen()
                    if present is None:
                        logger.info("profile %s is no longer started at boot", profile.name)
                        return
                    profile = present
                    if any(_serves(driver) for driver in drivers):
                        logger.warning("profile %s is not started: the INDI server has drivers already", profile.name)
                    elif not self.active:
                        problems = await self._start(profile)
                        logger.info("profile %s is started", profile.name)
                        for problem in problems:
                            logger.warning("profile %s: %s", profile.name, problem)
                return
            except NotControlled as error:  # both are started at boot, in any order
                if asyncio.get_running_loop().time() > end:
                    logger.warning("profile %s is not started: %s", profile.name, error)
                    return
                if not is_told:
                    is_told = True
                    logger.info("profile %s waits for the INDI server: %s", profile.name, error)
            except Exception:
                logger.exception("profile %s is not started", profile.name)
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
        """Stop serving everything.

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
            except NotControlled as error:  # it may have been removed meanwhile
                problems[driver["id"]] = error
        if problems:
            left = {driver["id"] for driver in (await self.controlled.look())["drivers"]}
            for id in left & problems.keys():
                raise problems[id]

    async def act(self, deed: str, label: str) -> None:
        """Start, stop or restart a driver by its label.

        Raises:
            NotControlled: It could not be done.
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
