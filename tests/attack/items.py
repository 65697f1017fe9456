# SPDX-License-Identifier: GPL-2.0-or-later
"""One attack for each way in that was once open, by a user without privileges; what needs root for its preparation (a rule
of another program, a missing kernel module) gets that from the caller. Each asserts that the way is closed."""

import contextlib
import os
import random
import signal
import socket
import struct
import sys
import time

import lab as labs
import user

SECURE, PLAIN = "Connected (Secure Channel)", "Connected (Non-secure)"
LOCAL_ERROR = "Blocked - Local error"
WWW = {4: labs.WWW4, 6: labs.WWW6}
ITEMS = []


def item(text):
    def add(function):
        ITEMS.append((text, function))
        return function
    return add


class World:
    """The lab, and daemons that end with the attack that started them."""

    def __init__(self, lab):
        self.lab = lab
        self.daemons = []
        self.attempts = 0

    def daemon(self, changes=None, status=SECURE, **kwargs):
        one = labs.Daemon(self.lab, self.lab.config({"Log": {"Sessions": "no"}, **(changes or {})}), **kwargs)
        self.daemons.append(one)
        one.start()
        if status:
            one.wait_status(status)
        return one

    def end(self):
        for one in self.daemons:
            with contextlib.suppress(labs.LabError):
                one.stop()
        self.daemons = []
        self.lab.clear_faults()
        self.lab.restore_haproxies()
        self.lab.run("host", ["nft", "flush", "ruleset"])
        self.lab.forget_connections()

    def user(self, function, *args, uid=user.UID):
        self.attempts += 1
        return user.call(self.lab, uid, function, *args)

    def victim(self, address=labs.WWW4, port=80):
        return self.user(user.get, address, port, uid=user.VICTIM)

    def nft(self, text):
        self.lab.nft("host", text)

    def no_leak(self):
        leaked = self.lab.leaked()
        assert leaked == 0, f"{leaked} packets left the host"


def refused(error):
    assert error in ("ECONNREFUSED", "ECONNRESET", "EACCES", "EPERM", "ECONNABORTED", "EHOSTUNREACH", "ENETUNREACH"), error


class Hijacker:
    """A user's process on the relay port: says how many others' requests it got."""

    def __init__(self, world):
        self.world = world
        reader, self.writer = os.pipe()
        self.reader, writer = os.pipe()
        self.pid = user.fork(world.lab, user.UID, self.serve, reader, writer)
        os.close(reader)
        os.close(writer)
        self.sockets = struct.unpack("i", os.read(self.reader, 4))[0]

    @staticmethod
    def serve(reader, writer):
        socks = user.listen()
        os.write(writer, struct.pack("i", len(socks)))
        os.read(reader, 1)
        got = 0
        for sock in socks:
            with contextlib.suppress(OSError):
                while True:
                    client, _ = sock.accept()
                    client.setblocking(True)
                    client.settimeout(0.2)
                    with contextlib.suppress(OSError):
                        got += b"GET /" in client.recv(4096)
                    client.close()
        os.write(writer, struct.pack("i", got))

    def end(self):
        os.write(self.writer, b"x")
        got = struct.unpack("i", os.read(self.reader, 4))[0]
        os.waitpid(self.pid, 0)
        os.close(self.reader)
        os.close(self.writer)
        return got


@item("1 the relay port of a dead daemon, and of dead relays, is nobody's to take")
def relay_port(world):
    one = world.daemon()
    for relay in one.children()["relay"]:
        os.kill(relay, signal.SIGKILL)
    hijacker = Hijacker(world)
    for address in (labs.WWW4, labs.WWW6) * 2:
        assert b"299" not in world.victim(address)
    assert hijacker.end() == 0
    one.wait_status(SECURE)
    one.kill()
    hijacker = Hijacker(world)
    assert hijacker.sockets > 0, "nobody has the port: that is the attack"
    for address in (labs.WWW4, labs.WWW6):
        refused(world.user(user.connects, address, 80, uid=user.VICTIM))
    assert hijacker.end() == 0
    world.no_leak()


@item("2 IPv6 that comes later is served, and nobody has its listener's place before")
def late_ipv6(world):
    lab = world.lab
    with lab.ns("host"):
        labs.sysctl("net/ipv6/conf/all/disable_ipv6", 1)
    try:
        world.daemon({"Proxy": {"Servers": "gw4.example"}})
        hijacker = Hijacker(world)
    finally:
        with lab.ns("host"):
            labs.sysctl("net/ipv6/conf/all/disable_ipv6", 0)
        lab.network(True)
    labs.wait_for(lambda: world.victim(labs.WWW6).startswith(b"HTTP/1.1 200"), 10, "a client over IPv6")
    assert hijacker.end() == 0
    world.no_leak()


@item("3 a port that is taken at the start is named, blocks, and is taken as soon as it is free")
def taken_port(world):
    hijacker = Hijacker(world)
    one = world.daemon(status=LOCAL_ERROR)
    assert "15443" in one.status()["detail"]
    refused(world.user(user.connects, labs.WWW4, 443))
    assert hijacker.end() == 0
    begin = time.monotonic()
    one.wait_status(SECURE)
    assert time.monotonic() - begin < 8
    assert world.victim().startswith(b"HTTP/1.1 200")
    world.no_leak()


@item("4 source routes carry nothing past the guard, connected or blocked")
def source_routes(world):
    one = world.daemon({"Bypass": {"Networks": "192.0.2.0/24 2001:db8:1::/64"}})
    for state in (SECURE, "Blocked - Secure channel port not available"):
        for ip, option in ((4, 131), (4, 137), (6, 0)):
            for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                def attempt(ip=ip, option=option, kind=kind):
                    with socket.socket(user.FAMILY[ip], kind) as sock, contextlib.suppress(OSError):
                        user.source_route(sock, ip, option)
                        sock.settimeout(0.1)
                        sock.connect((WWW[ip], 443))
                        sock.send(b"x")
                world.user(attempt)
        if state == SECURE:
            world.lab.fault("reject")
            one.ask("test")
            one.wait_status("Blocked - Secure channel port not available")
    world.no_leak()


@item("5 no other protocol with ports leaves")
def other_protocols(world):
    world.daemon()
    for ip in (4, 6):
        for port in (80, 443):
            for protocol in (socket.IPPROTO_UDP, user.UDPLITE, user.SCTP, user.DCCP, user.MPTCP):
                error = world.user(user.send_other, ip, protocol, port)
                assert error != "ETIMEDOUT" or protocol == user.MPTCP, "it should be refused, not dropped"
    world.no_leak()


@item("6 what was open or closing before the start ends, whatever marks it has")
def before_the_start(world):
    world.nft("table inet foreign { chain marks { type filter hook output priority -300; ct mark set 0x30000000; }; }")

    def open_some():
        socks = []
        for address in (labs.WWW4, labs.WWW6) * 4:
            sock = socket.create_connection((address, 80), 5)
            sock.sendall(b"PUT /upload/x HTTP/1.1\r\nHost: www.example\r\nContent-Length: 10000000\r\n\r\n")
            sock.setblocking(False)
            with contextlib.suppress(OSError):
                while True:
                    sock.send(bytes(100000))
            socks.append(sock)
        os.write(writer, b"x")
        os.read(other, 1)
        for sock in socks[::2]:
            sock.close()  # its queue goes on without an owner
        for _ in range(50):
            for sock in socks[1::2]:
                with contextlib.suppress(OSError):
                    sock.send(bytes(100000))
            time.sleep(0.01)

    reader, writer = os.pipe()
    other, go = os.pipe()
    pid = user.fork(world.lab, user.UID, open_some)
    os.close(writer)
    assert os.read(reader, 1) == b"x"
    world.attempts += 8
    world.daemon()
    world.lab.reset_counters()
    os.write(go, b"x")
    os.waitpid(pid, 0)
    for end in (reader, other, go):
        os.close(end)
    world.no_leak()


@item("7 penstock's own user reaches the proxies' ports and nothing else")
def own_user(world):
    world.daemon()
    import pwd
    uid = pwd.getpwnam("daemon").pw_uid
    for address in (labs.WWW4, labs.WWW6):
        for port in (80, 443):
            refused(world.user(user.connects, address, port, uid=uid))
    for protocol in (socket.IPPROTO_UDP, user.UDPLITE):
        assert world.user(user.send_other, 4, protocol, uid=uid) is not None
    world.no_leak()


@item("8 a host that forwards says that this is not covered")
def forwarding(world):
    with world.lab.ns("host"):
        labs.sysctl("net/ipv4/ip_forward", 1)
    try:
        one = world.daemon()
        assert any("forward" in text for text in one.status()["warnings"])
    finally:
        with world.lab.ns("host"):
            labs.sysctl("net/ipv4/ip_forward", 0)


@item("9 the proxy's plain port is nobody's while the state is not plain")
def plain_port(world):
    lab = world.lab
    one = world.daemon({"SecureChannel": {"AllowFallback": "yes"}})
    for cert, status in (("server", SECURE), ("wrong-name", "Blocked - Mutual Auth Failed")):
        lab.set_server_cert("gw", cert)
        one.ask("test")
        one.wait_status(status)
        for address in labs.PROXIES["gw"]:
            refused(world.user(user.connects, address, labs.PLAIN_PORT))
    assert lab.to_plain_port() == 0
    world.no_leak()


@item("10 a redirect that does not arrive is named with the table in its way")
def obstacle(world):
    one = world.daemon()
    world.nft('table inet other { chain out { type filter hook output priority 10; policy drop; oifname "up0" accept; }; }')
    labs.wait_for(lambda: one.status()["status"] == LOCAL_ERROR, 15, lambda: f"the verdict: {one.status()}")
    assert "other" in one.status()["detail"]
    world.nft("delete table inet other")
    one.wait_status(SECURE)
    world.no_leak()


@item("11 a bypassed user that nobody knows yet is a warning, and closed")
def unknown_user(world):
    one = world.daemon({"Bypass": {"Users": "nobody-of-that-name"}})
    assert any("cannot be looked up" in text for text in one.status()["warnings"])
    assert world.victim().startswith(b"HTTP/1.1 200")
    world.no_leak()


class Kernel:
    """What it refuses: see tests/system/refusing_kernel.c."""

    def __init__(self, lab):
        self.path = f"{lab.dir}/refused"
        library = f"{lab.dir}/refusing_kernel.so"
        if not os.path.exists(library):
            source = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "system", "refusing_kernel.c")
            labs.command(["cc", "-std=gnu11", "-shared", "-fPIC", "-o", library, source, "-ldl"])
        self.environment = {"LD_PRELOAD": library, "REFUSED_EXPRESSIONS": self.path}

    def refuse(self, *names):
        with open(self.path, "w", encoding="ascii") as file:
            file.write(" ".join(names))


@item("12 a kernel without the modules that the rules need is closed all the same")
def missing_modules(world):
    kernel = Kernel(world.lab)
    for names in (("redir",), ("fib", "ct", "reject")):
        kernel.refuse(*names)
        one = world.daemon(status=LOCAL_ERROR, environment=kernel.environment)
        for address in (labs.WWW4, labs.WWW6):
            assert world.user(user.connects, address, 443, 0.3) is not None
        one.kill()
    kernel.refuse()
    world.no_leak()


@item("13 a start that fails leaves web traffic closed")
def failed_start(world):
    lab = world.lab
    path = f"{lab.dir}/broken.conf"
    for text in ("[Proxy]\nServers=gw.example\nSecurePort=nonsense\n", "[Proxy]\nServers=gw.example\n[Nonsense]\n"):
        with open(path, "w", encoding="ascii") as file:
            file.write(text)
        done = lab.run("host", [f"{lab.build}/penstockd", "-c", path, "-u", "daemon", "-S", f"{lab.dir}/broken/control.sock"])
        assert done.returncode == 78, done
        for address in (labs.WWW4, labs.WWW6):
            refused(world.user(user.connects, address, 443))
    lab.run("host", ["nft", "delete", "table", "inet", "penstock"])
    world.no_leak()


@item("14 no process of penstock can be looked into, stopped or traced")
def processes(world):
    one = world.daemon()
    children = one.children()
    pids = [one.pid, *children["relay"], *children["prober"]]

    def attack():
        told = []
        for pid in pids:
            for number in (signal.SIGKILL, signal.SIGSTOP, signal.SIGHUP, signal.SIGUSR1):
                with contextlib.suppress(PermissionError):
                    os.kill(pid, number)
                    told.append(f"signal {number} to {pid}")
            for name in ("mem", "environ", "maps", "fd/3", "root/etc/hostname", "syscall", "stack"):
                with contextlib.suppress(OSError):
                    with open(f"/proc/{pid}/{name}", "rb") as file:
                        file.read(1)
                    told.append(f"/proc/{pid}/{name}")
            if user.LIBC.ptrace(16, pid, None, None) == 0:  # PTRACE_ATTACH
                told.append(f"ptrace of {pid}")
        return told

    told = world.user(attack)
    assert not told, told
    assert one.status()["status"] == SECURE and one.children() == children


@item("15 the control socket does nothing for whom it should not, and hides secrets")
def control_socket(world):
    import pwd
    secret = "Proxy-Authorization: Basic c2VjcmV0"
    one = world.daemon({"Proxy": {"Servers": "gw.example", "Header": secret}})

    def ask(verb):
        return [str(line) for line in one.ask(verb)]

    for uid in (user.UID, pwd.getpwnam("daemon").pw_uid):
        for verb in ("config", "config secrets", "reload", "test", "sessions"):
            said = world.user(ask, verb, uid=uid)
            assert any("error" in line for line in said) and "c2VjcmV0" not in "".join(said), (uid, verb, said)
        assert SECURE in world.user(ask, "status", uid=uid)[0]
    done = one.cli("config")
    assert done.returncode == 0 and "c2VjcmV0" not in done.stdout, done.stdout


@item("16 short sessions fill no journal")
def journal(world):
    one = world.daemon({"Log": {"Sessions": "yes"}, "Limits": {"LogRate": "5"}})

    def many():
        for _ in range(400):
            with contextlib.suppress(OSError), socket.create_connection((labs.WWW4, 80), 2) as sock:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    begin = time.monotonic()
    world.user(many)
    world.attempts += 399
    lines = one.log().count(" session ")
    assert lines <= 2 * 5 * (time.monotonic() - begin + 2), f"{lines} lines"


@item("17 one user's thousands of connections keep nobody from being served, nor from asking for the status")
def shares(world):
    one = world.daemon(prefix=["prlimit", "--nofile=600:600"])

    def crowd():
        socks = []
        while True:
            if len(socks) > 1000:
                socks.pop(random.randrange(1000)).close()
            family, address = random.choice(((socket.AF_INET, (labs.WWW4, 443)), (socket.AF_UNIX, one.control)))
            sock = socket.socket(family)
            sock.setblocking(False)
            socks.append(sock)
            with contextlib.suppress(OSError):
                sock.connect(address)

    pid = user.fork(world.lab, user.UID, crowd)
    try:
        labs.wait_for(lambda: one.status().get("sessions", {}).get("shed", 0) > 500, 15, "a full house")
        for _ in range(5):
            begin = time.monotonic()
            assert world.victim().startswith(b"HTTP/1.1 200")
            assert time.monotonic() - begin < 1, f"a page took {time.monotonic() - begin:.2f} s"
            begin = time.monotonic()
            assert world.user(lambda: len(one.ask("status")), uid=user.VICTIM) == 1
            assert time.monotonic() - begin < 1, f"the status took {time.monotonic() - begin:.2f} s"
        assert any(text.startswith(f"uid {user.UID} ") for text in one.status()["warnings"])
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    world.attempts += one.status()["sessions"]["shed"]


@item("18 a service of this host answers clients whose source port is a web port")
def source_port(world):
    world.daemon()
    with world.lab.listen("host", labs.HOST4, 2525) as service:
        for port in (80, 443):
            with world.lab.socket("gw") as client:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                client.bind((labs.PROXIES["gw"][0], port))
                client.settimeout(2)
                client.connect((labs.HOST4, 2525))
                with service.accept()[0] as answer:
                    answer.sendall(b"hello")
                assert client.recv(5) == b"hello"


@item("19 another program's redirect leads nobody through the proxy to a port that is not configured")
def foreign_redirect(world):
    lab = world.lab
    world.daemon()
    world.nft("table ip other { chain out { type nat hook output priority -150; tcp dport 2525 redirect to :15443; }; }")
    before = len(lab.access_log())
    with lab.listen("web", labs.RAW4, 2525) as sock:
        sock.settimeout(0.3)
        assert world.user(user.get, labs.RAW4, 2525) == b""
        with contextlib.suppress(TimeoutError):
            sock.accept()
            raise AssertionError("it has arrived")
    assert not any(":2525" in entry[3] for entry in lab.access_log()[before:])


def run(world, say, numbers=None):
    """Each with a line; how many passed and failed."""
    passed = failed = 0
    for text, function in ITEMS:
        if numbers and int(text.split()[0]) not in numbers:
            continue
        world.lab.reset_counters()
        try:
            function(world)
            passed += 1
            say(f"{text}: good")
        except Exception as error:  # noqa: B902: an attack that worked must not end the others
            failed += 1
            said = str(error) or repr(error)
            logs = "".join(one.log()[-1500:] for one in world.daemons)
            say(f"    {type(error).__name__}: {said[-1500:]}\n{logs}\n{text}: FAILED")
            if isinstance(error, AssertionError) and not str(error):
                import traceback
                traceback.print_exc(file=sys.stdout)
        finally:
            world.end()
    return passed, failed
