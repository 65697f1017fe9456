# SPDX-License-Identifier: GPL-2.0-or-later
"""A proxy that accepts every CONNECT and then holds the connection: sink.py ADDRESS PORT [ADDRESS PORT…]"""

import resource
import select
import socket
import sys

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


def listen(address, port):
    sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind((address, port))
    sock.listen(4096)
    sock.setblocking(False)
    return sock


def main(argv):
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    poll, open_ones = select.epoll(), {}
    listeners = {sock.fileno(): sock for sock in (listen(argv[i], int(argv[i + 1])) for i in range(0, len(argv), 2))}
    for number in listeners:
        poll.register(number, select.EPOLLIN)
    while True:
        for number, _ in poll.poll():
            if number in listeners:
                try:
                    sock, _ = listeners[number].accept()
                except OSError:
                    continue
                open_ones[sock.fileno()] = sock
                poll.register(sock.fileno(), select.EPOLLIN)
                continue
            sock = open_ones[number]
            try:
                data = sock.recv(4096)
                if data.startswith((b"CONNECT", b"OPTIONS")):
                    sock.sendall(ANSWER)
            except OSError:
                data = b""
            if not data:
                del open_ones[number]
                sock.close()


main(sys.argv[1:])
