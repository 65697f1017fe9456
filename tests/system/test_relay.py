# SPDX-License-Identifier: GPL-2.0-or-later
"""Bytes through the relay: every one of them, in order, in both directions, over every kind of route."""

import contextlib
import fcntl
import hashlib
import os
import re
import socket
import ssl
import struct
import threading
import time

import lab as labs
import pytest
from peers import (OK, WITH_GROUPS, answer, client_hello, cut, end_writing, raw, read_all, read_exactly, reset, tunnel,
                   unit)

SECURE, PLAIN = "Connected (Secure Channel)", "Connected (Non-secure)"
FAKE = {"Servers": "fake.example"}
ROUTES = ["secure", "plain"]
RAW = {"v4": labs.RAW4, "v6": labs.RAW6}
MB = 1 << 20


def route_config(route, **sections):
    off = {"SecureChannel": {"Enabled": "no"}} if route == "plain" else {}
    return {"Proxy": dict(FAKE), **off, **sections}


def start(daemon, route, **sections):
    return daemon(route_config(route, **sections), status=SECURE if route == "secure" else PLAIN)


def pattern(size, seed):
    """Bytes in which a lost, repeated or moved piece cannot go unseen."""
    block = hashlib.shake_128(str(seed).encode()).digest(1048573)
    return (block * (size // len(block) + 1))[:size]


def send_in_thread(sock, data, errors):
    def run():
        try:
            sock.sendall(data)
            end_writing(sock)
        except OSError as error:
            errors.append(error)
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread


def receive_hash(sock):
    digest, size = hashlib.sha256(), 0
    while chunk := sock.recv(1 << 18):
        digest.update(chunk)
        size += len(chunk)
    return size, digest.hexdigest()


def both_ways(lab, proxy, size, address, version=None):
    """Sends size bytes up and other size bytes down at the same time; checks both ends."""
    up, down = pattern(size, "up"), pattern(size, "down")
    seen, errors = {}, []

    def origin(sock):
        thread = send_in_thread(sock, down, errors)
        seen["up"] = receive_hash(sock)
        thread.join()

    fake = proxy(tunnel(origin), maximum=version)
    yield fake
    with lab.connect("host", address, 443, timeout=60) as sock:
        thread = send_in_thread(sock, up, errors)
        seen["down"] = receive_hash(sock)
        thread.join()
    labs.wait_for(lambda: "up" in seen, 10, "the upload's end")
    assert not errors and not fake.errors, (errors, fake.errors)
    assert seen["up"] == (size, hashlib.sha256(up).hexdigest())
    assert seen["down"] == (size, hashlib.sha256(down).hexdigest())
    yield None


@pytest.mark.parametrize("family", RAW)
@pytest.mark.parametrize("route", ROUTES)
def test_200_mb_both_ways_at_once(lab, daemon, proxy, route, family, sanitized):
    size = (20 if sanitized else 200) * MB
    run = both_ways(lab, proxy, size, RAW[family])
    next(run)
    one = start(daemon, route)
    next(run)
    line = one.wait_log(f"-> {'[' + labs.RAW6 + ']' if family == 'v6' else labs.RAW4}:443")
    assert f"via {route} " in line and f"{size} up, {size} down" in line and "finished" in line


def test_20_mb_both_ways_over_tls_1_2(lab, daemon, proxy):
    run = both_ways(lab, proxy, 20 * MB, labs.RAW4, ssl.TLSVersion.TLSv1_2)
    next(run)
    assert start(daemon, "secure").status()["tls"]["version"] == "TLSv1.2"
    next(run)


@pytest.mark.parametrize("route", ROUTES)
def test_half_close_by_the_client_passes_through(lab, daemon, proxy, route):
    """The origin sees the end of the request and only then begins its answer."""
    answer_bytes = pattern(3 * MB, "answer")
    seen = []

    def origin(sock):
        seen.append(read_all(sock))
        sock.sendall(answer_bytes)

    proxy(tunnel(origin))
    start(daemon, route)
    with lab.connect("host", labs.RAW4, 443) as sock:
        sock.sendall(b"question")
        sock.shutdown(socket.SHUT_WR)
        assert read_all(sock) == answer_bytes
    assert seen == [b"question"]


@pytest.mark.parametrize("route", ROUTES)
def test_half_close_by_the_origin_passes_through(lab, daemon, proxy, route):
    request, seen = pattern(3 * MB, "request"), []

    def origin(sock):
        sock.sendall(b"banner")
        end_writing(sock)
        seen.append(read_all(sock))

    proxy(tunnel(origin))
    start(daemon, route)
    with lab.connect("host", labs.RAW4, 443) as sock:
        assert read_all(sock) == b"banner"
        sock.sendall(request)
        sock.shutdown(socket.SHUT_WR)
        labs.wait_for(lambda: seen, 10, "the request's end")
    assert seen == [request]


@pytest.mark.parametrize("route", ROUTES)
def test_a_reset_by_the_client_reaches_the_proxy_as_an_error(lab, daemon, proxy, route):
    ends = []

    def origin(sock):
        try:
            sock.recv(100)
            sock.sendall(b"x")
            ends.append(sock.recv(100))
        except OSError as error:
            ends.append(type(error).__name__)

    proxy(tunnel(origin))
    one = start(daemon, route)
    sock = lab.connect("host", labs.RAW4, 443)
    sock.sendall(b"hello")
    assert sock.recv(1) == b"x"
    reset(sock)
    labs.wait_for(lambda: ends, 10, "the end at the proxy")
    assert ends != [b""], "the error arrived as an orderly end"
    one.wait_log("client reset the connection")
    sessions = one.status()["sessions"]
    assert (sessions["client_ended"], sessions["failed"]) == (1, 0)


@pytest.mark.parametrize("route", ROUTES)
def test_a_reset_by_the_proxy_reaches_the_client_as_an_error(lab, daemon, proxy, route):
    def origin(sock):
        sock.sendall(b"part")
        sock.recv(10)
        reset(sock)

    proxy(tunnel(origin))
    one = start(daemon, route)
    with lab.connect("host", labs.RAW4, 443) as sock:
        assert read_exactly(sock, 4) == b"part"
        sock.sendall(b"go")
        with pytest.raises(ConnectionResetError):
            while sock.recv(100):
                pass
            pytest.fail("an orderly end after a reset")
    one.wait_log("proxy reset the connection")


def test_a_channel_that_ends_without_close_notify_ends_in_order_with_a_note(lab, daemon, proxy):
    """As Apache does, always. What is inside has its own marks of an end where that matters; a reset would cost many
    clients what they have got already."""
    seen = []

    def origin(sock):
        sock.sendall(b"all of it")
        sock.recv(2)
        sock.sock.shutdown(socket.SHUT_WR)
        seen.append(read_exactly(sock, 4))

    proxy(tunnel(origin))
    one = start(daemon, "secure")
    with lab.connect("host", labs.RAW4, 443) as sock:
        assert read_exactly(sock, 9) == b"all of it"
        sock.sendall(b"go")
        assert sock.recv(100) == b""
        sock.sendall(b"late")
        labs.wait_for(lambda: seen == [b"late"], 10, "what was said after the end")
    line = one.wait_log("finished; the proxy closed the channel without TLS close_notify")
    assert "9 down" in line
    assert one.status()["sessions"]["failed"] == 0


def acknowledged(sock):
    """Everything that was written to it has been taken by the peer's kernel."""
    left = struct.unpack("i", fcntl.ioctl(sock.fileno(), 0x5411, b"\0\0\0\0"))[0]  # SIOCOUTQ
    return left == 0


ENDS = {"reset": reset, "cut": cut, "close": lambda sock: end_writing(sock)}


def ending_origin(data, how):
    def origin(sock):
        sock.recv(2)
        sock.sendall(data)
        labs.wait_for(lambda: acknowledged(raw(sock)), 60, "the last acknowledgement")
        ENDS[how](sock)
    return origin


def read_until_the_end(sock, pace=0.0):
    """All bytes, and None or the error behind them."""
    data = b""
    try:
        while chunk := sock.recv(1 << 16):
            data += chunk
            time.sleep(pace)
    except OSError as error:
        return data, error
    return data, None


@pytest.mark.parametrize("how", ENDS)
@pytest.mark.parametrize("route", ROUTES)
def test_a_client_that_reads_late_gets_every_byte(lab, daemon, proxy, route, how):
    """The proxy has ended and the session is long over when the client begins to read."""
    data = pattern(300000, how)
    proxy(tunnel(ending_origin(data, how)))
    one = start(daemon, route)
    with lab.connect("host", labs.RAW4, 443, timeout=30) as sock:
        sock.sendall(b"go")
        last_change(lambda: one.status()["bytes"]["down"], quiet=6)  # longer than a session's end takes
        got, error = read_until_the_end(sock)
    assert len(got) == len(data) and got == data
    assert isinstance(error, ConnectionResetError) if how == "reset" else error is None
    one.wait_log("300000 down")


@pytest.mark.parametrize("how", ENDS)
@pytest.mark.parametrize("route", ROUTES)
def test_a_client_that_reads_slowly_gets_every_byte(lab, daemon, proxy, route, how):
    """More than all buffers hold: the proxy's end comes while much is still on its way."""
    data = pattern(5 * MB + 7, how)
    proxy(tunnel(ending_origin(data, how)))
    one = start(daemon, route)
    with lab.connect("host", labs.RAW4, 443, timeout=30) as sock:
        sock.sendall(b"go")
        last_change(lambda: one.status()["bytes"]["down"])
        got, error = read_until_the_end(sock, pace=0.02)
    assert len(got) == len(data) and got == data
    assert isinstance(error, ConnectionResetError) if how == "reset" else error is None


@pytest.mark.parametrize("route", ROUTES)
def test_a_slow_reader_gets_everything_and_bounds_the_memory(lab, daemon, proxy, route, sanitized):
    size, begun = 64 * MB, threading.Event()
    data = pattern(size, "slow")

    def origin(sock):
        sock.recv(2)
        begun.set()
        sock.sendall(data)

    proxy(tunnel(origin))
    one = start(daemon, route, Relay={"Processes": 1})
    relay = one.children()["relay"][0]
    before = resident(relay)
    with lab.connect("host", labs.RAW4, 443, timeout=60) as sock:
        sock.sendall(b"go")
        assert begun.wait(10)
        settled = last_change(lambda: one.status()["bytes"]["down"])
        assert settled < size, "nobody read and all of it left the proxy"
        assert resident(relay) - before < (64 if sanitized else 8) * MB
        assert receive_hash(sock) == (size, hashlib.sha256(data).hexdigest())


@pytest.mark.parametrize("route", ROUTES)
def test_a_slow_origin_gets_everything(lab, daemon, proxy, route):
    size, go, seen = 32 * MB, threading.Event(), []
    data = pattern(size, "slow")

    def origin(sock):
        go.wait(30)
        seen.append(receive_hash(sock))

    proxy(tunnel(origin))
    one = start(daemon, route)
    errors = []
    with lab.connect("host", labs.RAW4, 443, timeout=60) as sock:
        thread = send_in_thread(sock, data, errors)
        last_change(lambda: one.status()["bytes"]["up"])
        go.set()
        thread.join()
        labs.wait_for(lambda: seen, 30, "the upload's end")
    assert seen == [(size, hashlib.sha256(data).hexdigest())] and not errors


def resident(pid):
    with open(f"/proc/{pid}/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")


def last_change(value, quiet=0.5):
    """The value once it has not changed for a while."""
    state = [value(), time.monotonic()]

    def settled():
        now = value()
        if now != state[0]:
            state[:] = [now, time.monotonic()]
        return time.monotonic() - state[1] > quiet
    labs.wait_for(settled, 30, "a standstill")
    return state[0]


# ---- names and addresses ----

@pytest.mark.parametrize("family,server", [("v4", "gw4.example"), ("v6", "gw6.example")])
def test_real_peers_bulk_by_name(lab, daemon, family, server, sanitized):
    size = (20 if sanitized else 100) * MB
    path = lab.make_file("bulk", size)
    with open(path, "rb") as file:
        want = hashlib.sha256(file.read()).hexdigest()
    daemon({"Proxy": {"Servers": server}})
    host = f"www{family[1]}.example"
    out = f"{lab.shm}/got"
    assert lab.curl(f"https://{host}/file/bulk", "-o", out, timeout=60)[:2] == (0, 200)
    with open(out, "rb") as file:
        assert hashlib.sha256(file.read()).hexdigest() == want
    assert lab.curl(f"https://{host}/upload/{family}", "-T", path, timeout=60)[:2] == (0, 201)
    with open(f"{lab.shm}/upload/{family}", "rb") as file:
        assert hashlib.sha256(file.read()).hexdigest() == want
    os.unlink(f"{lab.shm}/upload/{family}")
    os.unlink(out)


def targets(lab, since):
    return [line[3] for line in lab.access_log()[since:] if line[2] == "CONNECT"]


def test_connect_names_the_sni_and_the_host(lab, daemon):
    daemon({"Redirect": {"HTTP": "tunnel"}})
    since = len(lab.access_log())
    assert lab.curl("https://www4.example/")[:2] == (0, 200)
    assert lab.curl("http://www6.example/")[:2] == (0, 200)
    assert lab.curl("http://www4.example:80/", "-H", "Host: other.example")[:2] == (0, 200)
    labs.wait_for(lambda: len(targets(lab, since)) >= 3, 5, "Squid's log")
    assert targets(lab, since) == ["www4.example:443", "www6.example:80", "other.example:80"]


def test_connect_names_the_address_without_sni_or_host(lab, daemon):
    daemon({"Redirect": {"HTTP": "tunnel"}})
    since = len(lab.access_log())
    assert lab.curl(f"https://{labs.WWW4}/", "-k")[:2] == (0, 200)
    assert lab.curl(f"https://[{labs.WWW6}]/", "-k")[:2] == (0, 200)
    assert lab.curl(f"http://{labs.WWW4}/", "--http1.0", "-H", "Host:")[:2] == (0, 200)
    labs.wait_for(lambda: len(targets(lab, since)) >= 3, 5, "Squid's log")
    assert targets(lab, since) == [f"{labs.WWW4}:443", f"[{labs.WWW6}]:443", f"{labs.WWW4}:80"]


def test_the_log_line_of_a_session_says_it_all(lab, daemon):
    one = daemon()
    assert lab.curl("https://www4.example/")[:2] == (0, 200)
    line = one.wait_log(f"-> {labs.WWW4}:443")
    assert re.search(rf"session \d+, {labs.HOST4}:\d+ of uid 0( \(\S+\))? -> {labs.WWW4}:443 \(www4\.example\) via secure \S+:8081: "
                     r"\d+ up, \d+ down, \d+\.\d+ s, finished", line), line


def test_the_log_line_of_a_session_says_who_made_it(lab, daemon):
    one = daemon(prefix=WITH_GROUPS)
    with unit("backup.service") as enter:
        done = lab.run("host", ["setpriv", "--reuid=65534", "--clear-groups", "curl", "-sk", "https://www4.example/"],
                       preexec_fn=enter)
        assert done.returncode == 0, done.stderr
        line = one.wait_log(f"-> {labs.WWW4}:443")
    assert re.search(rf"session \d+, {labs.HOST4}:\d+ of uid 65534 \(backup\.service\) -> ", line), line


def test_headers_of_the_configuration_are_sent(lab, daemon, proxy):
    fake = proxy(tunnel(lambda sock: sock.recv(1)))
    start(daemon, "secure", Proxy={**FAKE, "Header": ["X-Department: 42", "X-Other: yes: no"]})
    with lab.connect("host", labs.RAW4, 443) as sock:
        sock.sendall(b"hello")
        labs.wait_for(fake.connects, 5, "a CONNECT")
    head = next(head for head in fake.heads if head.startswith("CONNECT"))
    assert "\r\nX-Department: 42\r\n" in head and "\r\nX-Other: yes: no\r\n" in head
    assert f"\r\nHost: {labs.RAW4}:443\r\n" in head


def test_bytes_behind_the_200_belong_to_the_tunnel(lab, daemon, proxy):
    for route in ROUTES:
        fake = proxy(answer(OK + b"early bytes", then="wait"))
        one = start(daemon, route)
        with lab.connect("host", labs.RAW4, 443) as sock:
            sock.sendall(b"hello")
            assert read_exactly(sock, 11) == b"early bytes"
        one.stop()
        fake.close()


def test_a_protocol_in_which_the_server_speaks_first(lab, daemon, proxy):
    """The client says nothing; after a short silence its address must do."""
    fake = proxy(tunnel(lambda sock: (sock.sendall(b"220 ready\r\n"), sock.recv(10))))
    start(daemon, "secure")
    with lab.connect("host", labs.RAW4, 80) as sock:
        assert read_exactly(sock, 11) == b"220 ready\r\n"
    assert fake.connects() == [f"{labs.RAW4}:80"]


@pytest.mark.parametrize("destination", [labs.RAW4, "10.9.9.9"], ids=["web", "bypassed"])
def test_a_redirect_of_others_makes_the_relay_connect_to_no_other_port(lab, daemon, proxy, destination):
    fake = proxy(tunnel(lambda sock: sock.sendall(b"reached")))
    one = start(daemon, "secure")
    lab.nft("host", "table ip other { chain out { type nat hook output priority -150; "
                    "tcp dport 2222 redirect to :15443; }; }")
    with contextlib.suppress(ConnectionResetError), lab.connect("host", destination, 2222) as sock:
        assert sock.recv(100) == b""
    one.wait_log(f"-> {destination}:2222 via none: 0 up, 0 down, 0.000 s, destination port is not one of the redirected")
    assert fake.connects() == []


@pytest.mark.parametrize("route", ROUTES)
def test_500_sessions_at_once_keep_their_bytes_apart(lab, daemon, proxy, route):
    def echo(sock):
        while chunk := sock.recv(65536):
            sock.sendall(chunk)

    proxy(tunnel(echo))
    one = start(daemon, route)
    socks = [lab.connect("host", labs.RAW4, 443, timeout=30) for _ in range(500)]
    for i, sock in enumerate(socks):
        sock.sendall(b"%09d\n" % i * 100)
    for i, sock in enumerate(socks):
        assert read_exactly(sock, 1000) == b"%09d\n" % i * 100
    page = one.status()
    assert page["sessions"]["open"] == 500
    # A relay may be interrupted between the bytes and their count.
    labs.wait_for(lambda: min(one.status()["bytes"].values()) >= 500000, what="500,000 bytes counted in both directions")
    for sock in socks:
        sock.close()
    labs.wait_for(lambda: one.status()["sessions"]["open"] == 0, 10, "the sessions' end")
    assert one.status()["sessions"]["failed"] == page["sessions"]["failed"]


def test_nothing_is_left_after_many_sessions(lab, daemon, proxy, sanitized):
    """Descriptors and memory of the relay are what they were."""
    def echo(sock):
        sock.sendall(sock.recv(65536))

    proxy(tunnel(echo))
    one = start(daemon, "secure", Relay={"Processes": 1})
    relay = one.children()["relay"][0]

    def burst(count):
        for _ in range(count):
            with lab.connect("host", labs.RAW4, 443) as sock:
                sock.sendall(b"x")
                with contextlib.suppress(OSError):
                    sock.recv(1)
        labs.wait_for(lambda: one.status()["sessions"]["open"] == 0, 10, "the sessions' end")

    burst(100)
    descriptors, memory = len(os.listdir(f"/proc/{relay}/fd")), resident(relay)
    burst(300)
    labs.wait_for(lambda: len(os.listdir(f"/proc/{relay}/fd")) <= descriptors, 10, "the last descriptor's end")  # what lingers is no session any more
    assert sanitized or resident(relay) - memory < 4 * MB  # a sanitizer keeps what was freed for a while


def test_a_long_client_hello_in_one_byte_pieces_keeps_its_name(lab, daemon, proxy):
    fake = proxy(tunnel(lambda sock: sock.sendall(read_exactly(sock, len(hello)))))
    hello = client_hello("sliced.example")
    start(daemon, "secure")
    with lab.connect("host", labs.RAW4, 443) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for i in range(len(hello)):
            sock.sendall(hello[i:i + 1])
        assert read_exactly(sock, len(hello)) == hello, "not one byte of the ClientHello may change"
    assert fake.connects() == ["sliced.example:443"]


def test_many_short_sessions_are_few_lines(lab, daemon):
    """What a user can make as fast as he likes does not fill the journal; all are counted, and a verdict is told."""
    one = daemon({"Limits": {"LogRate": "5"}, "Relay": {"Processes": 1}})
    begin = time.monotonic()
    for _ in range(100):
        with lab.connect("host", labs.WWW4, 80) as sock:
            reset(sock)
    labs.wait_for(lambda: one.status()["sessions"]["open"] == 0 and one.status()["sessions"]["total"] == 100, what="all sessions")

    def told():
        log = one.log()
        return log.count(", 192.0.2.100:") + sum(int(n) for n in re.findall(r"(\d+) more sessions ended", log))

    labs.wait_for(lambda: told() == 100, what="every session in a count")
    assert one.log().count(", 192.0.2.100:") <= 5 * (time.monotonic() - begin + 1)
    lab.fault("reject")
    one.ask("test")
    one.wait_log("-> Blocked - Secure channel port not available")


def test_a_client_that_has_ended_its_direction_may_wait(lab, daemon, proxy):
    """conntrack forgets a half-closed connection that is silent, and then the answer would reach nobody."""
    forgets, waits = 22, 26  # seconds; 60 usually
    told = threading.Event()

    def answer_late(sock):
        assert read_all(sock) == b"question"
        told.wait(waits)
        sock.sendall(b"answer")

    setting = "net.netfilter.nf_conntrack_tcp_timeout_close_wait"
    proxy(tunnel(answer_late))
    start(daemon, "secure")
    lab.run("host", ["sysctl", "-qw", f"{setting}={forgets}"], check=True)
    try:
        with lab.connect("host", labs.RAW4, 80) as sock:
            sock.settimeout(60)
            sock.sendall(b"question")
            sock.shutdown(socket.SHUT_WR)
            assert read_all(sock) == b"answer"
    finally:
        told.set()
        lab.run("host", ["sysctl", "-qw", f"{setting}=60"], check=True)
