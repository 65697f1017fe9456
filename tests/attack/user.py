# SPDX-License-Identifier: GPL-2.0-or-later
"""What a user without any privilege can try on the host, from a process of his own: it has left root for good."""

import contextlib
import ctypes
import errno
import os
import pickle
import random
import resource
import signal
import socket
import struct
import sys
import traceback

import lab as labs

LIBC = ctypes.CDLL(None, use_errno=True)
UID, VICTIM = 65534, 2  # nobody, and another who only wants to be served
RELAY_PORT, OTHER_RELAY_PORT = 15443, 16443
UDPLITE, SCTP, DCCP, MPTCP = 136, 132, 33, 262
SOCK_DCCP, TCP_FASTOPEN, SO_MARK, IP_TRANSPARENT = 6, 0x20000000, 36, 19
FAMILY = {4: socket.AF_INET, 6: socket.AF_INET6}
WEB = {4: ("203.0.113.80", "203.0.113.81", "203.0.113.82", "203.0.113.90"), 6: ("2001:db8:3::80", "2001:db8:3::82", "2001:db8:3::90")}
PORTS = (80, 443)
# On the way and bypassed: an address of the next host, as a home network's router is.
FIRST_HOP = {4: "192.0.2.1", 6: "2001:db8:1::1"}


def leave_root(lab, uid, space="host"):
    """The calling process is that user's from now on, in that namespace."""
    with open(f"/run/netns/{lab.name}-{space}", "rb") as target:
        labs.setns(target.fileno())
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)


def fork(lab, uid, function, *args):
    """function(*args) in a process of that user; its id."""
    sys.stdout.flush()
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        LIBC.prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: it must not outlive us
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        leave_root(lab, uid)
        LIBC.prctl(1, signal.SIGKILL)  # a change of credentials forgets it
        function(*args)
        status = 0
    except BaseException:  # noqa: B902: nothing of the parent's may run here
        traceback.print_exc()
    finally:
        os._exit(status)


def call(lab, uid, function, *args):
    """What function(*args) says when that user runs it."""
    reader, writer = os.pipe()

    def tell():
        os.close(reader)
        try:
            answer = (True, function(*args))
        except Exception as error:  # noqa: B902
            answer = (False, error)
        with os.fdopen(writer, "wb") as file:
            pickle.dump(answer, file)

    pid = fork(lab, uid, tell)
    os.close(writer)
    with os.fdopen(reader, "rb") as file:
        data = file.read()
    os.waitpid(pid, 0)
    good, answer = pickle.loads(data)
    if not good:
        raise answer
    return answer


# ---- single attempts ----

def connects(address, port, timeout=2.0, prepare=None, protocol=0, kind=socket.SOCK_STREAM):
    """The name of the error with which it fails; None: it stands."""
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, kind, protocol) as sock:
        sock.settimeout(timeout)
        try:
            if prepare:
                prepare(sock)
            sock.connect((address, port))
        except TimeoutError:
            return "ETIMEDOUT"
        except OSError as error:
            return errno.errorcode.get(error.errno, str(error))
    return None


def get(address, port=80, timeout=5.0, bytes_=b"GET / HTTP/1.1\r\nHost: www.example\r\nConnection: close\r\n\r\n"):
    """The answer's first line, b"" when there is none."""
    with contextlib.suppress(OSError), socket.create_connection((address, port), timeout) as sock:
        sock.sendall(bytes_)
        return sock.recv(4096).split(b"\r\n")[0]
    return b""


def listen(addresses=("127.0.0.1", "::1", "0.0.0.0", "::"), port=RELAY_PORT):
    """Sockets that listen there, as many as the kernel gives."""
    got = []
    for address in addresses:
        sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            if sock.family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sock.bind((address, port))
            sock.listen(64)
            sock.setblocking(False)
            got.append(sock)
            continue
        sock.close()
    return got


def source_route(sock, ip, option):
    """No privilege is needed for either."""
    if ip == 4:
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_OPTIONS, bytes([1, option, 7, 4]) + socket.inet_aton(FIRST_HOP[4]))
    else:  # RFC 8754: the last segment first; the kernel fills in the destination
        segments = bytes(16) + socket.inet_pton(socket.AF_INET6, FIRST_HOP[6])
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RTHDR, bytes([0, 4, 4, 1, 1, 0, 0, 0]) + segments)


def send_other(ip, protocol, port=443, prepare=None):
    """A datagram or the begin of a connection of another protocol; the error's name, None when it was sent."""
    kind = {UDPLITE: socket.SOCK_DGRAM, socket.IPPROTO_UDP: socket.SOCK_DGRAM, DCCP: SOCK_DCCP}.get(protocol, socket.SOCK_STREAM)
    try:
        with socket.socket(FAMILY[ip], kind, protocol) as sock:
            if prepare:
                prepare(sock)
            sock.settimeout(0.1)
            sock.connect((WEB[ip][0], port))
            sock.send(b"x")
    except TimeoutError:
        return "ETIMEDOUT"
    except OSError as error:
        return errno.errorcode.get(error.errno, str(error))
    return None


# ---- the hammer ----

class Hammer:
    """Random attempts without an end, counted in memory that the parent sees."""

    KEPT_MAX = 60

    def __init__(self, seed, counts, index):
        self.random = random.Random(seed)
        self.counts, self.index = counts, index
        self.kept, self.listeners = [], []
        self.hijacked = 0
        self.ways = [self.tcp] * 6 + [self.udp] * 4 + [self.udp_connected, self.udplite, self.rarer, self.bound, self.marked, self.routed,
                                      self.source, self.mapped, self.fast_open, self.reused, self.closing, self.relay_port, self.hijack,
                                      self.proxy_port, self.options, self.many, self.talk, self.talk, self.talk]

    def run(self):
        while True:
            with contextlib.suppress(OSError):
                self.random.choice(self.ways)()
            self.counts[self.index] += 1

    def target(self):
        ip = self.random.choice((4, 6))
        return ip, (self.random.choice(WEB[ip]), self.random.choice(PORTS))

    def socket(self, ip, kind=socket.SOCK_STREAM, protocol=0):
        sock = socket.socket(FAMILY[ip], kind, protocol)
        sock.setblocking(False)
        return sock

    def keep(self, sock):
        """One of those before goes."""
        self.kept.append(sock)
        if len(self.kept) > self.KEPT_MAX:
            old = self.kept.pop(self.random.randrange(len(self.kept)))
            if self.random.random() < 0.3:
                old.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            old.close()

    def begin(self, prepare=None, **kwargs):
        ip, address = self.target()
        sock = self.socket(ip, **kwargs)
        try:
            if prepare:
                prepare(sock, ip)
            sock.connect_ex(address)
            sock.send(b"GET / HTTP/1.1\r\nHost: www.example\r\n\r\n")
        except OSError:
            pass
        self.keep(sock)

    def tcp(self):
        self.begin()

    def udp(self):
        ip, address = self.target()
        with self.socket(ip, socket.SOCK_DGRAM) as sock:
            sock.sendto(b"quic" * self.random.choice((1, 300, 1000)), address)

    def udp_connected(self):
        self.begin(kind=socket.SOCK_DGRAM)

    def udplite(self):
        self.begin(kind=socket.SOCK_DGRAM, protocol=UDPLITE)

    def rarer(self):
        kind, protocol = self.random.choice(((socket.SOCK_STREAM, SCTP), (socket.SOCK_SEQPACKET, SCTP), (SOCK_DCCP, DCCP),
                                             (socket.SOCK_STREAM, MPTCP)))
        self.begin(kind=kind, protocol=protocol)

    def bound(self):
        def prepare(sock, _ip):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, self.random.choice((b"up0", b"lo")))
        self.begin(prepare, kind=self.random.choice((socket.SOCK_STREAM, socket.SOCK_DGRAM)))

    def marked(self):
        def prepare(sock, ip):
            for level, option, value in ((socket.SOL_SOCKET, SO_MARK, 1 << self.random.randrange(31)), (socket.SOL_IP, IP_TRANSPARENT, 1),
                                         (socket.SOL_SOCKET, 12, self.random.randrange(8)), (socket.SOL_IP, 15, 1)):
                with contextlib.suppress(OSError):
                    sock.setsockopt(level, option, value)
        self.begin(prepare)

    def routed(self):
        def prepare(sock, ip):
            source_route(sock, ip, self.random.choice((131, 137)))
        self.begin(prepare, kind=self.random.choice((socket.SOCK_STREAM, socket.SOCK_DGRAM)))

    def source(self):
        def prepare(sock, ip):
            addresses = {4: (labs.HOST4, "127.0.0.1", "0.0.0.0", "203.0.113.77"), 6: (labs.HOST6, "::1", "::", "2001:db8:3::77")}
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.SOL_IP, 15, 1)  # IP_FREEBIND
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((self.random.choice(addresses[ip]), self.random.choice((0, 0, 1080, 8080, 8081, 30000))))
        self.begin(prepare, kind=self.random.choice((socket.SOCK_STREAM, socket.SOCK_DGRAM)))

    def mapped(self):
        with socket.socket(socket.AF_INET6, self.random.choice((socket.SOCK_STREAM, socket.SOCK_DGRAM))) as sock:
            sock.setblocking(False)
            sock.connect_ex(("::ffff:" + self.random.choice(WEB[4]), self.random.choice(PORTS)))
            sock.send(b"x")

    def fast_open(self):
        ip, address = self.target()
        sock = self.socket(ip)
        with contextlib.suppress(OSError):
            sock.sendto(b"early", TCP_FASTOPEN, address)
        self.keep(sock)

    def reused(self):
        """AF_UNSPEC frees a connected socket for another connection."""
        if not self.kept:
            return
        sock = self.random.choice(self.kept)
        ip = 6 if sock.family == socket.AF_INET6 else 4
        LIBC.connect(sock.fileno(), bytes(16), 16)
        sock.connect_ex((self.random.choice(WEB[ip]), self.random.choice(PORTS)))

    def closing(self):
        """A closed socket has no user any more, and sends on."""
        ip, address = self.target()
        with self.socket(ip) as sock:
            sock.connect_ex(address)
            sock.send(b"x" * 100)

    def relay_port(self):
        address = self.random.choice(("127.0.0.1", "::1", labs.HOST4, labs.HOST6, "127.1.2.3"))
        sock = self.socket(6 if ":" in address else 4)
        sock.connect_ex((address, self.random.choice((RELAY_PORT, OTHER_RELAY_PORT))))
        self.keep(sock)

    def hijack(self):
        """Whoever comes to our own listener: only ourselves may."""
        for sock in self.listeners:
            with contextlib.suppress(OSError):
                while True:
                    client, address = sock.accept()
                    client.setblocking(False)
                    with contextlib.suppress(OSError):
                        self.hijacked += b"GET / HTTP" in client.recv(4096)
                    client.send(b"HTTP/1.1 299 hijacked\r\n\r\n")
                    client.close()
            sock.close()
        ports = self.random.choice(((), (), (RELAY_PORT,), (OTHER_RELAY_PORT,)))
        self.listeners = [sock for port in ports for sock in listen(port=port)]  # else penstock would have no port for long

    def proxy_port(self):
        ip = self.random.choice((4, 6))
        sock = self.socket(ip)
        sock.connect_ex((labs.PROXIES[self.random.choice(("gw", "gw2"))][ip == 6], labs.PLAIN_PORT))
        self.keep(sock)

    def options(self):
        def prepare(sock, ip):
            for level, option, value in ((socket.SOL_IP, socket.IP_TTL, self.random.choice((1, 2, 255))), (socket.SOL_IP, socket.IP_TOS, 0xfc),
                                         (socket.IPPROTO_IPV6, 67, 0x10), (socket.SOL_SOCKET, socket.SO_DONTROUTE, 1),
                                         (socket.IPPROTO_TCP, 30, 1)):
                with contextlib.suppress(OSError):
                    sock.setsockopt(level, option, value)
        self.begin(prepare, kind=self.random.choice((socket.SOCK_STREAM, socket.SOCK_DGRAM)))

    def many(self):
        for _ in range(10):
            self.udp()
        self.counts[self.index] += 9

    def talk(self):
        """Over what stands, from whatever time."""
        for sock in self.random.sample(self.kept, min(8, len(self.kept))):
            with contextlib.suppress(OSError):
                sock.send(b"more", socket.MSG_DONTWAIT | self.random.choice((0, socket.MSG_OOB)))
            with contextlib.suppress(OSError):
                sock.recv(65536, socket.MSG_DONTWAIT)


def hammer(seed, counts, index, hijacked):
    one = Hammer(seed, counts, index)

    def tell(*_):
        os._exit(0)
    signal.signal(signal.SIGTERM, tell)
    count = Hammer.hijack

    def hijack():
        count(one)
        hijacked[index] = one.hijacked
    one.ways[one.ways.index(one.hijack)] = hijack
    one.run()
