# SPDX-License-Identifier: GPL-2.0-or-later
"""What the journal has of it, for people and for programs."""

from machine import SECURE

CONNECTED, BLOCKED = "7ff04749974243fcacebf8764ee8041a", "ffca52a485b74875b653028902e9857e"
PORT_BLOCKED = "Blocked - Secure channel port not available"


def test_verdicts_have_fields_and_an_explanation(lab, vm):
    lab.fault("reject")
    vm.run("penstock test")
    vm.wait_status(PORT_BLOCKED)
    lab.clear_faults()
    vm.wait_status(SECURE)
    found = vm.journal("'PENSTOCK_REASON=Secure channel port not available'", f"MESSAGE_ID={BLOCKED}",
                       "_SYSTEMD_UNIT=penstock.service")
    assert found and found[-1]["MESSAGE_ID"] == BLOCKED and found[-1]["PENSTOCK_STATUS"] == PORT_BLOCKED
    assert found[-1]["PENSTOCK_SERVER"] == "gw.example" and found[-1]["PRIORITY"] == "3"
    found = vm.journal(f"'PENSTOCK_STATUS={SECURE}'", f"MESSAGE_ID={CONNECTED}")
    assert found and found[-1]["PRIORITY"] == "5"
    found = vm.journal("PENSTOCK_SERVER=gw.example", "PENSTOCK_SERVER_STATE=unreachable")
    assert found and found[-1]["PENSTOCK_CAUSE"] == "tcp-refused"
    text = vm.ok(f"journalctl -b -x -n 1 --no-pager MESSAGE_ID={BLOCKED}")
    assert "penstock blocks web traffic: Secure channel port not available" in text, "the catalog's subject"
    assert "Look for a firewall on the way" in text and "man:penstock(1)" in text
    assert "penstock connected" in vm.ok(f"journalctl -b -x -n 1 --no-pager MESSAGE_ID={CONNECTED}")


def test_sessions_have_fields(vm):
    assert vm.get("https://www4.example/")[:2] == (0, 200)
    vm.until("journalctl --sync; journalctl -b PENSTOCK_NAME=www4.example PENSTOCK_REASON=done -o cat | grep -q session", 10)
    entry = vm.journal("PENSTOCK_NAME=www4.example", "PENSTOCK_REASON=done")[-1]
    assert entry["PENSTOCK_DESTINATION"] == "203.0.113.80:443" and entry["PENSTOCK_ROUTE"] == "secure"
    assert int(entry["PENSTOCK_BYTES_UP"]) > 100 and int(entry["PENSTOCK_BYTES_DOWN"]) > 100
    assert entry["PRIORITY"] == "6" and "via secure" in entry["MESSAGE"]
    assert entry["PENSTOCK_HTTP_STATUS"] == "200" and int(entry["PENSTOCK_DURATION_MS"]) >= 0


def test_nothing_but_text_for_people(vm):
    for entry in vm.journal("_SYSTEMD_UNIT=penstock.service", "_COMM=penstockd"):
        assert isinstance(entry["MESSAGE"], str) and "\x1b" not in entry["MESSAGE"]
        assert entry["SYSLOG_IDENTIFIER"] == "penstockd" and entry["PRIORITY"] in "34567"
