# SPDX-License-Identifier: GPL-2.0-or-later
"""One user who opens as many connections as he can, and another who wants to be served all the same."""
import contextlib
import os
import subprocess
import sys
import time

import pytest

import lab as labs

GREEDY, MODEST = 65534, 2  # uids, neither of them penstock's
LONG = 5  # seconds for a page, on a machine that does other work; without shares it is a time-out

# Opens connections until it has so many, a few at a time, and again whenever one was refused; says how many it has.
HAMMER = """
import errno, resource, selectors, socket, sys, time
host, port, want = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
selector, n, refused, told = selectors.DefaultSelector(), 0, 0, 0
while True:
    for _ in range(min(50, want - n)):
        sock = socket.socket()
        sock.setblocking(False)
        if sock.connect_ex((host, port)) not in (0, errno.EINPROGRESS):
            sock.close()
            break
        selector.register(sock, selectors.EVENT_READ)
        n += 1
    for key, _ in selector.select(0.002):
        sock = key.fileobj
        try:
            gone = not sock.recv(4096)
        except OSError:
            gone = True
        if gone:
            selector.unregister(sock)
            sock.close()
            n -= 1
            refused += 1
    if time.monotonic() - told > 0.1:
        told = time.monotonic()
        print(n, refused, flush=True)
"""


class Hammer:
    def __init__(self, lab, want, address=labs.WWW4):
        self.child = subprocess.Popen(lab.argv("host", ["setpriv", f"--reuid={GREEDY}", "--clear-groups", sys.executable, "-c",
                                                        HAMMER, address, "443", str(want)]), stdout=subprocess.PIPE, text=True)
        self.says()

    def says(self):
        """How many connections it has, and how many were refused so far."""
        return tuple(int(word) for word in self.child.stdout.readline().split())

    def wait_refused(self, more):
        deadline = time.monotonic() + 20
        begin = self.says()[1]
        while (said := self.says())[1] < begin + more:
            assert time.monotonic() < deadline, said

    def end(self):
        self.child.kill()
        self.child.wait()
        self.child.stdout.close()


@pytest.fixture
def hammer(lab):
    made = []
    lab.forget_tracking()

    def start(*args):
        made.append(Hammer(lab, *args))
        return made[-1]

    yield start
    for one in made:
        with contextlib.suppress(ProcessLookupError):
            one.end()


def served(lab, url="https://www4.example/"):
    """Seconds until another user has the page."""
    begin = time.monotonic()
    done = lab.run("host", ["setpriv", f"--reuid={MODEST}", "--clear-groups", "curl", "-sS", "-m", "10", "-o", "/dev/null",
                            "--cacert", f"{lab.dir}/pki/ca.pem", "-w", "%{http_code}", url])
    assert done.returncode == 0 and done.stdout == "200", done
    return time.monotonic() - begin


def wait_for_no_more_than(one, limit):
    """A connection counts from its beginning, and is refused when it is known whose it is."""
    labs.wait_for(lambda: one.status()["sessions"]["open"] <= limit + 2, what=lambda: f"{limit} sessions: {one.status()}")


def greedy_warning(one):
    return next((text for text in one.status()["warnings"] if text.startswith(f"uid {GREEDY} has ")), None)


def test_a_user_has_so_many_sessions_over_all_relays_and_no_more(lab, daemon, hammer):
    one = daemon({"Limits": {"SessionsPerUser": "150"}, "Log": {"Sessions": "no"}})
    greedy = hammer(2000)
    greedy.wait_refused(2000)
    for _ in range(5):
        assert served(lab) < LONG
        wait_for_no_more_than(one, 150)
    labs.wait_for(lambda: one.status()["sessions"]["open"] >= 149, what="all that the user may have")
    assert " sessions of 150 that one user may have (SessionsPerUser=); " in greedy_warning(one)
    assert one.status()["sessions"]["shed"] > 2000
    line = "connections refused, or ended for others', because their user had too many: "
    assert 1 <= one.log().count(line) <= 2, "one line of each relay"
    greedy.end()
    labs.wait_for(lambda: one.status()["sessions"]["open"] == 0, what="the end of all")
    page = one.cli("status").stdout
    assert " too many of one user" in page and f"uid {GREEDY} has 0 sessions of 150" in page, page


@pytest.mark.parametrize("relays", [1, 2])
def test_when_all_relays_are_full_the_greediest_makes_room(lab, daemon, hammer, relays):
    """At the limit of descriptors: each new connection of another takes the place of the greediest's newest."""
    one = daemon({"Relay": {"Processes": relays}, "Log": {"Sessions": "no"}}, prefix=["prlimit", "--nofile=600:600"])
    greedy = hammer(3000)
    greedy.wait_refused(3000)
    full = f"{relays} of {relays} relays have room for no more sessions"
    labs.wait_for(lambda: any(text.startswith(full) for text in one.status()["warnings"]), what=lambda: f"{one.status()}")
    for _ in range(10):
        assert served(lab) < LONG
    assert greedy_warning(one)
    assert one.status()["status"] == "Connected (Secure Channel)"
    assert len(one.children()["relay"]) == relays


def test_what_a_dead_relay_held_is_given_back(lab, daemon, hammer):
    """The user's sessions died with it: he may have others."""
    one = daemon({"Limits": {"SessionsPerUser": "100"}, "Log": {"Sessions": "no"}})
    greedy = hammer(300)
    greedy.wait_refused(300)
    before = set(one.children()["relay"])
    for relay in before:
        os.kill(relay, 9)
    labs.wait_for(lambda: len(set(one.children()["relay"]) - before) == 2, what="other relays")
    labs.wait_for(lambda: one.status()["sessions"]["open"] >= 99, what=lambda: f"the sessions of the next relays: {one.status()}")
    wait_for_no_more_than(one, 100)
