# SPDX-License-Identifier: GPL-2.0-or-later
"""A reboot with penstock-lockdown enabled, while a client knocks from early boot on."""

from machine import SECURE

# Earlier than any service of a user, and still there when penstock has stopped.
KNOCK = """[Unit]
DefaultDependencies=no
After=local-fs.target
Conflicts=shutdown.target
Before=shutdown.target penstock.service
[Service]
ExecStart=/usr/local/bin/knock /run/knocked-at-boot
[Install]
WantedBy=sysinit.target
"""


def test_nothing_leaves_from_the_shutdown_until_the_daemon_is_ready(lab, vm, measured):
    vm.write("/etc/systemd/system/knock-at-boot.service", KNOCK)
    vm.ok("systemctl daemon-reload; systemctl enable penstock-lockdown knock-at-boot; systemctl start knock-at-boot")
    vm.ok("systemctl stop nftables")  # whose own stop would flush the rules of kernels before 6.9 for a moment
    vm.until("nft list table inet penstock | grep -q 'web traffic to the relay'")
    try:
        vm.until("test -s /run/knocked-at-boot")
        lab.reset_counters()
        vm.reboot()
        vm.wait_up()
        vm.wait_status(SECURE)
        vm.until("grep -q '\"web open\"' /run/knocked-at-boot", 30)
        knocked = vm.read_json("/run/knocked-at-boot")
        first = knocked["first"]
        measured(f"at boot: network reached at {first['other refused']:.1f} s, web traffic possible at {first['web open']:.1f} s, "
                 f"before that refused: {knocked['web'].get('refused', 0)}, packets beside the proxy: {lab.leaked()}")
        assert first["other refused"] < first["web open"], "the network was there before the daemon"
        assert knocked["web"]["refused"] > 0
        assert lab.leaked() == 0
        assert vm.show("ActiveState", "penstock-lockdown") == "active"
        assert "lockdown" not in vm.table(), "the daemon has taken over"
        assert vm.get("https://www4.example/")[:2] == (0, 200)
        assert lab.leaked() == 0
    finally:
        vm.ok("systemctl disable penstock-lockdown knock-at-boot; systemctl stop knock-at-boot; "
              "rm /etc/systemd/system/knock-at-boot.service; systemctl daemon-reload")


def test_the_lockdown_alone_blocks_and_its_stop_opens(lab, vm):
    """What it does for a machine whose daemon does not start."""
    vm.ok("systemctl stop penstock penstock-lockdown; systemctl start penstock-lockdown")
    try:
        assert "penstock lockdown" in vm.table()
        lab.reset_counters()
        assert vm.get("http://www4.example/")[0] == 7 and vm.get("https://www6.example/")[0] == 7
        assert lab.leaked() == 0
    finally:
        vm.ok("systemctl stop penstock-lockdown")
    assert vm.run("nft list table inet penstock").status != 0
    assert "asked by 192.0.2.100" in vm.get("http://www4.example/")[2]


def test_the_lockdowns_stop_leaves_the_daemons_rules_alone(lab, vm):
    vm.ok("systemctl start penstock-lockdown; systemctl stop penstock-lockdown")
    assert "web traffic to the relay" in vm.table()
    assert vm.status()["status"] == SECURE and vm.get("https://www4.example/")[:2] == (0, 200)
    assert lab.leaked() == 0
