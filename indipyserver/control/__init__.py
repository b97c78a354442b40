"""The control socket, through which the server's user monitors and controls it on the same machine."""
