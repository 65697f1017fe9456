# SPDX-License-Identifier: GPL-2.0-or-later
"""Mistakes and shortages: systemctl status says what is wrong, nothing is tried for ever, and nothing leaves."""

import pytest
from machine import CONF, SECURE, TLS

AUTH_FAILED, LOCAL_ERROR = "Blocked - Mutual Auth Failed", "Blocked - Local error"


def closed(lab, vm):
    """Refused at once, not let out."""
    assert vm.get("http://www4.example/")[0] == 7 and vm.get("https://www6.example/")[0] == 7
    assert lab.leaked() == 0


def does_not_start(vm, status):
    """The one attempt to start fails with that exit status; returns what systemctl status says."""
    done = vm.run("systemctl reset-failed penstock; systemctl restart penstock", timeout=90)
    assert done.status == 1 and "systemctl status penstock" in done.output
    assert vm.show("ActiveState") == "failed" and vm.show("ExecMainStatus") == str(status)
    assert vm.show("NRestarts") == "0"
    return vm.unit()


@pytest.mark.parametrize("key,says", [("missing", "No such file or directory"), ("unreadable", "Permission denied"),
                                      ("encrypted", "client-encrypted.key")])
def test_a_key_that_is(lab, vm, key, says):
    path = f"{TLS}/client-encrypted.key" if key == "encrypted" else f"{TLS}/{key}.key"
    vm.ok(f"install -m 600 {TLS}/client.key {TLS}/unreadable.key")
    lab.reset_counters()
    page = vm.start({"SecureChannel": {"PrivateKey": path, "AllowFallback": "yes"}}, status=LOCAL_ERROR)
    assert path in page["detail"] and says in page["detail"]
    assert f'Status: "{LOCAL_ERROR}: {path}' in vm.unit()
    closed(lab, vm)
    assert lab.to_plain_port() == 0
    assert vm.show("NRestarts") == "0" and vm.show("ActiveState") == "active"


def test_a_certificate_that_has_expired(lab, vm):
    page = vm.start({"SecureChannel": {"Certificate": f"{TLS}/client-expired.pem", "PrivateKey": f"{TLS}/client-expired.key"}},
                    status=AUTH_FAILED)
    assert "expired" in page["detail"]
    text = vm.unit()
    assert f'Status: "{AUTH_FAILED}' in text and "expired on" in text
    assert "it expired on" in " ".join(vm.run("penstock status").output.split())
    closed(lab, vm)


def test_a_certificate_of_the_proxy_that_has_expired(lab, vm):
    lab.set_server_cert("gw", "expired")
    vm.run("penstock test")
    assert "expired" in vm.wait_status(AUTH_FAILED)["detail"]
    assert "expired" in vm.unit()
    closed(lab, vm)


def test_a_mistake_in_the_configuration_at_the_start(lab, vm):
    vm.configure({"Proxy": {"Nonsense": "1"}, "Test": {"Interval": "soon"}})
    text = does_not_start(vm, 78)
    assert f"{CONF}:5: unknown key Nonsense= in [Proxy]" in text and "Interval" in text, "all mistakes at once"
    closed(lab, vm)  # the rules of before are there, closed
    checked = vm.run("penstock check")
    assert checked.status == 78 and f"{CONF}:5: unknown key Nonsense=" in checked.output


def test_a_mistake_in_the_configuration_at_a_reload(lab, vm):
    pid = vm.pid()
    vm.configure({"Proxy": {"Nonsense": "1"}})
    assert vm.run("systemctl reload penstock").status == 1
    text = vm.unit()
    assert f"{CONF}:5: unknown key Nonsense= in [Proxy]" in text and "the old one stays in force" in text
    assert "active (running)" in text and f'Status: "{SECURE}' in text and vm.pid() == pid
    assert vm.get("https://www4.example/")[:2] == (0, 200)


@pytest.mark.parametrize("path", ["/fill", "/run/fill"])
def test_a_full_disk(lab, vm, path):
    """The running daemon needs none. For a start systemd needs some; where it has none it says so, and the gate stays closed."""
    lab.reset_counters()
    vm.run(f"fallocate -l $(df --output=avail -B1 {path.rpartition('/')[0]}/ | tail -n 1) {path}; dd if=/dev/zero of={path}2 bs=4k")
    try:
        vm.run("penstock test")
        assert vm.status()["status"] == SECURE and vm.get("https://www4.example/")[:2] == (0, 200)
        vm.run("systemctl reset-failed penstock; systemctl restart penstock", timeout=90)
        text = vm.unit()
        if vm.show("ActiveState") != "active":
            assert "No space left on device" in text or "status=226/NAMESPACE" in text  # the journal may have no space either
            assert "Result: exit-code" in text
            closed(lab, vm)
    finally:
        vm.ok(f"rm -f {path} {path}2")
    vm.start()
    assert lab.leaked() == 0


def test_another_table_that_redirects_the_same_ports(vm):
    """Traffic that another program takes first cannot be had; it is said, and nothing is cut for it."""
    says = "table ip other, chain out redirects web connections, too"
    vm.ok("nft 'add table ip other; add chain ip other out { type nat hook output priority -150; }; "
          "add rule ip other out tcp dport 443 redirect to :3129'")
    try:
        checked = vm.run("penstock check")
        assert checked.status == 0 and says in checked.output
        vm.start()
        vm.until(f"systemctl status penstock | grep -q '{says}'", 30)
        assert "nft list table ip other" in vm.unit()
        assert vm.get("http://www4.example/")[:2] == (0, 200)
    finally:
        vm.ok("nft delete table ip other")
    vm.start()
    assert says not in vm.show("StatusText")


def test_no_nf_tables_in_the_kernel(vm):
    vm.ok("systemctl stop penstock && nft flush ruleset")
    vm.ok("for i in 1 2 3 4 5; do rmmod $(awk '/^nf_|^nft_|^nfnetlink/ {print $1}' /proc/modules) 2>/dev/null; done; "
          "! grep -q ^nf_tables /proc/modules")
    vm.write("/etc/modprobe.d/no-nf-tables.conf", "install nf_tables /bin/false\n")
    try:
        vm.start(status="Not enforced - Local error")
        status = vm.run("penstock status")
        assert status.status == 7 and "no nf_tables" in status.output
    finally:
        vm.ok("rm /etc/modprobe.d/no-nf-tables.conf")
    vm.until("penstock status | grep -q 'Connected (Secure Channel)'", 60)
