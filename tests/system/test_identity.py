# SPDX-License-Identifier: GPL-2.0-or-later
"""Who it was: what the proxy is told by headers with specifiers, and by nobody else than penstock."""

import os
import pwd
import re
import shutil
import socket
import time

import lab as labs
import pytest
import real_proxies
from peers import WITH_GROUPS, Keeping, read_all, read_head, tunnel, unit

PLAIN = "Connected (Non-secure)"
HEADERS = ["X-User: %u", "X-Uid: %U", "X-Unit: %n", "X-Host: %H", "X-All: user=%u; uid=%U; 100%%"]
FAKE = {"Servers": "fake.example", "Header": HEADERS}
NAMELESS = 4711


@pytest.fixture
def squid(lab):
    """A Squid that logs whole heads, behind HAProxy in mode http on the secure port: what it has been asked."""
    lab.forget_tracking()
    with real_proxies.running_programs(lab, "haproxy") as directory:
        yield lambda: real_proxies.heads(directory)


def curl_as(lab, uid, url, *args):
    done = lab.run("host", ["setpriv", f"--reuid={uid}", "--clear-groups", "curl", "-sk", "-m", "10", *args, url])
    assert done.returncode == 0, done
    return done.stdout


def fields(head, name):
    """The values of all fields that somebody could read as that one."""
    said = [line.split(":", 1) for line in head[2]]
    return [value.strip() for key, value in said if re.sub("[^a-z0-9]", "-", key.lower()) == name.lower()]


def asked(squid, path):
    """What Squid was asked for that target: the one such head."""
    found = labs.wait_for(lambda: [head for head in squid() if head[1].endswith(path)], 10, f"{path} in Squid's log")
    assert len(found) == 1, found
    return found[0]


def expect(head, user, uid, unit=None):
    assert fields(head, "X-User") == ([user] if user else []), head
    assert fields(head, "X-Uid") == ([str(uid)] if uid is not None else []), head
    assert fields(head, "X-All") == ([f"user={user}; uid={uid}; 100%"] if user else []), head
    assert fields(head, "X-Host") == [socket.gethostname()], head
    if unit:
        assert fields(head, "X-Unit") == [unit], head


# ---- two users, CONNECT and plain requests ----

def test_the_proxy_is_told_who_asks(lab, daemon, squid):
    daemon({"Proxy": FAKE})
    for user in ("nobody", "games"):
        uid = pwd.getpwnam(user).pw_uid
        curl_as(lab, uid, f"http://www4.example/?{user}")
        expect(asked(squid, f"/?{user}"), user, uid)
        before = len(squid())
        curl_as(lab, uid, "https://www4.example/")
        connect = labs.wait_for(lambda: squid()[before:], 10, "the CONNECT in Squid's log")
        assert [head[0] for head in connect] == ["CONNECT"]
        expect(connect[0], user, uid)
    curl_as(lab, NAMELESS, "http://www4.example/?nameless")
    expect(asked(squid, "/?nameless"), None, NAMELESS)


def test_over_the_plain_route_only_if_that_is_asked_for(lab, daemon, squid):
    changes = {"Proxy": dict(FAKE), "SecureChannel": {"Enabled": "no"}}
    one = daemon(changes, status=PLAIN)
    curl_as(lab, 65534, "http://www4.example/?no")
    expect(asked(squid, "/?no"), None, None)
    changes["Proxy"]["IdentityOnPlain"] = "yes"
    one.write(lab.config(changes))
    assert one.ask("reload") == [{"ok": True}]
    curl_as(lab, 65534, "http://www4.example/?yes")
    expect(asked(squid, "/?yes"), "nobody", 65534)


def test_a_fallback_to_the_plain_port_tells_nothing_more(lab, daemon, squid):
    """The same daemon, on the way down: its first requests go through the channel."""
    one = daemon({"Proxy": FAKE, "SecureChannel": {"AllowFallback": "yes"}, "Test": {"Interval": "200ms"}})
    curl_as(lab, 65534, "http://www4.example/?channel")
    expect(asked(squid, "/?channel"), "nobody", 65534)
    lab.nft("gw", f"add rule inet lab faults ip daddr {labs.FAKE4} tcp dport {labs.SECURE_PORT} reject with tcp reset")
    one.wait_status(PLAIN)
    curl_as(lab, 65534, "http://www4.example/?fallback")
    expect(asked(squid, "/?fallback"), None, None)


def test_the_tests_of_the_proxy_are_nobodys(lab, daemon, squid):
    one = daemon({"Proxy": FAKE, "Test": {"Target": "www4.example:443"}})
    one.ask("test")
    head = labs.wait_for(squid, 10, "a test in Squid's log")[0]
    assert head[:2] == ("CONNECT", "www4.example:443")
    expect(head, None, None)
    assert fields(head, "X-Unit") == []


# ---- what the client says of itself ----

SAID = ["X-User: ann", "x-user: ann", "X-USER:ann", "X_User: ann", "x.user: ann", "X-User:\t ann \t", "X!User: ann",
        "X-User: ann\r\nX-User: ann", "Connection: X-User\r\nX-User: ann", "Connection: close, X-User",
        "X-User:\r\nx-uid: 7", "X-All: user=ann"]


@pytest.mark.parametrize("version", ["1.1", "1.0"])
def test_nothing_of_it_comes_from_the_client(lab, daemon, squid, version):
    daemon({"Proxy": FAKE})
    for i, said in enumerate(SAID):
        with lab.connect("host", labs.WWW4, 80) as sock:
            sock.sendall(f"GET /?{i}. HTTP/{version}\r\nHost: www.example\r\n{said}\r\n\r\n".encode())
            sock.shutdown(socket.SHUT_WR)
            assert b" 200 OK\r\n" in read_all(sock), said
        head = asked(squid, f"/?{i}.")
        expect(head, "root", 0)
        assert not any("ann" in line for line in head[2]), head


FOLDED = ["X-User : ann", "X-User\t: ann", " X-User: ann", "X-Other: 1\r\n X-User: ann", "X-Other: 1\rX-User: ann",
          "X-Other: 1\0X-User: ann", "X\u00a0User: ann", ": ann\r\nX-User: ann"]


@pytest.mark.parametrize("said", FOLDED)
def test_what_somebody_could_read_as_a_field_is_refused(lab, daemon, squid, said):
    daemon({"Proxy": FAKE})
    before = len(squid())
    with lab.connect("host", labs.WWW4, 80) as sock:
        sock.sendall(f"GET / HTTP/1.1\r\nHost: www.example\r\n{said}\r\n\r\n".encode("latin-1"))
        assert read_all(sock).startswith(b"HTTP/1.1 400 ")
    assert not [head for head in squid()[before:] if head[0] == "GET"]


SMUGGLED = b"GET /?smuggled HTTP/1.1\r\nHost: www.example\r\nX-User: ann\r\n\r\n"


def test_each_of_many_pipelined_requests_says_it_once(lab, daemon, squid):
    """Bodies that look like requests, lengths, chunks and trailers between them, all in one write."""
    chunk = b"%x\r\n%s\r\n" % (len(SMUGGLED), SMUGGLED)
    bodies = [b"\r\n",
              b"Content-Length: %d\r\n\r\n%s" % (len(SMUGGLED), SMUGGLED),
              b"Transfer-Encoding: chunked\r\n\r\n%s0\r\n\r\n" % chunk,
              b"Transfer-Encoding: chunked\r\nTrailer: X-User\r\n\r\n%s0\r\nX-Kept: 1\r\n\r\n" % chunk,
              b"X-User: ann\r\n\r\n"]
    daemon({"Proxy": FAKE})
    text = b"".join(b"POST /?pipe%d. HTTP/1.1\r\nHost: www.example\r\nX-User: ann\r\n%s" % (i, body)
                    for i, body in enumerate(bodies))
    with lab.connect("host", labs.WWW4, 80) as sock:
        sock.sendall(text + b"GET /?last. HTTP/1.1\r\nHost: www.example\r\nConnection: close\r\n\r\n")
        assert read_all(sock).count(b"HTTP/1.1 ") == len(bodies) + 1
    for i in range(len(bodies)):
        expect(asked(squid, f"/?pipe{i}."), "root", 0)
    expect(asked(squid, "/?last."), "root", 0)
    assert not [head for head in squid() if "smuggled" in head[1] or any("ann" in line for line in head[2])]


@pytest.mark.parametrize("trailer", [b"X-User: ann", b"x_uid: 7", b"X-Kept: 1\r\nX.User: ann"])
def test_trailers_do_not_carry_it_either(lab, daemon, proxy, trailer):
    """The request is refused before its end, and the proxy's connection reset."""
    body, ends = [], []

    def origin(sock, _head):
        try:
            while part := sock.recv(4096):
                body.append(part)
        finally:
            ends.append(True)

    proxy(origin)
    daemon({"Proxy": FAKE})
    with lab.connect("host", labs.WWW4, 80) as sock:
        sock.sendall(b"POST / HTTP/1.1\r\nHost: www.example\r\nTransfer-Encoding: chunked\r\n\r\n"
                     b"2\r\nok\r\n")
        labs.wait_for(lambda: b"ok" in b"".join(body), 10, "the body's beginning")
        sock.sendall(b"0\r\n%s\r\n\r\n" % trailer)
        read_all(sock)
    labs.wait_for(lambda: ends, 10, "the end of the proxy's connection")
    assert b"ann" not in b"".join(body) and b"\r\n\r\n" not in b"".join(body)


def test_a_tunnel_says_nothing_to_the_server(lab, daemon, proxy):
    got = []
    fake = proxy(tunnel(lambda sock: got.append(sock.recv(1000))))
    daemon({"Proxy": FAKE})
    with lab.connect("host", labs.RAW4, 443) as sock:
        sock.sendall(b"\x00not TLS: X-User: ann\r\n")
        labs.wait_for(lambda: got, 10, "the client's bytes")
    assert got == [b"\x00not TLS: X-User: ann\r\n"]
    head = next(head for head in fake.heads if head.startswith("CONNECT"))
    assert head.count("X-User: root\r\n") == 1 and "ann" not in head


# ---- links that serve one after the other ----

def test_no_link_serves_two_users(lab, daemon, proxy):
    keeping = Keeping()
    proxy(keeping)
    daemon({"Proxy": FAKE, "Relay": {"Processes": 1}})
    for user in ["nobody", "games"] * 4:
        assert curl_as(lab, user, "http://www4.example/") == "ok"
    said = [{re.search("^X-User: (.*)\r$", head, re.M).group(1) for head in heads} for heads in keeping.connections]
    assert sorted(map(sorted, said)) == [["games"], ["nobody"]]
    assert [len(heads) for heads in keeping.connections] == [4, 4]


def test_no_link_serves_two_units(lab, daemon, proxy):
    keeping = Keeping()
    proxy(keeping)
    daemon({"Proxy": FAKE, "Relay": {"Processes": 1}}, prefix=WITH_GROUPS)
    with unit("one.service") as enter_one, unit("two.service") as enter_two:
        for enter in (enter_one, enter_two) * 2:
            done = lab.run("host", ["curl", "-s", "-m", "10", "http://www4.example/"], preexec_fn=enter)
            assert done.stdout == "ok", done
    said = [{re.search("^X-Unit: (.*)\r$", head, re.M).group(1) for head in heads} for heads in keeping.connections]
    assert sorted(map(sorted, said)) == [["one.service"], ["two.service"]]


# ---- the names ----

def test_a_unit_is_the_systems_own(lab, daemon, squid):
    """What a user's manager makes, the user can make himself."""
    daemon({"Proxy": FAKE}, prefix=WITH_GROUPS)
    for i, (name, said) in enumerate([("backup.service", "backup.service"),
                                      ("user@65534.service/app.slice/backup.service", "user@65534.service")]):
        with unit(name) as enter:
            done = lab.run("host", ["setpriv", "--reuid=65534", "--clear-groups", "curl", "-s", "-m", "10",
                                    f"http://www4.example/?unit{i}"], preexec_fn=enter)
        assert done.returncode == 0, done
        expect(asked(squid, f"/?unit{i}"), "nobody", 65534, said)


@pytest.fixture
def passwd(lab):
    """A copy of /etc/passwd, and the prefix that puts it in the place of the host's."""
    path = f"{lab.dir}/passwd"
    shutil.copy("/etc/passwd", path)
    return path, ["unshare", "--mount", "sh", "-c", f'mount --bind {path} /etc/passwd && exec "$@"', "sh"]


@pytest.mark.parametrize("name, said", [("J\u00fcrgen", "J%C3%BCrgen"), ("DOMAIN\\ann", "DOMAIN\\ann"),
                                        ("ann, user=root", "ann%2C%20user=root"), ("50%", "50%25")])
def test_a_name_is_one_value_whatever_is_in_it(lab, daemon, squid, passwd, name, said):
    path, prefix = passwd
    with open(path, "a", encoding="utf-8") as file:
        file.write(f"{name}:x:4321:4321::/:/bin/false\n")
    daemon({"Proxy": FAKE}, prefix=prefix)
    curl_as(lab, 4321, "http://www4.example/?odd")
    expect(asked(squid, "/?odd"), said, 4321)


def test_a_directory_that_does_not_answer_costs_a_second_and_the_header(lab, daemon, squid):
    """A FIFO in the place of /etc/passwd: whoever looks a user up waits."""
    fifo = f"{lab.dir}/fifo"
    os.mkfifo(fifo, 0o644)
    one = daemon({"Proxy": FAKE, "Relay": {"Processes": 1}}, prefix=["unshare", "--mount"])
    done = lab.run("host", ["nsenter", f"--target={one.pid}", "--mount", "mount", "--bind", fifo, "/etc/passwd"])
    assert done.returncode == 0, done
    begin = time.monotonic()
    for i in range(5):
        curl_as(lab, 65534, f"http://www4.example/?wait{i}")
        expect(asked(squid, f"/?wait{i}"), None, 65534)
    assert 1 <= time.monotonic() - begin < 4, "the first waits, the others do not"
    begin = time.monotonic()
    assert one.status()["status"] == "Connected (Secure Channel)"
    assert time.monotonic() - begin < 1, "the gate waits for nobody"
    assert "unnamed" not in one.log()
    os.unlink(fifo)


def test_an_upgrade_says_what_to_do_about_a_percent_sign(lab, daemon, proxy):
    proxy()
    one = daemon({"Proxy": FAKE})
    one.write(lab.config({"Proxy": {"Servers": "fake.example", "Header": "X-Rate: 100% secret"}}))
    done = one.cli("reload")
    line = f"{one.path}:5: Header=: expected %u, %U, %n, %H or %m; a percent sign itself is written %%"
    assert done.returncode == 78 and line in done.stderr and "secret" not in done.stderr, done
