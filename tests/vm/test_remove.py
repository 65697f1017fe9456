# SPDX-License-Identifier: GPL-2.0-or-later
"""apt takes it away again."""

APT = "DEBIAN_FRONTEND=noninteractive apt-get -y -qq"


def test_remove_ends_it_and_keeps_the_configuration(lab, vm):
    vm.ok(f"{APT} remove penstock </dev/null 2>&1", timeout=180)
    assert vm.run("pgrep penstockd").status == 1
    assert vm.run("nft list table inet penstock").status != 0
    assert vm.show("LoadState") in ("not-found", "masked")
    assert vm.run("test -e /usr/sbin/penstockd || test -e /run/penstock").status == 1
    assert vm.run("test -s /etc/penstock/penstock.conf").status == 0
    assert "asked by 192.0.2.100" in vm.get("https://www4.example/")[2]


def test_purge_leaves_nothing_behind(configured):
    vm = configured
    vm.ok("rm -r /etc/penstock/tls/* /etc/penstock/penstock.conf.d/*")  # ours
    vm.ok(f"{APT} purge penstock </dev/null 2>&1", timeout=180)
    vm.ok("systemctl daemon-reload")
    assert vm.run("test -e /etc/penstock || test -e /var/lib/penstock || test -e /run/penstock").status == 1
    left = {path for path in vm.all_files() - vm.before if not path.startswith(("/etc/passwd-", "/etc/group-", "/etc/shadow-", "/etc/gshadow-"))}
    assert not left, sorted(left)
    assert vm.run("systemctl list-unit-files --no-legend 'penstock*'").output.strip() == ""
