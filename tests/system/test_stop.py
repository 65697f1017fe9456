# SPDX-License-Identifier: GPL-2.0-or-later
"""What systemctl stop does, and starts that must not happen."""

import signal

import pytest

SECURE = "Connected (Secure Channel)"


def test_on_stop_open_removes_the_rules(lab, daemon):
    one = daemon({"Failure": {"OnStop": "open"}})
    assert one.stop() == 0
    assert one.table() == ""
    code, http, text = lab.curl("https://www4.example/")
    assert (code, http) == (0, 200) and "192.0.2.100" in text


def test_on_stop_block_leaves_a_closed_gate(lab, daemon):
    one = daemon({"Failure": {"OnStop": "block"}})
    assert one.stop() == 0
    assert "table inet penstock" in one.table() and "web traffic to the relay" not in one.table()
    assert lab.curl("https://www4.example/", timeout=4)[0] == 7
    assert lab.curl("https://www6.example/", timeout=4)[0] == 7
    assert lab.leaked() == 0
    daemon()  # and the next one opens it
    assert lab.curl("https://www4.example/")[:2] == (0, 200)


def test_a_restart_never_opens_the_gate_whatever_on_stop_says(lab, daemon):
    """The unit sends SIGUSR1 before systemd's SIGTERM when the stop is part of a restart or of a shutdown."""
    one = daemon({"Failure": {"OnStop": "open"}})
    one.child.send_signal(signal.SIGUSR1)
    assert one.stop() == 0
    assert "Blocked - penstock is stopped" in one.table() and "web traffic to the relay" not in one.table()
    assert lab.curl("https://www4.example/", timeout=4)[0] == 7
    assert lab.leaked() == 0
    one = daemon({"Failure": {"OnStop": "open"}})
    assert lab.curl("https://www4.example/")[:2] == (0, 200)
    assert one.stop() == 0
    assert one.table() == ""


def test_stop_is_quick_with_open_sessions(lab, daemon):
    one = daemon()
    socks = [lab.connect("host", "203.0.113.80", 80) for _ in range(20)]
    for sock in socks:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: www.example\r\n\r\n")
        assert b"200" in sock.recv(65536)
    assert one.stop(timeout=5) == 0
    for sock in socks:
        sock.close()


def test_stop_while_testing(lab, daemon):
    lab.fault("drop")
    one = daemon({"Test": {"ConnectTimeout": "10s"}}, status="Blocked - Testing")
    assert one.stop(timeout=5) == 0


def test_nothing_is_left_behind_but_what_on_stop_says(lab, daemon):
    before = lab.run("host", ["nft", "list", "ruleset"]).stdout
    one = daemon()
    one.stop()
    assert lab.run("host", ["nft", "list", "ruleset"]).stdout == before


@pytest.mark.parametrize("text,line", [
    ("[Proxy]\nServers=gw.example\nSecurePort=8081\nNonsense=1\n", 4),
    ("[Proxy]\nServers=gw.example\nSecurePort=none\n", 3),
    ("[Proxy]\nServers=gw.example\nSecurePort=8081\nSelect=fastest\n", 4),
    ("[Proxy]\nServers=gw.example\nSecurePort=8081\n[Portal]\nDetect=yes\n", 5),
    ("[Proxy]\nServers=gw.example\nSecurePort=8081\n[Redirect]\nIntercept=forwarded\n", 5),
    ("Servers=gw.example\n", 1),
], ids=["unknown key", "bad value", "not built", "section not built", "value not built", "no section"])
def test_a_bad_configuration_is_refused_with_its_place_and_78(lab, text, line):
    path = f"{lab.dir}/bad.conf"
    with open(path, "w", encoding="ascii") as file:
        file.write(text)
    for arguments in (["-t"], ["-u", "daemon", "-S", f"{lab.dir}/no.sock"]):
        done = lab.run("host", [f"{lab.build}/penstockd", "-c", path, *arguments], timeout=20)
        assert done.returncode == 78, done
        assert f"{path}:{line}" in done.stderr, done.stderr
    table = lab.run("host", ["nft", "list", "table", "inet", "penstock"]).stdout
    names_a_server = line > 1
    assert ('comment "Blocked - Local error: the configuration cannot be used"' in table) == names_a_server, table


def test_options_have_long_names(lab):
    def run(*arguments):
        done = lab.run("host", [f"{lab.build}/penstockd", *arguments], timeout=20)
        return done.returncode, done.stdout

    assert run("--version") == run("-V") and run("-V")[1].startswith("penstockd ")
    assert run("--help") == run("-h") and "--socket=PATH" in run("-h")[1]
    path = f"{lab.dir}/good.conf"
    with open(path, "w", encoding="ascii") as file:
        file.write("[Proxy]\nServers=gw.example\nSecurePort=8081\n")
    assert run("--test", f"--conf={path}")[0] == 0
    assert run("--nonsense")[0] == 64
