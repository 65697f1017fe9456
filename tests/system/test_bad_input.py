# SPDX-License-Identifier: GPL-2.0-or-later
"""Clients and proxies that misbehave: a clear reason in the log, nothing leaked, nothing lost for the others."""

import contextlib
import socket
import time

import lab as labs
import pytest
from peers import OK, answer, client_hello, read_all, read_exactly, tunnel

SECURE, PLAIN = "Connected (Secure Channel)", "Connected (Non-secure)"
FAKE = {"Proxy": {"Servers": "fake.example"}, "Redirect": {"HTTP": "tunnel"}}  # test_http.py has the other way
ROUTES = ["secure", "plain"]


def start(daemon, route="secure"):
    if route == "secure":
        return daemon(FAKE)
    return daemon({**FAKE, "SecureChannel": {"Enabled": "no"}}, status=PLAIN)


def end_of(sock):
    """What the client gets: bytes, or "reset"."""
    data = b""
    try:
        while chunk := sock.recv(65536):
            data += chunk
    except ConnectionResetError:
        return data or "reset"
    return data


def fatal_alert(data):
    """The description of a fatal TLS alert record."""
    assert len(data) == 7 and data[0] == 0x15 and data[3:6] == b"\x00\x02\x02", data
    return data[6]


def others_are_fine(lab, one):
    """The daemon lives, its relays too, and the real proxy can be reached through it after a reload."""
    relays = labs.wait_for(lambda: (lambda pids: pids if len(pids) == 2 else None)(one.children()["relay"]), 5, "relays")
    labs.wait_for(lambda: one.status()["sessions"]["open"] == 0, 5, "the end of the sessions")
    one.write(lab.config())
    assert one.ask("reload") == [{"ok": True}]
    labs.wait_for(lambda: (one.status()["proxy"] or {}).get("server") == "gw.example", 10, "gw.example")
    assert lab.curl("https://www.example/")[:2] == (0, 200)
    assert one.children()["relay"] == relays, "a relay died"
    assert lab.leaked() == 0


# ---- proxies ----

REFUSALS = {
    "407": (b"HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\n\r\n", "407", 49, b"502"),
    "403": (b"HTTP/1.1 403 Forbidden\r\nContent-Length: 9\r\n\r\nforbidden", "403 Forbidden", 49, b"403"),
    "502": (b"HTTP/1.1 502 Bad Gateway\r\n\r\n", "502 Bad Gateway", 80, b"502"),
    "garbage": (b"\x16\x03\x01garbage that is not HTTP\r\n\r\n", "not HTTP", 80, b"502"),
    "1 MB header": (b"HTTP/1.1 200 OK\r\nX: " + b"a" * 1000000 + b"\r\n\r\n", "too large", 80, b"502"),
    "endless header lines": (b"HTTP/1.1 200 OK\r\n" + b"X: a\r\n" * 200000, "too large", 80, b"502"),
    "nothing": (b"", "closed the connection instead of an answer", 80, b"502"),
    "half an answer": (b"HTTP/1.1 200 Connec", "closed the connection instead of an answer|proxy", 80, b"502"),
    "status 999": (b"HTTP/1.1 999 Odd\r\n\r\n", "proxy", 80, b"502"),
    "HTTP/0.9": (b"<html>hello</html>", "not HTTP", 80, b"502"),
    "101": (b"HTTP/1.1 101 Switching Protocols\r\n\r\n", "proxy", 80, b"502"),
}


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("kind", REFUSALS)
def test_a_proxy_that_answers_connect_with(lab, daemon, proxy, kind, route):
    data, text, alert, http = REFUSALS[kind]
    proxy(answer(data))
    one = start(daemon, route)
    with lab.connect("host", labs.RAW4, 443) as sock:
        sock.sendall(client_hello("raw.example"))
        assert fatal_alert(end_of(sock)) == alert
    line = one.wait_log(f"-> {labs.RAW4}:443 (raw.example")
    assert any(part in line for part in text.split("|")), line
    with lab.connect("host", labs.RAW4, 80) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: raw.example\r\n\r\n")
        got = end_of(sock)
        assert got.startswith(b"HTTP/1.1 " + http) and b"Connection: close" in got, got
    others_are_fine(lab, one)


def test_a_refusal_by_the_proxy_is_no_reason_to_retest(lab, daemon, proxy):
    fake = proxy(answer(b"HTTP/1.1 503 Service Unavailable\r\n\r\n"))
    one = start(daemon)
    before = one.status()["tests"]["at"]
    pings = len([head for head in fake.heads if head.startswith("OPTIONS")])
    with lab.connect("host", labs.RAW4, 443) as sock:
        sock.sendall(client_hello("raw.example"))
        fatal_alert(end_of(sock))
    assert fake.connects() == ["raw.example:443", f"{labs.RAW4}:443"]
    assert one.status()["tests"]["at"] == before
    assert len([head for head in fake.heads if head.startswith("OPTIONS")]) == pings


@pytest.mark.parametrize("route", ROUTES)
def test_a_proxy_that_sends_half_an_answer_and_resets(lab, daemon, proxy, route):
    proxy(answer(b"HTTP/1.1 200 OK\r\nX-Half: ", then="reset"))
    one = start(daemon, route)
    with lab.connect("host", labs.RAW4, 443) as sock:
        sock.sendall(client_hello("raw.example"))
        assert fatal_alert(end_of(sock)) == 80
    one.wait_log("(raw.example)")
    others_are_fine(lab, one)


def test_a_proxy_that_never_answers_times_out(lab, daemon, proxy):
    """30 s for the answer to CONNECT."""
    proxy(answer(b"", then="wait"))
    one = start(daemon)
    begin = time.monotonic()
    with lab.connect("host", labs.RAW4, 443, timeout=45) as sock:
        sock.sendall(client_hello("raw.example"))
        assert fatal_alert(end_of(sock)) == 80
    assert 20 < time.monotonic() - begin < 40
    one.wait_log("proxy did not answer the request in time")


test_a_proxy_that_never_answers_times_out = pytest.mark.slow(test_a_proxy_that_never_answers_times_out)


@pytest.mark.parametrize("route", ROUTES)
def test_tls_bytes_right_behind_the_200(lab, daemon, proxy, route):
    early = b"\x16\x03\x03\x00\x04early"
    proxy(answer(OK + early, then="wait"))
    one = start(daemon, route)
    with lab.connect("host", labs.RAW4, 443) as sock:
        sock.sendall(client_hello("raw.example"))
        assert read_exactly(sock, len(early)) == early
    others_are_fine(lab, one)


def test_interim_answers_before_the_200_are_skipped(lab, daemon, proxy):
    proxy(answer(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + OK + b"hello", "wait"))
    start(daemon)
    with lab.connect("host", labs.RAW4, 443) as sock:
        sock.sendall(client_hello("raw.example"))
        assert read_exactly(sock, 5) == b"hello"


def test_an_answer_in_one_byte_pieces(lab, daemon, proxy):
    def slowly(sock, _head):
        for i in range(len(OK)):
            sock.sendall(OK[i:i + 1])
        sock.sendall(b"hello")
        sock.recv(1)

    for route in ROUTES:
        fake = proxy(slowly)
        one = start(daemon, route)
        with lab.connect("host", labs.RAW4, 443) as sock:
            sock.sendall(client_hello("raw.example"))
            assert read_exactly(sock, 5) == b"hello"
        one.stop()
        fake.close()


@pytest.mark.parametrize("route", ROUTES)
def test_a_peer_that_stops_reading_does_not_hold_the_others(lab, daemon, proxy, route):
    """One session is stuck with data both ways; the next ones go on as if nothing were."""
    stuck = []

    def behaviour(sock, head):
        sock.sendall(OK)
        if "stuck" in head:
            stuck.append(sock)
            with contextlib.suppress(OSError):
                sock.settimeout(None)
                sock.sendall(b"x" * (64 << 20))
        else:
            sock.sendall(sock.recv(65536))

    proxy(behaviour)
    one = start(daemon, route)
    with lab.connect("host", labs.RAW4, 80) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: stuck.example\r\n\r\n")
        sock.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                sock.send(b"y" * 65536)
        labs.wait_for(lambda: stuck, 10, "the stuck one")
        for _ in range(20):
            with lab.connect("host", labs.RAW4, 80, timeout=5) as other:
                other.sendall(b"GET / HTTP/1.1\r\nHost: other.example\r\n\r\n")
                assert b"other.example" in other.recv(65536)
        labs.wait_for(lambda: one.status()["sessions"]["open"] == 1, 5, "the others' end")


# ---- clients ----

def expect_connect(lab, fake, data, want, port=443):
    """The first bytes of a client lead to that CONNECT, and arrive unchanged at the origin."""
    with lab.connect("host", labs.RAW4, port) as sock:
        sock.sendall(data)
        assert read_exactly(sock, len(data)) == data
    assert fake.connects()[-1] == want


def echo(sock):
    with contextlib.suppress(OSError):
        while chunk := sock.recv(65536):
            sock.sendall(chunk)


def test_client_hellos_of_every_kind(lab, daemon, proxy):
    fake = proxy(tunnel(echo))
    one = start(daemon)
    address = f"{labs.RAW4}:443"
    expect_connect(lab, fake, client_hello("raw.example"), "raw.example:443")
    expect_connect(lab, fake, client_hello(), address)
    expect_connect(lab, fake, client_hello("large.example", padding=12000), "large.example:443")
    for padding in (16000, 16384, 40000):  # found or not: whole and to the right place
        with lab.connect("host", labs.RAW4, 443) as sock:
            data = client_hello("large.example", padding=padding)
            sock.sendall(data)
            assert read_exactly(sock, len(data)) == data
        assert fake.connects()[-1] in ("large.example:443", address)
    expect_connect(lab, fake, b"SSH-2.0-client\r\n", address)
    expect_connect(lab, fake, b"\x00" * 5000, address)
    expect_connect(lab, fake, b"\x16\x03\x01\xff\xff" + b"\x01" * 200, address)
    broken = bytearray(client_hello("raw.example"))
    broken[43] = 0xFF  # length of the session id
    expect_connect(lab, fake, bytes(broken), address)
    others_are_fine(lab, one)


@pytest.mark.parametrize("name", [b"a" * 300, b"bad name", b"new\r\nline: x", b"../../etc", b"-", b"a..b", b"\xff\xfe",
                                  b"127.0.0.1:22"])
@pytest.mark.parametrize("http", ["tunnel", "request"])
def test_a_hostile_host_header_never_becomes_a_request(lab, daemon, proxy, name, http):
    fake = proxy(tunnel(echo))
    daemon({**FAKE, "Redirect": {"HTTP": http}})
    with lab.connect("host", labs.RAW4, 80) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: " + name + b"\r\n\r\n")
        sock.settimeout(5)
        with contextlib.suppress(OSError):
            sock.recv(100)
    for head in fake.heads:
        assert len(head.split("\r\n")[0].split(" ")) == 3, head
        assert "etc" not in head
        assert "line: x" not in head or http == "request", head  # there it is a field of the client's own
    for target in fake.connects():
        assert target.endswith(":80")


def test_a_host_header_that_never_ends(lab, daemon, proxy):
    fake = proxy(tunnel(echo))
    one = start(daemon)
    with lab.connect("host", labs.RAW4, 80, timeout=15) as sock:
        data = b"GET / HTTP/1.1\r\nHost: " + b"a" * 200000
        sock.sendall(data)
        assert read_exactly(sock, len(data)) == data
    assert fake.connects() == [f"{labs.RAW4}:80"]
    others_are_fine(lab, one)


def test_a_header_that_comes_drop_by_drop_is_not_waited_for(lab, daemon, proxy):
    """Slow loris: after three seconds the address must do."""
    fake = proxy(tunnel(echo))
    start(daemon)
    with lab.connect("host", labs.RAW4, 80) as sock:
        begin = time.monotonic()
        sock.settimeout(0.2)
        while not fake.connects() and time.monotonic() - begin < 10:
            sock.sendall(b"G")
            with contextlib.suppress(socket.timeout):
                sock.recv(100)
        assert fake.connects() == [f"{labs.RAW4}:80"]
        assert time.monotonic() - begin < 6


def test_a_client_that_sends_nothing_and_leaves(lab, daemon, proxy):
    proxy(tunnel(echo))
    one = start(daemon)
    for _ in range(50):
        lab.connect("host", labs.RAW4, 443).close()
    labs.wait_for(lambda: one.status()["sessions"]["open"] == 0, 10, "no open session")
    others_are_fine(lab, one)


def test_clients_that_come_and_go_by_hundreds(lab, daemon, proxy):
    proxy(tunnel(echo))
    one = start(daemon)
    socks = []
    for i in range(300):
        sock = lab.connect("host", labs.RAW4, 443)
        with contextlib.suppress(OSError):
            sock.sendall(client_hello("raw.example")[:i + 1])
        socks.append(sock)
    for sock in socks:
        sock.close()
    labs.wait_for(lambda: one.status()["sessions"]["open"] == 0, 15, "no open session")
    others_are_fine(lab, one)


# ---- who should not be here ----

@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_a_direct_connection_to_the_relay_port_is_refused(lab, daemon, proxy, address):
    fake = proxy(tunnel(echo))
    one = start(daemon)
    try:
        with lab.connect("host", address, 15443, timeout=5) as sock:
            sock.sendall(b"GET / HTTP/1.1\r\nHost: raw.example\r\n\r\n")
            assert b"200" not in (read_all(sock) or b"")
    except OSError:
        pass
    assert fake.connects() == []
    assert one.status()["status"] == SECURE


def test_nobody_outside_reaches_the_relay_port(lab, daemon, proxy):
    proxy(tunnel(echo))
    start(daemon)
    for address in (labs.HOST4, labs.HOST6):
        with pytest.raises(OSError):
            lab.connect("gw", address, 15443, timeout=1)


def test_the_proxys_own_address_as_destination_is_no_loop(lab, daemon):
    """Port 80 of the proxy itself, as a browser would open its start page."""
    one = daemon({"Redirect": {"Ports": "80 443 8080 8081"}})
    since = len(lab.access_log())
    with contextlib.suppress(OSError):
        with lab.connect("host", "192.0.2.1", 8081, timeout=5) as sock:
            sock.sendall(b"GET / HTTP/1.1\r\nHost: gw.example\r\n\r\n")
            end_of(sock)
    assert lab.curl("https://www.example/")[:2] == (0, 200), "its own connections are redirected to itself"
    assert len(lab.access_log()) - since < 50, "it went round and round"
    assert one.status()["sessions"]["total"] < 50


def test_quic_is_refused_at_once(lab, daemon):
    daemon()
    for family, address in ((socket.AF_INET, labs.WWW4), (socket.AF_INET6, labs.WWW6)):
        for port in (80, 443):
            with lab.socket("host", family, socket.SOCK_DGRAM) as sock:
                sock.settimeout(5)
                with pytest.raises(OSError) as error:
                    sock.connect((address, port))
                    sock.send(b"quic")
                    sock.recv(1)
                assert not isinstance(error.value, socket.timeout), "silence: a browser would wait"
    assert lab.leaked() == 0


def test_quic_may_pass_when_asked_for(lab, daemon):
    daemon({"Redirect": {"QUIC": "pass"}})
    with lab.socket("host", socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.sendto(b"quic", (labs.WWW4, 443))
    labs.wait_for(lambda: lab.leaked() == 1, 5, "the packet")
