# SPDX-License-Identifier: GPL-2.0-or-later
"""apt installs the next version over a running one."""

from machine import CA, SECURE


def test_an_upgrade_with_a_session_open(lab, vm, measured):
    lab.make_file("slow", 3000000)
    version = vm.ok("cat /root/version").strip()
    assert vm.ok("dpkg-query -W -f '${Version}' penstock") == version
    vm.ok("echo '# a local change' >>/etc/penstock/penstock.conf")
    old = vm.pid()
    vm.ok(f"systemd-run -q --unit=download sh -c 'curl -sS -m 300 --limit-rate 10k --cacert {CA} -o /dev/null "
          "https://www4.example/file/slow; echo $? >/run/downloaded'")
    vm.until("penstock sessions | grep -q download.service", 20)
    with vm.knocking() as knocked:
        vm.ok("DEBIAN_FRONTEND=noninteractive apt-get install -y -qq /root/next/penstock_*.deb </dev/null 2>&1", timeout=180)
        assert vm.ok("dpkg-query -W -f '${Version}' penstock") == version + "+next"
        vm.wait_status(SECURE)
    assert vm.pid() != old, "the new program runs"
    assert vm.until("cat /run/downloaded", 30).strip() != "0", "its session has ended, and it was told at once"
    measured(f"upgrade: what came of a client's knocks meanwhile: {knocked['web']}")
    assert lab.leaked() == 0 and lab.to_plain_port() == 0
    assert "# a local change" in vm.ok("tail -n 1 /etc/penstock/penstock.conf")
    assert vm.show("UnitFileState") == "enabled"
    assert vm.get("https://www4.example/")[:2] == (0, 200)
