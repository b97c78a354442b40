"""The options that every instrument has: debugging, simulation, saved settings, polling period."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from typing import Any, ClassVar, Final

from ..protocol.tags import State
from ..protocol.texts import brief
from ..standard import Interface, find
from .operations import words_of
from .propertydevice import Bound
from .settings import SettingsError
from .standarddevice import StandardDevice
from .threads import SETTINGS

__all__ = ["Options"]

_LOGS: Final = ("DEBUG_LEVEL", "LOGGING_LEVEL", "LOG_OUTPUT")
_LEVEL_MEMBERS: Final = {
    logging.ERROR: "LOG_ERROR",
    logging.WARNING: "LOG_WARNING",
    logging.INFO: "LOG_SESSION",
    logging.DEBUG: "LOG_DEBUG",
}

logger = logging.getLogger("indipydriver.instruments")


class Options(StandardDevice):
    """A device that says what it is, and has the options of libindi's drivers.

    Attributes:
        interface: What the device is; each instrument class adds its own part.
        version: Of the driver, for clients.
        polling: The initial number of seconds between two updates; clients may change it.
        can_simulate: Clients may turn a simulation on.
    """

    interface: ClassVar[Interface] = Interface.GENERIC
    version: ClassVar[str] = "1.0"
    polling: ClassVar[float] = 1.0
    can_simulate: ClassVar[bool] = False
    _general_group: str = "General Info"

    def _interface(self) -> Interface:
        """All interfaces of the device and its parts."""
        found = Interface.GENERIC
        for kind in type(self).__mro__:
            found |= vars(kind).get("interface", Interface.GENERIC)
        return found

    def _about(self) -> list[Bound]:
        """DRIVER_INFO; it is defined right after CONNECTION."""
        values = {
            "DRIVER_NAME": os.environ.get("INDIDRIVER") or self.own_name(),
            "DRIVER_EXEC": os.path.basename(sys.argv[0] or "python3"),
            "DRIVER_VERSION": self.version,
            "DRIVER_INTERFACE": int(self._interface()),
        }
        return [self._bind(find("DRIVER_INFO"), permanent=True, group=self._general_group, values=values)]

    def _options(self) -> list[Bound]:
        made = [self._bind(find("DEBUG"), self._on_debug, permanent=True)]
        if self.can_simulate:
            made.append(self._bind(find("SIMULATION"), self._on_simulation, permanent=True))
        made.append(self._bind(find("CONFIG_PROCESS"), self._on_config, permanent=True))
        period = {"PERIOD_MS": self.polling * 1000}
        made.append(self._bind(find("POLLING_PERIOD"), self._on_period, permanent=True, values=period))
        handlers = (self._on_debug_level, self._on_logging_level, self._on_log_output)
        for name, handler in zip(_LOGS, handlers, strict=True):
            made.append(self._bind(find(name), handler, permanent=True, shown=False))
        return made

    @property
    def simulated(self) -> bool:
        """Whether clients want a simulation in place of the hardware."""
        return "SIMULATION" in self._bound and self._is_on("SIMULATION", "ENABLE")

    # --- messages ---

    def _say(self, level: int, text: str) -> None:
        is_debugging = self._is_on("DEBUG", "ENABLE")
        to_file = is_debugging and self._is_on("LOG_OUTPUT", "FILE_DEBUG")
        logger.log(max(level, logging.INFO) if to_file else min(level, logging.INFO), "%s: %s", self.devicename, text)
        if level == logging.DEBUG and not is_debugging:
            return
        if is_debugging and not (
            self._is_on("LOG_OUTPUT", "CLIENT_DEBUG") and self._is_on("LOGGING_LEVEL", _LEVEL_MEMBERS[level])
        ):
            return
        self._updates.say(brief(f"[{logging.getLevelName(level)}] {text}"))

    async def _on_debug(self, values: dict[str, Any]) -> None:
        member = await self._pick("DEBUG", values)
        if member is None:
            return
        self._choose("DEBUG", member)
        await self._send("DEBUG", State.OK)
        for name in _LOGS:
            await self._show(name, member == "ENABLE")
        self._save_one("DEBUG")

    async def _on_switches(self, name: str, values: dict[str, Any]) -> None:
        await self._send(name, State.OK, values)
        self._save_one(name)

    async def _on_debug_level(self, values: dict[str, Any]) -> None:
        await self._on_switches("DEBUG_LEVEL", values)

    async def _on_logging_level(self, values: dict[str, Any]) -> None:
        await self._on_switches("LOGGING_LEVEL", values)

    async def _on_log_output(self, values: dict[str, Any]) -> None:
        await self._on_switches("LOG_OUTPUT", values)

    # --- simulation, polling ---

    def _may_change_simulation(self) -> bool:
        return True

    async def _on_simulation(self, values: dict[str, Any]) -> None:
        member = await self._pick("SIMULATION", values)
        if member is None:
            return
        if self._is_on("SIMULATION", member):
            await self._send("SIMULATION", State.OK)
        elif not self._may_change_simulation():
            await self._send("SIMULATION", State.ALERT, message="[ERROR] Disconnect the device first")
        else:
            self._choose("SIMULATION", member)
            await self._send("SIMULATION", State.OK)

    async def _on_period(self, values: dict[str, Any]) -> None:
        await self._send("POLLING_PERIOD", State.OK, values)
        self._period_changed()
        self._save_one("POLLING_PERIOD")

    def _period_changed(self) -> None:
        """Note that the next update is due at another time."""

    @property
    def _period(self) -> float:
        """Seconds between two updates."""
        return self._get("POLLING_PERIOD", "PERIOD_MS") / 1000

    async def _count_down(self, name: str, member: str, seconds: float, unit: float = 1.0) -> None:
        """Report the remaining time of something, at least once a second.

        Args:
            name: The property.
            member: Its member.
            seconds: How long.
            unit: How many units of the member make one second.
        """
        clock = asyncio.get_running_loop().time
        end = clock() + seconds
        while (left := end - clock()) > 0:
            value = left * unit
            self._put(name, {member: f"{value:.3g}" if value < 10 else f"{value:.1f}"})
            await asyncio.sleep(min(left, 1.0, max(self._period, 0.1)))
        self._put(name, {member: "0"})

    # --- settings ---

    async def _on_config(self, values: dict[str, Any]) -> None:
        name = "CONFIG_PROCESS"
        member = await self._pick(name, values)
        if member is None:
            return
        is_good = True
        match member:
            case "CONFIG_LOAD":
                is_good = await self._load_settings(False)
            case "CONFIG_DEFAULT":
                is_good = await self._load_settings(True)
            case "CONFIG_SAVE":
                is_good = await self._save_settings()
            case "CONFIG_PURGE":
                await self._all_saved()
                try:
                    await SETTINGS.run(self.settings.purge)
                    self.info("Device configuration removed.")
                except OSError as error:
                    self.error(f"The settings could not be removed: {words_of(error)}")
                    is_good = False
        await self._button(name, State.OK if is_good else State.ALERT)

    async def _save_settings(self) -> bool:
        """Save all settings; False if that fails."""
        if not await self._save():
            return False
        self.info("Device configuration saved.")
        return True

    async def _load_settings(self, of_default: bool) -> bool:
        """Load the saved settings, or the first ones that were saved; False if they cannot be read."""
        self.info("Loading device configuration...")
        try:
            await self._restore(lambda bound: True, of_default)
        except FileNotFoundError:
            self.info("There is no saved configuration.")
            return True
        except SettingsError as error:
            self.error(str(error))
            return False
        self.info("Device configuration applied.")
        return True
