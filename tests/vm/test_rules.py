# SPDX-License-Identifier: GPL-2.0-or-later
"""The table as nft shows it, and what becomes of it when others flush."""

import json

import pytest
from machine import SECURE

REPAIRED = "325a5473e92f4f7dab8fb221cd7fcb69"


def test_every_rule_has_a_comment_and_a_counter(vm):
    rules = [item["rule"] for item in json.loads(vm.ok("nft -j list table inet penstock"))["nftables"] if "rule" in item]
    assert len(rules) > 10
    for rule in rules:
        assert rule.get("comment"), rule
        assert any("counter" in part for part in rule["expr"]), rule


def test_nothing_outside_the_table_is_touched(vm):
    vm.ok("nft -f -", stdin="table inet others {\n chain c {\n type filter hook output priority 0\n tcp dport 25 counter\n }\n}\n")
    try:
        before = vm.ok("nft list table inet others")
        vm.start()
        assert vm.ok("nft list table inet others") == before
        assert set(vm.ok("nft list tables").splitlines()) == {"table inet others", "table inet penstock"}
    finally:
        vm.ok("nft delete table inet others")


def test_the_table_belongs_to_the_daemon_where_the_kernel_can_do_that(vm):
    major, minor = (int(part) for part in vm.ok("uname -r").split(".")[:2])
    assert ("flags owner,persist" in vm.table()) == ((major, minor) >= (6, 9))


@pytest.mark.parametrize("how", ["systemctl restart nftables", "nft flush ruleset", "nft delete table inet penstock"])
def test_the_rules_are_there_again_after(lab, vm, measured, how):
    owned = "flags owner,persist" in vm.table()
    repaired = vm.status()["rules"]["repaired"]
    start = int(vm.ok("date +%s%6N"))
    done = vm.run(f"{how}; nft list table inet penstock | grep -c 'web traffic to the relay'")
    if owned:
        assert done.output.split()[-1] == "1", "nothing has happened to it"
        assert vm.status()["rules"]["repaired"] == repaired
    else:
        vm.until("nft list table inet penstock | grep -q 'web traffic to the relay'", 10)
        assert vm.status()["rules"]["repaired"] == repaired + 1
        entry = vm.journal(f"MESSAGE_ID={REPAIRED}")[-1]
        took = (int(entry["_SOURCE_REALTIME_TIMESTAMP"]) - start) / 1000
        assert took < 5000 and "nft" in entry["PENSTOCK_CULPRIT"]
        measured(f"repaired after {how}: {took:.0f} ms from the start of the command")
    lab.reset_counters()
    assert vm.status()["status"] == SECURE
    assert "asked by 203.0.113.1" in vm.get("https://www4.example/")[2]
    assert lab.leaked() == 0


def test_a_table_that_is_flushed_while_a_client_knocks(lab, vm, measured):
    """An owned table leaks nothing; elsewhere a few packets may slip by until it is repaired."""
    owned = "flags owner,persist" in vm.table()
    with vm.knocking() as knocked:
        vm.ok("nft flush ruleset; sleep 0.5; nft flush ruleset")
        vm.until("nft list table inet penstock | grep -q 'web traffic to the relay'", 10)
    measured(f"packets beside the proxy during two flushes: {lab.leaked()} (the client knocked {knocked['web']})")
    assert knocked["web"]["open"] > 0
    assert not owned or lab.leaked() == 0


def test_nothing_leaves_while_lists_change(lab, vm):
    """The kernels of both releases take an address for a member that is none while intervals come and go in a set."""
    lab.reset_counters()
    with vm.knocking() as knocked:
        for number in range(12):
            vm.reload({"Bypass": {"Networks": f"10.{number}.0.0/16 198.51.{number}.0/24 2001:db8:{number:x}ff::/48 fd00:{number:x}::/32"}})
    vm.reload(None)
    assert knocked["web"]["open"] > 0
    assert lab.leaked() == 0
