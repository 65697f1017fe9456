# SPDX-License-Identifier: GPL-2.0-or-later
"""systemctl runs it."""

import json

from machine import SECURE


def test_the_status_text_is_the_verdict(vm):
    assert f'Status: "{SECURE}' in vm.unit()
    assert vm.status()["connection_status"] == "Proxy Trusted"
    assert vm.run("penstock status").status == 0


def test_it_has_one_privilege_and_is_nobody_special(vm):
    user = vm.ok("id -u penstock").strip()
    status = dict(line.split(":\t", 1) for line in vm.ok(f"cat /proc/{vm.pid()}/status").splitlines() if ":\t" in line)
    assert set(status["Uid"].split()) == {user}
    assert int(status["CapEff"], 16) == int(status["CapBnd"], 16) == 1 << 12, "CAP_NET_ADMIN"
    for child in vm.ok(f"cat /proc/{vm.pid()}/task/*/children").split():
        assert "CapEff:\t0000000000000000" in vm.ok(f"cat /proc/{child}/status")


def test_its_exposure_is_small(vm):
    report = vm.ok("systemd-analyze security --no-pager --threshold=15 penstock")
    assert "OK" in report.splitlines()[-1]


def test_a_reload_takes_effect_in_the_same_process(vm):
    pid = vm.pid()
    vm.reload({"Bypass": {"Networks": "203.0.113.82/32"}})
    assert vm.pid() == pid and vm.show("ActiveState") == "active"
    assert "203.0.113.82" in vm.table()
    assert "asked by 192.0.2.100" in vm.get("http://203.0.113.82/")[2]
    vm.reload({})
    assert "203.0.113.82" not in vm.table() and vm.pid() == pid
    assert "asked by 203.0.113.1" in vm.get("http://203.0.113.82/")[2]


def test_a_reload_by_signal_and_by_the_command_line(vm):
    pid = vm.pid()
    vm.configure({"Redirect": {"Ports": "80 443 8888"}})
    vm.ok("penstock reload")
    assert "8888" in vm.table()
    vm.configure()
    vm.ok("systemctl kill -s HUP --kill-whom=main penstock")
    vm.until("! nft list table inet penstock | grep -q 8888")
    assert vm.pid() == pid and vm.status()["status"] == SECURE


def test_the_command_line_answers_an_unprivileged_user_too(vm):
    status = json.loads(vm.ok("runuser -u tester -- penstock status --json"))
    assert status["status"] == SECURE
    refused = vm.run("runuser -u tester -- penstock reload")
    assert refused.status == 1 and refused.output.strip()
