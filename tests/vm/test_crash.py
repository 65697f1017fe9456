# SPDX-License-Identifier: GPL-2.0-or-later
"""Processes die or hang while a client knocks: nothing leaves beside the proxy, and the service comes back by itself."""

import pytest
from machine import SECURE


def comes_back(vm, old, timeout=60):
    vm.until(f"test $(systemctl show -P MainPID penstock) -gt 1 && test $(systemctl show -P MainPID penstock) != {old}", timeout)
    vm.wait_status(SECURE, timeout)


@pytest.mark.parametrize("whom", ["main", "all"])
def test_the_gate_is_killed(lab, vm, whom):
    old, restarts = vm.pid(), int(vm.show("NRestarts"))
    with vm.knocking() as knocked:
        vm.ok(f"systemctl kill -s KILL --kill-whom={whom} penstock")
        comes_back(vm, old)
    assert int(vm.show("NRestarts")) == restarts + 1
    assert lab.leaked() == 0 and lab.to_plain_port() == 0
    assert knocked["web"]["open"] > 0 and knocked["web"].get("refused", 0) > 0, "it was closed in between"
    assert vm.get("https://www4.example/")[:2] == (0, 200)


@pytest.mark.parametrize("kind", ["relay", "prober"])
def test_children_are_killed(lab, vm, kind):
    gate, old = vm.pid(), vm.children(kind)
    assert len(old) == {"relay": 2, "prober": 1}[kind]
    with vm.knocking():
        vm.ok("kill -9 " + " ".join(str(pid) for pid in old))
        vm.until(f"test $(pgrep -c -P {gate} -f -- --child={kind}) = {len(old)}", 30)
        vm.run("penstock test")
        vm.wait_status(SECURE)
    assert not set(vm.children(kind)) & set(old)
    assert vm.pid() == gate
    assert vm.get("https://www4.example/")[:2] == (0, 200)
    assert lab.leaked() == 0


def test_a_gate_that_hangs_is_found_by_the_watchdog(lab, vm):
    drop_in = "/run/systemd/system/penstock.service.d/watchdog.conf"
    vm.write(drop_in, "[Service]\nWatchdogSec=6s\n")
    try:
        vm.ok("systemctl daemon-reload")
        vm.start()
        lab.reset_counters()
        old = vm.pid()
        with vm.knocking():
            vm.ok(f"kill -STOP {old}")
            comes_back(vm, old)
        assert "Watchdog timeout" in vm.unit() + vm.ok("journalctl -b -u penstock -n 60 --no-pager")
        assert lab.leaked() == 0
        assert vm.get("https://www4.example/")[:2] == (0, 200)
    finally:
        vm.ok(f"rm -r $(dirname {drop_in}); systemctl daemon-reload")
        vm.start()
