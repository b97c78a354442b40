"""The office: serves all instruments in the dome, and the mount on the pier."""

from indipyserver import IPyServer

server = IPyServer()
server.add_remote("dome.local", 7624, blob_enable=True)
server.add_remote("pier.local", 7624, blob_enable=True, device="EQMod Mount")

if __name__ == "__main__":
    server.run()
