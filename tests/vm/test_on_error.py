# SPDX-License-Identifier: GPL-2.0-or-later
"""OnError=: every way in which a start or a run can fail, and what the rules are then. Before each the gate is open."""

import pytest
from machine import SECURE

DROP_IN = "/run/systemd/system/penstock.service.d/test.conf"


def drop_in(vm, text):
    vm.ok(f"mkdir -p {DROP_IN.rpartition('/')[0]}")
    vm.write(DROP_IN, text)
    vm.ok("systemctl daemon-reload")


@pytest.fixture
def stopped(vm):
    """No rules, nothing runs."""
    vm.ok("systemctl stop penstock penstock-lockdown; systemctl reset-failed penstock")
    assert vm.run("nft list table inet penstock").status != 0
    yield vm
    vm.ok(f"rm -f {DROP_IN}; systemctl daemon-reload; systemctl stop penstock penstock-lockdown; systemctl reset-failed penstock")
    vm.start()


def is_open(vm):
    return vm.get("http://www4.example/")[:2] == (0, 200)


def is_closed(lab, vm):
    assert vm.get("http://www4.example/")[0] == 7 and vm.get("https://www6.example/")[0] == 7
    assert vm.run("ip route get 192.0.2.1").status == 0
    assert lab.leaked() == 0


# What is broken: (how, exit status that systemd shows, words of the comment)
FAILURES = {
    "mistake in the configuration": (lambda vm: vm.configure({"Proxy": {"Nonsense": "1"}}), "78", "configuration"),
    "unreadable configuration": (lambda vm: vm.ok("chmod 600 /etc/penstock/penstock.conf"), "78", "configuration"),
    "wrong usage": (lambda vm: drop_in(vm, "[Service]\nExecStart=\nExecStart=/usr/sbin/penstockd --nonsense\n"), "64", "exited 64"),
    "no permission": (lambda vm: drop_in(vm, "[Service]\nAmbientCapabilities=\nCapabilityBoundingSet=\n"), "77", "exited 77"),
}


def repair(vm):
    vm.ok(f"rm -f {DROP_IN}; systemctl daemon-reload; chmod 644 /etc/penstock/penstock.conf; chmod a+x /usr/sbin/penstockd")
    vm.configure()


@pytest.mark.parametrize("how", FAILURES)
def test_a_start_that_fails_closes_the_gate(lab, stopped, how):
    vm = stopped
    assert is_open(vm)
    lab.reset_counters()
    broken, status, words = FAILURES[how]
    try:
        broken(vm)
        vm.run("systemctl start penstock", timeout=120)
        vm.until("systemctl is-failed -q penstock", 60)
        assert vm.show("ExecMainStatus") == status
        is_closed(lab, vm)
        table = vm.table()
        assert "Blocked - Local error" in table and words in table
        vm.ok("nft delete table inet penstock")  # as the log says
        assert is_open(vm)
    finally:
        repair(vm)
    lab.reset_counters()
    vm.start()
    assert lab.leaked() == 0
