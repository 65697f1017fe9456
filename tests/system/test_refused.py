# SPDX-License-Identifier: GPL-2.0-or-later
"""The tests pass and the proxy refuses the sessions: that must not stay unsaid."""

import contextlib
import ssl

import lab as labs
import pytest
from peers import OK, answer, client_hello

SECURE, PLAIN = "Connected (Secure Channel)", "Connected (Non-secure)"
BLOCKED = "Blocked - Mutual Auth Failed"


def start(daemon, route):
    off = {"SecureChannel": {"Enabled": "no"}} if route == "plain" else {}
    return daemon({"Proxy": {"Servers": "fake.example"}, **off}, status=SECURE if route == "secure" else PLAIN)


def try_sessions(lab, count, port=443):
    for _ in range(count):
        with lab.connect("host", labs.RAW4, port) as sock, contextlib.suppress(OSError):
            sock.sendall(client_hello("www.example"))
            sock.recv(100)


def wait_warning(one, part):
    """All warnings, once one of them has that part: relays tell what they have seen each for itself."""
    def look():
        warnings = one.status()["warnings"]
        return warnings if any(part in warning for warning in warnings) else None
    return labs.wait_for(look, 10, lambda: f'"{part}" in {one.status()["warnings"]}')


CASES = {
    "407": (b"HTTP/1.1 407 Authenticate\r\nProxy-Authenticate: Basic realm=x\r\nProxy-Authenticate: Negotiate\r\n\r\n",
            "proxy answered 407 Authenticate; it offers Basic, Negotiate", "Header=Proxy-Authorization"),
    "407-other": (b"HTTP/1.1 407 Authenticate\r\nProxy-Authenticate: Negotiate\r\n\r\n",
                  "proxy answered 407 Authenticate; it offers Negotiate", "the proxy does not offer it"),
    "302": (b"HTTP/1.1 302 Found\r\nLocation: http://portal.example/login\r\n\r\n",
            "proxy answered 302 Found, a redirect to portal.example", "portal or a login page"),
    "403": (b"HTTP/1.1 403 Forbidden\r\n\r\n", "proxy answered 403 Forbidden", "administrator"),
}


@pytest.mark.parametrize("route", ["secure", "plain"])
@pytest.mark.parametrize("case", CASES)
def test_a_proxy_that_refuses_every_session_is_a_warning(lab, daemon, proxy, route, case):
    refusal, detail, cure = CASES[case]
    proxy(answer(refusal))
    one = start(daemon, route)
    assert not one.status()["warnings"]
    try_sessions(lab, 5)
    said = f"5 of 5 connections to port 443 failed in the last 5 minutes: {detail}. "
    warnings = wait_warning(one, said)
    assert len(warnings) == 1 and warnings[0].startswith(said) and cure in warnings[0]
    one.wait_log(detail + ". ")
    assert one.ask("reload") == [{"ok": True}]
    assert not one.status()["warnings"], "what another configuration was answered"


def test_a_proxy_that_refuses_connect_to_port_80_is_a_warning(lab, daemon, proxy):
    def behaviour(sock, head):
        sock.sendall(b"HTTP/1.1 403 Forbidden\r\n\r\n" if ":80 " in head.split("\r\n", maxsplit=1)[0] else OK)
        with contextlib.suppress(OSError):
            sock.sendall(sock.recv(10))

    proxy(behaviour)
    one = start(daemon, "secure")
    with lab.connect("host", labs.RAW4, 443) as sock:
        sock.sendall(client_hello("www.example"))
        assert sock.recv(1)
    try_sessions(lab, 4, 80)
    warnings = wait_warning(one, "4 of 4 connections to port 80 failed")
    assert len(warnings) == 1 and "allow CONNECT to port 443 alone" in warnings[0]


# ---- what the test asks ----

def test_the_test_asks_for_target_as_sessions_ask(lab, daemon):
    since = len(lab.access_log())
    daemon({"Test": {"Target": "www4.example:443"}})
    labs.wait_for(lambda: len(lab.access_log()) > since, 5, "Squid's log")
    asked = {line[2:4] for line in lab.access_log()[since:]}
    assert asked == {("CONNECT", "www4.example:443")}


def test_a_target_that_the_proxy_refuses_is_a_failure_of_its_own(daemon):
    one = daemon({"Test": {"Target": "denied.example:443"}}, status=BLOCKED)
    page = one.status()
    assert page["cause"] == "target-refused"
    assert page["detail"] == "Target denied.example:443: proxy answered 403 Forbidden"
    assert "Target=" in one.cli("status").stdout


def test_a_target_that_the_proxy_cannot_reach_proves_the_proxy(daemon):
    daemon({"Test": {"Target": "nosuch.example:443"}})


@pytest.mark.parametrize("version", ["TLSv1.2", "TLSv1.3"])
def test_a_path_that_loses_large_packets_is_not_a_matter_of_certificates(lab, daemon, version):
    """The hello passes, the client's certificates do not."""
    lab.start_haproxy("gw", maximum=version)
    lab.nft("gw", f"table inet narrow {{ chain in {{ type filter hook prerouting priority raw; "
                  f"tcp dport {labs.SECURE_PORT} meta length > 600 drop; }}; }}")
    try:
        one = daemon({"Proxy": {"Servers": "gw.example"}, "Test": {"HandshakeTimeout": "1500ms"}}, status=BLOCKED)
        page = one.status()
        assert page["cause"] == "path-mtu", page["detail"]
        assert "MTU" in one.cli("status").stdout
    finally:
        lab.nft("gw", "delete table inet narrow")
    one.wait_status(SECURE)


def asking_later(wrapped, certificates):
    """Asks the client for its certificate once the request is there, as Apache does inside <Proxy>."""
    with wrapped.lock:
        wrapped.tls.verify_client_post_handshake()
        wrapped.tls.do_handshake()
    wrapped._flush()
    while not wrapped.tls.getpeercert():
        wrapped._feed()
        with wrapped.lock, contextlib.suppress(ssl.SSLWantReadError):
            wrapped.plain += wrapped.tls.read(1)
    certificates.append(wrapped.tls.getpeercert())


def test_a_certificate_that_is_asked_for_after_the_handshake_is_shown(lab, daemon, proxy):
    certificates = []

    def behaviour(sock, _head):
        asking_later(sock, certificates)
        sock.sendall(OK)
        sock.sendall(sock.recv(1 << 16))

    def ping(sock, _head):
        asking_later(sock, certificates)
        sock.sendall(b"HTTP/1.1 200 OK\r\n\r\n")

    fake = proxy(behaviour, ping=ping)
    fake.context.post_handshake_auth = True
    one = daemon({"Proxy": {"Servers": "fake.example"}, "Relay": {"Processes": 1}})
    assert one.status()["tls"]["version"] == "TLSv1.3" and len(certificates) == 1
    for count in (2, 3, 4):  # all but the first would resume
        with lab.connect("host", labs.RAW4, 443) as sock:
            sock.sendall(b"hello")
            assert sock.recv(5) == b"hello"
        assert len(certificates) == count


@pytest.mark.parametrize("version", ["TLSv1.2", "TLSv1.3"])
def test_a_list_of_too_many_cas_is_named(lab, daemon, version):
    """As HAProxy sends it with the system's CAs as ca-file: 19 KB of names."""
    subject = "/O=" + "o" * 60 + "".join(f"/OU={c * 60}" for c in "abcd")
    with open(f"{lab.dir}/pki/many.pem", "w", encoding="ascii") as many:
        with open(f"{lab.dir}/pki/ca.pem", encoding="ascii") as file:
            many.write(file.read())
        for i in range(60):
            many.write(labs.command(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
                                     "-nodes", "-keyout", "/dev/null", "-subj", f"{subject}/CN={i}"]))
    lab.start_haproxy("gw", ca="many", maximum=version)
    one = daemon({"Proxy": {"Servers": "gw.example"}}, status=BLOCKED)
    page = one.status()
    assert page["cause"] == "tls-too-large", page["detail"]
    assert "ca-file" in one.cli("status").stdout
