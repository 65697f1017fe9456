# SPDX-License-Identifier: GPL-2.0-or-later
"""Plain HTTP, request by request, through proxies as people have them: CONNECT to port 80 is refused by all of them."""

import contextlib
import hashlib
import http.client
import os
import socket
import struct
import threading

import lab as labs
import pytest
import real_proxies
from peers import Keeping, answer, end_writing, read_all, read_head, tunnel

MB = 1 << 20
PLAIN = "Connected (Non-secure)"
FAKE = {"Proxy": {"Servers": "fake.example"}, "SecureChannel": {"Enabled": "no"}}


@pytest.fixture(params=real_proxies.KINDS)
def real(lab, daemon, request):
    """A daemon on the plain route to such a proxy, and its name."""
    with real_proxies.running(lab, request.param):
        daemon(FAKE, status=PLAIN)
        yield request.param


@contextlib.contextmanager
def connection(lab, address=labs.WWW4, timeout=30):
    """An http.client connection made in the host's namespace; it keeps alive."""
    one = http.client.HTTPConnection("www.example", timeout=timeout)
    one.sock = lab.connect("host", address, 80, timeout=timeout)
    try:
        yield one
    finally:
        one.close()


def pattern(size):
    block = hashlib.shake_128(b"http").digest(1048573)
    return (block * (size // len(block) + 1))[:size]


# ---- real proxies ----

def test_pages_come_through(lab, real):
    assert lab.curl("http://www4.example/")[:2] == (0, 200)
    code, status, text = lab.curl("http://www4.example/", "--http1.0")
    assert (code, status) == (0, 200) and "hello from" in text
    assert lab.curl("http://www4.example/", "-I")[:2] == (0, 200)
    assert lab.curl("http://www4.example/file/nothing")[:2] == (0, 404)


def test_one_connection_many_requests(lab, real):
    with connection(lab) as one:
        first = one.sock
        for i in range(20):
            one.request("GET", f"/?{i}")
            got = one.getresponse()
            assert got.status == 200 and b"hello from www.example" in got.read()
        assert one.sock is first, "the connection was not kept"


def test_two_hosts_on_one_connection(lab, real):
    with connection(lab) as one:
        for name in ("www.example", "other.example", "www.example"):
            one.request("GET", "/", headers={"Host": name})
            assert f"hello from {name}".encode() in one.getresponse().read()


def upload(lab, real, how, *more):
    data, name = pattern(3 * MB), f"up-{real}-{how}"
    path = lab.make_file(f"body-{real}", 1)
    with open(path, "wb") as file:
        file.write(data)
    assert lab.curl(f"http://www4.example/upload/{name}", "-T", path, *more, timeout=30)[:2] == (0, 201)
    with open(f"{lab.shm}/upload/{name}", "rb") as file:
        assert file.read() == data


@pytest.mark.parametrize("how, field", [("length", "Expect:"), ("expect", "Expect: 100-continue")])
def test_uploads_arrive_whole(lab, real, how, field):
    upload(lab, real, how, "-H", field)


@pytest.mark.parametrize("real", ["squid", "apache"], indirect=True)  # tinyproxy 1.11 knows no chunked requests
def test_uploads_in_chunks_arrive_whole(lab, real):
    upload(lab, real, "chunked", "-H", "Transfer-Encoding: chunked")


def test_a_range_is_a_range(lab, real):
    path = lab.make_file("range", 100000)
    with open(path, "rb") as file:
        expected = file.read()[1000:2001]
    with connection(lab) as one:
        one.request("GET", "/file/range", headers={"Range": "bytes=1000-2000"})
        got = one.getresponse()
        assert got.status == 206 and got.read() == expected


def test_50_mb_each_way(lab, real):
    size = 50 * MB
    with open(lab.make_file("fifty", size), "rb") as file:
        expected = hashlib.sha256(file.read()).hexdigest()
    with connection(lab, timeout=120) as one:
        one.request("GET", "/file/fifty")
        got, digest = one.getresponse(), hashlib.sha256()
        while part := got.read(1 << 18):
            digest.update(part)
        assert digest.hexdigest() == expected
        with open(f"{lab.shm}/fifty", "rb") as file:
            one.request("PUT", "/upload/fifty", body=file, headers={"Content-Length": str(size)})
            got = one.getresponse()
            assert got.status in (201, 204) and got.read() == b""
    with open(f"{lab.shm}/upload/fifty", "rb") as file:
        assert hashlib.sha256(file.read()).hexdigest() == expected


def test_a_client_that_ends_its_direction_gets_its_answer(lab, real):
    """As nc -N does."""
    with lab.connect("host", labs.WWW4, 80) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: www.example\r\n\r\n")
        sock.shutdown(socket.SHUT_WR)
        assert b"hello from www.example" in read_all(sock)


def test_pipelined_requests_are_answered_in_order(lab, real):
    with lab.connect("host", labs.WWW4, 80) as sock:
        sock.sendall(b"".join(b"GET /?%d HTTP/1.1\r\nHost: %s\r\n\r\n" % (i, name)
                              for i, name in enumerate([b"www.example", b"other.example", b"www.example"])))
        sock.shutdown(socket.SHUT_WR)
        text = read_all(sock)
    assert text.count(b"HTTP/1.1 200 OK") == 3
    places = [text.index(b"from www.example"), text.index(b"from other.example"), text.rindex(b"from www.example")]
    assert places == sorted(places)


def test_the_proxys_own_page_reaches_the_client(lab, real):
    """A name that nobody knows: the proxy says so in its own words."""
    code, status, text = lab.curl("http://www4.example/", "-H", "Host: nowhere.invalid")
    assert code == 0 and status in (500, 502, 503, 504)
    assert "penstock:" not in text


def test_a_tunnel_that_the_proxy_refuses_is_refused_in_its_own_words(lab, real):
    """WebSocket to port 80."""
    with lab.connect("host", labs.WWW4, 80) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: www.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
        text = read_all(sock)
    assert text.startswith(b"HTTP/1.1 403 ") and b"penstock" not in text
    assert {"squid": b"squid", "apache": b"Apache", "tinyproxy": b"tinyproxy"}[real] in text


def test_an_aborted_upload_is_no_request(lab, real):
    name = f"aborted-{real}"
    with lab.connect("host", labs.WWW4, 80) as sock:
        sock.sendall(b"PUT /upload/%s HTTP/1.1\r\nHost: www.example\r\nContent-Length: 100000\r\n\r\nhalf" %
                     name.encode())
    with connection(lab) as one:
        one.request("GET", "/")
        assert one.getresponse().status == 200
    assert not os.path.exists(f"{lab.shm}/upload/{name}")


# ---- the lab's proxies: what is sent, and what is not ----

def test_requests_go_over_the_secure_channel_and_are_counted(lab, daemon):
    one = daemon()
    since = len(lab.access_log())
    with connection(lab) as client:
        for _ in range(3):
            client.request("GET", "/")
            assert client.getresponse().read()
    line = one.wait_log(f"-> {labs.WWW4}:80")
    assert "(www.example) via secure" in line and " 3 requests, " in line and line.endswith("finished")
    targets = [(method, target) for _, _, method, target, _ in lab.access_log()[since:]]
    assert ("GET", "http://www.example/") in targets
    assert ("CONNECT", "www.example:80") not in targets


def test_with_http_tunnel_everything_is_a_tunnel(lab, daemon, proxy):
    fake = proxy(tunnel(lambda sock: (sock.recv(100), sock.sendall(b"HTTP/1.0 200 OK\r\n\r\n"))))
    daemon({"Proxy": {"Servers": "fake.example"}, "Redirect": {"HTTP": "tunnel"}})
    assert lab.curl("http://www4.example/")[:2] == (0, 200)
    assert fake.connects() == ["www4.example:80"]


BAD = [b"GET / HTTP/1.1\r\nHost: a.example\r\nHost: b.example\r\n\r\n",
       b"POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
       b"POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
       b"GET / HTTP/1.1\r\nHost: a.example\r\nX: a\r\n folded\r\n\r\n",
       b"GET / HTTP/1.1\r\nHost: a.example\r\nX: a\0b\r\n\r\n"]


@pytest.mark.parametrize("text", BAD)
def test_what_can_be_read_in_two_ways_reaches_no_proxy(lab, daemon, text):
    daemon()
    before = len(lab.access_log())
    with lab.connect("host", labs.WWW4, 80) as sock:
        sock.sendall(text)
        assert read_all(sock).startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert not [entry for entry in lab.access_log()[before:] if entry[2] not in ("OPTIONS", "CONNECT")]


def test_what_a_client_says_to_its_own_proxy_goes_there(lab, daemon, proxy):
    """curl -x http://PROXY:80: the address that it has dialled, not the host that it names."""
    fake = proxy(answer(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"))
    daemon({"Proxy": {"Servers": "fake.example"}})
    for url in ("http://other.example/", "https://other.example/"):
        lab.curl(url, "-x", f"http://{labs.WWW4}:80")
    assert fake.connects() == [f"{labs.WWW4}:80"] * 2


def test_another_protocol_goes_through_a_tunnel(lab, daemon, proxy):
    seen = []

    def origin(sock):
        seen.append(read_head(sock)[0])
        sock.sendall(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
        sock.sendall(sock.recv(100))
        end_writing(sock)

    fake = proxy(tunnel(origin))
    daemon({"Proxy": {"Servers": "fake.example"}})
    request = b"GET /chat HTTP/1.1\r\nHost: www.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    with lab.connect("host", labs.WWW4, 80) as sock:
        sock.sendall(request)
        head, _ = read_head(sock)
        assert head.startswith(b"HTTP/1.1 101 ")
        sock.sendall(b"frame")
        assert read_all(sock) == b"frame"
    assert seen == [request] and fake.connects() == ["www.example:80"]



# ---- links to the proxy ----

def get(lab, *fields):
    with lab.connect("host", labs.WWW4, 80) as sock:
        sock.sendall("\r\n".join(["GET / HTTP/1.1", "Host: www.example", "Connection: close", *fields, "", ""]).encode())
        return read_all(sock)


@pytest.mark.parametrize("route", ["secure", "plain"])
def test_a_link_serves_one_client_after_the_other(lab, daemon, proxy, route):
    keeping = Keeping()
    proxy(keeping)
    changes = {"Proxy": {"Servers": "fake.example"}, "Relay": {"Processes": 1}}
    if route == "plain":
        changes["SecureChannel"] = {"Enabled": "no"}
    daemon(changes, status=PLAIN if route == "plain" else "Connected (Secure Channel)")
    for _ in range(5):
        assert get(lab).endswith(b"ok")
    assert [len(asked) for asked in keeping.connections] == [5]


@pytest.mark.parametrize("by", ["client", "server"])
def test_a_link_that_is_bound_to_a_client_serves_nobody_else(lab, daemon, proxy, by):
    keeping = Keeping(b"WWW-Authenticate: NTLM\r\n" if by == "server" else b"")
    proxy(keeping)
    daemon({"Proxy": {"Servers": "fake.example"}, "Relay": {"Processes": 1}})
    fields = ["Authorization: NTLM TlRMTVNTUAAB"] if by == "client" else []
    for _ in range(3):
        assert get(lab, *fields).endswith(b"ok")
    assert [len(asked) for asked in keeping.connections] == [1, 1, 1]


def test_a_link_of_another_configuration_is_not_used(lab, daemon, proxy):
    keeping = Keeping()
    proxy(keeping)
    changes = {"Proxy": {"Servers": "fake.example", "Header": "X-Site: 1"}, "Relay": {"Processes": 1}}
    one = daemon(changes)
    assert get(lab).endswith(b"ok")
    changes["Proxy"]["Header"] = "X-Site: 2"
    one.write(lab.config(changes))
    assert one.ask("reload") == [{"ok": True}]
    labs.wait_for(lambda: get(lab).endswith(b"ok") and "X-Site: 2" in keeping.connections[-1][-1], 10, "the new field")
    assert all(len({"X-Site: 1" in head for head in asked}) == 1 for asked in keeping.connections)
