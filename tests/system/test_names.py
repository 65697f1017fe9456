# SPDX-License-Identifier: GPL-2.0-or-later
"""By name or by address: Names= with real clients, Squid, and proxies that refuse one of them."""

import contextlib
import os
import shutil
import socket
import ssl
import struct
import time

import lab as labs
import pytest
from peers import client_hello, read_all, read_exactly, tunnel, OK

SECURE, PLAIN = "Connected (Secure Channel)", "Connected (Non-secure)"
ROUTES = {"secure": SECURE, "plain": PLAIN}
ALERT_INTERNAL_ERROR = b"\x15\x03\x01\x00\x02\x02\x50"
ALERT_MISSING_EXTENSION = b"\x15\x03\x01\x00\x02\x02\x6d"


def start(daemon, route, names="prefer", server="fake.example"):
    off = {"SecureChannel": {"Enabled": "no"}} if route == "plain" else {}
    return daemon({"Proxy": {"Servers": server}, "Redirect": {"Names": names}, **off}, status=ROUTES[route])


def targets(log):
    return [line[3] for line in log if line[2] == "CONNECT"]


def answering(answers, handler=None):
    """A behaviour: the first answer whose beginning the target has."""
    def behaviour(sock, head):
        target = head.split()[1]
        sock.sendall(next(answer for host, answer in answers.items() if target.startswith(host)))
        if handler:
            handler(sock)
        else:
            with contextlib.suppress(OSError):
                sock.recv(65536)
    return behaviour


def refused(status):
    return f"HTTP/1.1 {status} No\r\nContent-Length: 0\r\n\r\n".encode()


def error_of(sock):
    """What the client is told, and the error behind it."""
    try:
        return read_all(sock), None
    except OSError as error:
        return b"", error


@pytest.fixture
def names_only(lab):
    """A Squid at fake.example, plain, that refuses addresses; its access log."""
    with open(f"{lab.dir}/squid.conf", encoding="ascii") as file:
        usual = file.read().replace(f"{lab.dir}/squid/", f"{lab.dir}/squid-names/")
    rules = 'acl numeric dstdom_regex -n ^[0-9.]+$ ^\\[ :\nhttp_access deny numeric\n'
    lines = [line for line in usual.splitlines(keepends=True) if not line.startswith("http_port")]
    path = f"{lab.dir}/squid-names.conf"
    os.makedirs(f"{lab.dir}/squid-names", exist_ok=True)
    shutil.chown(f"{lab.dir}/squid-names", "proxy")
    with open(path, "w", encoding="ascii") as file:
        file.write(f"http_port {labs.FAKE4}:{labs.PLAIN_PORT}\n{rules}" + "".join(lines))
    child = lab.spawn("gw", ["squid", "-N", "-n", labs.squid_service(lab.name) + "names", "-f", path],
                      f"{lab.dir}/squid-names.out")
    lab.wait_port("gw", labs.FAKE4, labs.PLAIN_PORT, child, timeout=30)

    def log():
        with contextlib.suppress(FileNotFoundError), open(f"{lab.dir}/squid-names/access.log", encoding="ascii") as file:
            return [line.split()[1:] for line in file]
        return []

    yield log
    child.terminate()
    child.wait()
    lab.children.remove(child)


# ---- real clients, real Squid ----

def test_a_name_that_does_not_exist_goes_by_address(lab, daemon):
    one = daemon()
    since = len(lab.access_log())
    assert lab.curl("https://nosuch.example/", "-k", "--resolve", f"nosuch.example:443:{labs.WWW4}")[:2] == (0, 200)
    labs.wait_for(lambda: len(targets(lab.access_log()[since:])) >= 2, 5, "Squid's log")
    assert targets(lab.access_log()[since:]) == ["nosuch.example:443", f"{labs.WWW4}:443"]
    line = one.wait_log("nosuch.example")
    assert "(nosuch.example; by address: the proxy could not reach the name) via secure" in line


@pytest.mark.parametrize("names,target", [("prefer", "www4.example:443"), ("ignore", "203.0.113.82:443")])
def test_curl_resolve_counts_only_where_names_are_ignored(lab, daemon, names, target):
    daemon({"Redirect": {"Names": names}})
    since = len(lab.access_log())
    assert lab.curl("https://www4.example/", "-k", "--resolve", "www4.example:443:203.0.113.82")[:2] == (0, 200)
    labs.wait_for(lambda: targets(lab.access_log()[since:]), 5, "Squid's log")
    assert targets(lab.access_log()[since:]) == [target]


def hello_in_pieces(lab, pauses):
    """A TLS handshake with www4.example whose hello comes in as many pieces as there are pauses, one before each; then
    a request."""
    context = ssl.create_default_context(cafile=f"{lab.dir}/pki/ca.pem")
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_hostname="www4.example")
    with lab.connect("host", labs.WWW4, 443) as sock:
        with contextlib.suppress(ssl.SSLWantReadError):
            tls.do_handshake()
        hello = outgoing.read()
        size = len(hello) // len(pauses) + 1
        for i, pause in enumerate(pauses):
            time.sleep(pause)  # what is tried is a client that takes its time
            sock.sendall(hello[i * size:(i + 1) * size])

        def until(step):
            while True:
                try:
                    return step()
                except ssl.SSLWantReadError:
                    sock.sendall(outgoing.read())
                    data = sock.recv(65536)
                    assert data, "the connection has ended"
                    incoming.write(data)
        until(tls.do_handshake)
        tls.write(b"GET / HTTP/1.1\r\nHost: www4.example\r\nConnection: close\r\n\r\n")
        return until(lambda: tls.read(100))


@pytest.mark.parametrize("pauses,asked", [
    ([1.5], [f"{labs.WWW4}:443", "www4.example:443"]),
    ([0.0, 1.0, 1.0, 1.0], ["www4.example:443"]),
    ([0.8, 1.2, 1.2], [f"{labs.WWW4}:443", "www4.example:443"]),
], ids=["late", "in pieces", "late in pieces"])
def test_a_late_client_gets_through_a_proxy_that_takes_only_names(lab, daemon, names_only, pauses, asked):
    one = start(daemon, "plain")
    since = len(names_only())
    assert hello_in_pieces(lab, pauses).startswith(b"HTTP/1.1 200 OK")
    labs.wait_for(lambda: len(targets(names_only()[since:])) >= len(asked), 5, "Squid's log")
    assert targets(names_only()[since:]) == asked
    one.wait_log("(www4.example)" if len(asked) == 1 else "(www4.example; by name, which came late)")


def test_a_proxy_that_takes_only_names_is_never_asked_for_an_address(lab, daemon, names_only):
    start(daemon, "plain", "require")
    since = len(names_only())
    assert hello_in_pieces(lab, [1.0]).startswith(b"HTTP/1.1 200 OK")
    with lab.connect("host", labs.WWW4, 443) as sock:
        sock.sendall(client_hello())
        assert error_of(sock) == (ALERT_MISSING_EXTENSION, None)
    with lab.connect("host", labs.WWW4, 80) as sock:
        sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
        told, error = error_of(sock)
    assert told.startswith(b"HTTP/1.1 400 Bad Request\r\n") and b"(Names=require)" in told and error is None
    labs.wait_for(lambda: targets(names_only()[since:]), 5, "Squid's log")
    assert targets(names_only()[since:]) == ["www4.example:443"]


def test_a_client_that_leaves_at_once_is_not_asked_for(lab, daemon):
    """As health checks do."""
    one = daemon()
    since = len(lab.access_log())
    for _ in range(20):
        lab.connect("host", labs.WWW4, 443).close()
    labs.wait_for(lambda: one.log().count("client left before the proxy had answered") >= 20, 10, "the sessions' end")
    assert one.status()["sessions"]["failed"] == 0
    assert lab.curl("https://www4.example/")[:2] == (0, 200)  # what came before is in the log by then
    labs.wait_for(lambda: targets(lab.access_log()[since:]), 5, "Squid's log")
    assert targets(lab.access_log()[since:]) == ["www4.example:443"]


# ---- proxies that do as they are told ----

@pytest.mark.parametrize("route", ROUTES)
def test_a_server_that_speaks_first_answers_soon(lab, daemon, proxy, route):
    fake = proxy(tunnel(lambda sock: (sock.sendall(b"SSH-2.0-server\r\n"), sock.recv(100))))
    start(daemon, route)
    took = []
    for _ in range(3):
        began = time.monotonic()
        with lab.connect("host", labs.RAW4, 443) as sock:
            assert read_exactly(sock, 16) == b"SSH-2.0-server\r\n"
        took.append(time.monotonic() - began)
    assert min(took) > 0.15 and min(took) < 0.6, took
    assert fake.connects() == [f"{labs.RAW4}:443"] * 3


@pytest.mark.parametrize("route", ROUTES)
def test_a_name_is_followed_by_the_address_when_the_proxy_cannot_reach_it(lab, daemon, proxy, route):
    fake = proxy(answering({"gone.example": refused(502), labs.RAW4: OK}, lambda sock: sock.sendall(sock.recv(1 << 16))))
    one = start(daemon, route)
    hello = client_hello("gone.example")
    with lab.connect("host", labs.RAW4, 443) as sock:
        sock.sendall(hello)
        assert read_exactly(sock, len(hello)) == hello
        listed = one.ask("sessions")
    assert [(s["name"], s["target"], s["ech"]) for s in listed] == [("gone.example", "name-failed", False)]
    assert fake.connects() == ["gone.example:443", f"{labs.RAW4}:443"]


@pytest.mark.parametrize("route", ROUTES)
def test_where_neither_is_reached_the_client_is_told_so(lab, daemon, proxy, route):
    fake = proxy(answering({"": refused(502)}))
    one = start(daemon, route)
    with lab.connect("host", labs.RAW4, 443) as sock:
        sock.sendall(client_hello("gone.example"))
        assert error_of(sock) == (ALERT_INTERNAL_ERROR, None)
    one.wait_log("(by name: proxy answered 502 No; by address: proxy answered 502 No)")
    with lab.connect("host", labs.RAW4, 443) as sock:
        sock.sendall(client_hello())
        told, error = error_of(sock)
    assert told == b"" and isinstance(error, ConnectionResetError), "without a name it has other addresses to try"
    assert fake.connects() == ["gone.example:443", f"{labs.RAW4}:443", f"{labs.RAW4}:443"]


@pytest.mark.parametrize("route", ROUTES)
def test_a_late_name_replaces_a_tunnel_that_is_up(lab, daemon, proxy, route):
    """Over TLS the proxy's session tickets arrive meanwhile, which are not the server's first words."""
    fake = proxy(tunnel(lambda sock: sock.sendall(sock.recv(1 << 16))))
    one = start(daemon, route)
    hello = client_hello("late.example")
    with lab.connect("host", labs.RAW4, 443) as sock:
        labs.wait_for(lambda: [s for s in one.ask("sessions") if s["state"] == "ready"], 5, "a tunnel to the address")
        sock.sendall(hello)
        assert read_exactly(sock, len(hello)) == hello
    assert fake.connects() == [f"{labs.RAW4}:443", "late.example:443"]


def with_ech(hello):
    """The same hello with one more extension, as browsers send it."""
    body = bytearray(hello[9:])
    at = 2 + 32
    at += 1 + body[at]
    at += 2 + struct.unpack(">H", body[at:at + 2])[0]
    at += 1 + body[at]
    extra = struct.pack(">HH", 0xfe0d, 64) + bytes(64)
    body[at:at + 2] = struct.pack(">H", struct.unpack(">H", body[at:at + 2])[0] + len(extra))
    body += extra
    message = b"\x01" + struct.pack(">I", len(body))[1:] + bytes(body)
    return b"\x16\x03\x01" + struct.pack(">H", len(message)) + message


def test_encrypted_hellos_are_marked_and_go_by_the_outer_name_then_by_address(lab, daemon, proxy):
    fake = proxy(answering({"outer.example": refused(503), labs.RAW4: OK}, lambda sock: sock.recv(1)))
    one = start(daemon, "secure")
    with lab.connect("host", labs.RAW4, 443) as sock:
        sock.sendall(with_ech(client_hello("outer.example")))
        labs.wait_for(lambda: len(fake.connects()) == 2, 5, "both questions")
        sock.shutdown(socket.SHUT_WR)
        error_of(sock)
    one.wait_log("(outer.example; by address: the proxy could not reach the name; ECH) via secure")
    assert fake.connects() == ["outer.example:443", f"{labs.RAW4}:443"]
