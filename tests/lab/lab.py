# SPDX-License-Identifier: GPL-2.0-or-later
"""A small world of network namespaces with real peers, for demo, tests and benchmarks alike.

    host ── 192.0.2.0/24, 2001:db8:1::/64 ── gw ── 203.0.113.0/24, 2001:db8:3::/64 ── web

host: where penstockd and its clients run.
gw:   HAProxy (mutual TLS, port 8081) in front of Squid (port 8080), twice: gw.example and gw2.example; it also routes
      between host and web, so that a packet that slips by penstock arrives, and is counted.
web:  nginx on 80 and 443 for several names; free addresses for servers that a test brings along.

Everything lives in namespaces, /etc/netns and one directory, all named after the process that made them. A reaper, a
process of its own, removes them when that process ends, in whatever way; what a killed reaper left is removed by the
next lab.
"""

import contextlib
import ctypes
import glob
import json
import os
import resource
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
PREFIX = "penstock-lab-"
CLONE_NEWNET = 0x40000000
LIBC = ctypes.CDLL(None, use_errno=True)

SPACES = ("host", "gw", "web")
HOST4, HOST6 = "192.0.2.100", "2001:db8:1::100"
PROXIES = {"gw": ("192.0.2.1", "2001:db8:1::1"), "gw2": ("192.0.2.2", "2001:db8:1::2")}
FAKE4, FAKE6 = "192.0.2.3", "2001:db8:1::3"
WWW4, WWW6 = "203.0.113.80", "2001:db8:3::80"
DENIED4 = "203.0.113.83"
RAW4, RAW6 = "203.0.113.90", "2001:db8:3::90"
SECURE_PORT, PLAIN_PORT = 8081, 8080
SLOW_ENDS = (("host", "up0"), ("gw", "h0"))

HOSTS = f"""127.0.0.1 localhost
::1 localhost
192.0.2.1 gw.example gw4.example
2001:db8:1::1 gw.example gw6.example
192.0.2.2 gw2.example
2001:db8:1::2 gw2.example
{FAKE4} fake.example
{FAKE6} fake.example fake6.example
{WWW4} www.example www4.example
{WWW6} www.example www6.example
203.0.113.81 auth.example auth-wrong-name.example auth-expired.example auth-wrong-issuer.example
203.0.113.82 other.example
2001:db8:3::82 other.example
{DENIED4} denied.example
{RAW4} raw.example raw4.example
{RAW6} raw.example raw6.example
"""
# Of nginx; raw.example's are left free for servers of the tests.
WEB4 = ("203.0.113.80", "203.0.113.81", "203.0.113.82", DENIED4)
WEB6 = ("2001:db8:3::80", "2001:db8:3::82")
CERT_NAMES = ("gw.example gw2.example gw4.example gw6.example fake.example fake6.example www.example www4.example "
              "www6.example auth.example other.example denied.example raw.example raw4.example raw6.example "
              "192.0.2.1 192.0.2.2 192.0.2.3 2001:db8:1::1 2001:db8:1::2 2001:db8:1::3").split()


class LabError(Exception):
    pass


def wait_for(condition, timeout=10.0, what="condition", interval=0.01):
    """The first true value of condition(), polled until the deadline."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise LabError(f"waited {timeout:g} s for {what() if callable(what) else what}")
        time.sleep(interval)


def command(argv, **kwargs):
    done = subprocess.run(argv, capture_output=True, text=True, **kwargs)
    if done.returncode:
        raise LabError(f"{' '.join(argv)}: exit {done.returncode}: {(done.stderr or done.stdout).strip()}")
    return done.stdout


# ---- what is left when everything ends ----

def remove(name):
    """Ends every process in the lab's namespaces and removes all that carries the lab's name."""
    spaces = [f"{name}-{space}" for space in SPACES]
    for space in spaces:
        if not os.path.exists(f"/run/netns/{space}"):
            continue
        for _ in range(50):
            pids = subprocess.run(["ip", "netns", "pids", space], capture_output=True, text=True).stdout.split()
            pids = [int(pid) for pid in pids if int(pid) != os.getpid()]
            if not pids:
                break
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.01)
        subprocess.run(["ip", "netns", "del", space], capture_output=True)
    for space in spaces:
        shutil.rmtree(f"/etc/netns/{space}", ignore_errors=True)
    shutil.rmtree(directory_of(name), ignore_errors=True)
    shutil.rmtree(f"/dev/shm/{name}", ignore_errors=True)
    for segment in glob.glob(f"/dev/shm/{squid_service(name)}-*"):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(segment)
    for shared in ("/etc/netns", "/run/netns"):  # removed when they are empty, as before the first lab
        with contextlib.suppress(OSError):
            os.rmdir(shared)


def squid_service(name):
    """What squid is called there, also in shared memory: letters and digits."""
    return "lab" + "".join(c for c in name if c.isalnum())


def directory_of(name):
    return os.path.join("/tmp", name)


def process_start(pid):
    """Start time of a process in ticks: with its id it names a process for good. None: gone, or a zombie."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as stat:
            fields = stat.read().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else fields[19]


def remove_stale():
    """Labs whose owner is gone and whose reaper was killed too."""
    for entry in os.listdir("/tmp"):
        if not entry.startswith(PREFIX):
            continue
        try:
            with open(f"/tmp/{entry}/owner", encoding="ascii") as file:
                pid, start, reaper, reaper_start = file.read().split()
        except (OSError, ValueError):
            continue  # being made just now
        if process_start(pid) != start and process_start(reaper) != reaper_start:
            remove(entry)


def reap(name):
    """The reaper: waits until its standard input ends, that is until the owner is gone."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    sys.stdin.read()
    remove(name)


# ---- the lab ----

class Lab:
    def __init__(self, name=None, build=None):
        self.name = PREFIX + (name or str(os.getpid()))
        self.dir = directory_of(self.name)
        self.shm = f"/dev/shm/{self.name}" if os.path.isdir("/dev/shm") else f"{self.dir}/shm"
        self.build = build or default_build()
        self.reaper = None
        self.children = []
        self.haproxies = {}
        self.retired = []  # HAProxies that only finish their sessions
        self.slow = None  # slowlink, while the link is slow

    # -- life --

    def up(self):
        if os.geteuid() != 0:
            raise LabError("the lab needs root")
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        with contextlib.suppress(ValueError):  # not in every container; the peers raise their own soft limit
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, max(hard, 65536)))
        self.files = min(resource.getrlimit(resource.RLIMIT_NOFILE)[1], 65536)
        remove_stale()
        if os.path.exists(self.dir):
            raise LabError(f"{self.name} is up already")
        os.makedirs(self.dir)
        os.chmod(self.dir, 0o755)
        self.reaper = subprocess.Popen([sys.executable, "-B", os.path.join(HERE, "lab.py"), "reap", self.name],
                                       stdin=subprocess.PIPE, start_new_session=True)
        self._own()
        try:
            pki = subprocess.Popen([os.path.join(HERE, "pki"), f"{self.dir}/pki"] + CERT_NAMES)
            self._make_spaces()
            if pki.wait():
                raise LabError("tests/lab/pki failed")
            self._own_keys()
            self._start_peers()
        except BaseException:
            self.down()
            raise
        return self

    def down(self):
        self._end_slow_link()
        for child in self.children:
            with contextlib.suppress(ProcessLookupError):
                child.kill()
        for child in self.children:
            child.wait()
        self.children = []
        if self.reaper:
            self.reaper.stdin.close()
            self.reaper.wait()
            self.reaper = None

    def detach(self):
        """Hands the lab with all that runs in it to a process of its own, which keeps it until lab down."""
        keeper = os.fork()
        if keeper == 0:
            os.setsid()
            null = os.open("/dev/null", os.O_RDWR)
            for descriptor in range(3):
                os.dup2(null, descriptor)
            self._own()
            end_on_signals()
            with contextlib.suppress(SystemExit, KeyboardInterrupt):
                signal.pause()
            self.down()
            os._exit(0)
        wait_for(lambda: self._owner() == str(keeper), 5, "the keeper")
        self.reaper.stdin.close()  # the keeper has a copy
        self.reaper, self.children = None, []

    def _own(self):
        with open(f"{self.dir}/owner.new", "w", encoding="ascii") as file:
            file.write(f"{os.getpid()} {process_start(os.getpid())} "
                       f"{self.reaper.pid} {process_start(self.reaper.pid)}\n")
        os.rename(f"{self.dir}/owner.new", f"{self.dir}/owner")

    def _owner(self):
        with open(f"{self.dir}/owner", encoding="ascii") as file:
            return file.read().split()[0]

    __enter__ = up

    def __exit__(self, *_):
        self.down()

    def _make_spaces(self):
        for space in SPACES:
            etc = f"/etc/netns/{self.name}-{space}"
            os.makedirs(etc, exist_ok=True)
            with open(f"{etc}/hosts", "w", encoding="ascii") as file:
                file.write(HOSTS)
            with open(f"{etc}/resolv.conf", "w", encoding="ascii") as file:  # nobody answers there, and says so at once
                file.write("nameserver 192.0.2.1\noptions timeout:1 attempts:1\n")
            command(["ip", "netns", "add", f"{self.name}-{space}"])
        for space in SPACES:
            with self.ns(space):
                sysctl("net/ipv6/conf/all/accept_dad", 0)
                sysctl("net/ipv6/conf/default/accept_dad", 0)
                if space == "gw":
                    sysctl("net/ipv4/ip_forward", 1)
                    sysctl("net/ipv6/conf/all/forwarding", 1)
        gateways = "".join(f"address add {four}/24 dev h0\naddress add {six}/64 dev h0 nodad\n"
                           for four, six in [*PROXIES.values(), (FAKE4, FAKE6)])
        self._ip("host", f"link add up0 type veth peer name h0 netns {self.name}-gw\nlink set lo up\nlink set up0 up\n"
                         f"address add {HOST4}/24 dev up0\naddress add {HOST6}/64 dev up0 nodad\n")
        self._ip("gw", f"link set lo up\nlink set h0 up\n{gateways}"
                       f"link add w0 type veth peer name w1 netns {self.name}-web\nlink set w0 up\n"
                       "address add 203.0.113.1/24 dev w0\naddress add 2001:db8:3::1/64 dev w0 nodad\n")
        webs = "".join(f"address add {four}/24 dev w1\n" for four in (*WEB4, RAW4))
        webs += "".join(f"address add {six}/64 dev w1 nodad\n" for six in (*WEB6, RAW6))
        self._ip("web", f"link set lo up\nlink set w1 up\n{webs}"
                        "route add default via 203.0.113.1\nroute add default via 2001:db8:3::1\n")
        self._ip("host", "route add default via 192.0.2.1\nroute add default via 2001:db8:1::1\n")
        self._make_gate_table()

    def _ip(self, space, batch):
        command(["ip", "-n", f"{self.name}-{space}", "-batch", "-"], input=batch)

    def _own_keys(self):
        """The private keys belong to the user that penstockd runs as, as in production."""
        for entry in os.listdir(f"{self.dir}/pki"):
            if entry.startswith("client") and entry.endswith(".key"):
                os.chmod(f"{self.dir}/pki/{entry}", 0o600)
                shutil.chown(f"{self.dir}/pki/{entry}", "daemon")

    # -- namespaces --

    @contextlib.contextmanager
    def ns(self, space):
        """The calling thread is in that namespace inside the with; what is made there stays there."""
        with open("/proc/thread-self/ns/net", "rb") as home, open(f"/run/netns/{self.name}-{space}", "rb") as target:
            setns(target.fileno())
            try:
                yield
            finally:
                setns(home.fileno())

    def socket(self, space, family=socket.AF_INET, kind=socket.SOCK_STREAM, proto=0):
        with self.ns(space):
            return socket.socket(family, kind, proto)

    def listen(self, space, address, port, backlog=512):
        sock = self.socket(space, socket.AF_INET6 if ":" in address else socket.AF_INET)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((address, port))
        sock.listen(backlog)
        return sock

    def connect(self, space, address, port, timeout=10.0, source=None):
        sock = self.socket(space, socket.AF_INET6 if ":" in address else socket.AF_INET)
        sock.settimeout(timeout)
        try:
            if source:
                sock.bind((source, 0))
            sock.connect((address, port))
        except BaseException:
            sock.close()
            raise
        return sock

    def argv(self, space, argv):
        return ["ip", "netns", "exec", f"{self.name}-{space}", *argv]

    def run(self, space, argv, **kwargs):
        kwargs.setdefault("capture_output", True)
        kwargs.setdefault("text", True)
        return subprocess.run(self.argv(space, argv), **kwargs)

    def spawn(self, space, argv, log, **kwargs):
        with open(log, "ab") as file:
            child = subprocess.Popen(self.argv(space, argv), stdin=subprocess.DEVNULL, stdout=file,
                                     stderr=subprocess.STDOUT, **kwargs)
        child.log = log
        self.children.append(child)
        return child

    def wait_port(self, space, address, port, child=None, timeout=10.0):
        def try_once():
            if child and child.poll() is not None:
                raise LabError(f"{child.args[4]} ended with {child.returncode}: {tail(child.log)}")
            with contextlib.suppress(OSError):
                self.connect(space, address, port, timeout=1.0).close()
                return True
            return False
        wait_for(try_once, timeout, f"{address} port {port}")

    # -- peers --

    def _start_peers(self):
        os.makedirs(self.shm, exist_ok=True)
        os.makedirs(f"{self.shm}/upload", exist_ok=True)
        shutil.chown(f"{self.shm}/upload", "www-data")
        squid = self._start_squid()
        nginx = self._start_nginx()
        for server in PROXIES:
            self.start_haproxy(server, wait=False)
        for server, (_, six) in PROXIES.items():
            self.wait_haproxy(server)
            self.usual = self.haproxies[server].options
            self.wait_port("gw", six, PLAIN_PORT, squid)
        self.wait_port("web", WWW4, 443, nginx)

    def _start_squid(self):
        os.makedirs(f"{self.dir}/squid")
        shutil.chown(f"{self.dir}/squid", "proxy")
        ports = "".join(f"http_port {four}:{PLAIN_PORT}\nhttp_port [{six}]:{PLAIN_PORT}\n"
                        for four, six in PROXIES.values())
        path = f"{self.dir}/squid.conf"
        with open(path, "w", encoding="ascii") as file:
            file.write(f"""{ports}
acl denied dst {DENIED4}
http_access deny denied
http_access allow all
cache deny all
cache_mem 1 MB
memory_pools off
logformat lab %ts.%03tu %>a %>la:%>lp %rm %ru %>Hs
access_log stdio:{self.dir}/squid/access.log lab
buffered_logs off
cache_log {self.dir}/squid/cache.log
pid_filename {self.dir}/squid/squid.pid
coredump_dir {self.dir}/squid
pinger_enable off
shutdown_lifetime 0 seconds
hosts_file /etc/hosts
dns_timeout 1 second
connect_timeout 2 seconds
visible_hostname squid.example
via off
forwarded_for delete
max_filedescriptors {self.files}
client_request_buffer_max_size 64 MB
cache_effective_user proxy
""")
        return self.spawn("gw", ["squid", "-N", "-n", squid_service(self.name), "-f", path], f"{self.dir}/squid.out")

    def _start_nginx(self):
        pki = f"{self.dir}/pki"
        def listen(port, more=""):
            return "".join(f"listen {a}:{port}{more}; " for a in WEB4) + \
                   "".join(f"listen [{a}]:{port}{more}; " for a in WEB6)
        servers = ""
        for name in ("wrong-name", "expired", "wrong-issuer"):
            servers += f"""
    server {{ listen 203.0.113.81:443 ssl; server_name auth-{name}.example;
        ssl_certificate {pki}/{name}.pem; ssl_certificate_key {pki}/{name}.key; return 200; }}"""
        path = f"{self.dir}/nginx.conf"
        with open(path, "w", encoding="ascii") as file:
            file.write(f"""daemon off; master_process off; pid {self.dir}/nginx.pid; error_log {self.dir}/nginx.log;
user www-data; worker_rlimit_nofile {self.files};
events {{ worker_connections {self.files // 2}; }}
http {{
    access_log off; default_type text/plain; keepalive_requests 1000000; client_max_body_size 0; sendfile on;
    client_body_temp_path {self.shm}/upload; proxy_temp_path {self.dir}/n1; fastcgi_temp_path {self.dir}/n2;
    uwsgi_temp_path {self.dir}/n3; scgi_temp_path {self.dir}/n4;
    ssl_certificate {pki}/server.pem; ssl_certificate_key {pki}/server.key;
    server {{
        {listen(80, " default_server backlog=4096")}
        {listen(443, " default_server ssl backlog=4096")}
        server_name www.example;
        location / {{ return 200 "hello from $host, asked by $remote_addr\\n"; }}
        location /file/ {{ alias {self.shm}/; }}
        location /upload/ {{ root {self.shm}; dav_methods PUT; }}
    }}{servers}
}}
""")
        return self.spawn("web", ["nginx", "-c", path, "-p", self.dir], f"{self.dir}/nginx.out")

    def start_haproxy(self, server, wait=True, **options):
        """options upon the usual ones: cert and ca, names in the PKI; minimum and maximum, of TLS; extra, more words
        for the bind line. One that runs already hands its port over without a gap, and its sessions live on."""
        options = {"cert": "server", "ca": "ca", "minimum": "TLSv1.2", "maximum": "TLSv1.3", "extra": "", **options}
        four, six = PROXIES[server]
        path = f"{self.dir}/{server}.cfg"
        with open(path, "w", encoding="ascii") as file:
            file.write(f"""global
    stats socket {self.dir}/{server}.sock level admin
    maxconn {self.files // 2 - 100}
    nbthread 1
    tune.ssl.cachesize 10000
defaults
    mode tcp
    timeout connect 5s
    timeout client 1h
    timeout server 1h
listen secure
    bind {four}:{SECURE_PORT},[{six}]:{SECURE_PORT} backlog 4096 ssl crt {self.dir}/pki/{options["cert"]}.both.pem """
                       f"""ca-file {self.dir}/pki/{options["ca"]}.pem crl-file {self.dir}/pki/crl.pem verify required """
                       f"""ssl-min-ver {options["minimum"]} ssl-max-ver {options["maximum"]} {options["extra"]}
    server squid {four}:{PLAIN_PORT}
""")
        old = self.haproxies.get(server)
        child = self.spawn("gw", ["haproxy", "-db", "-f", path] + (["-sf", str(old.pid)] if old else []),
                           f"{self.dir}/{server}.out")
        child.options = options
        self.haproxies[server] = child
        if old:
            self.retired.append(old)
        if wait:
            self.wait_haproxy(server)

    def wait_haproxy(self, server):
        """Until it runs, and it alone: its ports are open some time earlier."""
        child = self.haproxies[server]

        def answers():
            if child.poll() is not None:
                raise LabError(f"haproxy ended with {child.returncode}: {tail(child.log)}")
            with contextlib.suppress(OSError):
                if f"Pid: {child.pid}\n" not in self.haproxy(server, "show info"):
                    return False
            listeners = self.run("gw", ["ss", "-Hltn", f"src {PROXIES[server][0]}:{SECURE_PORT}"], check=True).stdout
            return len(listeners.splitlines()) == 1
        wait_for(answers, 10, f"haproxy of {server}")

    def stop_haproxy(self, server):
        """With all its sessions."""
        self._kill(self.haproxies.pop(server))

    def restore_haproxies(self):
        """As they were in the beginning; the sessions of those before end."""
        for child in self.retired:
            self._kill(child)
        self.retired = []
        for server in PROXIES:
            child = self.haproxies.get(server)
            if not child or child.poll() is not None or child.options != self.usual:
                if child:
                    self.stop_haproxy(server)
                self.start_haproxy(server)

    def _kill(self, child):
        child.kill()
        child.wait()
        if child in self.children:
            self.children.remove(child)

    def haproxy(self, server, text):
        """One command on HAProxy's control socket; returns its answer."""
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(5)
            sock.connect(f"{self.dir}/{server}.sock")
            sock.sendall(text.encode() + b"\n")
            answer = b""
            while chunk := sock.recv(65536):
                answer += chunk
        return answer.decode()

    def set_server_cert(self, server, name="server"):
        """name: of a certificate in the PKI: server (good), wrong-name, expired, wrong-issuer. The port stays open."""
        self.start_haproxy(server, **{**self.haproxies[server].options, "cert": name})

    def set_client_ca(self, server, name="ca"):
        """Whose client certificates are accepted: ca, or other-ca, which refuses ours. The port stays open."""
        self.start_haproxy(server, **{**self.haproxies[server].options, "ca": name})

    def make_file(self, name, size):
        """A file that nginx serves as /file/NAME; returns its path."""
        path = f"{self.shm}/{name}"
        if not os.path.exists(path) or os.path.getsize(path) != size:
            block = os.urandom(1048573)  # a prime: no period that a buffer size could hide
            with open(path, "wb") as file:
                left = size
                while left > 0:
                    left -= file.write(block[:left])
        return path

    def access_log(self):
        """What Squid has served: (client, listener, method, target, status) of every request, oldest first."""
        with open(f"{self.dir}/squid/access.log", encoding="utf-8", errors="replace") as file:
            return [tuple(line.split()[1:]) for line in file]

    # -- faults --

    def _make_gate_table(self):
        self.nft("gw", """table inet lab {
    counter leaked { }
    counter plain { }
    chain probe {
        type filter hook prerouting priority raw;
        iifname "h0" meta l4proto { tcp, udp, udplite, sctp, dccp } th dport { 80, 443 } counter name leaked
        iifname "h0" exthdr rt exists counter name leaked
        iifname "h0" ip option lsrr exists counter name leaked
        iifname "h0" ip option ssrr exists counter name leaked
        iifname "h0" tcp dport 8080 tcp flags syn / syn,ack counter name plain
    }
    chain faults { type filter hook input priority filter; }
    chain faults_beyond { type filter hook forward priority filter; }
}
""")

    def clear_faults(self):
        """Every fault of the network gone."""
        self.delay(None)
        self.nft("gw", "flush chain inet lab faults\nflush chain inet lab faults_beyond\n")

    def fault(self, how, port=SECURE_PORT, server=None):
        """how: reject (every packet is answered with RST), refuse (only new connections are), drop (silence).
        server None: all of them."""
        verdict = {"reject": "reject with tcp reset", "refuse": "tcp flags syn / syn,ack reject with tcp reset",
                   "drop": "drop"}[how]
        for four, six in [PROXIES[server]] if server else PROXIES.values():
            self.nft("gw", f'add rule inet lab faults iifname "h0" ip daddr {four} tcp dport {port} {verdict}\n'
                           f'add rule inet lab faults iifname "h0" ip6 daddr {six} tcp dport {port} {verdict}')

    def nft(self, space, text):
        done = self.run(space, ["nft", "-f", "-"], input=text)
        if done.returncode:
            raise LabError(f"nft in {space}: {done.stderr}")

    def _counter(self, name):
        out = json.loads(self.run("gw", ["nft", "-j", "list", "counter", "inet", "lab", name], check=True).stdout)
        return next(item["counter"]["packets"] for item in out["nftables"] if "counter" in item)

    def leaked(self):
        """Packets to ports 80 and 443 that have left the host since reset_counters()."""
        return self._counter("leaked")

    def to_plain_port(self):
        """Attempts to connect to the plain port of a proxy since reset_counters(). (Of connections, the end of an
        earlier test's may still be under way.)"""
        return self._counter("plain")

    def forget_connections(self):
        """Ends what the host's programs left behind: with no rules, what they send once more would go straight out."""
        self.run("host", ["ss", "-K", "-t", "state", "connected"])

    def forget_tracking(self):
        """Of the host's connections. While the kernel remembers those of other tests, a redirected one may get another port
        number: then nobody can tell whose it is."""
        delete, subsystem, ipv = 2, 1, 0
        with self.socket("host", socket.AF_NETLINK, socket.SOCK_RAW, 12) as sock:  # NETLINK_NETFILTER
            sock.send(struct.pack("=IHHII", 20, subsystem << 8 | delete, 5, 1, 0) + struct.pack("=BBH", ipv, 0, 0))
            answer = sock.recv(4096)
        if struct.unpack_from("=i", answer, 16)[0] != 0:
            raise LabError("conntrack cannot be flushed")

    def reset_counters(self):
        self.run("gw", ["nft", "reset", "counters", "table", "inet", "lab"], check=True)

    def network(self, up):
        """Takes the host's only link down, or brings it back with its addresses and routes."""
        if up:
            self._ip("host", f"link set up0 up\naddress replace {HOST6}/64 dev up0 nodad\n"
                             "route replace default via 192.0.2.1\nroute replace default via 2001:db8:1::1\n")
        else:
            self._ip("host", "link set up0 down\n")

    def delay(self, milliseconds, loss=0, rate=None, mtu=None):
        """A slow link between host and gw: milliseconds of a round trip, loss in percent and rate in Mbit/s of each
        way, mtu: the largest packet that arrives, larger ones vanish without a word. None takes all of it away. Devices
        and addresses stay as they are, and so do the connections."""
        self._end_slow_link()
        if milliseconds is None:
            return
        words = [f"delay={milliseconds / 2}", f"loss={loss}", f"rate={rate or 0}", f"mtu={mtu or 0}"]
        ends = [word for space, device in SLOW_ENDS for word in (f"{self.name}-{space}", device)]
        with open(f"{self.dir}/slowlink.out", "ab") as file:
            self.slow = subprocess.Popen([self._slowlink(), *ends, *words], stdin=subprocess.PIPE,
                                         stdout=subprocess.PIPE, stderr=file)
        if self.slow.stdout.readline() != b"ready\n":
            raise LabError(f"slowlink ended with {self.slow.wait()}: {tail(file.name)}")
        for space, device in SLOW_ENDS:
            self._ip(space, "link set slow addrgenmode none\nlink set slow up\n")
            self._tc(space, "qdisc", "add", "dev", device, "clsact")
            self._tc(space, "filter", "add", "dev", device, "egress", "protocol", "all", "u32", "match", "u32", "0", "0",
                     "action", "mirred", "egress", "redirect", "dev", "slow")

    def _end_slow_link(self):
        """The filters first: nothing is led into a device that is going. What is under way is lost."""
        if not self.slow:
            return
        for space, device in SLOW_ENDS:
            with contextlib.suppress(LabError):
                self._tc(space, "qdisc", "del", "dev", device, "clsact")
        self.slow.kill()
        self.slow.wait()
        self.slow.stdin.close()
        self.slow.stdout.close()
        self.slow = None

    def _tc(self, space, *args):
        command(["tc", "-n", f"{self.name}-{space}", *args])

    def _slowlink(self):
        """The program: make check has built it, or it is built now."""
        built = f"{self.build}/tests/lab/slowlink"
        if os.access(built, os.X_OK):
            return built
        own = f"{self.dir}/slowlink"
        if not os.path.exists(own):
            command(["cc", "-std=gnu11", "-O2", "-o", own, os.path.join(HERE, "slowlink.c")])
        return own

    # -- clients --

    def curl(self, url, *args, space="host", timeout=10):
        """A browser-like client. Returns (exit status, HTTP status, text or error message)."""
        done = self.run(space, ["curl", "-sS", "-m", str(timeout), "--cacert", f"{self.dir}/pki/ca.pem",
                                "-w", "\n%{http_code}", *args, url])
        text, _, code = done.stdout.rpartition("\n")
        return done.returncode, int(code or 0), (text if done.returncode == 0 else done.stderr).strip()

    # -- the daemon --

    def config(self, changes=None):
        """Text of a configuration: the lab's own values with changes {section: {key: value}} upon them; a list value
        repeats the key, None leaves it out."""
        pki = f"{self.dir}/pki"
        sections = {
            "Proxy": {"Servers": "gw.example", "SecurePort": SECURE_PORT, "Port": PLAIN_PORT},
            "SecureChannel": {"Enabled": "yes", "AllowFallback": "no", "AuthURL": "", "TrustedCA": f"{pki}/ca.pem",
                              "Certificate": f"{pki}/client.pem", "PrivateKey": f"{pki}/client.key"},
            "Test": {"ConnectTimeout": "1s", "HandshakeTimeout": "2s", "RetryMax": "1s"},
            "Log": {"Level": "info"},
            "Relay": {"Processes": 2},
        }
        for section, keys in (changes or {}).items():
            sections.setdefault(section, {}).update(keys)
        text = ""
        for section, keys in sections.items():
            text += f"[{section}]\n"
            for key, value in keys.items():
                for one in value if isinstance(value, (list, tuple)) else [value]:
                    text += "" if one is None else f"{key}={one}\n"
            text += "\n"
        return text

    def daemon(self, changes=None, **kwargs):
        return Daemon(self, self.config(changes), **kwargs)


def setns(descriptor):
    if LIBC.setns(descriptor, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


def sysctl(key, value):
    with open(f"/proc/sys/{key}", "w", encoding="ascii") as file:
        file.write(str(value))


def default_build():
    """Where penstockd and penstock are: PENSTOCK_BUILD, or the newest usual place in the source tree."""
    top = os.path.dirname(os.path.dirname(HERE))
    for directory in (os.environ.get("PENSTOCK_BUILD"), f"{top}/build/normal", f"{top}/build/run/normal", f"{top}/build", top):
        if directory and os.access(f"{directory}/penstockd", os.X_OK):
            return os.path.abspath(directory)
    return os.path.abspath(os.environ.get("PENSTOCK_BUILD", f"{top}/build/normal"))


def tail(path, size=2000):
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read()[-size:].strip()


class Daemon:
    """penstockd in the lab's host namespace, as root with -u daemon, as in production."""

    count = 0
    lock = threading.Lock()

    def __init__(self, lab, config, environment=None, arguments=(), prefix=()):
        with Daemon.lock:
            Daemon.count += 1
            self.dir = f"{lab.dir}/penstock{Daemon.count}"
        self.lab = lab
        self.path = f"{self.dir}/penstock.conf"
        self.control = f"{self.dir}/run/control.sock"
        self.log_path = f"{self.dir}/log"
        self.environment = dict(os.environ, PENSTOCK_CONTROL=self.control, **(environment or {}))
        self.environment.pop("NOTIFY_SOCKET", None)
        self.arguments = list(arguments)
        self.prefix = list(prefix)
        self.child = None
        os.makedirs(f"{self.dir}/run")
        shutil.chown(f"{self.dir}/run", "daemon")
        self.write(config)

    def write(self, config):
        with open(self.path, "w", encoding="utf-8") as file:
            file.write(config)

    def start(self, wait=True):
        argv = [*self.prefix, f"{self.lab.build}/penstockd", "-c", self.path, "-u", "daemon", "-S", self.control,
                *self.arguments]
        self.child = self.lab.spawn("host", argv, self.log_path, env=self.environment)
        if wait:
            wait_for(lambda: self.child.poll() is not None or self.ask("status"), 20, "penstockd's control socket")
            if self.child.poll() is not None:
                raise LabError(f"penstockd ended with {self.child.returncode}:\n{self.log()}")
        return self

    def stop(self, timeout=10):
        """SIGTERM as systemctl stop; returns the exit status."""
        if not self.child:
            return None
        self.child.terminate()
        try:
            status = self.child.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            raise LabError(f"penstockd did not stop in {timeout} s:\n{self.log()}") from None
        self._forget()
        return status

    def kill(self):
        if self.child:
            self.child.kill()
            self.child.wait()
            self._forget()

    def _forget(self):
        if self.child in self.lab.children:
            self.lab.children.remove(self.child)
        self.child = None

    @property
    def pid(self):
        return self.child.pid

    def log(self):
        try:
            with open(self.log_path, encoding="utf-8", errors="replace") as file:
                return file.read()
        except FileNotFoundError:
            return ""

    def wait_log(self, text, timeout=10, after=0):
        """Waits until the log, from byte after on, has a line with that text; returns the line."""
        def find():
            return next((line for line in self.log()[after:].splitlines() if text in line), None)
        return wait_for(find, timeout, lambda: f'"{text}" in the log:\n{self.log()[after:]}')

    def ask(self, verb, timeout=10):
        """One request on the control socket: the JSON lines of the answer, [] when nobody answers."""
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(timeout)
            try:
                sock.connect(self.control)
                sock.sendall(verb.encode() + b"\n")
                data = b""
                while chunk := sock.recv(65536):
                    data += chunk
            except OSError:
                return []
        return [json.loads(line) for line in data.splitlines()]

    def status(self):
        answer = self.ask("status")
        return answer[0] if answer else {"status": None}

    def wait_status(self, text, timeout=15):
        return wait_for(lambda: (lambda s: s if s["status"] == text else None)(self.status()), timeout,
                        lambda: f'status "{text}", is "{self.status()["status"]}", log:\n{self.log()}')

    def cli(self, *args, **kwargs):
        """The command line, as root in the host namespace: a CompletedProcess."""
        return self.lab.run("host", [f"{self.lab.build}/penstock", *args], env=self.environment, **kwargs)

    def children(self):
        """Process ids by kind: {"prober": [pid], "relay": [pid, …]}."""
        found = {"prober": [], "relay": []}
        for pid in children_of(self.pid):
            with contextlib.suppress(OSError):
                with open(f"/proc/{pid}/cmdline", "rb") as file:
                    line = file.read().decode(errors="replace")
                for kind, pids in found.items():
                    if f"--child={kind}" in line:
                        pids.append(pid)
        return found

    def table(self):
        """nft list table inet penstock; empty text when there is none."""
        return self.lab.run("host", ["nft", "list", "table", "inet", "penstock"]).stdout

    def chain(self, name):
        """One chain of the table, as nft list chain prints it, without the lines around it."""
        out = self.lab.run("host", ["nft", "list", "chain", "inet", "penstock", name]).stdout
        return "\n".join(line[1:] for line in out.splitlines() if line.startswith("\t"))


def children_of(pid):
    try:
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
            return [int(child) for child in file.read().split()]
    except OSError:
        return []


# ---- command line ----

USAGE = """usage: tests/lab/lab up [NAME]          makes a lab that stays (NAME: demo)
       tests/lab/lab down [NAME]        removes it
       tests/lab/lab list               the labs there are
       tests/lab/lab exec [-n NAME] host|gw|web COMMAND…
       tests/lab/lab run COMMAND…       makes a lab, runs COMMAND in its host namespace, removes the lab
"""


def main(argv):
    verb, args = (argv[0], argv[1:]) if argv else ("", [])
    if verb == "up" and len(args) <= 1:
        return up_detached(args[0] if args else "demo")
    if verb == "keep":
        return keep(args[0])
    if verb == "down" and len(args) <= 1:
        return down_detached(args[0] if args else "demo")
    if verb == "reap":
        return reap(args[0])
    if verb == "list":
        remove_stale()
        print("\n".join(sorted(e[len(PREFIX):] for e in os.listdir("/tmp") if e.startswith(PREFIX))))
        return 0
    if verb == "exec" and len(args) >= 2:
        name = "demo"
        if args[0] == "-n":
            name, args = args[1], args[2:]
        os.execvp("ip", ["ip", "netns", "exec", f"{PREFIX}{name}-{args[0]}", *args[1:]])
    if verb == "run" and args:
        end_on_signals()
        with Lab() as lab:
            return subprocess.run(lab.argv("host", args), env=dict(os.environ, PENSTOCK_LAB=lab.dir)).returncode
    sys.stderr.write(USAGE)
    return 64


def end_on_signals():
    """SIGTERM and SIGHUP end the program as SIGINT does, through its finally clauses."""
    def end(number, _frame):
        raise SystemExit(128 + number)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, end)


def up_detached(name):
    keeper = subprocess.Popen([sys.executable, "-B", os.path.join(HERE, "lab.py"), "keep", name],
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, start_new_session=True)
    line = keeper.stdout.readline()
    if line.strip() != "up":
        return keeper.wait() or 1
    print(f"lab {name} is up: tests/lab/lab exec -n {name} host sh; certificates in {directory_of(PREFIX + name)}/pki")
    return 0


def keep(name):
    end_on_signals()
    with Lab(name):
        print("up", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            signal.pause()
    return 0


def down_detached(name):
    directory = directory_of(PREFIX + name)
    try:
        with open(f"{directory}/owner", encoding="ascii") as file:
            pid, start = file.read().split()[:2]
    except OSError:
        print(f"no lab {name}", file=sys.stderr)
        return 1
    if process_start(pid) == start:
        os.kill(int(pid), signal.SIGTERM)
        wait_for(lambda: not os.path.exists(directory), 20, f"{directory} to go")
    else:
        remove(PREFIX + name)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except LabError as error:
        sys.exit(f"lab: {error}")
