# SPDX-License-Identifier: GPL-2.0-or-later
"""Each row of the table of verdicts as systemctl, penstock and nft show it, and the way back."""

import pytest
from machine import PLAIN, SECURE

FALLBACK = {"SecureChannel": {"AllowFallback": "yes"}}
PORT_BLOCKED = "Blocked - Secure channel port not available"
AUTH_FAILED = "Blocked - Mutual Auth Failed"
NO_PROXY = "Blocked - No proxy available"


def is_blocked(lab, vm, status, connection):
    """The same verdict everywhere, and nothing leaves."""
    page = vm.wait_status(status)
    assert page["connection_status"] == connection and page["mode"] == "blocked" and page["detail"]
    shown = vm.run("penstock status")
    assert shown.status == 4 and status in shown.output
    unit = vm.unit()
    assert f'Status: "{status}' in unit and "active (running)" in unit
    table = vm.table()
    assert f'comment "{status}"' in table and "web traffic to the relay" not in table
    assert vm.get("https://www4.example/")[0] == 7, "refused, not timed out"
    assert vm.get("https://www6.example/")[0] == 7
    assert lab.leaked() == 0
    return page


def test_secure(lab, vm):
    page = vm.status()
    assert page["mode"] == "secure" and page["reason"] is None
    assert page["proxy"]["server"] == "gw.example" and page["proxy"]["port"] == 8081
    assert page["tls"]["version"] == "TLSv1.3" and page["tls"]["client_expires"]
    assert "web traffic to the relay" in vm.table()


@pytest.mark.parametrize("how", ["reject", "drop"])
def test_the_port_is_blocked(lab, vm, how):
    lab.fault(how)
    vm.run("penstock test")
    page = is_blocked(lab, vm, PORT_BLOCKED, "Proxy Unreachable")
    assert "8081" in page["detail"]
    assert lab.to_plain_port() == 0
    lab.clear_faults()
    vm.wait_status(SECURE)  # by itself
    assert vm.get("https://www4.example/")[:2] == (0, 200)


def test_the_port_is_blocked_and_the_fallback_allowed(lab, vm):
    vm.reload(FALLBACK)
    lab.fault("reject")
    vm.run("penstock test")
    page = vm.wait_status(PLAIN)
    assert page["connection_status"] == "Proxy Connected" and page["mode"] == "plain"
    assert vm.run("penstock status").status == 3
    assert f'Status: "{PLAIN}' in vm.unit()
    assert vm.get("https://www4.example/")[:2] == (0, 200)
    assert lab.to_plain_port() > 0 and lab.leaked() == 0
    lab.clear_faults()
    vm.run("penstock test")
    vm.wait_status(SECURE)


def test_no_proxy_at_all(lab, vm):
    vm.reload(FALLBACK)
    lab.fault("reject")
    lab.fault("reject", port=8080)
    vm.run("penstock test")
    is_blocked(lab, vm, NO_PROXY, "Proxy Unreachable")
    lab.clear_faults()
    vm.wait_status(SECURE)


def test_mutual_authentication_failed(lab, vm):
    vm.reload(FALLBACK)
    lab.reset_counters()
    lab.set_client_ca("gw", "other-ca")
    vm.run("penstock test")
    page = is_blocked(lab, vm, AUTH_FAILED, "Proxy Mistrust")
    assert "certificate" in page["detail"]
    assert lab.to_plain_port() == 0, "it leads nowhere else"
    lab.set_client_ca("gw")
    vm.wait_status(SECURE)


def test_no_network(lab, vm):
    vm.ok("networkctl down $(networkctl --no-legend --no-pager list | awk '$3 == \"ether\" {print $2}')")
    try:
        page = vm.wait_status("Blocked - No network")
        assert page["connection_status"] == "No Connectivity"
        assert vm.run("penstock status").status == 5
        assert 'Status: "Blocked - No network' in vm.unit()
    finally:
        vm.ok("networkctl up $(networkctl --no-legend --no-pager list | awk '$3 == \"ether\" {print $2}')")
    vm.wait_status(SECURE)
    assert vm.get("https://www4.example/")[:2] == (0, 200)
    assert lab.leaked() == 0


def test_testing(lab, vm):
    lab.fault("drop")
    page = vm.start({"Test": {"ConnectTimeout": "20s"}}, status="Blocked - Testing")
    assert page["connection_status"] == "Testing"
    assert vm.run("penstock status").status == 5
    assert 'Status: "Blocked - Testing' in vm.unit()
    assert 'comment "Blocked - Testing"' in vm.table()
    assert vm.get("https://www4.example/")[0] == 7
    assert lab.leaked() == 0
