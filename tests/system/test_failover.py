# SPDX-License-Identifier: GPL-2.0-or-later
"""What happens to clients, and how fast, when the way to the proxy changes under them."""

import contextlib
import threading
import time

import lab as labs
import pytest
from peers import RulesMonitor

SECURE, PLAIN = "Connected (Secure Channel)", "Connected (Non-secure)"
AUTH_FAILED = "Blocked - Mutual Auth Failed"
PORT = "Blocked - Secure channel port not available"
TWO = {"Servers": "gw.example gw2.example"}
FALLBACK = {"SecureChannel": {"AllowFallback": "yes"}}
LIMIT = 0.1


# Each request opens a connection to the proxy; a link that rests would carry it past the fault.
EACH_ANEW = {"Redirect": {"HTTP": "tunnel"}}


@pytest.fixture
def monitor(lab):
    one = RulesMonitor(lab)
    yield one
    one.close()


def fetch(lab, address="203.0.113.80", timeout=10.0):
    """One request of a browser over a new connection; the time it took."""
    begin = time.monotonic()
    with lab.connect("host", address, 80, timeout) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: www.example\r\nConnection: close\r\n\r\n")
        data = b""
        while chunk := sock.recv(65536):
            data += chunk
    assert data.startswith(b"HTTP/1.1 200"), data[:200]
    return time.monotonic() - begin


def warm(lab):
    for _ in range(3):
        fetch(lab)


def test_refused_port_blocks_in_the_kernel_within_100_ms(lab, daemon, monitor, sanitized):
    one = daemon({"Test": {"Interval": "1h"}})
    warm(lab)
    lab.fault("reject")
    begin = time.monotonic()
    with contextlib.suppress(OSError, AssertionError):
        fetch(lab)
    one.wait_status(PORT)
    took = monitor.first_after(begin) - begin
    print(f"from the refused connection to the new rules: {took * 1000:.1f} ms")
    assert took < LIMIT * (5 if sanitized else 1)


def test_mistrusted_handshake_blocks_in_the_kernel_within_100_ms(lab, daemon, monitor, sanitized):
    one = daemon({"Test": {"Interval": "1h"}, **EACH_ANEW})
    warm(lab)
    lab.set_server_cert("gw", "wrong-name")  # and with a new process nothing that could be resumed
    begin = time.monotonic()
    with contextlib.suppress(OSError, AssertionError):
        fetch(lab)
    one.wait_status(AUTH_FAILED)
    took = monitor.first_after(begin) - begin
    print(f"from the mistrusted handshake to the new rules: {took * 1000:.1f} ms")
    assert took < LIMIT * (5 if sanitized else 1)


def test_a_test_that_fails_blocks_in_the_kernel_within_100_ms(lab, daemon, monitor, sanitized):
    one = daemon({"Test": {"Interval": "1h"}})
    lab.fault("reject")
    begin = time.monotonic()
    one.ask("test")
    took = monitor.first_after(begin) - begin
    print(f"from the start of the test to the new rules: {took * 1000:.1f} ms")
    assert one.status()["status"] == PORT
    assert took < LIMIT * (5 if sanitized else 1)


@pytest.mark.parametrize("address", ["203.0.113.80", "2001:db8:3::80"])
def test_no_client_fails_when_the_port_is_refused_and_fallback_allowed(lab, daemon, address):
    one = daemon({**FALLBACK, "Test": {"Interval": "1h"}, **EACH_ANEW})
    failures, times, ended = [], [], threading.Event()

    def browse():
        while not ended.is_set():
            try:
                times.append(fetch(lab, address))
            except (OSError, AssertionError) as error:
                failures.append(repr(error))

    threads = [threading.Thread(target=browse) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        labs.wait_for(lambda: len(times) > 50, 20, "some requests")
        lab.fault("refuse")
        one.wait_status(PLAIN)
        count = len(times)
        labs.wait_for(lambda: len(times) > count + 50, 20, "some requests over the plain port")
    finally:
        ended.set()
        for thread in threads:
            thread.join()
    print(f"{len(times)} requests, the slowest {max(times) * 1000:.0f} ms")
    assert not failures, failures
    assert lab.leaked() == 0


def test_no_client_fails_when_the_second_server_takes_over(lab, daemon):
    one = daemon({"Proxy": TWO, "Test": {"Interval": "1h"}, **EACH_ANEW})
    failures, times, ended = [], [], threading.Event()

    def browse():
        while not ended.is_set():
            try:
                times.append(fetch(lab))
            except (OSError, AssertionError) as error:
                failures.append(repr(error))

    thread = threading.Thread(target=browse)
    thread.start()
    try:
        labs.wait_for(lambda: len(times) > 20, 20, "some requests")
        lab.fault("refuse", server="gw")
        labs.wait_for(lambda: (one.status()["proxy"] or {}).get("server") == "gw2.example", 10, "gw2.example")
        count = len(times)
        labs.wait_for(lambda: len(times) > count + 20, 20, "some requests over gw2")
    finally:
        ended.set()
        thread.join()
    assert not failures, failures
    assert one.status()["status"] == SECURE


def test_an_open_session_lives_on_when_another_server_takes_over(lab, daemon):
    one = daemon({"Proxy": TWO, "Test": {"Interval": "1h"}})
    with lab.connect("host", labs.WWW4, 80) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: www.example\r\n\r\n")
        assert b"200" in sock.recv(65536)
        lab.fault("refuse", server="gw")
        one.ask("test")
        assert one.status()["proxy"]["server"] == "gw2.example"
        sock.sendall(b"GET / HTTP/1.1\r\nHost: www.example\r\n\r\n")
        assert b"200" in sock.recv(65536)


def test_sessions_are_cut_when_the_verdict_becomes_blocked(lab, daemon):
    one = daemon({"Test": {"Interval": "1h"}})
    with lab.connect("host", labs.WWW4, 80) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: www.example\r\n\r\n")
        assert b"200" in sock.recv(65536)
        lab.set_client_ca("gw", "other-ca")
        one.ask("test")
        assert one.status()["status"] == AUTH_FAILED
        with contextlib.suppress(ConnectionResetError):
            while sock.recv(65536):
                pass
    one.wait_log("cut because the verdict became blocked")


def test_plain_sessions_drain_after_the_channel_returned(lab, daemon):
    lab.fault("reject")
    one = daemon({**FALLBACK, "Test": {"Interval": "1h"}}, status=PLAIN)
    with lab.connect("host", labs.WWW4, 80) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: www.example\r\n\r\n")
        assert b"200" in sock.recv(65536)
        lab.clear_faults()
        one.ask("test")
        assert one.status()["status"] == SECURE
        sock.sendall(b"GET / HTTP/1.1\r\nHost: www.example\r\n\r\n")  # still alive
        assert b"200" in sock.recv(65536)
        fetch(lab)
        line = one.wait_log("via secure", timeout=5)
        assert "192.0.2.1:8081" in line or "[2001:db8:1::1]:8081" in line


@pytest.mark.slow
def test_a_drained_session_ends_within_a_minute(lab, daemon):
    lab.fault("reject")
    one = daemon({**FALLBACK, "Test": {"Interval": "1h"}, "Redirect": {"HTTP": "tunnel"}}, status=PLAIN)
    with lab.connect("host", labs.WWW4, 80, timeout=70) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: www.example\r\n\r\n")
        assert b"200" in sock.recv(65536)
        lab.clear_faults()
        one.ask("test")
        assert one.status()["status"] == SECURE
        begin = time.monotonic()
        with contextlib.suppress(OSError):
            while sock.recv(65536):
                pass
        assert 30 < time.monotonic() - begin < 70
    one.wait_log("non-secure session ended after the secure channel returned")


def test_the_first_server_is_used_again_when_it_is_back(lab, daemon):
    lab.fault("reject", server="gw")
    one = daemon({"Proxy": TWO})
    assert one.status()["proxy"]["server"] == "gw2.example"
    lab.clear_faults()
    one.ask("test")
    assert one.status()["proxy"]["server"] == "gw.example"


def test_blocked_is_retried_and_ends_by_itself(lab, daemon):
    lab.fault("reject")
    one = daemon({"Test": {"RetryMax": "1s"}}, status=PORT)
    lab.clear_faults()
    one.wait_status(SECURE, timeout=5)


def test_a_link_that_comes_back_is_tested_at_once(lab, daemon):
    one = daemon({"Test": {"Interval": "1h", "RetryMax": "10min"}, "Proxy": {"Servers": "192.0.2.1"}})
    lab.network(False)
    try:
        one.wait_status("Blocked - No network", timeout=10)
    finally:
        lab.network(True)
    one.wait_status(SECURE, timeout=5)


def test_connections_are_held_while_a_failed_route_is_retested(lab, daemon):
    """The port refuses for half a second only: the client waits, and gets its page."""
    daemon({"Test": {"Interval": "1h"}, "Proxy": TWO})
    warm(lab)
    lab.fault("reject", server="gw")
    assert fetch(lab) < 5
