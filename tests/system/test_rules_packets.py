# SPDX-License-Identifier: GPL-2.0-or-later
"""What the rules do to packets: a host, a web server behind a veth pair, and a stand-in for the relay.

    host 203.0.113.1, 2001:db8:cb::1 ── web 203.0.113.2, 2001:db8:cb::2

The web's side counts every packet that arrives at a web port: in the end that decides whether something leaked."""

import contextlib
import errno
import fcntl
import ipaddress
import multiprocessing
import os
import random
import re
import select
import socket
import struct
import threading
import time

import pytest

import rules as lib

HOST = {4: "203.0.113.1", 6: "2001:db8:cb::1"}
WEB = {4: "203.0.113.2", 6: "2001:db8:cb::2"}
SECOND = {4: "203.0.113.3", 6: "2001:db8:cb::3"}  # of the web, where nobody listens
MAC = {"host": "02:00:00:00:00:01", "web": "02:00:00:00:00:02"}
FAMILY = {4: socket.AF_INET, 6: socket.AF_INET6}
LOOPBACK = {4: "127.0.0.1", 6: "::1"}
ANY = {4: "0.0.0.0", 6: "::"}
BOTH = pytest.mark.parametrize("ip", [4, 6], ids=["IPv4", "IPv6"])
CLOSED = pytest.mark.parametrize("mode", ["secure", "blocked"])
# Every table that closes the gate.
TABLES = pytest.mark.parametrize("table", ["secure", "plain", "blocked", "last resort", "lockdown"])
AT_ONCE = 0.8  # seconds; a packet that is dropped in silence costs at least one
OTHER_UID = 65501
MPTCP = 262
SIOCGIFFLAGS, IFF_RUNNING = 0x8913, 0x40
WEB_COUNTER = """
table inet count {
    counter web { }
    counter elsewhere { }
    counter first { }
    chain arriving {
        type filter hook prerouting priority -300; policy accept;
        ip daddr 203.0.113.2 udp dport 443 counter name first
        ip6 daddr 2001:db8:cb::2 udp dport 443 counter name first
        tcp dport { 80, 443, 15443 } counter name web
        meta l4proto { udp, udplite, sctp, dccp } th dport { 80, 443 } counter name web
        th dport 8443 counter name elsewhere
        ip frag-off & 0x1fff != 0 counter name web
        iif "up0" ip daddr 127.0.0.0/8 counter name web
        iif "up0" ip6 daddr ::1 counter name web
    }
}"""


@pytest.fixture(autouse=True)
def clean():
    """These tests do without the lab."""
    yield


class Servers:
    """Listeners in a space that greet everybody with what greeting() says about the connection, in one thread."""

    def __init__(self):
        self.sockets = {}
        self.kept = []
        self.poll = select.poll()
        self.wake, self.waker = os.pipe()
        self.poll.register(self.wake, select.POLLIN)
        self.thread = threading.Thread(target=self.run, daemon=True)

    def listen(self, space, ip, address, port, greeting, transparent=None):
        """On the relay's port as the gate does it: only a privileged program can make its sockets transparent."""
        with space.inside():
            sock = socket.socket(FAMILY[ip], socket.SOCK_STREAM)
        if port == lib.LISTEN_PORT if transparent is None else transparent:
            sock.setsockopt(*((socket.SOL_IP, 19, 1) if ip == 4 else (socket.IPPROTO_IPV6, 75, 1)))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((address, port))
        sock.listen(256)
        self.sockets[sock.fileno()] = (sock, greeting)
        self.poll.register(sock, select.POLLIN)

    def run(self):
        while True:
            for descriptor, _ in self.poll.poll():
                if descriptor == self.wake:
                    return
                sock, greeting = self.sockets[descriptor]
                with contextlib.suppress(OSError):
                    client, _ = sock.accept()
                    self.kept.append(client)
                    client.send(greeting(client))

    def close(self):
        os.write(self.waker, b"x")
        self.thread.join()
        for sock in [sock for sock, _ in self.sockets.values()] + self.kept:
            sock.close()
        os.close(self.wake)
        os.close(self.waker)


def original_destination(client):
    """As the relay asks for it."""
    if client.family == socket.AF_INET:
        raw = client.getsockopt(socket.SOL_IP, 80, 16)
        return f"relay {socket.inet_ntop(socket.AF_INET, raw[4:8])} {struct.unpack('!H', raw[2:4])[0]}".encode()
    raw = client.getsockopt(socket.IPPROTO_IPV6, 80, 28)
    return f"relay {socket.inet_ntop(socket.AF_INET6, raw[8:24])} {struct.unpack('!H', raw[2:4])[0]}".encode()


class World:
    def __init__(self, helper, directory, relay=True):
        self.host, self.web = lib.Space(), lib.Space()
        self.helper, self.directory = helper, directory
        self.rules = None
        # With equal numbers at both ends the kernel may take a second to see that the interfaces can be used.
        self.host.run("ip", "link", "add", "up0", "index", "10", "address", MAC["host"], "type", "veth",
                      "peer", "name", "up0", "index", "20", "address", MAC["web"], "netns", self.web.path)
        # Neighbours are given: finding an IPv6 one takes a second on an interface that has just come up.
        self.web.batch(f"addr add {WEB[4]}/24 dev up0", f"addr add {WEB[6]}/64 dev up0 nodad",
                       f"addr add {SECOND[4]}/24 dev up0", f"addr add {SECOND[6]}/64 dev up0 nodad", "link set up0 up",
                       f"neigh add {HOST[4]} lladdr {MAC['host']} dev up0",
                       f"neigh add {HOST[6]} lladdr {MAC['host']} dev up0")
        self.host.batch(f"addr add {HOST[4]}/24 dev up0", f"addr add {HOST[6]}/64 dev up0 nodad", "link set up0 up",
                        f"neigh add {WEB[4]} lladdr {MAC['web']} dev up0",
                        f"neigh add {WEB[6]} lladdr {MAC['web']} dev up0",
                        f"neigh add {SECOND[4]} lladdr {MAC['web']} dev up0",
                        f"neigh add {SECOND[6]} lladdr {MAC['web']} dev up0",
                        f"route add default via {WEB[4]}", f"route add ::/0 via {WEB[6]}")
        for space in (self.web, self.host):
            lib.wait_until(lambda: self.running(space), "running interface")
        self.web.nft(WEB_COUNTER)
        self.servers = Servers()
        for ip in (4, 6):
            for port in (80, 443, 8443):
                self.servers.listen(self.web, ip, WEB[ip], port, lambda client: b"web")
            if relay:
                self.servers.listen(self.host, ip, LOOPBACK[ip], lib.LISTEN_PORT, original_destination)
            self.servers.listen(self.host, ip, HOST[ip], 443, lambda client: b"own service")
        self.servers.thread.start()

    @staticmethod
    def running(space):
        """The kernel finds out a little later that the interface can be used."""
        with space.inside(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            flags = struct.unpack("16xH", fcntl.ioctl(sock, SIOCGIFFLAGS, struct.pack("16s16x", b"up0"))[:18])[0]
        return flags & IFF_RUNNING

    def start(self, mode, bypass="", conf=lib.CONF, proxies=(), **kwargs):
        conf += f"[Bypass]\n{bypass}\n"
        self.rules = lib.Rules(self.host, self.helper, self.directory, conf=conf, **kwargs)
        assert self.rules.ask("proxies " + " ".join(proxies)) == "ok"
        self.rules.apply(mode)

    def start_table(self, table):
        """The table of a verdict, or one that stands where there is none; for the default configuration."""
        if table == "lockdown":
            self.host.run("nft", "-f", f"{lib.TOP}/nft/lockdown.nft")
        elif table == "last resort":
            self.start("blocked")
            assert self.rules.ask("close for this test") == "ok"
        else:
            self.start(table)

    def close(self):
        self.servers.close()
        if self.rules is not None:
            self.rules.close()
        self.host.close()
        self.web.close()

    def count(self, name):
        text = self.web.run("nft", "list", "counter", "inet", "count", name).stdout
        return int(re.search(r"packets (\d+)", text).group(1))

    def arrived(self):
        """Packets at the web's ports 80 and 443, and pieces of packets."""
        return self.count("web")

    def reached(self):
        """Packets at a port that is not redirected."""
        return self.count("elsewhere")

    def socket(self, ip, kind=socket.SOCK_STREAM, protocol=0, uid=OTHER_UID, space=None):
        """Of that user, in the host's namespace."""
        with (space or self.host).inside():
            os.seteuid(uid)
            try:
                sock = socket.socket(FAMILY[ip], kind, protocol)
            finally:
                os.seteuid(0)
        sock.settimeout(5)
        return sock

    def get(self, ip, port=443, address=None, **kwargs):
        """What greets a client."""
        with self.socket(ip, **kwargs) as sock:
            sock.connect((address or WEB[ip], port))
            return sock.recv(100)

    def refused(self, ip, port=443, prepare=None, address=None, **kwargs):
        with self.socket(ip, **kwargs) as sock:
            if prepare is not None:
                prepare(sock)
            began = time.monotonic()
            with pytest.raises(ConnectionRefusedError):
                sock.connect((address or WEB[ip], port))
            took = time.monotonic() - began
        assert took < AT_ONCE, f"refused only after {took} s"


@pytest.fixture
def world(request, tmp_path):
    helper = lib.find_helper(request.config.getoption("--build"))
    assert helper, "no tests/system/ruleset_apply: make check builds it"
    one = World(helper, tmp_path)
    yield one
    one.close()


@pytest.fixture
def without_relay(request, tmp_path):
    helper = lib.find_helper(request.config.getoption("--build"))
    assert helper, "no tests/system/ruleset_apply: make check builds it"
    one = World(helper, tmp_path, relay=False)
    yield one
    one.close()


@BOTH
@pytest.mark.parametrize("port", [80, 443])
def test_web_traffic_is_redirected_and_keeps_its_destination(world, ip, port):
    world.start("secure")
    assert world.get(ip, port) == f"relay {WEB[ip]} {port}".encode()
    assert world.arrived() == 0
    assert world.host.counter("redirected") == 1


@BOTH
def test_blocked_is_refused_at_once(world, ip):
    world.start("blocked")
    world.refused(ip, 80)
    world.refused(ip, 443)
    assert world.arrived() == 0
    assert world.host.counter("rejected_tcp") == 2


class Hijacker:
    """A user who listens on the relay's port while nobody else does."""

    def __init__(self, world, ip):
        self.sock = world.socket(ip)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.sock.bind((ANY[ip], lib.LISTEN_PORT))
        self.sock.listen(16)
        self.sock.setblocking(False)

    def got(self):
        with contextlib.suppress(BlockingIOError):
            return self.sock.accept()[0]
        return None


@BOTH
def test_a_user_who_takes_the_relays_port_gets_nobodys_connections(without_relay, ip):
    """Nobody of penstock lives; the rules stand and redirect."""
    world = without_relay
    world.start("secure")
    with world.socket(ip, uid=65502) as sock, pytest.raises(ConnectionRefusedError):
        sock.connect((WEB[ip], 443))  # nobody listens
    hijacker = Hijacker(world, ip)
    for _ in range(3):
        with world.socket(ip, uid=65502) as sock, pytest.raises(ConnectionRefusedError):
            sock.connect((WEB[ip], 443))
    assert hijacker.got() is None
    assert world.host.counter("rejected_relay") == 3
    assert world.arrived() == 0
    hijacker.sock.close()


@BOTH
def test_what_the_users_listener_left_behind_opens_nothing(without_relay, ip):
    """A connection that meets TIME_WAIT of the same four numbers goes to the listener without a look at its mark."""
    world = without_relay
    world.start("secure")
    world.host.nft("delete table inet penstock")
    hijacker = Hijacker(world, ip)
    with world.socket(ip) as sock:
        sock.bind((LOOPBACK[ip], 50123))
        sock.connect((LOOPBACK[ip], lib.LISTEN_PORT))
        kept = []
        lib.wait_until(lambda: kept.append(hijacker.got()) or kept[-1], "connection")
        kept[-1].close()  # the first end: TIME_WAIT is here
        assert sock.recv(1) == b""
    assert "50123" in world.host.run("ss", "-tan", "state", "time-wait").stdout
    assert world.rules.ask(f"apply secure {lib.STATUS['secure']}").startswith("ok")
    with world.socket(ip, uid=65502) as sock:
        sock.bind((LOOPBACK[ip], 50123))
        with pytest.raises(OSError):
            sock.connect((WEB[ip], 443))
    assert hijacker.got() is None
    hijacker.sock.close()


@BOTH
def test_what_was_redirected_to_an_earlier_port_reaches_nobody_there(without_relay, ip):
    """A connection without an answer goes on to the port that it was redirected to, which a user may have taken since another
    one was configured."""
    world = without_relay
    world.start("secure")
    world.host.nft(f"table inet busy {{ chain in_ {{ type filter hook input priority -10; tcp dport {lib.LISTEN_PORT} drop; }}; }}")
    with world.socket(ip, uid=65502) as victim:
        victim.setblocking(False)
        victim.connect_ex((WEB[ip], 443))
        lib.wait_until(lambda: world.host.counter("redirected") == 1, "redirected connection")
        world.rules.configure(lib.CONF + "[Redirect]\nListenPort=16443\n")
        world.rules.apply("secure")
        hijacker = Hijacker(world, ip)
        world.host.nft("delete table inet busy")
        assert select.select([], [victim], [], 10)[1], "the kernel tries again after a second"
        assert victim.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.ECONNREFUSED
        assert hijacker.got() is None
        hijacker.sock.close()
    assert world.host.counter("rejected_relay") == 1
    assert world.arrived() == 0


@BOTH
def test_no_cookie_of_the_relays_listener_opens_a_connection_to_anothers(without_relay, ip):
    """The kernel's SYN cookies are the same for all listeners: with one, what a client sends later begins the connection."""
    world = without_relay
    world.host.run("sysctl", "-q", "net.ipv4.tcp_syncookies=2")
    world.start("secure")
    with world.host.inside():
        relay = socket.socket(FAMILY[ip], socket.SOCK_STREAM)
    relay.setsockopt(*((socket.SOL_IP, 19, 1) if ip == 4 else (socket.IPPROTO_IPV6, 75, 1)))
    relay.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    relay.bind((LOOPBACK[ip], lib.LISTEN_PORT))
    relay.listen(16)
    world.host.nft(f"table inet busy {{ chain in_ {{ type filter hook input priority -10; "
                   f"tcp dport {lib.LISTEN_PORT} tcp flags & (syn | ack) == ack drop; }}; }}")
    with world.socket(ip, uid=65502) as victim:
        victim.connect((WEB[ip], 443))  # its acknowledgement is lost, and the relay knows nothing of it
        relay.close()
        world.rules.configure(lib.CONF + "[Redirect]\nListenPort=16443\n")
        world.rules.apply("secure")
        hijacker = Hijacker(world, ip)
        world.host.nft("delete table inet busy")
        with world.socket(ip) as own:  # its listener gives cookies, too
            own.connect((LOOPBACK[ip], lib.LISTEN_PORT))
            lib.wait_until(hijacker.got, "own connection")
            with contextlib.suppress(OSError):
                victim.send(b"secret")
            with pytest.raises(ConnectionResetError):
                victim.recv(1)
        assert hijacker.got() is None
        hijacker.sock.close()
    assert world.host.counter("rejected_relay") >= 1
    assert world.arrived() == 0


@BOTH
def test_the_last_resort_refuses_web_traffic_at_once_and_nothing_else(world, ip):
    """Whatever stood there before: who had a connection to the web keeps none."""
    world.start("direct", "Users=65502")
    with world.socket(ip) as old:
        old.connect((WEB[ip], 443))
        assert old.recv(100) == b"web"
        assert world.rules.ask("close for this test") == "ok"
        before = world.arrived()
        for uid in (OTHER_UID, lib.OWN_UID):
            with world.socket(ip, uid=uid) as sock, pytest.raises(ConnectionRefusedError):
                sock.connect((WEB[ip], 443))
        for protocol in (socket.IPPROTO_UDP, 136):
            with world.socket(ip, socket.SOCK_DGRAM, protocol) as sock, pytest.raises(OSError):
                sock.sendto(b"x", (WEB[ip], 443))
        with pytest.raises(OSError):
            old.send(b"x")
            old.recv(100)
        assert world.arrived() == before
    assert world.get(ip, 8443) == b"web"
    assert world.get(ip, 443, uid=65502) == b"web"


@BOTH
@CLOSED
@pytest.mark.parametrize("connected", [False, True])
def test_quic_is_refused_at_once(world, ip, mode, connected):
    world.start(mode)
    with world.socket(ip, socket.SOCK_DGRAM) as sock:
        began = time.monotonic()
        with pytest.raises(OSError) as caught:
            if connected:
                sock.connect((WEB[ip], 443))
                sock.send(b"x")
            else:
                sock.sendto(b"x", (WEB[ip], 443))
        assert time.monotonic() - began < AT_ONCE
        assert caught.value.errno in (errno.EPERM, errno.ECONNREFUSED)
    assert world.arrived() == 0
    assert world.host.counter("rejected_udp") == 1


def ping(world, ip):
    """One echo request, by hand."""
    protocol, request, reply = ((socket.IPPROTO_ICMP, 8, 0), (socket.IPPROTO_ICMPV6, 128, 129))[ip == 6]
    checksum = ~((request << 8) + 7) & 0xffff  # the kernel fills in ICMPv6's
    with world.socket(ip, socket.SOCK_RAW, protocol, uid=0) as sock:
        sock.sendto(struct.pack("!BBHHH", request, 0, checksum, 7, 0), (WEB[ip], 0))
        while True:
            data = sock.recv(100)
            if data[20 if ip == 4 else 0] == reply:
                return


@BOTH
@CLOSED
def test_other_traffic_passes(world, ip, mode):
    world.start(mode)
    assert world.get(ip, 8443) == b"web"
    with world.socket(ip, socket.SOCK_DGRAM) as sock, world.socket(ip, socket.SOCK_DGRAM, space=world.web) as server:
        server.bind((WEB[ip], 53))
        sock.sendto(b"question", (WEB[ip], 53))
        assert server.recv(100) == b"question"
    ping(world, ip)


@BOTH
def test_direct_lets_everything_out(world, ip):
    world.start("direct")
    assert world.get(ip) == b"web"
    with world.socket(ip, socket.SOCK_DGRAM) as sock, world.socket(ip, socket.SOCK_DGRAM, space=world.web) as server:
        server.bind((WEB[ip], 443))
        sock.sendto(b"quic", (WEB[ip], 443))
        assert server.recv(100) == b"quic"
    assert world.host.counter("direct_packets") > 1


@CLOSED
@pytest.mark.parametrize("bypass, ip, port", [
    ("Networks=203.0.113.0/24", 4, 443), ("Networks=2001:db8:cb::/48", 6, 443), ("Ports=443", 4, 443),
    ("Ports=443", 6, 443), ("Users=65501", 4, 80), ("Users=65501", 6, 80)])
def test_bypassed_traffic_passes(world, mode, bypass, ip, port):
    world.start(mode, bypass)
    assert world.get(ip, port) == b"web"


@BOTH
@CLOSED
def test_bypass_of_one_kind_opens_nothing_else(world, ip, mode):
    world.start(mode, "Networks=198.51.100.0/24 2001:db8:cc::/48\nPorts=80\nUsers=65502")
    if mode == "blocked":
        world.refused(ip, 443)
    else:
        assert world.get(ip, 443).startswith(b"relay")
    assert world.arrived() == 0


# What refuses all that begins towards the web: by its network, its ports, its user.
BLOCKS = {"networks": "Networks=203.0.113.0/24 2001:db8:cb::/48", "ports": "Ports=80 443 8443 53",
          "users": f"Users={OTHER_UID}"}
BLOCK = pytest.mark.parametrize("block", list(BLOCKS))
EVERY_TABLE = pytest.mark.parametrize("table", [*lib.STATUS, "last resort"])


def start_block(world, table, block, bypass="", more="", **kwargs):
    """Of a verdict, or the last resort."""
    conf = lib.CONF + f"[Block]\n{block}\n{more}"
    world.start("blocked" if table == "last resort" else table, bypass, conf=conf, **kwargs)
    if table == "last resort":
        assert world.rules.ask("close for this test") == "ok"


def refused_datagram(world, ip, port, protocol=0):
    with world.socket(ip, socket.SOCK_DGRAM, protocol) as sock:
        began = time.monotonic()
        with pytest.raises(OSError) as caught:
            sock.connect((WEB[ip], port))
            sock.send(b"x")
            sock.send(b"x")
        assert time.monotonic() - began < AT_ONCE
        assert caught.value.errno in (errno.EPERM, errno.ECONNREFUSED)


@BOTH
@EVERY_TABLE
@BLOCK
def test_what_is_blocked_is_refused_on_every_port_in_every_state(world, ip, table, block):
    start_block(world, table, BLOCKS[block])
    for port in (80, 443, 8443):
        world.refused(ip, port)
    for port in (443, 53):
        refused_datagram(world, ip, port)
    refused_datagram(world, ip, 53, protocol=136)
    assert world.arrived() == 0 and world.reached() == 0
    listing = world.host.listing()
    assert f'comment "[Block] {block.capitalize()}"' in listing
    if table != "last resort":
        assert world.host.counter("rejected_block") >= 6
        assert world.host.counter("blocked") == 3, "connections to redirected ports"


@BOTH
def test_what_has_no_ports_is_blocked_too(world, ip):
    start_block(world, "secure", BLOCKS["networks"])
    with pytest.raises(OSError):
        ping(world, ip)


@BOTH
@EVERY_TABLE
def test_block_of_one_kind_closes_nothing_else(world, ip, table):
    start_block(world, table, "Networks=198.51.100.0/24 2001:db8:cc::/48\nPorts=4443\nUsers=65502")
    assert world.get(ip, 8443) == b"web"
    with world.socket(ip, socket.SOCK_DGRAM) as sock, world.socket(ip, socket.SOCK_DGRAM, space=world.web) as server:
        server.bind((WEB[ip], 53))
        sock.sendto(b"question", (WEB[ip], 53))
        assert server.recv(100) == b"question"


@BOTH
@EVERY_TABLE
@pytest.mark.parametrize("bypass", ["Networks=203.0.113.2 2001:db8:cb::2", "Ports=443", f"Users={OTHER_UID}"])
@BLOCK
def test_bypass_goes_before_block(world, ip, table, bypass, block):
    start_block(world, table, BLOCKS[block], bypass)
    assert world.get(ip, 443) == b"web"


@EVERY_TABLE
def test_block_goes_before_local_networks(world, table):
    """A local network that is blocked is refused; the others are as near as before."""
    world.web.batch("addr add 10.1.0.2/32 dev up0", "addr add 10.2.0.2/32 dev up0")
    with world.socket(4, space=world.web) as server:
        server.bind((ANY[4], 444))
        server.listen(4)
        start_block(world, table, "Networks=10.1.0.0/16", more="[Redirect]\nPorts=444\n")
        world.refused(4, 444, address="10.1.0.2")
        with world.socket(4) as sock:
            sock.connect(("10.2.0.2", 444))
            assert sock.getpeername() == ("10.2.0.2", 444)
            assert server.accept()[0].getsockname() == ("10.2.0.2", 444)


@BOTH
@EVERY_TABLE
def test_answers_and_this_host_are_never_blocked(world, ip, table):
    """Also those of a connection that nobody has seen before the rules came."""
    with world.socket(ip, space=world.web) as early, world.socket(ip) as own:
        early.connect((HOST[ip], 443))
        assert early.recv(100) == b"own service"
        early_end = world.servers.kept[-1]
        own.connect((WEB[ip], 8443))
        assert own.recv(100) == b"web"
        start_block(world, table, "Networks=0.0.0.0/0 ::/0\nPorts=443 40000")
        early_end.send(b"still here")
        assert early.recv(100) == b"still here"
        own.send(b"also")  # what began before goes on
        assert world.get(ip, 443, address=HOST[ip]) == b"own service"
        with world.socket(ip, space=world.web) as late:
            late.connect((HOST[ip], 443))
            assert late.recv(100) == b"own service"
        if table != "last resort":  # it knows no connections
            with world.socket(ip, socket.SOCK_DGRAM) as server, \
                    world.socket(ip, socket.SOCK_DGRAM, space=world.web) as client:
                server.bind((HOST[ip], 40000))
                client.bind((WEB[ip], 40000))
                client.sendto(b"question", (HOST[ip], 40000))
                server.sendto(b"answer", server.recvfrom(100)[1])
                assert client.recv(100) == b"answer"
        world.refused(ip, 8443)


@BOTH
def test_penstock_reaches_its_proxies_whatever_is_blocked(world, ip):
    start_block(world, "secure", f"Networks=0.0.0.0/0 ::/0\nPorts=8080 8081 443\nUsers={lib.OWN_UID}",
                proxies=[WEB[ip]])
    with world.socket(ip, uid=lib.OWN_UID, space=world.host) as sock, pytest.raises(ConnectionRefusedError):
        sock.connect((WEB[ip], 8081))  # the proxy's own answer: nobody listens
    assert world.host.counter("own") == 1 and world.host.counter("rejected_block") == 0
    world.refused(ip, 8443, uid=lib.OWN_UID)


@BOTH
def test_neighbours_are_found_whatever_is_blocked(world, ip):
    start_block(world, "secure", "Networks=0.0.0.0/0 ::/0", "Ports=443")
    world.host.batch(f"neigh del {WEB[ip]} dev up0")
    assert world.get(ip, 443) == b"web"


@BOTH
@CLOSED
def test_only_what_goes_to_redirected_ports_counts_as_bypassed(world, ip, mode):
    world.start(mode, "Networks=203.0.113.0/24 2001:db8:cb::/48")
    assert world.get(ip, 443) == b"web" and world.get(ip, 8443) == b"web"
    ping(world, ip)
    assert world.host.counter("bypassed") == 1
    assert world.host.counter("other") >= 2


# A proxy where the web is, its secure port a redirected one.
PROXY_CONF = "[Proxy]\nServers=gw.example\nSecurePort=443\nPort=8443\n"
EVERY_VERDICT = pytest.mark.parametrize("mode", list(lib.STATUS))


@BOTH
@CLOSED
def test_own_traffic_passes_to_the_proxies(world, ip, mode):
    world.start(mode, conf=PROXY_CONF, proxies=WEB.values())
    assert world.get(ip, 443, uid=lib.OWN_UID) == b"web"
    assert world.get(ip, 8443, uid=lib.OWN_UID) == b"web"
    assert world.host.counter("own") == 2


@BOTH
@EVERY_VERDICT
@pytest.mark.parametrize("port", [80, 443])
def test_own_traffic_passes_to_no_other_web_server(world, ip, mode, port):
    """Also not by what is bypassed for others, and not to another port of a proxy."""
    world.start(mode, "Networks=203.0.113.0/24 2001:db8:cb::/48", conf=PROXY_CONF, proxies=[SECOND[4], SECOND[6]])
    world.refused(ip, port, uid=lib.OWN_UID)
    with world.socket(ip, socket.SOCK_DGRAM, uid=lib.OWN_UID) as sock, pytest.raises(OSError):
        sock.sendto(b"x", (WEB[ip], port))
    if port == 80:
        world.refused(ip, port, address=SECOND[ip], uid=lib.OWN_UID)
    assert world.arrived() == 0
    assert world.get(ip, 8443, uid=lib.OWN_UID) == b"web"


@BOTH
@EVERY_VERDICT
@pytest.mark.parametrize("protect", ["yes", "no"])
def test_the_plain_port_of_a_proxy_is_penstocks_alone(world, ip, mode, protect):
    conf = PROXY_CONF + f"[Redirect]\nProtectProxies={protect}\n"
    world.start(mode, f"Users={OTHER_UID}\nNetworks=203.0.113.0/24 2001:db8:cb::/48", conf=conf, proxies=WEB.values())
    if protect == "yes" and mode != "plain":
        world.refused(ip, 8443)
        assert world.reached() == 0 and world.host.counter("rejected_proxy") > 0
    else:
        assert world.get(ip, 8443) == b"web"
    assert world.get(ip, 8443, uid=lib.OWN_UID) == b"web"


@BOTH
@CLOSED
def test_a_connection_to_a_proxy_goes_on_when_its_address_is_forgotten(world, ip, mode):
    world.start(mode, conf=PROXY_CONF, proxies=WEB.values())
    with world.socket(ip, uid=lib.OWN_UID) as sock:
        sock.connect((WEB[ip], 443))
        assert sock.recv(100) == b"web"
        assert world.rules.ask("proxies ") == "ok"
        world.rules.apply(mode)
        before = world.arrived()
        sock.send(b"more")
        assert world.servers.kept[-1].recv(100) == b"more" and world.arrived() > before
    world.refused(ip, uid=lib.OWN_UID)


@BOTH
@CLOSED
@pytest.mark.parametrize("uid", [lib.OWN_UID, OTHER_UID], ids=["own", "bypassed"])
def test_last_bytes_of_a_closed_socket_arrive(world, ip, mode, uid):
    """After close() the socket has no owner; what it still has to send must leave all the same."""
    world.start(mode, f"Users={OTHER_UID}", conf=PROXY_CONF, proxies=WEB.values())
    sock = world.socket(ip, uid=uid)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 22)
    sock.connect((WEB[ip], 443))
    assert sock.recv(100) == b"web"
    sent = sock.send(bytes(1 << 22), socket.MSG_DONTWAIT)  # more than the server, which reads later, has room for
    sock.close()
    server = world.servers.kept[-1]
    server.settimeout(5)
    got = 0
    while chunk := server.recv(65536):
        got += len(chunk)
    assert got == sent > 1000000
    assert world.host.counter("closing_packets") > 0


FOREIGN = {"mark": "ct mark set 0x30000000", "label of penstock": "ct label set 21",
           "label of a bypassed user": "ct label set 22", "label of a service": "ct label set 23"}


@BOTH
@CLOSED
@pytest.mark.parametrize("foreign", FOREIGN)
def test_what_others_say_of_a_connection_opens_nothing(world, ip, mode, foreign):
    """A mark never, a label not while the socket has an owner."""
    world.host.nft("table inet other { chain out { type filter hook output priority -150; "
                   f"tcp dport 443 {FOREIGN[foreign]}; }}; }}")
    world.start(mode)
    if mode == "blocked":
        world.refused(ip)
    else:
        assert world.get(ip).startswith(b"relay")
    assert world.arrived() == 0


@BOTH
@CLOSED
@pytest.mark.parametrize("owner", ["closed", "open"])
def test_what_a_socket_from_before_the_rules_still_has_to_send_stays_here(world, ip, mode, owner):
    """Its connection may carry whatever mark others give to theirs."""
    world.host.nft("table inet other { chain out { type filter hook output priority -50; ct mark set 0x30000000; }; }")
    sock = world.socket(ip)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 22)
    sock.connect((WEB[ip], 443))
    assert sock.recv(100) == b"web"
    assert sock.send(bytes(1 << 22), socket.MSG_DONTWAIT) > 1000000
    if owner == "closed":
        sock.close()
    world.start(mode, f"Users={OTHER_UID + 1}")
    before, server = world.arrived(), world.servers.kept[-1]
    server.settimeout(0.3)
    with contextlib.suppress(OSError):  # it makes room, and more would come
        while server.recv(1 << 20):
            pass
    assert world.arrived() == before
    sock.close()


@BOTH
def test_marks_and_other_labels_are_left_alone(world, ip):
    world.host.nft("table inet other { counter both { }; "
                   "chain out { type filter hook output priority -150; ct mark set 0x12345 ct label set 100; }; "
                   "chain late { type filter hook output priority 50; "
                   "ct mark 0x12345 ct label 100 ct label 21 counter name both; }; }")
    world.start("secure", conf=PROXY_CONF, proxies=WEB.values())
    assert world.get(ip, uid=lib.OWN_UID) == b"web"
    assert "packets 0 " not in world.host.run("nft", "list", "counter", "inet", "other", "both").stdout


@BOTH
@CLOSED
def test_socket_bound_to_an_interface_is_refused_at_once(world, ip, mode):
    world.start(mode)
    world.refused(ip, prepare=lambda sock: sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"up0"))
    assert world.arrived() == 0
    assert world.host.counter("rejected_bound" if mode == "secure" else "rejected_tcp") > 0


@BOTH
def test_socket_bound_to_an_interface_without_a_gateway_leaks_nothing(world, ip):
    world.host.batch(f"route del default via {WEB[4]}", f"route del ::/0 via {WEB[6]}",
                     "route add default dev up0", "route add ::/0 dev up0",
                     # As on an interface without neighbours, a tunnel.
                     f"neigh add {LOOPBACK[ip]} lladdr {MAC['web']} dev up0")
    world.start("secure")
    with world.socket(ip) as sock, pytest.raises(TimeoutError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"up0")
        sock.settimeout(0.1)
        sock.connect((WEB[ip], 443))
    assert world.arrived() == 0
    assert world.host.counter("rejected_bound") > 0


@BOTH
def test_multipath_tcp_is_redirected(world, ip):
    world.start("secure")
    assert world.get(ip, protocol=MPTCP) == f"relay {WEB[ip]} 443".encode()
    assert world.arrived() == 0


@BOTH
def test_multipath_tcp_is_refused_when_blocked(world, ip):
    world.start("blocked")
    world.refused(ip, protocol=MPTCP)
    assert world.arrived() == 0


@BOTH
@CLOSED
@pytest.mark.parametrize("conntrack", [False, True], ids=["unknown to conntrack", "known to conntrack"])
def test_connection_from_before_the_rules_is_cut(world, ip, mode, conntrack):
    if conntrack:
        world.host.nft("table inet firewall { chain in { type filter hook input priority 0; ct state established; }; }")
    with world.socket(ip) as sock:
        sock.connect((WEB[ip], 443))
        assert sock.recv(100) == b"web"
        world.start(mode)
        before = world.arrived()
        began = time.monotonic()
        with pytest.raises(ConnectionError):
            sock.send(b"x")
            sock.recv(100)
        assert time.monotonic() - began < AT_ONCE
    assert world.arrived() == before


@BOTH
@CLOSED
def test_web_server_that_talks_first_on_an_old_connection_gets_no_answer(world, ip, mode):
    """Conntrack may take such a connection for one that came in; still nothing may leave."""
    with world.socket(ip) as sock:
        sock.connect((WEB[ip], 443))
        assert sock.recv(100) == b"web"
        world.start(mode)
        before = world.arrived()
        with contextlib.suppress(OSError):
            world.servers.kept[-1].send(b"news")
        with contextlib.suppress(ConnectionError):
            sock.recv(100)
            sock.send(b"answer")
            sock.send(b"answer")
    assert world.arrived() == before


@BOTH
def test_one_port_of_a_client_to_two_destinations(world, ip):
    """Both end at the relay's address: told apart only because one of them gets another port there."""
    world.start("secure")
    with world.socket(ip) as one, world.socket(ip) as two:
        for sock, port in ((one, 80), (two, 443)):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((HOST[ip], 40000))
            sock.connect((WEB[ip], port))
        assert one.recv(100) == f"relay {WEB[ip]} 80".encode()
        assert two.recv(100) == f"relay {WEB[ip]} 443".encode()


@BOTH
def test_relay_port_takes_only_redirected_connections(world, ip):
    world.start("secure")
    with world.socket(ip) as sock, pytest.raises(ConnectionRefusedError):
        sock.connect((LOOPBACK[ip], lib.LISTEN_PORT))
    assert world.host.counter("rejected_relay") > 0


@BOTH
def test_connection_from_the_relay_ports_number_works(world, ip):
    world.start("secure")
    with world.socket(ip) as sock:
        sock.bind((HOST[ip], lib.LISTEN_PORT))
        sock.connect((WEB[ip], 8443))
        assert sock.recv(100) == b"web"


@BOTH
@CLOSED
def test_services_of_this_host_are_reachable(world, ip, mode):
    world.start(mode)
    assert world.get(ip, 443, address=HOST[ip]) == b"own service"
    with world.socket(ip, space=world.web) as outsider:
        outsider.connect((HOST[ip], 443))
        assert outsider.recv(100) == b"own service"


@BOTH
@CLOSED
@pytest.mark.parametrize("port", [80, 443])
def test_services_of_this_host_answer_clients_from_web_ports(world, ip, mode, port):
    world.start(mode)
    with world.socket(ip, space=world.web, uid=0) as outsider:
        outsider.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        outsider.bind((SECOND[ip], port))
        outsider.connect((HOST[ip], 443))
        assert outsider.recv(100) == b"own service"
    assert world.host.counter("served") == 1


@BOTH
@CLOSED
def test_untracked_packets_are_refused(world, ip, mode):
    world.host.nft("table inet raw { chain out { type filter hook output priority -300; meta l4proto tcp notrack; }; }")
    world.start(mode)
    world.refused(ip)
    assert world.arrived() == 0


@CLOSED
def test_ipv6_extension_headers_hide_nothing(world, mode):
    world.start(mode)
    with world.socket(6, uid=0) as sock:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_DSTOPTS, bytes([0, 0, 1, 4, 0, 0, 0, 0]))
        if mode == "blocked":
            with pytest.raises(ConnectionRefusedError):
                sock.connect((WEB[6], 443))
        else:
            sock.connect((WEB[6], 443))
            assert sock.recv(100).startswith(b"relay")
    assert world.arrived() == 0


# To the web by way of a host in a local network, which is bypassed.
FIRST_HOP = {4: "10.9.9.9", 6: "fd00::9"}


def make_first_hop(world):
    """A strict route needs it on the link."""
    world.host.batch(f"route add {FIRST_HOP[4]} dev up0", f"neigh add {FIRST_HOP[4]} lladdr {MAC['web']} dev up0")


def set_source_route(sock, ip, option):
    """No privilege is needed for either."""
    if ip == 4:
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_OPTIONS, bytes([1, option, 7, 4]) + socket.inet_aton(FIRST_HOP[4]))
    else:  # RFC 8754: the last segment first; the kernel fills in the destination
        segments = bytes(16) + socket.inet_pton(socket.AF_INET6, FIRST_HOP[6])
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RTHDR, bytes([0, 4, option, 1, 1, 0, 0, 0]) + segments)


@TABLES
@pytest.mark.parametrize("ip, option", [(6, 4), (4, 131), (4, 137)], ids=["SRH", "LSRR", "SSRR"])
@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM], ids=["TCP", "UDP"])
def test_source_routes_by_way_of_a_bypassed_network_reach_no_web_port(world, table, ip, option, kind):
    world.start_table(table)
    make_first_hop(world)
    with world.socket(ip, kind) as sock:
        set_source_route(sock, ip, option)
        sock.settimeout(0.1)
        with contextlib.suppress(OSError):
            sock.connect((WEB[ip], 443))
            sock.send(b"x")
    assert world.arrived() == 0
    with world.socket(ip, kind) as sock, contextlib.suppress(OSError):  # elsewhere they may go
        set_source_route(sock, ip, option)
        sock.settimeout(0.1)
        before = world.reached()
        sock.connect((WEB[ip], 8443))
        sock.send(b"x")
    assert world.reached() > before


@TABLES
@BOTH
@pytest.mark.parametrize("protocol", [17, 33, 132, 136], ids=["UDP", "DCCP", "SCTP", "UDP-Lite"])
def test_every_protocol_with_ports_is_refused(world, table, ip, protocol):
    world.start_table(table)
    for port, leaves in ((80, False), (443, False), (8443, True)):
        before = world.arrived(), world.reached()
        with world.socket(ip, socket.SOCK_RAW, protocol, uid=0) as sock, contextlib.suppress(PermissionError):
            sock.sendto(struct.pack("!HHHH", 40000, port, 8, 0), (WEB[ip], 0))
        assert world.arrived() == before[0]
        assert (world.reached() > before[1]) == leaves


@CLOSED
@BOTH
def test_an_unprivileged_udp_lite_socket_is_refused(world, ip, mode):
    world.start(mode)
    with world.socket(ip, socket.SOCK_DGRAM, 136) as sock, pytest.raises(OSError):
        sock.sendto(b"x", (WEB[ip], 443))
    assert world.arrived() == 0


def tcp_syn(source_port, destination_port):
    return struct.pack("!HHIIBBHHH", source_port, destination_port, 1, 0, 5 << 4, 2, 1000, 0, 0)


@CLOSED
def test_fragments_hide_nothing(world, mode):
    """A SYN in pieces of eight bytes: the first has the ports but not the flags."""
    world.start(mode)
    segment = tcp_syn(4000, 443)
    with world.socket(4, socket.SOCK_RAW, socket.IPPROTO_RAW, uid=0) as sock:
        for at in range(0, len(segment), 8):
            piece = segment[at:at + 8]
            more = 0x2000 if at + 8 < len(segment) else 0
            header = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(piece), 77, more | at // 8, 64, 6, 0,
                                 socket.inet_aton(HOST[4]), socket.inet_aton(WEB[4]))
            with contextlib.suppress(OSError):
                sock.sendto(header + piece, (WEB[4], 0))
        sock.sendto(struct.pack("!BBHHHBBH4s4s", 0x45, 0, 24, 78, 0, 64, 253, 0, socket.inet_aton(HOST[4]),
                                socket.inet_aton(WEB[4])) + b"end!", (WEB[4], 0))
    assert world.arrived() == 0


def test_lockdown_refuses_web_traffic_and_nothing_else(world):
    world.host.run("nft", "-f", f"{lib.TOP}/nft/lockdown.nft")
    for ip in (4, 6):
        world.refused(ip, 80)
        world.refused(ip, 443)
        assert world.get(ip, 8443) == b"web"
        assert world.get(ip, 443, address=HOST[ip]) == b"own service"
    assert world.arrived() == 0


class Hammer:
    """Tries to connect all the time, and counts what comes of it."""

    def __init__(self, world, ip, port=443):
        self.world, self.ip, self.port, self.ended = world, ip, port, False
        self.relayed = self.refused = 0
        self.others = []
        self.thread = threading.Thread(target=self.run, daemon=True)

    def run(self):
        lib.check(lib.LIBC.setns(self.world.host.fd, lib.CLONE_NEWNET))
        while not self.ended:
            with socket.socket(FAMILY[self.ip], socket.SOCK_STREAM) as sock:
                sock.settimeout(2)
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                try:
                    sock.connect((WEB[self.ip], self.port))
                    self.relayed += sock.recv(100).startswith(b"relay")
                except (ConnectionRefusedError, ConnectionResetError):
                    self.refused += 1
                except OSError as error:
                    self.others.append(error)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ended = True
        self.thread.join()


@pytest.mark.parametrize("owned", [False, True], ids=["plain", "owned"])
def test_nothing_leaves_while_rules_change(world, owned):
    """Verdicts, configurations, take-overs, crashes: each is one transaction, with no packet between two."""
    world.host.run("nft", "-f", f"{lib.TOP}/nft/lockdown.nft")
    with Hammer(world, 4) as four, Hammer(world, 6) as six:
        for round_ in range(8):
            world.start("blocked", owned=owned)  # takes over what is there
            for step in range(12):
                world.rules.apply(("secure", "blocked", "plain")[step % 3])
                if step % 4 == 3:
                    world.rules.configure(lib.CONF + f"[Bypass]\nNetworks=198.51.{round_}.{step}\n")
            world.rules.apply("secure")
            world.rules.kill()
        lib.wait_until(lambda: four.relayed and six.relayed, "redirected connection")
    assert world.arrived() == 0
    for hammer in (four, six):
        assert hammer.refused > 10 and not hammer.others, (hammer.refused, hammer.others)


def throw(world, ip, address, pipe):
    """Datagrams to port 443, one after the other, until told to end: how many were sent, how many refused."""
    lib.check(lib.LIBC.setns(world.host.fd, lib.CLONE_NEWNET))
    sent = refused = 0
    with socket.socket(FAMILY[ip], socket.SOCK_DGRAM) as sock:
        sock.connect((address, 443))
        while not pipe.poll():
            for _ in range(100):
                try:
                    sock.send(b"?")
                    sent += 1
                except (ConnectionRefusedError, PermissionError):
                    refused += 1
    pipe.send((sent, refused))


@contextlib.contextmanager
def throwing(world, ip, address):
    """Yields a list, which has (sent, refused) at the end. A process of its own: the rules change at the same moment."""
    ours, its = multiprocessing.Pipe()
    child = multiprocessing.get_context("fork").Process(target=throw, args=(world, ip, address, its), daemon=True)
    child.start()
    told = []
    try:
        yield told
        ours.send("end")
        assert ours.poll(10), "it ended without a word"
        told.extend(ours.recv())
    finally:
        child.kill()
        child.join()


@BOTH
def test_networks_are_exact_while_their_list_changes(world, ip):
    """The kernel's intervals are a tree, in which elements that go and equal ones that come stand side by side until the
    transaction is over; what is looked up meanwhile may meet the wrong one of them."""
    random.seed(seed := random.randrange(2 ** 32))
    print(f"seed {seed}")
    widest, length = {4: (2 ** 32, 24), 6: (2 ** 128, 48)}[ip]
    networks = [str(ipaddress.ip_network((random.randrange(widest), length), strict=False)) for _ in range(300)]
    networks = [one for one in networks if ipaddress.ip_address(WEB[ip]) not in ipaddress.ip_network(one)] + [SECOND[ip]]
    world.start("secure", "Networks=" + " ".join(networks))
    with world.socket(ip, socket.SOCK_DGRAM, space=world.web) as server, contextlib.ExitStack() as stack:
        server.bind((SECOND[ip], 443))
        web = stack.enter_context(throwing(world, ip, WEB[ip]))
        bypassed = stack.enter_context(throwing(world, ip, SECOND[ip]))
        for step in range(300):
            world.rules.configure(lib.CONF + "[Bypass]\nNetworks=" + " ".join(networks[step % 2:]) + "\n")
            world.rules.apply(("secure", "blocked")[step // 2 % 2])
    assert world.count("first") == 0
    assert web[1] > 100 and bypassed[0] > 100 and bypassed[1] == 0, (web, bypassed)


def test_nothing_leaves_to_what_is_blocked_while_the_lists_change(world):
    """In every state, the last resort too, and from one to the other; around the entry that stays, others come and go."""
    def conf(step):
        more = " ".join(f"198.51.{step % 7}.{i} 2001:db8:5:{step:x}:{i:x}::/96" for i in range(step % 5))
        return lib.CONF + f"[Block]\nNetworks=203.0.113.0/24 2001:db8:cb::/48 {more}\nPorts={1000 + step}\n" \
                          f"[Bypass]\nUsers={70000 + step}\nNetworks=192.0.2.{step}\n"

    world.start("direct", conf=conf(0))
    with Hammer(world, 4, 8443) as four, Hammer(world, 6, 8443) as six:
        for step in range(60):
            world.rules.configure(conf(step))
            world.rules.apply(("direct", "secure", "blocked", "plain")[step % 4])
            if step % 10 == 9:
                assert world.rules.ask("close for this test") == "ok"
        lib.wait_until(lambda: four.refused > 10 and six.refused > 10, "refused connection")
    assert world.reached() == 0
    for hammer in (four, six):
        assert not hammer.relayed and not hammer.others, (hammer.relayed, hammer.others)
