"""All that is known of a server, and what has changed: no I/O, no event loop, no clock of its own."""
