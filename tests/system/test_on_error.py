# SPDX-License-Identifier: GPL-2.0-or-later
"""A penstockd that cannot start leaves web traffic closed (OnError=block), and nothing else changed. What the unit does
where penstockd cannot do it itself is shown on a booted machine (tests/vm/test_on_error.py)."""

import os
import socket

import lab as labs
import pytest


@pytest.fixture
def fail(lab, tmp_path):
    """fail(TEXT, arguments…): penstockd with that configuration, which must end with an error; (exit status, what it said)."""
    def run(text, *arguments, path=None):
        path = path or f"{tmp_path}/penstock.conf"
        if text is not None:
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)
        os.chmod(tmp_path, 0o755)
        done = lab.run("host", [f"{lab.build}/penstockd", "-c", str(path), "-S", f"{tmp_path}/run/control.sock", *arguments],
                       timeout=20)
        assert done.returncode not in (0, None)
        return done.returncode, done.stdout + done.stderr

    yield run
    lab.run("host", ["nft", "delete", "table", "inet", "penstock"])


def table(lab):
    done = lab.run("host", ["nft", "list", "table", "inet", "penstock"])
    return done.stdout if done.returncode == 0 else None


def is_closed(lab, port=443):
    for address in (labs.WWW4, labs.WWW6):
        with pytest.raises(ConnectionRefusedError):
            lab.connect("host", address, port)
        with lab.socket("host", socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM) as sock:
            with pytest.raises(OSError):
                sock.sendto(b"quic", (address, port))
    assert lab.leaked() == 0


GOOD = "[Proxy]\nServers=gw.example\nSecurePort=8081\n"


@pytest.mark.parametrize("text,arguments,status,comment", [
    (GOOD + "Nonsense=1\n", (), 78, "the configuration cannot be used"),
    ("[Proxy]\nServers=gw.example\n", (), 78, "the configuration cannot be used"),
    (GOOD + "[Failure]\nOnError=maybe\n", (), 78, "the configuration cannot be used"),
    (GOOD + "[Redirect]\nPorts=none\n", (), 78, "the configuration cannot be used"),
    ("\0" * 4096 + GOOD, (), 78, "the configuration cannot be used"),
    (GOOD, ("-u", "nobody-of-that-name"), 67, "penstockd cannot become its user"),
    (GOOD, ("-u", "root"), 64, "penstockd cannot become its user")],
    ids=["mistake", "missing key", "OnError that is none", "no ports", "NUL bytes", "no user", "root"])
def test_a_start_that_fails_closes_the_gate(lab, fail, text, arguments, status, comment):
    assert lab.curl(f"http://{labs.WWW4}/")[:2] == (0, 200)
    lab.reset_counters()
    code, said = fail(text, *arguments)
    assert code == status and "web traffic is refused (OnError=block)" in said and "nft delete table inet penstock" in said
    assert f'comment "Blocked - Local error: {comment}' in table(lab)
    is_closed(lab)


def test_what_could_be_read_counts(lab, fail):
    fail(GOOD + "Nonsense=1\n[Redirect]\nPorts=8443\n[Bypass]\nNetworks=203.0.113.0/24\n")
    text = table(lab)
    assert "elements = { 8443 }" in text and "203.0.113.0/24" in text


@pytest.mark.parametrize("what", ["directory", "unreadable drop-in"])
def test_a_file_that_cannot_be_read_may_name_a_server(lab, fail, tmp_path, what):
    path = tmp_path / "penstock.conf"
    if what == "directory":
        path.mkdir()
        text = None
    else:
        text = "[Log]\nLevel=info\n"
        (tmp_path / "penstock.conf.d" / "10.conf").mkdir(parents=True)
    code, _ = fail(text)
    assert code == 78
    is_closed(lab)


@pytest.mark.parametrize("text", [None, "[Log]\nLevel=nonsense\n", "[Proxy]\n#Servers=gw.example\n"],
                         ids=["no file", "a mistake, and no server", "no server"])
def test_without_a_server_nothing_changes(lab, fail, text):
    assert fail(text)[0] == 78
    assert table(lab) is None
    assert lab.curl(f"http://{labs.WWW4}/")[:2] == (0, 200)


def test_on_error_open_changes_nothing(lab, fail):
    code, said = fail(GOOD + "Nonsense=1\n[Failure]\nOnError=open\n")
    assert code == 78 and "OnError=open" in said
    assert table(lab) is None


def test_a_second_penstockd_leaves_the_rules_of_the_first(lab, daemon, tmp_path):
    one = daemon()
    before = one.table()
    path = tmp_path / "broken.conf"
    path.write_text(GOOD + "Nonsense=1\n")
    done = lab.run("host", [f"{lab.build}/penstockd", "-c", str(path), "-S", one.control], timeout=20)
    assert done.returncode == 78 and "another penstockd runs" in done.stdout + done.stderr
    assert "web traffic to the relay" in before and "web traffic to the relay" in one.table()
    assert one.status()["rules"]["repaired"] == 0
    assert lab.curl("https://www4.example/")[:2] == (0, 200)
