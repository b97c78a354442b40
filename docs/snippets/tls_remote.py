"""The office: serves the devices of the pier to this machine."""

from indipyserver import IPyServer, client_context


def make_server(host="pier.local", port=7625):
    context = client_context(ca="ca.pem", cert="office.local.pem", key="office.local.key")
    server = IPyServer()
    server.add_remote(
        host,
        port,
        blob_enable=True,
        ssl=context,
        server_hostname="pier.local",
    )
    return server


if __name__ == "__main__":
    make_server().run()
