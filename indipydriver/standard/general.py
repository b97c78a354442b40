"""Properties of every device, and those that depend on how it is connected."""

from __future__ import annotations

from typing import Final

from .shape import ENABLED_DISABLED, numbers, switches, texts

__all__ = ["CONNECTING", "DEBUGGING", "GENERAL"]

_MAIN: Final = "Main Control"
_OPTIONS: Final = "Options"
_CONNECTION: Final = "Connection"
_INFO: Final = "General Info"
_LEVELS: Final = "*{0}_ERROR|Errors; *{0}_WARNING|Warnings; *{0}_SESSION|Messages; {0}_DEBUG|Driver Debug"

GENERAL: Final = (
    switches("CONNECTION", "Connection", _MAIN, "CONNECT|Connect; *DISCONNECT|Disconnect", rule="1", needed_by="KPCS"),
    texts(
        "DRIVER_INFO",
        "Driver Info",
        _CONNECTION,
        "DRIVER_NAME|Name; DRIVER_EXEC|Exec; DRIVER_VERSION|Version; DRIVER_INTERFACE|Interface",
        perm="ro",
        users="C",
        needed_by="KP",
    ),
    switches("DEBUG", "Debug", _OPTIONS, "ENABLE|Enable; *DISABLE|Disable", rule="1", timeout=0, saved=True, users="K"),
    switches("SIMULATION", "Simulation", _OPTIONS, "ENABLE|Enable; *DISABLE|Disable", rule="1", timeout=0),
    switches(
        "CONFIG_PROCESS",
        "Configuration",
        _OPTIONS,
        "CONFIG_LOAD|Load; CONFIG_SAVE|Save; CONFIG_DEFAULT|Default; CONFIG_PURGE|Purge",
        rule="A",
        timeout=0,
        users="K",
        needed_by="C",
    ),
    numbers(
        "POLLING_PERIOD",
        "Polling",
        _OPTIONS,
        "PERIOD_MS|Period (ms)|%.f|10..600000/1000|1000",
        timeout=0,
        saved=True,
        users="K",
    ),
)

DEBUGGING: Final = (
    switches("DEBUG_LEVEL", "Debug Levels", _OPTIONS, _LEVELS.format("DBG"), rule="M", timeout=0, saved=True),
    switches(
        "LOGGING_LEVEL", "Logging Levels", _OPTIONS, _LEVELS.format("LOG"), rule="M", timeout=0, saved=True, users="K"
    ),
    switches(
        "LOG_OUTPUT",
        "Log Output",
        _OPTIONS,
        "*CLIENT_DEBUG|To Client; FILE_DEBUG|To Log File",
        rule="M",
        timeout=0,
        saved=True,
        users="K",
    ),
)
"""Only while DEBUG is ENABLE."""

CONNECTING: Final = (
    switches(
        "CONNECTION_MODE",
        "Connection Mode",
        _CONNECTION,
        "*CONNECTION_SERIAL|Serial; CONNECTION_TCP|Network; CONNECTION_USB|USB; CONNECTION_I2C|I2C",
        rule="1",
        saved=True,
        users="K",
        counted=True,
    ),
    texts("DEVICE_PORT", "Ports", _CONNECTION, "PORT|Port|/dev/ttyUSB0", saved=True, users="KPC"),
    switches(
        "DEVICE_BAUD_RATE",
        "Baud Rate",
        _CONNECTION,
        "*9600; 19200; 38400; 57600; 115200; 230400",
        rule="1",
        saved=True,
        users="K",
        counted=True,
    ),
    switches(
        "DEVICE_AUTO_SEARCH", "Auto Search", _CONNECTION, "*INDI_ENABLED|Enabled; INDI_DISABLED|Disabled", rule="1"
    ),
    switches("DEVICE_PORT_SCAN", "Refresh", _CONNECTION, "Scan Ports", rule="1", users="K"),
    texts("DEVICE_ADDRESS", "Server", _CONNECTION, "ADDRESS|Address; PORT|Port", saved=True, users="K"),
    switches("CONNECTION_TYPE", "Connection Type", _CONNECTION, "*TCP; UDP", rule="1", saved=True, users="K"),
    switches("DEVICE_LAN_SEARCH", "LAN Search", _CONNECTION, ENABLED_DISABLED, rule="1"),
    texts("I2C_CONNECTION", "I2C Connection", _CONNECTION, "BUS|Bus Path|/dev/i2c-1; ADDRESS|Address (hex)|0x28"),
    texts("NICKNAME", "Nickname", _INFO, "nickname|nickname"),
)
