# SPDX-License-Identifier: GPL-2.0-or-later
"""penstock(1) without a daemon: a control socket of our own answers it, well or badly."""

import contextlib
import fcntl
import json
import os
import pty
import re
import select
import signal
import socket
import struct
import subprocess
import sys
import termios
import threading
import time

import pytest

TOP = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
sys.path.insert(0, os.path.join(TOP, "tests", "lab"))
import lab  # noqa: E402

PENSTOCK = "penstock"  # set by build()
DEADLINE = 20

STATUS = {
    "verdict": "secure", "status": "Connected (Secure Channel)", "connection_status": "Proxy Trusted", "mode": "secure",
    "reason": None, "cause": None, "detail": None, "since": "2026-01-02T03:04:05Z",
    "proxy": {"server": "gw2.example", "address": "192.0.2.7", "port": 8081},
    "tls": {"version": "TLSv1.3", "cipher": "TLS_AES_128_GCM_SHA256", "server_expires": "2036-01-02T03:04:05Z",
            "client_expires": "2036-01-02T03:04:05Z"},
    "tests": {"tcp": {"result": "passed", "ms": 12.1}, "mutual_auth": {"result": "passed", "ms": 31.0},
              "at": "2026-01-02T03:04:05Z"},
    "rules": {"table": "inet penstock", "installed": True, "changes": 3, "repaired": 0},
    "sessions": {"open": 12, "total": 10342, "failed": 3}, "bytes": {"up": 1, "down": 2}, "pid": 1, "version": "9.9",
}


def status(**changes):
    return {**STATUS, **changes}


BLOCKED = status(verdict="auth-failed", cause="certificate-expired", status="Blocked - Mutual Auth Failed", connection_status="Proxy Mistrust",
                 mode="blocked", reason="Mutual Auth Failed", detail="certificate of 192.0.2.7 expired on 2026-01-01", tls=None)
TESTING = status(verdict="testing", status="Blocked - Testing", mode="blocked", reason="Testing", proxy=None, tls=None)

EXITS = [
    (STATUS, 0),
    (status(verdict="plain", status="Connected (Non-secure)", mode="plain"), 3),
    (status(verdict="no-proxy-direct", status="Direct - No proxy available", mode="direct"), 6),
    (status(verdict="local-error", status="Blocked - Local error", mode="blocked"), 4),
    (status(verdict="not-enforced", status="Not enforced - Local error", mode="open"), 7),
    (BLOCKED, 4),
    (status(verdict="no-proxy", status="Blocked - No proxy available", mode="blocked"), 4),
    (status(verdict="port-not-available", status="Blocked - Secure channel port not available", mode="blocked"), 4),
    (TESTING, 5),
    (status(verdict="no-network", status="Blocked - No network", mode="blocked"), 5),
    # of a daemon that knows more verdicts, or does not name them
    (status(verdict="captive-portal", status="Blocked - Captive portal", mode="blocked"), 4),
    (status(verdict=None, mode="plain"), 3),
    (status(verdict="passive", status="Passive - Corporate network", mode="direct"), 6),
    (status(verdict=None, mode="open"), 7),
]


def lines(*objects):
    return b"".join(json.dumps(o).encode() + b"\n" for o in objects)


class Daemon:
    """A control socket. answer: bytes, or a function of (connection, verb)."""

    def __init__(self, path, answer):
        self.path, self.answer, self.verbs, self.going = str(path), answer, [], True
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.bind(self.path)
        self.socket.listen(16)
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self):
        while self.going:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            threading.Thread(target=self.talk, args=(connection,), daemon=True).start()

    def talk(self, connection):
        with connection, contextlib.suppress(OSError):
            connection.settimeout(DEADLINE)
            request = b""
            while not request.endswith(b"\n"):
                more = connection.recv(256)
                if not more:
                    return
                request += more
            self.verbs.append(request)
            if callable(self.answer):
                self.answer(connection, request.decode().strip())
            else:
                connection.sendall(self.answer)

    def stop(self):
        self.going = False
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)


@pytest.fixture(scope="module", autouse=True)
def build(request):
    global PENSTOCK
    PENSTOCK = os.path.join(request.config.getoption("--build", None) or lab.default_build(), "penstock")
    if not os.access(PENSTOCK, os.X_OK):
        pytest.exit(f"no {PENSTOCK}: build it, or say --build DIRECTORY", returncode=2)


@pytest.fixture(autouse=True)
def clean():
    """In place of the one that needs the lab: here is nothing to clean."""


@pytest.fixture
def daemon(tmp_path):
    started = []

    def start(answer):
        started.append(Daemon(tmp_path / "control.sock", answer))
        return started[-1]

    start.path = str(tmp_path / "control.sock")
    yield start
    for one in started:
        one.stop()


def environment(**more):
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PENSTOCK_CONTROL", "NO_COLOR", "LC_", "LANG"))}
    return {**kept, "LC_ALL": "C.UTF-8", "TZ": "UTC", "TERM": "xterm", **more}


def run(*args, env=None, timeout=DEADLINE, **options):
    return subprocess.run([PENSTOCK, *map(str, args)], env=environment(**(env or {})), capture_output=True, text=True,
                          timeout=timeout, check=False, **options)


def ask(start, *args, **options):
    return run("-S", start.path, *args, **options)


# ---- usage ----

@pytest.mark.parametrize("args", [
    ["nonsense"], ["status", "more"], ["status", "--check", "--watch"], ["help", "me"], ["--nonsense"], ["status", "--watch=x"], ["-S"], ["test", "-c"],
    ["test", "--watch"], ["sessions", "-c", "x"], ["check", "a", "b"], ["test", "x"], [""],
    ["explain"], ["explain", "a", "b"], ["explain", "a:0"], ["explain", "a b"], ["explain", "--watch", "a"],
    ["explain", "--user", "no-such-user", "a"], ["explain", "--user", "@", "a"], ["explain", "--unit", "x.service", "a"],
    ["status", "--user", "root"],
])
def test_wrong_usage_ends_with_64(args):
    result = run(*args)
    assert result.returncode == 64
    assert result.stdout == ""
    assert result.stderr != ""


@pytest.mark.parametrize("verb", ["metrics", "pause", "resume", "report"])
def test_verbs_of_later_versions_are_refused_as_such(verb):
    for args in ([verb], [verb, "www.example"], [verb, "--json"]):
        result = run(*args)
        assert result.returncode == 64
        assert result.stderr == f"penstock: {verb} is not supported by this version\n"


def test_help_and_version_go_to_standard_output():
    for option in ("-h", "--help"):
        result = run(option)
        assert (result.returncode, result.stderr) == (0, "")
        for verb in ("status", "test", "sessions", "explain", "check", "config", "reload"):
            assert f"\n  {verb}" in result.stdout
        assert max(map(len, result.stdout.splitlines())) <= 100
    for option in ("-V", "--version"):
        assert re.fullmatch(r"penstock \d+\.\d+\.\d+\S*\n", run(option).stdout)


# ---- status ----

@pytest.mark.parametrize("answer, exit_status", EXITS, ids=[e[0]["status"] for e in EXITS])
def test_status_says_what_the_daemon_says(daemon, answer, exit_status):
    fake = daemon(lines(answer))
    result = ask(daemon, "status")
    assert (result.returncode, result.stderr) == (exit_status, "")
    assert result.stdout.startswith(f"● {answer['status']}\n")
    assert "\033" not in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= 100
    assert fake.verbs == [b"status\n"]


@pytest.mark.parametrize("answer, exit_status", EXITS, ids=[e[0]["status"] for e in EXITS])
def test_status_json_is_the_daemons_object(daemon, answer, exit_status):
    daemon(lines({**answer, "key": "of a later version"}))
    result = ask(daemon, "status", "--json")
    assert result.returncode == exit_status
    assert json.loads(result.stdout) == {**answer, "key": "of a later version"}
    assert result.stdout.count("\n") == 1


def test_the_socket_is_found_by_option_or_environment(daemon, tmp_path):
    daemon(lines(STATUS))
    assert run("status", env={"PENSTOCK_CONTROL": daemon.path}).returncode == 0
    assert run("status", f"--socket={daemon.path}", env={"PENSTOCK_CONTROL": "/nonexistent"}).returncode == 0
    assert run("status", "-S", tmp_path / "none", env={"PENSTOCK_CONTROL": daemon.path}).returncode == 1


def test_without_utf8_the_page_is_ascii(daemon):
    daemon(lines(status(detail="für \u202eumgedreht")))
    result = ask(daemon, "status", env={"LC_ALL": "C"})
    assert result.stdout.isascii()
    assert result.stdout.startswith("* Connected")
    assert "f?r ?umgedreht" in result.stdout


def test_control_characters_stay_out_of_the_terminal(daemon):
    evil = "\x1b]0;owned\x07\x1b[31m\x9b31m\r\n\x00"
    odd = status(status=evil, connection_status=evil, reason=evil, detail=evil, version=evil,
                 proxy={"server": evil, "address": evil, "port": 1}, tls={"version": evil, "cipher": evil})
    daemon(lines(odd).replace(b"\\u0000", b""))
    for args in (["status"], ["status", "--json"]):
        out = ask(daemon, *args).stdout
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", out)


def test_a_closed_standard_output_is_an_error(daemon):
    daemon(lines(STATUS))
    with open("/dev/full", "w", encoding="ascii") as full:
        result = subprocess.run([PENSTOCK, "-S", daemon.path, "status"], stdout=full, stderr=subprocess.PIPE,
                                env=environment(), timeout=DEADLINE, check=False)
    assert result.returncode == 1
    assert b"standard output" in result.stderr


# ---- a daemon that is not there, or is not itself ----

ALL_VERBS = ["status", "test", "sessions", "top", "config", "reload"]


@pytest.mark.parametrize("verb", ALL_VERBS)
def test_no_daemon_is_said_in_one_line(tmp_path, verb):
    result = run("-S", tmp_path / "none.sock", verb)
    assert result.returncode == 1
    # The status is told without it, too: see test_status.py.
    assert result.stdout.splitlines()[:1] == (["● Not running - web traffic is not under control"] if verb == "status" else [])
    assert result.stderr == (f"penstock: the daemon does not answer: connect to {tmp_path}/none.sock: "
                             "No such file or directory (is penstockd running?)\n")


def test_a_path_that_is_no_socket(tmp_path):
    (tmp_path / "file").write_text("")
    assert "does not answer" in run("-S", tmp_path / "file", "status").stderr
    result = run("-S", "/" + "x" * 200, "status")
    assert result.returncode == 1
    assert "at most" in result.stderr


RUBBISH = [
    b"", b"\n", b"rubbish\n", b"{\n", b"[]\n", b"42\n", b"null\n", b'"text"\n', b"\xff\xfe\n", b"\0\0\n",
    b'{"status": "\xff"}\n', b"[" * 5000 + b"\n", b'{"a":' * 5000 + b"\n", b"1e999999\n", b'{"error": 5}\n', b"{}\n",
    b'{"status": {}}\n', b'{"status": "x", "mode": "unknown"}\n', b'{"ok": "yes"}\n', b'{"config": 5}\n',
]


@pytest.mark.parametrize("answer", RUBBISH, ids=[repr(r[:20]) for r in RUBBISH])
@pytest.mark.parametrize("verb", ["status", "test", "config", "reload"])
def test_rubbish_is_an_error(daemon, verb, answer):
    daemon(answer)
    for args in ([verb], [verb, "--json"]):
        result = ask(daemon, *args)
        assert result.returncode == 1, result
        assert result.stderr.startswith("penstock: ")


@pytest.mark.parametrize("answer", RUBBISH, ids=[repr(r[:20]) for r in RUBBISH])
def test_rubbish_among_sessions_does_no_harm(daemon, answer):
    daemon(lines(SESSION) + answer + lines(SESSION))
    for args in (["sessions"], ["sessions", "--json"]):
        assert ask(daemon, *args).returncode in (0, 1)


@pytest.mark.parametrize("verb", ALL_VERBS)
@pytest.mark.parametrize("cut", [1, 10, 100, -1])
def test_half_a_line_is_an_error(daemon, verb, cut):
    daemon(lines(STATUS)[:cut])
    result = ask(daemon, verb)
    assert result.returncode == 1
    assert "in the middle of a line" in result.stderr


def test_an_answer_in_single_bytes_is_understood(daemon):
    def drip(connection, _):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
        for byte in lines(STATUS):
            connection.sendall(bytes([byte]))

    daemon(drip)
    assert ask(daemon, "status").returncode == 0


def test_a_huge_line_is_refused(daemon):
    def flood(connection, _):
        connection.sendall(b'{"status": "')
        while True:
            connection.sendall(b"x" * 65536)

    daemon(flood)
    for verb in ("status", "sessions"):
        result = ask(daemon, verb)
        assert result.returncode == 1
        assert "larger than 16 MiB" in result.stderr


def test_endless_small_lines_are_refused(daemon):
    def flood(connection, _):
        while True:
            connection.sendall(lines(SESSION) * 100)

    daemon(flood)
    result = ask(daemon, "sessions", timeout=60)
    assert result.returncode == 1
    assert "larger than 16 MiB" in result.stderr


def test_a_large_answer_within_the_limit_is_taken(daemon):
    daemon(lines(status(filler="x" * (8 << 20))))
    assert ask(daemon, "status").returncode == 0


def test_silence_ends_after_ten_seconds(daemon):
    def silent(connection, _):
        connection.recv(1)  # until the client is gone

    daemon(silent)
    began = time.monotonic()
    result = ask(daemon, "status")
    assert result.returncode == 1
    assert "did not answer in time" in result.stderr
    assert 9 < time.monotonic() - began < 15


def test_a_daemon_that_never_accepts_does_not_hang_the_client(tmp_path):
    with socket.socket(socket.AF_UNIX) as listener, contextlib.ExitStack() as queue:
        listener.bind(str(tmp_path / "s"))
        listener.listen(0)
        for _ in range(4):  # fills the backlog
            client = queue.enter_context(socket.socket(socket.AF_UNIX))
            client.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                client.connect(str(tmp_path / "s"))
        result = run("-S", tmp_path / "s", "status")
    assert result.returncode == 1
    assert "does not answer" in result.stderr


@pytest.mark.parametrize("verb", ALL_VERBS)
def test_a_refusal_is_passed_on(daemon, verb):
    daemon(lines({"error": "only root may do that\x1b[31m"}))
    result = ask(daemon, verb)
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == "penstock: only root may do that?[31m\n"


def test_without_a_verb_the_status_is_shown(daemon):
    daemon(lines(STATUS))
    assert ask(daemon).stdout == ask(daemon, "status").stdout
    assert json.loads(ask(daemon, "--json").stdout) == STATUS


def test_help_and_version_are_verbs_too():
    assert run("help").stdout == run("--help").stdout != ""
    assert run("version").stdout == run("--version").stdout
    assert f'penstock {json.loads(run("version", "--json").stdout)["version"]}\n' == run("version").stdout


CHECKS = [
    (STATUS, 0, "PENSTOCK OK - Connected (Secure Channel), by gw2.example | sessions=12 total=10342c failed=3c up=1B down=2B "
                "repaired=0c tcp=12.1ms authentication=31.0ms server_certificate_days="),
    (status(warnings=["something | odd"]), 1, "PENSTOCK WARNING - Connected (Secure Channel), by gw2.example; something / odd | "),
    (status(tls={"client_expires": "2026-01-02T03:04:05Z"}), 1,
     "PENSTOCK WARNING - Connected (Secure Channel), by gw2.example; a certificate expires soon | "),
    (status(verdict="plain", status="Connected (Non-secure)", mode="plain"), 1, "PENSTOCK WARNING - Connected (Non-secure), "),
    (status(verdict="paused", status="Paused", mode="direct"), 1, "PENSTOCK WARNING - Paused, "),
    (status(verdict="passive", status="Passive - Corporate network", mode="direct"), 0, "PENSTOCK OK - Passive - Corporate network"),
    (status(verdict="no-proxy-direct", status="Direct - No proxy available", mode="direct"), 2, "PENSTOCK CRITICAL - Direct - "),
    (status(verdict="not-enforced", status="Not enforced - Local error", mode="open"), 2, "PENSTOCK CRITICAL - Not enforced"),
    (BLOCKED, 2, "PENSTOCK CRITICAL - Blocked - Mutual Auth Failed: certificate of 192.0.2.7 expired on 2026-01-01 | sessions=12 "),
    (status(verdict=None, status="Odd", mode="odd"), 3, "PENSTOCK UNKNOWN - Odd"),
]


@pytest.mark.parametrize("answer, code, text", CHECKS)
def test_check_is_one_line_for_monitoring(daemon, answer, code, text):
    daemon(lines(answer))
    result = ask(daemon, "status", "--check")
    assert (result.returncode, result.stderr, result.stdout.count("\n")) == (code, "", 1)
    assert result.stdout.startswith(text)
    assert result.stdout.count("|") <= 1
    again = ask(daemon, "status", "--check", "--json")
    assert (again.returncode, json.loads(again.stdout)) == (code, answer)


def test_check_without_a_daemon_is_critical(tmp_path):
    result = run("-S", tmp_path / "none.sock", "status", "--check")
    assert (result.returncode, result.stderr) == (2, "")
    assert result.stdout.startswith("PENSTOCK CRITICAL - Not running - ") and result.stdout.count("\n") == 1
    assert run("-S", tmp_path / "none.sock", "status", "--check", "--watch").returncode == 64
    assert run("-S", tmp_path / "none.sock", "sessions", "--check").returncode == 64


def test_the_json_of_the_status_is_an_object_whatever_happens(daemon, tmp_path):
    for path in (tmp_path / "none.sock", "/" + "x" * 200):
        result = run("-S", path, "status", "--json")
        assert result.returncode == 1
        assert json.loads(result.stdout)["running"] is False
    daemon(lines({"error": "no memory"}))
    result = ask(daemon, "status", "--json")
    assert (result.returncode, json.loads(result.stdout)) == (1, {"error": "no memory"})


# ---- test ----

STAGES = [
    {"stage": "tcp", "server": "gw2.example", "address": "192.0.2.7:8081", "result": "passed", "ms": 12.1,
     "detail": None},
    {"stage": "mutual_auth", "server": "gw2.example", "address": "192.0.2.7:8081", "result": "failed", "ms": 31.0,
     "detail": "certificate of 192.0.2.7 expired on 2026-01-01"},
]


def test_stages_come_as_they_end(daemon):
    go_on = threading.Event()

    def slowly(connection, _):
        connection.sendall(lines(STAGES[0]))
        assert go_on.wait(DEADLINE)
        connection.sendall(lines(STAGES[1], BLOCKED))

    daemon(slowly)
    with subprocess.Popen([PENSTOCK, "-S", daemon.path, "test"], stdout=subprocess.PIPE, env=environment()) as process:
        assert process.stdout.readline().decode() == "✓ TCP to the secure port, gw2.example (192.0.2.7:8081), 12.1 ms\n"
        go_on.set()
        rest = process.stdout.read().decode()
    assert process.returncode == 4
    assert rest.startswith("✗ mutual authentication, gw2.example (192.0.2.7:8081), 31.0 ms\n"
                           "  certificate of 192.0.2.7 expired on 2026-01-01\n\n● Blocked - Mutual Auth Failed\n")
    assert "What to do" in rest


@pytest.mark.parametrize("answer, exit_status", EXITS, ids=[e[0]["status"] for e in EXITS])
def test_test_ends_with_the_verdict(daemon, answer, exit_status):
    daemon(lines(STAGES[0], answer))
    assert ask(daemon, "test").returncode == exit_status
    result = ask(daemon, "test", "--json")
    assert result.returncode == exit_status
    assert [json.loads(line) for line in result.stdout.splitlines()] == [STAGES[0], answer]


def test_a_test_without_an_end_has_failed(daemon):
    daemon(lines(*STAGES))
    result = ask(daemon, "test")
    assert result.returncode == 1
    assert "ended before the test did" in result.stderr


# ---- sessions ----

SESSION = {"client": "192.0.2.1:4242", "destination": "198.51.100.7:443", "name": "www.example", "target": "name",
           "route": "secure",
           "proxy": "192.0.2.7:8081", "bytes": {"up": 1234, "down": 5678901}, "age_ms": 61000, "state": "open"}


def test_no_sessions(daemon):
    daemon(b"")
    result = ask(daemon, "sessions")
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.split() == "USER PROCESS UNIT DESTINATION NAME BY ROUTE STATE UP DOWN AGE".split()
    assert ask(daemon, "sessions", "--json").stdout == ""


def test_sessions_are_a_table_with_the_oldest_first(daemon):
    young = {**SESSION, "age_ms": 1000, "name": None, "target": "no-name", "destination": "[2001:db8::7]:443", "client": "[2001:db8::1]:1"}
    daemon(lines(young, SESSION, {}))
    result = ask(daemon, "sessions")
    assert (result.returncode, result.stderr) == (0, "")
    rows = [re.split(r"  +", line) for line in result.stdout.splitlines()]
    assert rows[1] == ["-", "-", "-", "198.51.100.7:443", "www.example", "name", "secure", "open", "1.2 KiB", "5.4 MiB", "1 min 1 s"]
    assert rows[2][3:7] == ["[2001:db8::7]:443", "-", "no-name", "secure"]
    assert rows[3] == ["-"] * 8 + ["0 B", "0 B", "0 s"]


def test_sessions_are_sorted_by_what_is_asked_for(daemon):
    def one(name, up, state="open"):
        return {**SESSION, "name": name, "bytes": {"up": up, "down": 1}, "state": state}

    daemon(lines(one("b", 5), one(None, 9), one("a", 7, "held")))
    def names(*options):
        return [json.loads(line)["name"] for line in ask(daemon, "sessions", "--json", *options).stdout.splitlines()]

    assert names("--sort", "up") == [None, "a", "b"]
    assert names("--sort=name") == ["a", "b", None]
    assert names("--sort", "state")[0] == "a"
    result = ask(daemon, "sessions", "--sort", "colour")
    assert (result.returncode, result.stdout) == (64, "")
    assert "there is no such key, but age, up, down, user" in result.stderr
    assert ask(daemon, "status", "--sort", "up").returncode == 64


def test_top_sums_what_is_open_and_what_has_finished(daemon):
    def done(by, key, sessions, down, others=False):
        return {"by": by, "key": key, "others": others, "sessions": sessions, "failed": 1, "bytes": {"up": 1, "down": down}}

    daemon(lines(SESSION, done("name", "www.example", 4, 10), done("name", "big.example", 1, 10 ** 9),
                 done("name", None, 2, 5), done("name", None, 7, 6, True), done("user", "0", 9, 9), done("user", "4294967290", 1, 1),
                 done("name", "www.example", 1, 1)))
    rows = [line.split() for line in ask(daemon, "top", "--by", "name").stdout.splitlines()]
    assert rows[0] == ["NAME", "OPEN", "TOTAL", "FAILED", "UP", "DOWN"]
    assert rows[1][:4] == ["big.example", "0", "1", "1"]
    assert rows[2][:4] == ["www.example", "1", "6", "2"]
    assert [row[0] for row in rows[3:]] == ["(others)", "-"]
    users = [json.loads(line) for line in ask(daemon, "top", "--json").stdout.splitlines()]
    assert {"user": "root", "others": False, "open": 0, "total": 9, "failed": 1, "bytes": {"up": 1, "down": 9}} in users
    assert "4294967290" in [user["user"] for user in users]
    assert [user["open"] for user in users if user["user"] is None] == [1]
    result = ask(daemon, "top", "--by", "colour")
    assert result.returncode == 64 and "user, unit or name" in result.stderr
    assert ask(daemon, "sessions", "--by", "name").returncode == 64


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_session_leads_to_its_process(daemon, host):
    with socket.create_server((host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET) as listener, \
            socket.create_connection(listener.getsockname()[:2]) as client:
        def text(address):
            return f"[{address[0]}]:{address[1]}" if ":" in address[0] else f"{address[0]}:{address[1]}"

        daemon(lines({**SESSION, "client": text(client.getsockname()), "destination": text(client.getpeername())}))
        answer = json.loads(ask(daemon, "sessions", "--json").stdout)
        table = ask(daemon, "sessions").stdout
    assert answer["uid"] == os.getuid()
    assert answer["pid"] == os.getpid()
    with open("/proc/self/comm", encoding="utf-8") as comm:
        assert answer["process"] == comm.read().strip()
    assert f"{answer['process']}[{os.getpid()}]" in table
    assert answer["user"] in table


# ---- config, reload, check ----

def test_config_is_printed_as_it_is(daemon):
    fake = daemon(lines({"config": "[Proxy]\nServers=gw.example\n#\t\x1b[31m\n"}))
    result = ask(daemon, "config")
    assert (result.returncode, result.stdout) == (0, "[Proxy]\nServers=gw.example\n#??[31m\n")
    assert json.loads(ask(daemon, "config", "--json").stdout)["config"].endswith("\x1b[31m\n")
    assert fake.verbs == [b"config\n"] * 2


def test_reload(daemon):
    fake = daemon(lines({"ok": True}))
    result = ask(daemon, "reload")
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    assert fake.verbs == [b"reload\n"]


def test_reload_passes_warnings_on(daemon):
    daemon(lines({"ok": True, "warnings": ["Ports= is in force after a restart"]}))
    result = ask(daemon, "reload")
    assert (result.returncode, result.stderr) == (0, "Ports= is in force after a restart\n")


def test_reload_prints_every_error(daemon):
    daemon(lines({"ok": False, "errors": ["a.conf:1: one", "a.conf:2: two\x1b", 5]}))
    result = ask(daemon, "reload")
    assert result.returncode == 78
    assert result.stderr.splitlines()[:2] == ["a.conf:1: one", "a.conf:2: two?"]
    result = ask(daemon, "reload", "--json")
    assert result.returncode == 78
    assert json.loads(result.stdout)["ok"] is False


GOOD = "[Proxy]\nServers=gw.example\n[SecureChannel]\nEnabled=no\n"  # no keys, which test_check.py has
BAD = "[Proxy]\nServers=gw.example\nSecurePort=0\nSelect=fastest\n[Nonsense]\n"


def test_check_takes_a_good_configuration(tmp_path):
    path = tmp_path / "good.conf"
    path.write_text(GOOD)
    result = run("check", path)
    assert (result.returncode, result.stdout, result.stderr) == (0, f"{path}: no errors\n", "")
    result = run("check", "--json", path)
    assert json.loads(result.stdout) == {"file": str(path), "ok": True, "errors": [], "warnings": []}


def test_check_finds_every_mistake_at_once(tmp_path):
    path = tmp_path / "bad.conf"
    path.write_text(BAD)
    (tmp_path / "bad.conf.d").mkdir()
    (tmp_path / "bad.conf.d" / "10-more.conf").write_text("[Test]\nInterval=never\n")
    result = run("check", path)
    assert (result.returncode, result.stdout) == (78, "")
    found = result.stderr.splitlines()
    assert [line.split(": ")[0] for line in found] == [f"{path}:3", f"{path}:4", f"{path}:5",
                                                       f"{path}.d/10-more.conf:2"]
    assert "Select= is not supported by this version" in found[1]
    answer = json.loads(run("check", "--json", path).stdout)
    assert (answer["ok"], answer["errors"]) == (False, found)


def test_check_of_a_file_that_is_not_there(tmp_path):
    result = run("check", tmp_path / "none.conf")
    assert result.returncode == 78
    assert result.stderr == f"{tmp_path}/none.conf: No such file or directory\n"


def test_check_survives_bytes_that_are_no_text(tmp_path):
    path = os.fsencode(tmp_path) + b"/\xff\x1b.conf"
    with open(path, "wb") as file:
        file.write(b"[Proxy]\nServers=\xff\xfe\x1b[31m\n\xff=\x00\n" + b"x" * 100000)
    result = subprocess.run([PENSTOCK, "check", "--json", path], capture_output=True, env=environment(),
                            timeout=DEADLINE, check=False)
    assert result.returncode == 78
    assert len(json.loads(result.stdout)["errors"]) >= 2
    result = subprocess.run([PENSTOCK, "check", path], capture_output=True, env=environment(), timeout=DEADLINE,
                            check=False)
    assert not re.search(rb"[\x00-\x09\x0b-\x1f\x7f-\xff]", result.stderr)


def daemon_takes(path):
    """penstockd -t reads the configuration, not the keys that it names."""
    result = subprocess.run([os.path.join(os.path.dirname(PENSTOCK), "penstockd"), "-t", "-c", path], capture_output=True,
                            text=True, timeout=DEADLINE, check=False)
    return result.returncode, result.stderr


def test_the_example_configuration_is_good_once_the_servers_are_filled_in(tmp_path):
    with open(os.path.join(TOP, "data", "penstock.conf.example"), encoding="utf-8") as file:
        example = file.read()
    path = tmp_path / "penstock.conf"
    path.write_text(example)
    assert "Servers= is missing" in run("check", path).stderr
    path.write_text(example.replace("\nServers=\n", "\nServers=gw.example\n"))
    assert daemon_takes(path) == (0, "")


def configurations():
    """Those that README.md and penstock.conf(5) show, but for the example with every key and for drop-in files."""
    with open(os.path.join(TOP, "README.md"), encoding="utf-8") as file:
        found = re.findall(r"```ini[^\n]*\n(.*?)```", file.read(), re.S)
    with open(os.path.join(TOP, "man", "penstock.conf.5"), encoding="utf-8") as file:
        found += re.findall(r"\.Bd -literal\n(.*?)\.Ed", file.read(), re.S)
    return [text for text in found if re.search(r"^Servers=\S", text, re.M)]


def test_the_documentation_shows_good_configurations(tmp_path):
    assert len(configurations()) == 2
    for text in configurations():
        path = tmp_path / "penstock.conf"
        path.write_text(text)
        assert daemon_takes(path) == (0, "")


def test_a_test_alone_refuses_a_bad_configuration(tmp_path):
    path = tmp_path / "bad.conf"
    path.write_text(BAD)
    result = run("test", "-c", path)
    assert (result.returncode, result.stdout) == (78, "")
    assert len(result.stderr.splitlines()) == 3


# ---- on a terminal ----

class Terminal:
    """penstock on a pseudo-terminal."""

    def __init__(self, *args, rows=40, columns=90, env=None):
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.process = subprocess.Popen([PENSTOCK, *args], stdin=slave, stdout=slave, stderr=slave,
                                        env=environment(**(env or {})), start_new_session=True)
        os.close(slave)
        self.seen = ""

    def read(self):
        with contextlib.suppress(OSError):  # EIO: the other end is closed
            if select.select([self.master], [], [], 0.1)[0]:
                self.seen += os.read(self.master, 65536).decode(errors="replace")

    def wait_for(self, text, after=0):
        end = time.monotonic() + DEADLINE
        while text not in self.seen[after:]:
            assert time.monotonic() < end, f"no {text!r} in {self.seen[after:]!r}"
            self.read()
        return self.seen.index(text, after) + len(text)

    def end(self, signum=None):
        if signum:
            self.process.send_signal(signum)
        end = time.monotonic() + DEADLINE
        while self.process.poll() is None:
            assert time.monotonic() < end, "does not end"
            self.read()
        for _ in range(5):
            self.read()
        return self.process.returncode

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self.master)


@pytest.fixture
def terminal():
    made = []

    def make(*args, **options):
        made.append(Terminal(*args, **options))
        return made[-1]

    yield make
    for one in made:
        one.close()


def test_colour_on_a_terminal_only(daemon, terminal):
    daemon(lines(STATUS))
    screen = terminal("-S", daemon.path, "status")
    assert screen.end() == 0
    assert "\033[32m● Connected (Secure Channel)\033[0m" in screen.seen
    for env in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
        plain = terminal("-S", daemon.path, "status", env=env)
        assert plain.end() == 0
        assert "\033" not in plain.seen


@pytest.mark.parametrize("columns, widest", [(20, 40), (60, 60), (90, 90), (300, 100)])
def test_the_page_fits_the_terminal(daemon, terminal, columns, widest):
    daemon(lines({**BLOCKED, "detail": "words that are " * 15}))
    screen = terminal("-S", daemon.path, "status", columns=columns, env={"NO_COLOR": "1"})
    assert screen.end() == 4
    width = max(map(len, screen.seen.splitlines()))
    assert widest - 12 < width <= widest


def test_sessions_fit_the_terminal(daemon, terminal):
    daemon(lines({**SESSION, "name": "a-very-long-name." * 10 + "example"}))
    screen = terminal("-S", daemon.path, "sessions", columns=90, env={"NO_COLOR": "1"})
    assert screen.end() == 0
    assert max(map(len, screen.seen.splitlines())) <= 90
    assert "…" in screen.seen
    assert "example" in ask(daemon, "sessions").stdout  # whole when another program reads it


def test_columns_give_way_where_there_is_no_room_but_never_the_pid(daemon, terminal):
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection(listener.getsockname()) as client:
        text = [f"{address[0]}:{address[1]}" for address in (client.getsockname(), client.getpeername())]
        daemon(lines({**SESSION, "client": text[0], "destination": text[1], "name": "www.example.example.example.org",
                      "bytes": {"up": 99 << 20, "down": 99 << 30}, "age_ms": 7199000}))
        seen = []
        for columns in (200, 100, 96, 92, 88, 84, 80, 76, 72):
            screen = terminal("-S", daemon.path, "sessions", columns=columns, env={"NO_COLOR": "1"})
            assert screen.end() == 0
            head, row = screen.seen.splitlines()[:2]
            assert f"[{os.getpid()}]" in row
            assert max(len(head), len(row)) <= columns
            left = tuple(word for word in ("USER", "UNIT") if word in head.split())
            if left not in seen:
                seen.append(left)
    assert seen == [("USER", "UNIT"), ("USER",), ()]


def test_wide_characters_take_two_columns(daemon, terminal):
    daemon(lines({**SESSION, "name": "日本語日本語日本語日本語"}, {**SESSION, "name": "e\u0301cole.example"}))
    screen = terminal("-S", daemon.path, "sessions", columns=200, env={"NO_COLOR": "1"})
    assert screen.end() == 0
    head, wide, combined = screen.seen.splitlines()[:3]
    at = head.index("BY") - len("日本語日本語日本語日本語")  # as many characters less as columns more
    assert wide[at:].startswith("name  "), screen.seen
    assert combined[head.index("BY") + 1:].startswith("name  "), screen.seen


def test_watch_repaints_and_restores_the_terminal(daemon, terminal):
    fake = daemon(lines(STATUS))
    screen = terminal("-S", daemon.path, "status", "--watch")
    at = screen.wait_for("\033[?1049h")
    at = screen.wait_for("Connected (Secure Channel)", at)
    at = screen.wait_for("Connected (Secure Channel)", at)  # the second time
    fake.answer = lines(BLOCKED)
    screen.wait_for("Blocked - Mutual Auth Failed", at)
    assert screen.end(signal.SIGINT) == 4
    assert screen.seen.endswith("\033[?25h\033[?1049l")


def test_watch_outlives_the_daemon(daemon, terminal):
    fake = daemon(lines(STATUS))
    screen = terminal("-S", daemon.path, "status", "--watch")
    at = screen.wait_for("Connected (Secure Channel)")
    fake.stop()
    at = screen.wait_for("the daemon does not answer", at)
    daemon(lines(BLOCKED))
    at = screen.wait_for("Blocked - Mutual Auth Failed", at)
    assert screen.end(signal.SIGTERM) == 4
    assert screen.seen.endswith("\033[?1049l")


def test_watch_ends_with_1_when_the_daemon_was_gone(daemon, terminal):
    screen = terminal("-S", daemon.path, "status", "--watch")
    at = screen.wait_for("the daemon does not answer")
    screen.wait_for("Not running", at)
    assert screen.end(signal.SIGINT) == 1


def test_watch_can_be_interrupted_while_the_daemon_is_silent(daemon, terminal):
    asked = threading.Event()

    def silent(connection, _):
        asked.set()
        connection.recv(1)

    daemon(silent)
    screen = terminal("-S", daemon.path, "status", "--watch")
    assert asked.wait(DEADLINE)
    began = time.monotonic()
    assert screen.end(signal.SIGINT) == 1
    assert time.monotonic() - began < 5


def test_watch_does_not_scroll_a_small_terminal(daemon, terminal):
    daemon(lines(BLOCKED))
    screen = terminal("-S", daemon.path, "status", "--watch", rows=8)
    at = screen.wait_for("Blocked - Mutual Auth Failed")
    at = screen.wait_for("\033[J", at)
    screen.wait_for("\033[J", at)
    assert screen.end(signal.SIGINT) == 4
    page = screen.seen.split("\033[H")[1].split("\033[J")[0]
    assert page.count("\n") < 8


def test_watch_can_be_stopped_and_goes_on(daemon, terminal):
    daemon(lines(STATUS))
    screen = terminal("-S", daemon.path, "status", "--watch")
    at = screen.wait_for("Connected (Secure Channel)")
    screen.process.send_signal(signal.SIGTSTP)
    at = screen.wait_for("\033[?1049l", at)
    end = time.monotonic() + DEADLINE
    while True:
        with open(f"/proc/{screen.process.pid}/stat", encoding="ascii") as stat:
            if stat.read().rsplit(")", 1)[1].split()[0] == "T":
                break
        assert time.monotonic() < end
        time.sleep(0.01)
    screen.process.send_signal(signal.SIGCONT)
    at = screen.wait_for("\033[?1049h", at)
    screen.wait_for("Connected (Secure Channel)", at)
    assert screen.end(signal.SIGINT) == 0


def test_watch_json_is_one_object_a_second(daemon):
    daemon(lines(STATUS))
    with subprocess.Popen([PENSTOCK, "-S", daemon.path, "status", "--watch", "--json"], stdout=subprocess.PIPE,
                          env=environment()) as process:
        for _ in range(2):
            assert json.loads(process.stdout.readline()) == STATUS
        process.send_signal(signal.SIGINT)
        assert process.wait(DEADLINE) == 0
