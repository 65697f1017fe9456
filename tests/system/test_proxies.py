# SPDX-License-Identifier: GPL-2.0-or-later
"""Real proxies through the secure channel and over the plain route: HTTPS and HTTP, much data each way, connections that
are kept and bodies that end with them. test_http.py has those that people have on the plain port by default."""

import contextlib
import hashlib
import http.client
import os
import shutil
import threading

import lab as labs
import pytest
import real_proxies
from peers import read_head

MB = 1 << 20
PLAIN = "Connected (Non-secure)"
HEADER = {"squid-basic": real_proxies.PASSWORD}


@pytest.fixture(params=real_proxies.PROGRAMS)
def proxy(lab, daemon, request):
    """The daemon's way leads through that one. Yields curl(url, …), which trusts what the proxy's users trust."""
    kind = request.param
    if kind == "mitmproxy" and not shutil.which("mitmdump"):
        pytest.skip("Debian 13 has no mitmproxy")
    with real_proxies.running_programs(lab, kind) as directory:
        changes = {"Proxy": {"Servers": "fake.example", "Header": HEADER.get(kind)},
                   "Test": {"Target": "www4.example:443", "HandshakeTimeout": "10s"}}
        if kind in real_proxies.SECURE_KINDS:
            daemon(changes)
        else:
            daemon({**changes, "SecureChannel": {"Enabled": "no"}}, status=PLAIN)
        trust = ["--cacert", f"{directory}/mitmproxy-ca-cert.pem"] if kind == "mitmproxy" else []
        yield lambda url, *args: lab.curl(url, *args, *trust, timeout=120)
    assert lab.leaked() == 0


def digest_of(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextlib.contextmanager
def connection(lab):
    """An http.client connection made in the host's namespace; it keeps alive."""
    one = http.client.HTTPConnection("www.example", timeout=60)
    one.sock = lab.connect("host", labs.WWW4, 80, timeout=60)
    try:
        yield one
    finally:
        one.close()


@contextlib.contextmanager
def raw_server(lab, answer):
    """At raw4.example's port 80: reads a head, answers, closes."""
    listener = lab.listen("web", labs.RAW4, 80)

    def serve():
        with contextlib.suppress(OSError):
            while True:
                sock, _ = listener.accept()
                with sock:
                    read_head(sock)
                    sock.sendall(answer)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield
    finally:
        listener.shutdown(2)
        listener.close()
        thread.join()


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_pages(lab, proxy, scheme):
    assert proxy(f"{scheme}://www4.example/")[:2] == (0, 200)
    assert proxy(f"{scheme}://www4.example/", "-I")[:2] == (0, 200)
    assert proxy(f"{scheme}://www4.example/file/nothing")[:2] == (0, 404)
    assert "hello from other.example" in proxy(f"{scheme}://other.example/")[2]


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_50_mb_each_way(lab, proxy, scheme):
    path, got = lab.make_file("fifty", 50 * MB), f"{lab.shm}/got"
    try:
        assert proxy(f"{scheme}://www4.example/file/fifty", "-o", got)[:2] == (0, 200)
        assert digest_of(got) == digest_of(path)
        assert proxy(f"{scheme}://www4.example/upload/fifty", "-T", path)[1] in (201, 204)
        assert digest_of(f"{lab.shm}/upload/fifty") == digest_of(path)
    finally:
        for left in (got, f"{lab.shm}/upload/fifty"):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(left)


def test_a_connection_is_kept(lab, proxy):
    with connection(lab) as one:
        first = one.sock
        for i in range(20):
            one.request("GET", f"/?{i}")
            got = one.getresponse()
            assert got.status == 200 and b"hello from www.example" in got.read()
        assert one.sock is first, "the connection was not kept"
    code, status, text = proxy("https://www4.example/?1", "-w", "%{num_connects} ", "https://www4.example/?2",
                               "https://www4.example/?3")
    assert code == 0 and text.count("hello from www4.example") == 3, text


def test_a_body_that_ends_with_the_connection(lab, proxy):
    body = os.urandom(3 * MB)
    with raw_server(lab, b"HTTP/1.0 200 OK\r\nContent-Type: application/octet-stream\r\n\r\n" + body):
        got = f"{lab.shm}/got"
        assert proxy("http://raw4.example/", "-o", got)[:2] == (0, 200)
        with open(got, "rb") as file:
            assert file.read() == body
        os.unlink(got)


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_ipv6_and_addresses(lab, proxy, request, scheme):
    """Also where the client says no name: one that allows none says so itself."""
    assert proxy(f"{scheme}://www6.example/")[:2] == (0, 200)
    status = proxy(f"{scheme}://{labs.WWW4}/", "-k")[:2]
    if "squid-names" in request.node.name:
        assert status == ((0, 403) if scheme == "http" else (35, 0))
    elif "mitmproxy" in request.node.name and scheme == "https":
        assert status == (0, 502), "the certificate is not the address's"
    else:
        assert status == (0, 200)


def test_a_hundred_at_once(lab, proxy):
    code, _, text = proxy("https://www4.example/?0", "-Z", "--parallel-max", "100", "--parallel-immediate", "--http1.1",
                          *[f"https://www4.example/?{i}" for i in range(1, 100)])
    assert code == 0 and text.count("hello from www4.example") == 100


# mitmproxy waits for the client, to see what it speaks.
@pytest.mark.parametrize("proxy", [kind for kind in real_proxies.PROGRAMS if kind != "mitmproxy"], indirect=True)
def test_a_server_that_speaks_first(lab, proxy, request):
    listener = lab.listen("web", labs.RAW4, 443)
    listener.settimeout(20)
    with listener, lab.connect("host", labs.RAW4, 443) as sock:
        if "squid-names" in request.node.name:
            assert read_all_of_refused(sock) == b""
            return
        server, _ = listener.accept()
        with server:
            server.sendall(b"220 ready\r\n")
            assert sock.recv(100) == b"220 ready\r\n"
            sock.sendall(b"QUIT\r\n")
            assert server.recv(100) == b"QUIT\r\n"


def read_all_of_refused(sock):
    with contextlib.suppress(ConnectionResetError):
        return sock.recv(100)
    return b""


def test_without_the_password_the_page_says_what_to_configure(lab, daemon):
    with real_proxies.running_programs(lab, "squid-basic"):
        one = daemon({"Proxy": {"Servers": "fake.example"}, "SecureChannel": {"Enabled": "no"}}, status=PLAIN)
        code, status, text = lab.curl("http://www4.example/")
        assert (code, status) == (0, 502) and "Header=" in text and "Basic" in text, text
        assert lab.curl("https://www4.example/")[0] != 0
        assert "407" in one.wait_log(f"-> {labs.WWW4}:443")
