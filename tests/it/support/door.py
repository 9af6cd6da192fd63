"""A door that speaks TLS, and only TLS, in front of a Postgres server that does not: door.py CERTIFICATE KEY PORT.

Prints the port it listens on. Ends with its standard input.
"""

import os
import select
import socket
import ssl
import sys
import threading

SSL_REQUEST = b"\x00\x00\x00\x08\x04\xd2\x16\x2f"


def serve(client, context, port):
    if client.recv(8, socket.MSG_WAITALL) != SSL_REQUEST:
        return client.close()
    client.sendall(b"S")
    with context.wrap_socket(client, server_side=True) as secure:
        with socket.create_connection(("127.0.0.1", port)) as server:
            carry(secure, server)


def carry(secure, server):
    """One thread for both directions: a TLS connection is not to be used by two."""
    while True:
        ready = [secure] if secure.pending() else select.select([secure, server], [], [])[0]
        for side in ready:
            data = side.recv(1 << 16)
            if not data:
                return
            (server if side is secure else secure).sendall(data)


def quietly(*arguments):
    try:
        serve(*arguments)
    except OSError:
        pass


def main():
    certificate, key, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    door = socket.create_server(("127.0.0.1", 0))
    print(door.getsockname()[1], flush=True)

    def accept():
        while True:
            client = door.accept()[0]
            threading.Thread(target=quietly, args=(client, context, port), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    sys.stdin.read()
    os._exit(0)


main()
