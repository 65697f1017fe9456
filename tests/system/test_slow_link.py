# SPDX-License-Identifier: GPL-2.0-or-later
"""A proxy that is far away: the lab's slow link itself, then bytes and first bytes through it."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time

import lab as labs
import pytest
from peers import read_exactly, tunnel
from test_relay import RAW, ROUTES, both_ways, start

MB = 1 << 20
NEAR = {"v4": (labs.HOST4, labs.PROXIES["gw"][0]), "v6": (labs.HOST6, labs.PROXIES["gw"][1])}
# One lost SYN costs a second.
PATIENT = {"Test": {"ConnectTimeout": "8s", "HandshakeTimeout": "10s"}}


class Echo:
    """Sends datagrams from host to gw, where they are only counted, or sent back."""

    def __init__(self, lab, family):
        here, there = NEAR[family]
        kind = socket.AF_INET6 if family == "v6" else socket.AF_INET
        self.near, self.far = (lab.socket(space, kind, socket.SOCK_DGRAM) for space in ("host", "gw"))
        self.near.bind((here, 0))
        self.far.bind((there, 0))
        self.near.settimeout(0.3)
        self.far.settimeout(0.3)

    def send(self, data):
        self.near.sendto(data, self.far.getsockname())

    def arrived(self):
        """How many have come, until none comes for 0.3 s."""
        count = 0
        with contextlib.suppress(TimeoutError):
            while self.far.recv(65536):
                count += 1
        return count

    def round_trip(self):
        """Seconds."""
        begin = time.monotonic()
        self.send(b"there")
        data, sender = self.far.recvfrom(100)
        self.far.sendto(data, sender)
        assert self.near.recv(100) == b"there"
        return time.monotonic() - begin

    def close(self):
        self.near.close()
        self.far.close()


@pytest.fixture(params=NEAR)
def echo(lab, request):
    one = Echo(lab, request.param)
    yield one
    one.close()


def is_slow(lab, space):
    return lab.run(space, ["ip", "link", "show", "slow"]).returncode == 0


def test_the_link_is_as_slow_as_asked_for_and_fast_again(lab, echo):
    lab.delay(40)
    slow = min(echo.round_trip() for _ in range(20))
    lab.delay(None)
    fast = min(echo.round_trip() for _ in range(20))
    assert 0.040 <= slow < 0.050 and fast < 0.010
    assert not is_slow(lab, "host") and not is_slow(lab, "gw")


def test_the_link_loses_what_it_should(lab, echo):
    lab.delay(0, loss=10)
    count = 0
    for _ in range(10):  # few at a time: no queue is to overflow
        for _ in range(60):
            echo.send(b"x")
        count += echo.arrived()
    assert 480 < count < 590


def test_the_link_has_the_rate_that_it_should(lab):
    lab.delay(2, rate=8)
    size, far = MB, lab.listen("gw", labs.FAKE4, 7)
    with far, lab.connect("host", labs.FAKE4, 7) as near:
        begin = time.monotonic()
        threading.Thread(target=near.sendall, args=(bytes(size),), daemon=True).start()
        with far.accept()[0] as sock:
            read_exactly(sock, size)
    assert 1.0 < time.monotonic() - begin < 5


def test_large_packets_vanish_where_the_path_is_narrow(lab, echo):
    lab.delay(0, mtu=1200)
    echo.send(bytes(1100))
    assert echo.arrived() == 1
    echo.send(bytes(1300))
    assert echo.arrived() == 0
    lab.delay(None)
    echo.send(bytes(1300))
    assert echo.arrived() == 1


def test_the_slow_link_ends_with_whoever_started_it(lab):
    ends = [f"{lab.name}-host", "up0", f"{lab.name}-gw", "h0"]
    starter = subprocess.Popen([sys.executable, "-c", "import subprocess, sys, signal\n"
                                "link = subprocess.Popen(sys.argv[1:], stdin=subprocess.PIPE, stdout=sys.stdout)\n"
                                "signal.pause()", lab._slowlink(), *ends], stdout=subprocess.PIPE)
    assert starter.stdout.readline() == b"ready\n"
    assert is_slow(lab, "host") and is_slow(lab, "gw")
    os.kill(starter.pid, signal.SIGKILL)
    starter.wait()
    starter.stdout.close()
    labs.wait_for(lambda: not is_slow(lab, "host") and not is_slow(lab, "gw"), 10, "the devices to go")


@pytest.mark.parametrize("round_trip, family", [(20, "v4"), (40, "v6")])
@pytest.mark.parametrize("route", ROUTES)
def test_every_byte_arrives_over_a_slow_link_that_loses_one_in_a_hundred(lab, daemon, proxy, route, round_trip, family):
    run = both_ways(lab, proxy, 4 * MB, RAW[family])
    next(run)
    lab.delay(round_trip, loss=1)
    start(daemon, route, **PATIENT)
    next(run)


@pytest.mark.parametrize("route, round_trips", [("plain", 3), ("secure", 4)])
def test_the_first_byte_takes_no_more_round_trips_than_the_protocols(lab, daemon, proxy, route, round_trips):
    """TCP, TLS, CONNECT and the origin's answer, one each; the best of several, for the machine has other work."""
    def origin(sock):
        sock.recv(100)
        sock.sendall(b"x")

    proxy(tunnel(origin))
    lab.delay(40)
    start(daemon, route)
    times = []
    for _ in range(5):
        begin = time.monotonic()
        with lab.connect("host", labs.RAW4, 443) as sock:
            sock.sendall(b"hello")
            assert sock.recv(1) == b"x"
        times.append(time.monotonic() - begin)
    assert 0.040 <= min(times) < 0.040 * (round_trips + 0.9), times
