# SPDX-License-Identifier: GPL-2.0-or-later
"""The control socket and the command line on a real daemon."""

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time

import lab as labs
import pytest

SECURE = "Connected (Secure Channel)"
PORT = "Blocked - Secure channel port not available"


def exchange(one, data, timeout=10):
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(timeout)
        sock.connect(one.control)
        if data:
            sock.sendall(data)
        answer = b""
        try:
            while chunk := sock.recv(65536):
                answer += chunk
        except ConnectionResetError:
            pass
        return answer


@pytest.mark.parametrize("data", [b"nonsense\n", b"\n", b"\x00\xff\xfe\n", b"status extra words\n", b"STATUS\n",
                                  b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"{}\n", b"x" * 300, b"x" * 100000 + b"\n",
                                  b"status\nstatus\nstatus\n"])
def test_rubbish_gets_an_error_or_the_end(daemon, data):
    one = daemon()
    answer = exchange(one, data)
    for line in answer.splitlines():
        assert isinstance(json.loads(line), dict)
    if not data.startswith(b"status\n"):
        assert not answer or "error" in json.loads(answer)
    assert one.status()["status"] == SECURE


def test_a_silent_client_is_dropped_after_five_seconds(daemon):
    one = daemon()
    begin = time.monotonic()
    exchange(one, b"stat", timeout=15)
    assert 3 < time.monotonic() - begin < 10
    assert one.status()["status"] == SECURE


def test_silent_clients_do_not_keep_others_out(daemon):
    one = daemon()
    socks = []
    for _ in range(40):
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(5)
        sock.connect(one.control)
        socks.append(sock)
    labs.wait_for(lambda: one.status()["status"] == SECURE, 10, "an answer")
    for sock in socks:
        sock.close()


def test_clients_that_leave_midway_cost_nothing(lab, daemon):
    one = daemon()
    before = len(os.listdir(f"/proc/{one.pid}/fd"))
    for verb in (b"status\n", b"test\n", b"sessions\n", b"sta", b"") * 30:
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(one.control)
            if verb:
                sock.sendall(verb)
    labs.wait_for(lambda: len(os.listdir(f"/proc/{one.pid}/fd")) <= before + 1, 15, "the descriptors")
    labs.wait_for(lambda: one.status()["status"] == SECURE, 10, "an answer")
    assert lab.curl("https://www.example/")[:2] == (0, 200)


def test_a_client_that_does_not_read_its_answer_is_dropped(lab, daemon):
    one = daemon()
    socks = [lab.connect("host", labs.WWW4, 80) for _ in range(200)]
    with socket.socket(socket.AF_UNIX) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        sock.connect(one.control)
        sock.sendall(b"sessions\n")
        for _ in range(20):
            assert one.status()["status"] == SECURE
    for sock in socks:
        sock.close()


def test_everybody_may_ask_for_the_status_and_only_root_for_the_rest(lab, daemon):
    one = daemon()
    assert stat.S_IMODE(os.stat(one.control).st_mode) == 0o666

    def as_nobody(*verb):
        return lab.run("host", ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups",
                                f"{lab.build}/penstock", *verb], env=one.environment)

    assert as_nobody("status").returncode == 0
    for verb in ("test", "sessions", "config", "reload"):
        done = as_nobody(verb)
        assert done.returncode == 1 and done.stderr, (verb, done)
    assert one.cli("sessions").returncode == 0


def test_the_daemons_own_user_is_not_root(lab, daemon):
    """The relays, which meet the network, are of that user: what one of them is made to ask for is refused."""
    one = daemon()
    with open(f"/proc/{one.pid}/status", encoding="ascii") as file:
        uid = next(line.split()[1] for line in file if line.startswith("Uid:"))
    assert uid != "0"
    for verb in ("config", "config secrets", "reload", "test", "sessions"):
        script = ("import socket, sys; sock = socket.socket(socket.AF_UNIX); sock.connect(sys.argv[1]); "
                  "sock.sendall(sys.argv[2].encode() + b'\\n'); print(sock.makefile().read())")
        done = lab.run("host", ["setpriv", f"--reuid={uid}", "--clear-groups", sys.executable, "-c", script, one.control, verb])
        assert done.returncode == 0 and "permission denied" in done.stdout, (verb, done)


def test_one_user_cannot_shut_another_out(lab, daemon):
    one = daemon()
    script = ("import socket, sys, time\nsocks = []\nfor _ in range(60):\n sock = socket.socket(socket.AF_UNIX)\n "
              "sock.connect(sys.argv[1])\n socks.append(sock)\nprint('held', flush=True)\nsys.stdin.read()")
    with subprocess.Popen(lab.argv("host", ["setpriv", "--reuid=65533", "--clear-groups", sys.executable, "-c", script, one.control]),
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE) as greedy:
        try:
            assert greedy.stdout.readline() == b"held\n"
            done = lab.run("host", ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups",
                                    f"{lab.build}/penstock", "status"], env=one.environment)
            assert done.returncode == 0 and SECURE in done.stdout, done
        finally:
            greedy.kill()


def test_config_hides_what_headers_say(daemon):
    one = daemon({"Proxy": {"Header": "Proxy-Authorization: Basic c2VjcmV0"}})
    for args in (["config"], ["config", "--json"]):
        done = one.cli(*args)
        assert done.returncode == 0 and "Header=Proxy-Authorization: (hidden)" in done.stdout, done
        assert "c2VjcmV0" not in done.stdout
        done = one.cli(*args, "--secrets")
        assert done.returncode == 0 and "Header=Proxy-Authorization: Basic c2VjcmV0" in done.stdout, done
    assert one.cli("status", "--secrets").returncode == 64


def test_the_socket_is_removed_at_the_end(daemon):
    one = daemon()
    assert os.path.exists(one.control)
    one.stop()
    assert not os.path.exists(one.control)
    done = one.cli("status")
    assert done.returncode == 1 and len(done.stderr.splitlines()) == 1


def test_a_socket_left_by_a_dead_daemon_is_replaced(daemon):
    one = daemon()
    one.kill()
    assert os.path.exists(one.control)
    one.start()
    one.wait_status(SECURE)


# ---- verbs ----

def test_test_shows_each_stage_and_ends_with_the_verdict(lab, daemon):
    one = daemon()
    lines = one.ask("test")
    assert lines[-1]["status"] == SECURE
    stages = [(line["stage"], line["result"]) for line in lines[:-1]]
    assert ("tcp", "passed") in stages and ("mutual_auth", "passed") in stages
    assert all(line["server"] == "gw.example" and line["ms"] >= 0 for line in lines[:-1])
    done = one.cli("test")
    assert done.returncode == 0 and SECURE in done.stdout
    lab.fault("reject")
    done = one.cli("test")
    assert done.returncode == 4 and PORT in done.stdout and "refused" in done.stdout


@pytest.mark.parametrize("secure,expected", [("open", 0), ("reject", 4)])
def test_test_works_alone_without_a_daemon(lab, secure, expected):
    if secure != "open":
        lab.fault(secure)
    path = f"{lab.dir}/alone.conf"
    with open(path, "w", encoding="ascii") as file:
        file.write(lab.config())
    done = lab.run("host", [f"{lab.build}/penstock", "test", "-c", path], timeout=20)
    assert done.returncode == expected, done
    assert (SECURE if expected == 0 else PORT) in done.stdout
    assert lab.run("host", ["nft", "list", "tables"]).stdout == ""


def test_sessions_are_listed_with_who_and_where(lab, daemon):
    one = daemon()
    assert one.ask("sessions") == []
    client = subprocess.Popen(lab.argv("host", ["curl", "-sN", "--limit-rate", "1k", "-o", "/dev/null",
                                                "http://www4.example/file/slow"]))
    try:
        lab.make_file("slow", 1 << 20)
        listed = labs.wait_for(lambda: [s for s in one.ask("sessions") if s["state"] == "open"], 10, "a session")
        session = listed[0]
        assert session["destination"] == f"{labs.WWW4}:80" and session["name"] == "www4.example"
        assert session["route"] == "secure" and session["proxy"].endswith(":8081")
        assert session["bytes"]["up"] > 0 and session["age_ms"] >= 0
        text = one.cli("sessions").stdout
        assert "curl" in text and "root" in text and "www4.example" in text
    finally:
        client.kill()
        client.wait()
    labs.wait_for(lambda: one.ask("sessions") == [], 10, "no session")


def test_a_thousand_sessions_are_listed(lab, daemon):
    one = daemon({"Log": {"Sessions": "no"}})
    socks = []
    for _ in range(1000):
        sock = lab.connect("host", labs.WWW4, 80)
        sock.sendall(b"GET / HTTP/1.1\r\nHost: www.example\r\n\r\n")
        socks.append(sock)
    labs.wait_for(lambda: len(one.ask("sessions")) == 1000, 20, "1000 sessions")
    ports = {s["client"].rpartition(":")[2] for s in one.ask("sessions")}
    # NAT gives a connection another source port where two of the same port would meet at the relay.
    assert len(ports & {str(sock.getsockname()[1]) for sock in socks}) > 900
    for sock in socks:
        sock.close()


def test_watch_follows_the_verdict(lab, daemon):
    one = daemon({"Test": {"Interval": "1s"}})
    watch = subprocess.Popen(lab.argv("host", [f"{lab.build}/penstock", "status", "--watch", "--json"]),
                             env=one.environment, stdout=subprocess.PIPE, text=True)
    try:
        seen = []

        def sees(text):
            while not seen or json.loads(seen[-1])["status"] != text:
                seen.append(watch.stdout.readline())
            return True

        assert sees(SECURE)
        lab.fault("reject")
        assert sees(PORT)
        lab.clear_faults()
        assert sees(SECURE)
    finally:
        watch.send_signal(signal.SIGINT)
        watch.wait(10)


def test_config_prints_what_can_be_read_again(lab, daemon):
    one = daemon({"Proxy": {"Header": "X-Secret: 1"}, "Bypass": {"Networks": "203.0.113.82/32"}})
    text = one.cli("config").stdout
    assert "203.0.113.82" in text and "Servers=gw.example" in text
    path = f"{lab.dir}/again.conf"
    with open(path, "w", encoding="ascii") as file:
        file.write(text)
    assert lab.run("host", [f"{lab.build}/penstock", "check", path]).returncode == 0
    assert lab.run("host", [f"{lab.build}/penstockd", "-t", "-c", path]).returncode == 0
