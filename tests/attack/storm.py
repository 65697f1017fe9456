# SPDX-License-Identifier: GPL-2.0-or-later
"""Users who try everything at random while everything happens to penstock at random: not one packet to a web port leaves."""

import contextlib
import mmap
import os
import random
import re
import signal
import time

import lab as labs
import user
from items import SECURE

BROKEN = re.compile(r"ERROR: \w*Sanitizer|runtime error:|Assertion .* failed|sent what it may not send|was ended by signal (?!9\b|15\b)")
PRINT_S = 60


class Storm:
    def __init__(self, world, seed, users):
        self.world, self.lab = world, world.lab
        self.random = random.Random(seed)
        self.memory = mmap.mmap(-1, 8 * 2 * users)
        self.counts = memoryview(self.memory).cast("Q")[:users]
        self.hijacked = memoryview(self.memory).cast("Q")[users:]
        self.users, self.pids = users, []
        self.happened = {}
        self.faulty = False

    def begin(self):
        self.pids = [user.fork(self.lab, user.UID - i, user.hammer, self.random.randrange(1 << 30), self.counts, i, self.hijacked)
                     for i in range(self.users)]

    def attempts(self):
        return sum(self.counts)

    def end(self):
        for pid in self.pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        self.pids = []

    # ---- what happens ----

    def changes(self):
        """Of the configuration: none of them opens anything."""
        return {"Failure": {"OnStop": "block"}, "Log": {"Sessions": "no", "Level": "info"},
                "Limits": {"SessionsPerUser": self.random.choice((50, 500, 4096))},
                "Relay": {"Processes": self.random.choice((1, 2, 3))},
                "Redirect": {"ListenPort": self.random.choice((user.RELAY_PORT, user.RELAY_PORT, user.OTHER_RELAY_PORT)), "HTTP": self.random.choice(("request", "tunnel")), "QUIC": "reject",
                             "Names": self.random.choice(("prefer", "require", "ignore"))},
                "Proxy": {"Servers": self.random.choice(("gw.example", "gw2.example", "gw4.example gw2.example"))}}

    def kill_relays(self):
        relays = self.one.children()["relay"]
        for pid in self.random.sample(relays, self.random.randint(0, len(relays))):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def stall_relay(self):
        for pid in self.one.children()["relay"][:1]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)
                time.sleep(self.random.random() / 5)
                os.kill(pid, signal.SIGCONT)

    def kill_prober(self):
        for pid in self.one.children()["prober"]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def kill_daemon(self):
        self.one.kill()
        time.sleep(self.random.random() / 5)
        self.one.start()

    def stop_and_start(self):
        """With OnStop=block."""
        self.one.stop()
        time.sleep(self.random.random() / 5)
        self.one.start()

    def reload(self):
        self.one.write(self.lab.config(self.changes()))
        self.one.ask("reload")

    def flush(self):
        """By root. (A table that the kernel cannot own is gone for a moment then, as the manual says.)"""
        if self.one.status().get("rules", {}).get("owned"):
            for words in (("flush", "ruleset"), ("delete", "table", "inet", "penstock"), ("flush", "table", "inet", "penstock")):
                self.lab.run("host", ["nft", *words])

    def fault(self):
        self.lab.clear_faults()
        self.faulty = self.random.random() < 0.5
        if self.faulty:
            self.lab.fault(self.random.choice(("reject", "refuse", "drop")), self.random.choice((labs.SECURE_PORT, labs.PLAIN_PORT)))
        self.one.ask("test", timeout=self.random.random())

    def mistrust(self):
        self.lab.set_server_cert("gw", self.random.choice(("server", "server", "wrong-name", "expired")))
        self.one.ask("test", timeout=self.random.random())

    def others_rules(self):
        """Another program's: marks, labels, a chain that accepts before and behind ours."""
        self.lab.run("host", ["nft", "delete", "table", "inet", "other"])
        if self.random.random() < 0.7:
            priority, mark = self.random.choice((-400, -150, -50, 0, 50, 300)), self.random.choice(("0x30000000", "0x1", "0xffffffff"))
            self.lab.nft("host", f"""table inet other {{
                chain leaving {{ type filter hook output priority {priority}; policy accept;
                    ct mark set {mark}; meta mark set {mark}; accept; }}
                chain arriving {{ type filter hook input priority {priority}; policy accept; ct mark set {mark}; accept; }}
            }}""")

    def network(self):
        self.lab.network(False)
        time.sleep(self.random.random() / 5)
        self.lab.network(True)

    def ipv6(self):
        with self.lab.ns("host"):
            labs.sysctl("net/ipv6/conf/up0/disable_ipv6", 1)
            labs.sysctl("net/ipv6/conf/up0/disable_ipv6", 0)
        self.lab.network(True)

    def forget(self):
        """Root ends every connection of the host."""
        self.lab.forget_connections()

    EVENTS = (kill_relays, kill_relays, stall_relay, kill_prober, kill_daemon, stop_and_start, reload, reload, flush, fault, fault, mistrust,
              others_rules, network, ipv6, forget)

    # ---- the run ----

    def run(self, seconds, say):
        self.one = self.world.daemon(self.changes())
        self.lab.reset_counters()
        self.begin()
        deadline, told = time.monotonic() + seconds, time.monotonic()
        while time.monotonic() < deadline:
            time.sleep(self.random.random() / 4)
            event = self.random.choice(self.EVENTS)
            self.happened[event.__name__] = self.happened.get(event.__name__, 0) + 1
            event(self)
            leaked = self.lab.leaked()
            assert leaked == 0, f"{leaked} packets left the host at or before {event.__name__}; {self.one.status()['status']}"
            if time.monotonic() - told > PRINT_S:
                told = time.monotonic()
                say(f"    {self.attempts():,} attempts, {sum(self.happened.values())} events")
        self.check()

    def check(self):
        lab = self.lab
        assert sum(self.hijacked) == 0, f"{sum(self.hijacked)} connections of others were got by who took the relay's port"
        lab.run("host", ["nft", "delete", "table", "inet", "other"])
        lab.clear_faults()
        lab.restore_haproxies()
        self.end()
        self.one.wait_status(SECURE, 40)
        assert lab.leaked() == 0, f"{lab.leaked()} packets left the host"
        labs.wait_for(lambda: self.world.victim().startswith(b"HTTP/1.1 200"), 60, "a client to be served again")
        assert not BROKEN.search(self.one.log()), BROKEN.search(self.one.log()).group()
