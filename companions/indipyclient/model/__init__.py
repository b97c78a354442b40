"""Everything that is known about a server, and what has changed: no I/O, no event loop, no clock."""
