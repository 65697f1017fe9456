# SPDX-License-Identifier: GPL-2.0-or-later
"""systemctl stop and restart."""
from machine import SECURE


def test_on_stop_open_removes_the_rules(lab, vm):
    vm.start({"Failure": {"OnStop": "open"}})
    vm.ok("systemctl stop penstock")
    assert vm.show("Result") == "success"
    assert vm.run("nft list table inet penstock").status != 0
    assert "asked by 192.0.2.100" in vm.get("http://www4.example/")[2]
    assert lab.leaked() > 0


def test_on_stop_block_leaves_a_closed_gate(lab, vm):
    vm.start({"Failure": {"OnStop": "block"}})
    vm.ok("systemctl stop penstock")
    assert vm.show("Result") == "success"
    table = vm.table()
    assert 'comment "Blocked - penstock is stopped"' in table and "web traffic to the relay" not in table
    assert vm.get("http://www4.example/")[0] == 7 and vm.get("https://www6.example/")[0] == 7
    assert lab.leaked() == 0
    vm.start()
    assert vm.get("https://www4.example/")[:2] == (0, 200)
    assert lab.leaked() == 0


def test_a_restart_never_opens_the_gate(lab, vm):
    vm.start({"Failure": {"OnStop": "open"}})
    lab.reset_counters()
    with vm.knocking() as knocked:
        vm.ok("systemctl restart penstock", timeout=90)
        vm.wait_status(SECURE)
    assert knocked["web"]["open"] > 0
    assert lab.leaked() == 0
