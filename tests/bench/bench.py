# SPDX-License-Identifier: GPL-2.0-or-later
"""penstock beside redsocks and HAProxy in the same lab, one after the other: processor time and rate of bulk, over a fast
link and to a proxy that is far away, processor time of short connections, memory of idle sessions, the time that a verdict
takes, and clients during a fail-over. Each number is the median of several turns, in which all take part; of rates each
turn counts too."""

import argparse
import base64
import contextlib
import itertools
import os
import resource
import select
import signal
import socket
import statistics
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(os.path.dirname(HERE), directory) for directory in ("lab", "system")]

import lab as labs  # noqa: E402
from peers import RulesMonitor  # noqa: E402

MB, GB = 1 << 20, 1 << 30
RATE_MEDIAN, RATE_WORST = 0.95, 0.7  # of the peer's
FAR_MS, FAR_RATE, FAR_MB = 20, 200, 50
SECURE, PLAIN = "Connected (Secure Channel)", "Connected (Non-secure)"
IP_BIND_ADDRESS_NO_PORT = 24  # socket has no name for it
# Of clients, one for each turn: the kernel remembers for two minutes where a connection of a redirecting program that
# has ended was redirected to, and takes a new connection from the same port there.
SOURCES = [f"192.0.2.{130 + i}" for i in range(40)]
CONNECT = b"CONNECT www4.example:80 HTTP/1.1\r\nHost: www4.example:80\r\n\r\n"
GET = b"GET / HTTP/1.1\r\nHost: www4.example\r\nConnection: close\r\n\r\n"


def cpu_seconds(pids):
    """Time on a processor of all threads, in seconds; from the scheduler, in nanoseconds."""
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            for task in os.listdir(f"/proc/{pid}/task"):
                with open(f"/proc/{pid}/task/{task}/schedstat", encoding="ascii") as file:
                    total += int(file.read().split()[0])
    return total / 1e9


def resident(pids):
    total = 0
    for pid in pids:
        with open(f"/proc/{pid}/statm", encoding="ascii") as file:
            total += int(file.read().split()[1]) * resource.getpagesize()
    return total


# ---- who runs ----

class Penstock:
    def __init__(self, lab, secure, server="gw.example", fallback="no"):
        self.name = "penstock"
        self.secure = secure
        changes = {"Proxy": {"Servers": server}, "Log": {"Sessions": "no", "Level": "warning"},
                   "Test": {"Interval": "1h"}, "Redirect": {"HTTP": "tunnel"},  # as the peers do
                   "Limits": {"SessionsPerUser": 100000},
                   "SecureChannel": {"Enabled": "yes" if secure else "no", "AllowFallback": fallback}}
        self.daemon = lab.daemon(changes).start()
        self.daemon.wait_status(SECURE if secure else PLAIN)
        labs.wait_for(lambda: len(self.daemon.children()["relay"]) == 2, 10, "the relays")
        self.target = (labs.WWW4, 80)
        self.preamble = b""
        self.curl = []

    def pids(self):
        return [self.daemon.pid] + [pid for pids in self.daemon.children().values() for pid in pids]

    def relays(self):
        return self.daemon.children()["relay"]

    def explain(self):
        """What the daemon has to say when a client failed."""
        status = self.daemon.status()
        return f"{status['rules']}, {status['sessions']}\n{labs.tail(self.daemon.log_path)}"

    def stop(self):
        self.daemon.stop()


class Redsocks:
    def __init__(self, lab, **_):
        self.name = "redsocks"
        self.lab = lab
        path = f"{lab.dir}/redsocks.conf"
        with open(path, "w", encoding="ascii") as file:
            file.write(f"""base {{ log_debug = off; log_info = off; log = "stderr"; daemon = off; redirector = iptables;
    redsocks_conn_max = 9000; }}
redsocks {{ local_ip = 127.0.0.1; local_port = 12345; ip = {labs.PROXIES["gw"][0]}; port = {labs.PLAIN_PORT};
    type = http-connect; listenq = 4096; }}
""")
        limit = f"--nofile={lab.files}:{lab.files}"
        self.child = lab.spawn("host", ["prlimit", limit, "redsocks", "-c", path], f"{lab.dir}/redsocks.out")
        lab.wait_port("host", "127.0.0.1", 12345, self.child)
        lab.nft("host", "table ip bench {\nchain output {\ntype nat hook output priority -100;\n"
                        "tcp dport { 80, 443 } redirect to :12345\n}\n}\n")
        self.target = (labs.WWW4, 80)
        self.preamble = b""
        self.curl = []

    def pids(self):
        return [self.child.pid]

    def stop(self):
        self.lab.nft("host", "delete table ip bench")
        end(self.lab, self.child)


class Haproxy:
    """TCP mode; its clients say CONNECT themselves. count: of processes on the same port."""

    def __init__(self, lab, secure, server=labs.PROXIES["gw"][0], count=1):
        self.name = "HAProxy"
        self.lab = lab
        path, pki = f"{lab.dir}/peer.cfg", f"{lab.dir}/pki"
        with open(f"{pki}/client.both.pem", "w", encoding="ascii") as file:
            for part in ("client.pem", "client.key"):
                with open(f"{pki}/{part}", encoding="ascii") as source:
                    file.write(source.read())
        tls = f"ssl verify required ca-file {pki}/ca.pem crt {pki}/client.both.pem sni str(gw.example) " \
              "verifyhost gw.example" if secure else ""
        with open(path, "w", encoding="ascii") as file:
            file.write(f"""global
    maxconn {lab.files // 2 - 100}
    nbthread 1
defaults
    mode tcp
    timeout connect 5s
    timeout client 1h
    timeout server 1h
listen peer
    bind 127.0.0.1:15080 backlog 4096
    server proxy {server}:{labs.SECURE_PORT if secure else labs.PLAIN_PORT} {tls}
""")
        self.running = [lab.spawn("host", ["haproxy", "-db", "-f", path], f"{lab.dir}/peer.out") for _ in range(count)]
        for child in self.running:
            lab.wait_port("host", "127.0.0.1", 15080, child)
        self.target = ("127.0.0.1", 15080)
        self.preamble = CONNECT
        self.curl = ["-p", "-x", "http://127.0.0.1:15080"]

    def pids(self):
        return [child.pid for child in self.running]

    relays = pids

    def stop(self):
        for child in self.running:
            end(self.lab, child)


def end(lab, child):
    child.kill()
    child.wait()
    lab.children.remove(child)


# ---- what is measured ----

def bulk(lab, one, size):
    """Each way: processor seconds per GB, and the rate in MB/s."""
    path = lab.make_file("bulk", size)
    lab.curl("http://www4.example/", *one.curl)  # warm
    before, begin = cpu_seconds(one.pids()), time.monotonic()
    down = lab.curl("http://www4.example/file/bulk", *one.curl, "-o", "/dev/null", timeout=120)
    middle, halfway = cpu_seconds(one.pids()), time.monotonic()
    up = lab.curl("http://www4.example/upload/bulk", *one.curl, "-T", path, timeout=120)
    after, stop = cpu_seconds(one.pids()), time.monotonic()
    if (down[1], up[1]) != (200, 201):
        raise labs.LabError(f"{one.name}: {down} {up}")
    os.unlink(f"{lab.shm}/upload/bulk")
    return {"down": (middle - before) / size * GB, "up": (after - middle) / size * GB,
            "down_rate": size / (halfway - begin) / MB, "up_rate": size / (stop - halfway) / MB}


class Client:
    """One short connection after the other, many at a time."""

    def __init__(self, lab, one):
        self.lab, self.one = lab, one
        self.poll = select.epoll()
        self.open = {}
        self.done = self.failed = 0
        self.errors = {}

    def begin(self):
        sock = socket.socket()
        sock.setblocking(False)
        self.open[sock.fileno()] = [sock, None]
        if not self.one.preamble:
            sock.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
            sock.bind((self.one.source, 0))
        try:
            sock.connect(self.one.target)
        except BlockingIOError:
            pass
        except OSError as error:  # no port is left
            self.finish(sock.fileno(), False, os.strerror(error.errno))
            time.sleep(0.01)
            return
        self.poll.register(sock.fileno(), select.EPOLLOUT)

    def finish(self, number, good, why=""):
        self.open.pop(number)[0].close()
        self.done += good
        self.failed += not good
        if not good:
            self.errors[why] = self.errors.get(why, 0) + 1

    def step(self, number):
        sock, data = self.open[number]
        try:
            if data is None:
                sock.send(self.one.preamble or GET)
                self.open[number][1] = b"" if self.one.preamble else b"GET"
                self.poll.modify(number, select.EPOLLIN)
                return
            chunk = sock.recv(65536)
            if data == b"" and chunk.startswith(b"HTTP/1.1 200"):
                sock.send(GET)
                self.open[number][1] = b"GET"
                return
            if chunk:
                self.open[number][1] = chunk
                return
            self.finish(number, data.startswith(b"HTTP/1.1 200"), "no answer")
        except OSError as error:
            self.finish(number, False, os.strerror(error.errno) if error.errno else str(error))

    def run(self, seconds, at_a_time):
        """Then those that are open are dropped: they have not failed."""
        with self.lab.ns("host"):
            begin = time.monotonic()
            while time.monotonic() - begin < seconds:
                if len(self.open) < at_a_time:
                    for _ in range(at_a_time - len(self.open)):
                        self.begin()
                for number, _ in self.poll.poll(1):
                    self.step(number)
        for number in list(self.open):
            self.open.pop(number)[0].close()


def short(lab, one, seconds, at_a_time=32):
    Client(lab, one).run(min(1.0, seconds), at_a_time)  # warm
    client = Client(lab, one)
    before = cpu_seconds(one.pids())
    client.run(seconds, at_a_time)
    after = cpu_seconds(one.pids())
    if client.failed:
        print(f"    {one.name}: {client.errors} {one.explain() if hasattr(one, 'explain') else ''}", flush=True)
    return {"us": (after - before) / max(1, client.done) * 1e6, "done": client.done, "failed": client.failed}


def failover(lab, one, seconds):
    """Clients come all the time; the secure port refuses for the second third of it."""
    client = Client(lab, one)
    problems = []

    def meddle():
        try:
            time.sleep(seconds / 3)
            lab.fault("refuse")
            one.daemon.wait_status(PLAIN)
            time.sleep(seconds / 3)
            lab.clear_faults()
            one.daemon.ask("test")
            one.daemon.wait_status(SECURE)
        except (labs.LabError, OSError) as error:
            problems.append(error)

    meddler = threading.Thread(target=meddle)
    meddler.start()
    try:
        client.run(seconds, 8)
    finally:
        meddler.join()
        lab.clear_faults()
    if problems:
        raise problems[0]
    if client.failed:
        print(f"    {client.errors} {one.explain()}", flush=True)
    return {"done": client.done, "failed": client.failed}


def open_sessions(one):
    return one.daemon.status()["sessions"]["open"] - sum(s["state"] != "open" for s in one.daemon.ask("sessions", 60))


def idle(lab, one, count):
    """Bytes of resident memory for each idle session with an open tunnel."""
    before = resident(one.relays())
    socks, begin = [], time.monotonic()
    with lab.ns("host"):
        while len(socks) < count:  # step by step: ten thousand handshakes at once would be another test
            step = min(250, count - len(socks))
            for i in range(step):
                sock = socket.socket()
                if not one.preamble:  # several addresses: one has 28,000 ports only, some of them in TIME_WAIT
                    sock.bind((f"192.0.2.{110 + i % 8}", 0))
                sock.settimeout(20)
                sock.connect(one.target)
                sock.send(one.preamble or GET)  # the sink does not answer a GET, the tunnel stands
                socks.append(sock)
            if one.preamble:
                for sock in socks[-step:]:
                    sock.recv(100)
            else:
                labs.wait_for(lambda: open_sessions(one) >= len(socks), 60, f"{len(socks)} open sessions", interval=0.02)
    took = time.monotonic() - begin
    settled = resident(one.relays())
    for sock in socks:
        sock.close()
    return {"bytes": (settled - before) / count, "base": before, "seconds": took}


def latency(lab, count):
    """Milliseconds from the client's connect to the new rules in the kernel."""
    refused, mistrusted = [], []
    daemon = lab.daemon({"Test": {"Interval": "1h"}, "Log": {"Sessions": "no"}, "Redirect": {"HTTP": "tunnel"}}).start()
    monitor = RulesMonitor(lab)

    def provoke(times):
        begin = time.monotonic()
        with contextlib.suppress(OSError):
            with lab.connect("host", labs.WWW4, 80) as sock:
                sock.sendall(GET)
                sock.recv(100)
        times.append((monitor.first_after(begin) - begin) * 1000)

    try:
        for _ in range(count):
            for make, undo, times in ((lambda: lab.fault("reject"), lab.clear_faults, refused),
                                      (lambda: lab.set_server_cert("gw", "wrong-name"),
                                       lambda: lab.set_server_cert("gw"), mistrusted)):
                daemon.ask("test")
                daemon.wait_status(SECURE)
                lab.curl("http://www4.example/")
                make()
                provoke(times)
                undo()
    finally:
        monitor.close()
        daemon.stop()
        lab.restore_haproxies()
    return {"refused": refused, "mistrusted": mistrusted}


# ---- the run ----

class Bench:
    def __init__(self, lab, options):
        self.lab, self.options = lab, options
        lab._ip("host", "".join(f"address add {source}/24 dev up0\n" for source in SOURCES))
        self.sources = itertools.cycle(SOURCES)
        self.rows = []

    def say(self, text):
        print(text, flush=True)

    def against(self, what, ours, theirs, unit, peer, aim=None):
        """Less than the peer's is the target; aim: a ratio that would be better still."""
        ratio = ours / theirs if theirs else float("nan")
        self.rows.append((what, f"{ours:.2f} {unit}", f"{theirs:.2f} {unit}", peer, f"{ratio:.2f}",
                          "< 1" + (f", aim {aim}" if aim else ""),
                          "MISSED" if not ratio < 1 else "met" if not aim or ratio <= aim else "met, not the aim"))

    def beside(self, what, ours, theirs, unit, peer):
        self.rows.append((what, f"{ours:.2f} {unit}", f"{theirs:.2f} {unit}", peer, f"{ours / theirs:.2f}", "-", "shown"))

    def rate(self, what, ours, theirs, peer):
        """MB/s of each turn. Less processor time is no merit where bytes wait for it: nearly the peer's rate is wanted,
        and no turn of stalls. What one turn has in common, the load of the machine, leaves its ratio alone."""
        ratios = [mine / its for mine, its in zip(ours, theirs)]
        middle, worst = statistics.median(ratios), min(ratios)
        good = middle >= RATE_MEDIAN and worst >= RATE_WORST
        self.rows.append((what, f"{statistics.median(ours):.0f} MB/s", f"{statistics.median(theirs):.0f} MB/s", peer,
                          f"{middle:.2f}, worst {worst:.2f}", f">= {RATE_MEDIAN}, each >= {RATE_WORST}",
                          "met" if good else "MISSED"))

    def limit(self, what, ours, limit, unit):
        self.rows.append((what, f"{ours:g} {unit}".strip(), "-", "-", "-", f"<= {limit:g} {unit}".strip(),
                          "met" if ours <= limit else "MISSED"))

    def each(self, makers, measure, turns=1):
        """{name: {what: median of the turns}}, where counts are added up, and {name: {what: [value of each turn]}}."""
        results = {}
        for maker in list(makers) * turns:
            one = maker()
            one.source = next(self.sources)
            try:
                got = measure(one)
            finally:
                one.stop()
            self.say(f"    {one.name}: " + ", ".join(f"{key} {value:.4g}" for key, value in got.items()))
            for key, value in got.items():
                results.setdefault(one.name, {}).setdefault(key, []).append(value)
        return {name: {key: sum(values) if key in COUNTS else statistics.median(values) for key, values in got.items()}
                for name, got in results.items()}, results

    def plain(self):
        return lambda: Penstock(self.lab, False), lambda: Redsocks(self.lab)

    def secure(self):
        return lambda: Penstock(self.lab, True), lambda: Haproxy(self.lab, True)

    def bulk(self):
        for name, makers, peer in (("plain", self.plain(), "redsocks"), ("secure", self.secure(), "HAProxy")):
            self.say(f"bulk, {name} relay, {self.options.size} MB each way …")
            got, turns = self.each(makers, lambda one: bulk(self.lab, one, self.options.size * MB), self.options.turns)
            for way in ("down", "up"):
                self.against(f"{name} bulk {way}: CPU s/GB", got["penstock"][way], got[peer][way], "s", peer,
                             0.5 if name == "plain" else 0.7)
                self.rates(f"{name} bulk {way}", turns, way, peer)

    def rates(self, what, turns, way, peer):
        self.rate(f"{what}: rate", turns["penstock"][f"{way}_rate"], turns[peer][f"{way}_rate"], peer)

    def far(self):
        """A proxy at the end of a line as companies have it."""
        size = min(self.options.size, FAR_MB)
        for name, makers, peer in (("plain", self.plain(), "redsocks"), ("secure", self.secure(), "HAProxy")):
            self.say(f"{name} relay, {size} MB each way over {FAR_RATE} Mbit/s and a round trip of {FAR_MS} ms …")
            self.lab.delay(FAR_MS, rate=FAR_RATE)
            try:
                _, turns = self.each(makers, lambda one: bulk(self.lab, one, size * MB), self.options.turns)
            finally:
                self.lab.delay(None)
            for way in ("down", "up"):
                self.rates(f"{name}, {FAR_MS} ms away, {way}", turns, way, peer)

    def short(self):
        for name, makers, peer in (("plain", self.plain(), "redsocks"), ("secure", self.secure(), "HAProxy")):
            self.say(f"short connections, {name} relay, {self.options.seconds:g} s …")
            turns = 1 if self.options.long else self.options.turns
            got, _ = self.each(makers, lambda one: short(self.lab, one, self.options.seconds), turns)
            self.against(f"{name} connection: CPU µs", got["penstock"]["us"], got[peer]["us"], "µs", peer)
            self.limit(f"{name} connections: failed of {got['penstock']['done']}", got["penstock"]["failed"], 0, "")

    def idle(self):
        lab, count = self.lab, self.options.sessions
        self.say(f"{count} idle sessions …")
        address4, address6 = labs.FAKE4, labs.FAKE6
        sink = lab.spawn("gw", [sys.executable, "-B", os.path.join(HERE, "sink.py"), address4, "8080", address6, "8080",
                                "127.0.0.1", "8090"], f"{lab.dir}/sink.out")
        path, pki = f"{lab.dir}/idle.cfg", f"{lab.dir}/pki"
        tls = f"ssl crt {pki}/server.both.pem ca-file {pki}/ca.pem verify required tls-ticket-keys {lab.dir}/tickets"
        with open(f"{lab.dir}/tickets", "wb") as file:  # three processes, one service: any of them resumes a session
            file.writelines(base64.b64encode(os.urandom(48)) + b"\n" for _ in range(3))
        with open(path, "w", encoding="ascii") as file:
            file.write(f"""global
    maxconn {lab.files // 2 - 100}
    nbthread 1
defaults
    mode tcp
    timeout connect 5s
    timeout client 1h
    timeout server 1h
listen secure
    bind {address4}:8081,[{address6}]:8081 backlog 4096 {tls}
    server sink 127.0.0.1:8090
""")
        lab.wait_port("gw", "127.0.0.1", 8090, sink)
        ends = [lab.spawn("gw", ["haproxy", "-db", "-f", path], f"{lab.dir}/idle.out") for _ in range(3)]
        for child in ends:
            lab.wait_port("gw", address4, 8081, child)
        lab._ip("host", "".join(f"address add 192.0.2.{110 + i}/24 dev up0\n" for i in range(8)))
        try:
            for secure in (False, True):
                name = "secure" if secure else "plain"
                got, _ = self.each((lambda: Penstock(lab, secure, "fake.example"),
                                    lambda: Haproxy(lab, secure, address4, count=2)), lambda one: idle(lab, one, count))
                self.beside(f"{name} idle session: KiB resident", got["penstock"]["bytes"] / 1024,
                            got["HAProxy"]["bytes"] / 1024, "KiB", "HAProxy")
        finally:
            for child in [sink, *ends]:
                end(lab, child)

    def latency(self):
        self.say("from a failure to the new rules …")
        got = latency(self.lab, self.options.repeats)
        for name, times in got.items():
            self.say(f"    {name}: {', '.join(f'{t:.1f}' for t in times)} ms")
            self.limit(f"{name} to new rules, worst of {len(times)}", round(max(times), 1), 100, "ms")

    def failover(self):
        self.say("clients during a fail-over and the return …")
        got, _ = self.each([lambda: Penstock(self.lab, True, fallback="yes")],
                           lambda one: failover(self.lab, one, 2.0 if self.options.smoke else 6.0), self.options.turns)
        self.limit(f"fail-over: clients failed of {got['penstock']['done']}", got["penstock"]["failed"], 0, "")

    def report(self):
        widths = [max(len(str(row[i])) for row in [*self.rows, HEAD]) for i in range(len(HEAD))]
        self.say("")
        for row in [HEAD, *self.rows]:
            self.say("  ".join(str(cell).ljust(width) for cell, width in zip(row, widths)).rstrip())


HEAD = ("measure", "penstock", "peer's", "peer", "ratio", "target", "result")
PARTS = ("bulk", "far", "short", "idle", "latency", "failover")
COUNTS = ("done", "failed")


def too_long(*_):
    raise labs.LabError("it takes too long: something hangs")


def main():
    parser = argparse.ArgumentParser(prog="tests/bench/run")
    parser.add_argument("--build")
    parser.add_argument("--long", action="store_true", help="a minute of short connections each")
    parser.add_argument("--smoke", action="store_true", help="small numbers, only to see that all of it works")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--size", type=int, help="MB of the bulk tests")
    parser.add_argument("--sessions", type=int, help="idle sessions")
    options = parser.parse_args()
    options.size = options.size or (50 if options.smoke else 400)
    options.turns = 1 if options.smoke else 5
    options.seconds = 60.0 if options.long else 1.0 if options.smoke else 4.0
    options.sessions = options.sessions or (300 if options.smoke else 10000)
    options.repeats = 1 if options.smoke else 8
    labs.end_on_signals()
    signal.signal(signal.SIGALRM, too_long)
    signal.alarm(240 if options.smoke else 3600)
    with labs.Lab(build=os.path.abspath(options.build) if options.build else None) as lab:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        for space in labs.SPACES:  # every kernel has it; where BBR is the default, its timers would be what is measured
            with lab.ns(space):
                labs.sysctl("net/ipv4/tcp_congestion_control", "reno")
        bench = Bench(lab, options)
        for part in options.only:
            getattr(bench, part)()
        bench.report()
    missed = [row[0] for row in bench.rows if row[-1] == "MISSED"]
    if options.smoke:
        print("\n(small numbers: all of it works, but the times say little)")
    elif missed:
        print(f"\nmissed: {', '.join(missed)}")
    return 0 if options.smoke or not missed else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except labs.LabError as error:
        sys.exit(f"bench: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
