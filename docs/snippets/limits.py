"""A server with other limits than the defaults."""

from dataclasses import replace

from indipyserver import CLIENT_LIMITS, IPyServer, OutboxLimits

MIB = 1 << 20

# the server
server = IPyServer(
    limits=OutboxLimits(total=512 * MIB, stream=20 * MIB),
    client_limits=replace(CLIENT_LIMITS, blob=8 * MIB),
    maxconnections=20,
    hang_time=10,
)
# the end


if __name__ == "__main__":
    server.run()
