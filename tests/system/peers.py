# SPDX-License-Identifier: GPL-2.0-or-later
"""A proxy that does what a test tells it, and clients that misbehave."""

import contextlib
import os
import socket
import ssl
import struct
import threading
import time

import lab as labs


class TlsServer:
    """A TLS connection's server side with the methods of a socket. Other than ssl.SSLSocket it can end one direction
    while the other goes on, and tells an orderly end (close_notify) from a cut (OSError)."""

    def __init__(self, sock, context):
        self.sock = sock
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_side=True)
        self.lock = threading.Lock()  # of the TLS object
        self.order = threading.Lock()  # of the records on their way to the socket
        self.plain = b""
        self.ended = False
        while True:
            try:
                self.tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                self._flush()
                self._feed()
            finally:
                self._flush()
        self._flush()

    def _flush(self):
        with self.order:
            if data := self.outgoing.read():
                self.sock.sendall(data)

    def _feed(self):
        data = self.sock.recv(1 << 18)
        if not data:
            raise ConnectionAbortedError("the channel ended without close_notify")
        with self.lock:
            self.incoming.write(data)

    def _read(self, size):
        """Under the lock: what can be read now; None: nothing yet."""
        try:
            data = self.tls.read(size)
        except ssl.SSLWantReadError:
            return None
        except ssl.SSLZeroReturnError:
            data = b""
        self.ended = self.ended or not data
        return data

    def recv(self, size):
        while True:
            with self.lock:
                if self.plain:
                    data, self.plain = self.plain[:size], self.plain[size:]
                    return data
                if self.ended:
                    return b""
                data = self._read(size)
            if data is not None:
                return data
            self._flush()
            self._feed()

    def sendall(self, data):
        view = memoryview(data)
        for i in range(0, len(view), 1 << 17):
            with self.order:
                with self.lock:
                    self.tls.write(view[i:i + (1 << 17)])
                    out = self.outgoing.read()
                self.sock.sendall(out)

    def end_writing(self):
        with self.lock:
            while not self.ended:  # nothing may be left inside: unwrap() would stumble over it
                data = self._read(1 << 18)
                if not data:
                    break
                self.plain += data
            with contextlib.suppress(ssl.SSLError):
                self.tls.unwrap()
        self._flush()

    def settimeout(self, timeout):
        self.sock.settimeout(timeout)

    def close(self):
        self.sock.close()


def raw(sock):
    return sock.sock if isinstance(sock, TlsServer) else sock


def reset(sock):
    """Closes with RST."""
    with contextlib.suppress(OSError):
        raw(sock).setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    raw(sock).close()


def cut(sock):
    """Ends the TCP connection in order, but TLS without close_notify."""
    raw(sock).shutdown(socket.SHUT_RDWR)
    raw(sock).close()


def end_writing(sock):
    """Half-close: FIN, over TLS close_notify; reading goes on."""
    if isinstance(sock, TlsServer):
        sock.end_writing()
    else:
        sock.shutdown(socket.SHUT_WR)


def read_head(sock):
    """Bytes up to and with the blank line, and what came behind it."""
    data = b""
    while b"\r\n\r\n" not in data:
        chunk = sock.recv(4096)
        if not chunk:
            return data, b""
        data += chunk
    head, _, rest = data.partition(b"\r\n\r\n")
    return head + b"\r\n\r\n", rest


def read_all(sock):
    data = b""
    while chunk := sock.recv(65536):
        data += chunk
    return data


def read_exactly(sock, size):
    data = b""
    while len(data) < size:
        chunk = sock.recv(size - len(data))
        if not chunk:
            raise EOFError(f"{len(data)} of {size} bytes")
        data += chunk
    return data


class RulesMonitor:
    """Times of every change of the host's nftables (NFNLGRP_NFTABLES), on the monotonic clock."""

    def __init__(self, lab):
        self.sock = lab.socket("host", socket.AF_NETLINK, socket.SOCK_RAW, 12)
        self.sock.bind((0, 0))
        self.sock.setsockopt(270, 1, 7)
        self.sock.settimeout(0.2)
        self.times = []
        self.ended = False
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        while not self.ended:
            with contextlib.suppress(socket.timeout):
                self.sock.recv(65536)
                self.times.append(time.monotonic())

    def first_after(self, begin):
        return labs.wait_for(lambda: next((t for t in list(self.times) if t > begin), None), 10, "a change of rules")

    def close(self):
        self.ended = True
        self.thread.join()
        self.sock.close()


class FakeProxy:
    """Listens at fake.example, IPv4 and IPv6, on the secure port (mutual TLS) and on the plain port.

    behaviour(sock, head): what becomes of a CONNECT or another request; its socket is closed afterwards. `OPTIONS *`
    gets 200, unless ping is given: ping(sock, head). accepted(sock): instead of everything, on the raw socket of the
    secure port."""

    def __init__(self, lab, behaviour=None, ping=None, accepted=None, secure=True, plain=True, maximum=None):
        self.behaviour, self.ping, self.accepted = behaviour, ping, accepted
        self.heads = []
        self.errors = []
        self.listeners = []
        self.open = set()
        self.lock = threading.Lock()
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(f"{lab.dir}/pki/server.pem", f"{lab.dir}/pki/server.key")
        self.context.load_verify_locations(f"{lab.dir}/pki/ca.pem")
        self.context.verify_mode = ssl.CERT_REQUIRED
        if maximum:
            self.context.maximum_version = maximum
        for port, wanted in ((labs.SECURE_PORT, secure), (labs.PLAIN_PORT, plain)):
            for address in (labs.FAKE4, labs.FAKE6) if wanted else ():
                listener = lab.listen("gw", address, port)
                self.listeners.append(listener)
                threading.Thread(target=self._accept, args=(listener, port == labs.SECURE_PORT), daemon=True).start()

    def _accept(self, listener, tls):
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(sock, tls), daemon=True).start()

    def _serve(self, sock, tls):
        with self.lock:
            self.open.add(sock)
        wrapped = sock
        try:
            sock.settimeout(60)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if tls and self.accepted:
                self.accepted(sock)
                return
            if tls:
                wrapped = TlsServer(sock, self.context)
            head, rest = read_head(wrapped)
            if not head:
                return
            self.heads.append(head.decode(errors="replace"))
            assert not rest, "bytes behind the request before its answer"
            if not head.startswith(b"OPTIONS *"):
                self.behaviour(wrapped, self.heads[-1])
            elif self.ping:
                self.ping(wrapped, self.heads[-1])
            else:
                wrapped.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
                wrapped.recv(1)
        except (OSError, EOFError, AssertionError, ValueError) as error:
            self.errors.append(error)
        finally:
            with self.lock:
                self.open.discard(sock)
            if sock.fileno() >= 0:
                with contextlib.suppress(OSError):
                    end_writing(wrapped)
            sock.close()

    def connects(self):
        """The targets of every CONNECT so far."""
        return [head.split()[1] for head in list(self.heads) if head.startswith("CONNECT")]

    def close(self):
        for listener in self.listeners:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        with self.lock:
            rest = list(self.open)
        for sock in rest:
            with contextlib.suppress(OSError):
                reset(sock)


OK = b"HTTP/1.1 200 Connection established\r\n\r\n"


def tunnel(handler):
    """A behaviour: accepts the CONNECT and is itself the origin, handler(sock)."""
    def behaviour(sock, _head):
        sock.sendall(OK)
        handler(sock)
    return behaviour


def answer(data, then="close"):
    """A behaviour: these bytes, then close, reset, or wait for the other end."""
    def behaviour(sock, _head):
        sock.sendall(data)
        if then == "reset":
            reset(sock)
        elif then == "wait":
            with contextlib.suppress(OSError):
                while sock.recv(65536):
                    pass
    return behaviour


def client_hello(name=None, padding=0):
    """The bytes of a ClientHello record as a real client sends them; padding: size of an extra extension."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_hostname=name)
    with contextlib.suppress(ssl.SSLWantReadError):
        tls.do_handshake()
    record = outgoing.read()
    if not padding:
        return record
    hello = bytearray(record[9:])  # behind the record's and the message's header
    at = 2 + 32  # version, random
    at += 1 + hello[at]
    at += 2 + struct.unpack(">H", hello[at:at + 2])[0]
    at += 1 + hello[at]
    extra = struct.pack(">HH", 0xFDE8, padding) + bytes(padding)
    length = struct.unpack(">H", hello[at:at + 2])[0] + len(extra)
    hello[at:at + 2] = struct.pack(">H", length)
    hello[at + 2:at + 2] = extra  # in front of the name, which then comes last
    message = b"\x01" + struct.pack(">I", len(hello))[1:] + bytes(hello)
    records = b""
    for i in range(0, len(message), 16384):
        part = message[i:i + 16384]
        records += b"\x16\x03\x01" + struct.pack(">H", len(part)) + part
    return records


class Keeping:
    """A behaviour: answers one request after the other; what it was asked, by connection."""

    def __init__(self, more=b""):
        self.connections, self.more = [], more

    def __call__(self, sock, head):
        asked = [head]
        self.connections.append(asked)
        while head:
            sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n" + self.more + b"\r\nok")
            head = read_head(sock)[0].decode()
            asked += [head] if head else []


@contextlib.contextmanager
def unit(name):
    """A control group as systemd makes one for a unit; name: also of groups in each other. Yields what a child calls to
    be in it."""
    with open("/proc/mounts", encoding="ascii") as file:
        root = next(line.split()[1] for line in file if line.split()[2] == "cgroup2")
    group = f"{root}/penstock-test-{os.urandom(4).hex()}.slice/{name}"
    os.makedirs(group)

    def enter():
        with open(f"{group}/cgroup.procs", "w", encoding="ascii") as file:
            file.write("0")
    try:
        yield enter
    finally:
        while group != root:
            os.rmdir(group)
            group = os.path.dirname(group)


# A namespace's /sys has no control groups.
WITH_GROUPS = ["sh", "-c", 'mount -t cgroup2 none /sys/fs/cgroup && exec "$@"', "sh"]
