"""The pier: serves the network with TLS and certificates, and this machine without."""

import heater
from indipyserver import IPyServer, server_context


def make_server():
    context = server_context("pier.local.pem", "pier.local.key", client_ca="ca.pem")
    server = IPyServer(heater.make_driver(), host="0.0.0.0", port=7625, ssl=context)
    server.add_listener("localhost", 7624)
    return server


if __name__ == "__main__":
    make_server().run()
