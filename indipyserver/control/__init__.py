"""The control socket: who is on the same machine sees what a server does, and starts and stops what it serves."""
