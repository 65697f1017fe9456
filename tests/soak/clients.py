# SPDX-License-Identifier: GPL-2.0-or-later
"""Clients as there are: they download and upload, abort, stall, end one direction, and speak rubbish. What is whole is
compared with what was sent; what was cut off, as a proxy's end may do, is counted."""

import contextlib
import hashlib
import os
import random
import socket
import ssl
import struct
import threading
import time

import lab as labs

ADDRESSES = (labs.WWW4, labs.WWW6)
SIZES = (0, 1, 1000, 65536, 1000003, 8000009)
PATIENCE_S = 20


class Files:
    """What nginx has to give, with their sums."""

    def __init__(self, lab):
        self.lab = lab
        self.sums = {}
        for size in SIZES:
            with open(lab.make_file(f"soak{size}", size), "rb") as file:
                self.sums[size] = hashlib.sha256(file.read()).digest()


class Echo:
    """A server of its own protocol: is told how many bytes come, says their sum behind the last, and sends as many back."""

    def __init__(self, lab):
        self.listeners = [lab.listen("web", address, 443) for address in (labs.RAW4, labs.RAW6)]
        for sock in self.listeners:
            threading.Thread(target=self.accept, args=(sock,), daemon=True).start()

    def accept(self, listener):
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(sock,), daemon=True).start()

    @staticmethod
    def serve(sock):
        sock.settimeout(120)
        with sock, contextlib.suppress(OSError):
            n = struct.unpack("!Q", sock.recv(8, socket.MSG_WAITALL))[0]
            got, left = hashlib.sha256(), n
            while left > 0 and (data := sock.recv(1 << 16)):
                got.update(data)
                left -= len(data)
            sock.sendall(got.digest())
            while n > 0:
                n -= sock.send(bytes(min(n, 1 << 16)))

    def close(self):
        for sock in self.listeners:
            sock.close()


class Cut(Exception):
    pass


class Client(threading.Thread):
    """One after the other, until the end."""

    def __init__(self, lab, files, seed, ended, counts, lock):
        super().__init__(daemon=True)
        self.lab, self.files, self.ended, self.counts, self.lock = lab, files, ended, counts, lock
        self.random = random.Random(seed)
        self.wrong = []
        self.tls = ssl.create_default_context(cafile=f"{lab.dir}/pki/ca.pem")

    def count(self, what):
        with self.lock:
            self.counts[what] = self.counts.get(what, 0) + 1

    def run(self):
        kinds = [self.download, self.download, self.secure_download, self.secure_download, self.upload, self.abort, self.stall,
                 self.exchange, self.exchange, self.half_close, self.rubbish, self.come_and_go, self.several_requests]
        while not self.ended.is_set():
            kind = self.random.choice(kinds)
            try:
                kind()
                self.count(kind.__name__)
            except (Cut, OSError):
                self.count("cut")
                self.ended.wait(0.05)  # a closed gate refuses at once
            except AssertionError as error:
                self.wrong.append(f"{kind.__name__}: {error}")

    # ---- means ----

    def connect(self, port=80, addresses=ADDRESSES):
        sock = self.lab.connect("host", self.random.choice(addresses), port, timeout=PATIENCE_S)
        sock.settimeout(PATIENCE_S)
        return sock

    def connect_secure(self):
        sock = self.connect(443)
        try:
            return self.tls.wrap_socket(sock, server_hostname="www.example")
        except BaseException:
            sock.close()
            raise

    def read_head(self, sock):
        """The head, and what came behind it."""
        data = b""
        while b"\r\n\r\n" not in data:
            more = sock.recv(65536)
            if not more or len(data) > 65536:
                raise Cut
            data += more
        head, _, rest = data.partition(b"\r\n\r\n")
        if b" 200 " not in head[:20] and b" 201 " not in head[:20] and b" 204 " not in head[:20]:
            raise Cut
        return head, rest

    def read_file(self, sock, size, pauses=False):
        """All of it; then it is the right one."""
        head, data = self.read_head(sock)
        assert f"Content-Length: {size}".encode() in head, head
        got, n = hashlib.sha256(data), len(data)
        while n < size:
            data = sock.recv(1 << 17)
            if not data:
                raise Cut
            got.update(data)
            n += len(data)
            if pauses and self.random.random() < 0.05:
                self.ended.wait(self.random.random())
        assert n == size and got.digest() == self.files.sums[size], f"{n} bytes of {size}, or other ones"
        self.count("whole")

    def ask_file(self, sock, size, more="Connection: close\r\n"):
        sock.sendall(f"GET /file/soak{size} HTTP/1.1\r\nHost: www.example\r\n{more}\r\n".encode())

    # ---- what they do ----

    def download(self):
        size = self.random.choice(SIZES)
        with self.connect() as sock:
            self.ask_file(sock, size)
            self.read_file(sock, size)

    def secure_download(self):
        size = self.random.choice(SIZES)
        with self.connect_secure() as sock:
            self.ask_file(sock, size)
            self.read_file(sock, size)

    def several_requests(self):
        with self.connect() as sock:
            for _ in range(self.random.randint(2, 6)):
                size = self.random.choice(SIZES[:5])
                self.ask_file(sock, size, "")
                self.read_file(sock, size)

    def upload(self):
        size = self.random.choice(SIZES)
        data = os.urandom(1009) * (size // 1009) + b"x" * (size % 1009)
        name = f"soak-{self.ident}-{self.random.randrange(1 << 30)}"
        path = f"{self.lab.shm}/upload/{name}"
        try:
            with self.random.choice((self.connect, self.connect_secure))() as sock:
                sock.sendall(f"PUT /upload/{name} HTTP/1.1\r\nHost: www.example\r\nContent-Length: {size}\r\nConnection: close\r\n\r\n"
                             .encode() + data)
                self.read_head(sock)
            with open(path, "rb") as file:
                assert file.read() == data, "what was uploaded is not what arrived"
            self.count("whole")
        finally:
            with contextlib.suppress(OSError):
                os.unlink(path)

    def abort(self):
        with self.random.choice((self.connect, self.connect_secure))() as sock:
            self.ask_file(sock, SIZES[-1])
            for _ in range(self.random.randrange(20)):
                sock.recv(65536)
            if self.random.random() < 0.7:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def stall(self):
        size = self.random.choice(SIZES[4:])
        with self.connect() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 20000)
            self.ask_file(sock, size)
            self.ended.wait(self.random.random() * 2)
            self.read_file(sock, size, pauses=True)

    def exchange(self, half_close=False):
        """As many bytes in both directions."""
        size = self.random.choice((0, 1, 70000, 3000001))
        data = (os.urandom(1021) * (size // 1021 + 1))[:size]
        with self.connect(443, (labs.RAW4, labs.RAW6)) as sock:
            sock.sendall(struct.pack("!Q", size) + data)
            if half_close:
                sock.shutdown(socket.SHUT_WR)
            got = b""
            while len(got) < 32 + size and (more := sock.recv(1 << 17)):
                got += more
            if len(got) < 32 + size:
                raise Cut
        assert got[:32] == hashlib.sha256(data).digest(), "other bytes have arrived there"
        assert got[32:] == bytes(size), "other bytes have come back"
        self.count("whole")

    def half_close(self):
        """Squid ends both directions then; what is whole all the same is right."""
        with contextlib.suppress(Cut, OSError):
            self.exchange(half_close=True)

    def rubbish(self):
        with self.connect(self.random.choice((80, 443))) as sock:
            sock.settimeout(1)
            rubbish = self.random.choice((
                os.urandom(self.random.randrange(1, 3000)), b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc" + os.urandom(100), b"GET",
                b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", b"POST / HTTP/1.1\r\nHost: www.example\r\nContent-Length: 5\r\n"
                b"Transfer-Encoding: chunked\r\n\r\n", b"\r\n" * 500, b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 3000))
            with contextlib.suppress(OSError):  # a refusal may come in the middle of it
                sock.sendall(rubbish)
                while sock.recv(65536):
                    pass

    def come_and_go(self):
        for _ in range(20):
            with self.connect(self.random.choice((80, 443))) as sock, contextlib.suppress(OSError):
                if self.random.random() < 0.5:
                    sock.sendall(b"G")
                if self.random.random() < 0.5:
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def resident(pid):
    """KiB that it has for itself."""
    with open(f"/proc/{pid}/statm", encoding="ascii") as file:
        pages = [int(word) for word in file.read().split()]
    return (pages[1] - pages[2]) * os.sysconf("SC_PAGE_SIZE") // 1024


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def wait_quietly(seconds, condition):
    """Whether it became true."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True
