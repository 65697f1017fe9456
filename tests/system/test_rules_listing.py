# SPDX-License-Identifier: GPL-2.0-or-later
"""What nft lists after the gate's code put its rules into the kernel, and what happens when others touch them."""

import re
import socket
import subprocess

import pytest

import rules as lib

FULL = lib.CONF + """[Redirect]
Ports=80 443 8443
ListenPort=15000
[Bypass]
LocalNetworks=no
Networks=198.51.100.0/24 198.51.101.0/24 198.51.100.128/25 203.0.113.9 0.0.0.0/8 2001:db8::/32 2001:db8:1::/48 ff00::/8
Ports=8443 9443
Users=daemon
[Block]
Networks=192.0.2.0/24 2001:db8:2::/48
Ports=25 465
Users=bin
"""


@pytest.fixture(autouse=True)
def clean():
    """These tests do without the lab."""
    yield


@pytest.fixture
def space():
    one = lib.Space()
    yield one
    one.close()


@pytest.fixture
def helper(request):
    path = lib.find_helper(request.config.getoption("--build"))
    assert path, "no tests/system/ruleset_apply: make check builds it"
    return path


@pytest.fixture
def rules(space, helper, tmp_path):
    """rules(conf=…, owned=…): a running ruleset_apply."""
    made = []

    def start(**kwargs):
        made.append(lib.Rules(space, helper, tmp_path, **kwargs))
        return made[-1]

    yield start
    for one in made:
        one.close()


@pytest.mark.parametrize("owned", [False, True], ids=["plain", "owned"])
@pytest.mark.parametrize("mode", ["secure", "plain", "blocked", "direct"])
def test_rules_list_like_the_file_of_that_name(space, rules, mode, owned):
    other = lib.Space()
    other.run("nft", "-f", f"{lib.TOP}/nft/{mode}.nft")
    one = rules(owned=owned)
    one.apply(mode)
    assert space.listing() == other.listing()
    assert one.ask("verify") == "same"
    other.close()


WHY = "the configuration cannot be used"


@pytest.mark.parametrize("before", [None, "secure", "foreign"])
def test_the_last_resort_lists_like_its_file(space, rules, before):
    """Also in the place of whatever table stands there."""
    other = lib.Space()
    other.run("nft", "-f", f"{lib.TOP}/nft/closing.nft")
    if before == "foreign":
        space.nft("table inet penstock { chain redirect_local { }; set web { type ipv4_addr; }; }")
    one = rules()
    if before == "secure":
        one.apply("secure")
    assert one.ask(f"close {WHY}") == "ok"
    assert space.listing() == other.listing()
    space.nft("delete table inet penstock")  # anybody may open the gate by hand
    one.apply("secure")
    assert one.ask("verify") == "same"
    other.close()


def test_the_last_resort_takes_the_place_of_an_owned_table(space, rules):
    one = rules(owned=True)
    one.apply("secure")
    assert one.ask(f"close {WHY}") == "ok"
    one.close()
    assert f"Blocked - Local error: {WHY}" in space.listing()


def test_trying_the_kernel_changes_nothing(space, rules):
    """Every part is there in this kernel; also beside a table that another process owns."""
    owner, one = rules(owned=True), rules()
    owner.apply("secure")
    before = space.run("nft", "list", "ruleset").stdout
    assert one.ask("missing") == "0"
    assert space.run("nft", "list", "ruleset").stdout == before
    assert owner.ask("verify") == "same"


def test_the_last_resort_knows_the_configuration(space, rules):
    rules(conf=FULL).ask("close " + "why " * 60)
    text = re.sub(r"\s+", " ", space.listing())
    assert "elements = { 80, 443, 8443 }" in text and "elements = { 1 }" in text and "198.51.100.0/23" in text
    assert "elements = { 25, 465 }" in text and "elements = { 192.0.2.0/24 }" in text
    assert 'comment "Blocked - Local error: why why' in text


def test_every_rule_has_a_counter_and_a_comment(space, rules):
    one = rules()
    for mode in lib.STATUS:
        one.apply(mode)
        lines = re.findall(r"^\t\t(?!type |flags |comment |elements |packets )(?=\S).*$", space.listing(), flags=re.M)
        assert len(lines) > 15
        for line in lines:
            assert re.search(r'\bcounter name "\w+" .*comment "[^"]+"$', line), line


def test_blocked_rules_carry_the_status_text(space, rules):
    rules().apply("blocked", "Blocked - Mutual Auth Failed")
    assert space.listing().count('comment "Blocked - Mutual Auth Failed"') == 2


def test_configuration_appears_in_sets_and_rules(space, rules):
    rules(conf=FULL).apply("secure")
    text = re.sub(r"\s+", " ", space.listing())
    assert "elements = { 80, 443, 8443 }" in text
    assert "elements = { 8443, 9443 }" in text
    assert "elements = { 25, 465 }" in text
    assert "elements = { 2 }" in text
    assert "elements = { 192.0.2.0/24 }" in text and "elements = { 2001:db8:2::/48 }" in text
    assert "elements = { 1 }" in text
    assert "elements = { 0.0.0.0/8, 198.51.100.0/23, 203.0.113.9 }" in text
    assert "elements = { 2001:db8::/32, ff00::/8 }" in text
    assert "redirect to :15000" in text and "15443" not in text


def test_what_is_configured_twice_is_listed_once(space, rules):
    one = rules(conf=lib.CONF + "[Redirect]\nPorts=80 443 443\n[Bypass]\nPorts=22 22\nUsers=daemon daemon\n"
                "Networks=198.51.100.0/24 198.51.100.0/24\n")
    one.apply("secure")
    text = re.sub(r"\s+", " ", space.listing())
    assert "elements = { 80, 443 }" in text and "elements = { 22 }" in text and "elements = { 1 }" in text


def test_quic_passes_only_when_allowed_and_not_blocked(space, rules):
    one = rules(conf=lib.CONF + "[Redirect]\nQUIC=pass\n")
    one.apply("secure")
    assert 'udp dport @web counter name "direct_packets" accept comment "QUIC=pass"' in space.listing()
    one.apply("blocked")
    assert "QUIC=pass" not in space.listing()
    assert 'th dport @web counter name "rejected_udp" reject' in space.listing()


def test_largest_configuration_fits(space, rules):
    networks = "".join(f"Networks=2001:db8:{i:x}:1::/64 100.{i // 256}.{i % 256}.2\n" for i in range(512))
    conf = lib.CONF + "[Bypass]\n" + networks + "Ports=" + " ".join(str(port) for port in range(1000, 1064)) + "\n"
    one = rules(conf=conf)
    one.apply("secure")
    assert one.ask("verify") == "same"
    text = space.listing()
    assert text.count("2001:db8:") == 512 and len(re.findall(r"100\.\d+\.\d+\.2\b", text)) == 512
    one.apply("blocked")
    assert one.ask("verify") == "same"


def test_applying_twice_changes_nothing(space, rules):
    one = rules()
    one.apply("secure")
    before = space.listing("--handle").split("chain redirect_local")[0]
    text = space.listing()
    one.apply("secure")
    assert space.listing() == text
    assert space.listing("--handle").split("chain redirect_local")[0] == before
    assert one.ask("verify") == "same"


def count_something(space):
    """Makes rejected_udp count."""
    space.run("ip", "link", "add", "out0", "type", "veth", "peer", "name", "out1")
    space.run("ip", "addr", "add", "203.0.113.1/24", "dev", "out0")
    space.run("ip", "link", "set", "out0", "up")
    with space.inside():
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock, pytest.raises(OSError):
            sock.sendto(b"x", ("203.0.113.2", 443))
    assert space.counter("rejected_udp") == 1


def test_change_of_verdict_keeps_counters_and_sets(space, rules):
    one = rules()
    one.apply("secure")
    count_something(space)
    sets = re.findall(r"set \w+ \{ # handle \d+", space.listing("--handle"))
    assert len(sets) == 14
    for mode in ("blocked", "plain", "direct", "secure"):
        one.apply(mode)
        assert one.ask("verify") == "same"
        assert space.counter("rejected_udp") == 1
        assert re.findall(r"set \w+ \{ # handle \d+", space.listing("--handle")) == sets


def test_new_configuration_refills_sets_and_keeps_counters(space, rules):
    one = rules()
    one.apply("secure")
    count_something(space)
    one.configure(FULL)
    one.apply("secure")
    assert one.ask("verify") == "same"
    assert "80, 443, 8443" in space.listing()
    assert space.counter("rejected_udp") == 1
    one.configure(lib.CONF)
    one.apply("secure")
    assert one.ask("verify") == "same"
    assert space.counter("rejected_udp") == 1
    other = lib.Space()
    other.run("nft", "-f", f"{lib.TOP}/nft/secure.nft")
    assert space.listing() == other.listing()
    other.close()


EDITS = {
    "flush of everything": "flush ruleset",
    "table deleted": "delete table inet penstock",
    "table flushed": "flush table inet penstock",
    "table dormant": "add table inet penstock { flags dormant; }",
    "rule inserted": "insert rule inet penstock guard_local tcp dport 443 accept",
    "rule added": "add rule inet penstock redirect_local counter",
    "chain flushed": "flush chain inet penstock relay_port",
    "chain added": "add chain inet penstock early { type filter hook output priority -200; }",
    "policy changed": "chain inet penstock guard_local { policy drop; }",
    "port removed": "delete element inet penstock web { 443 }",
    "port added": "add element inet penstock web { 22 }",
    "port moved to another set": "delete element inet penstock web { 443 }; "
                                 "add element inet penstock bypass_ports { 443 }",
    "block lifted": "flush set inet penstock block4; add element inet penstock block4 { 192.0.2.1 }",
    "network added": "add element inet penstock bypass4 { 8.8.8.8 }",
    "network removed": "delete element inet penstock local6 { ::1 }",
    "set flushed": "flush set inet penstock local4",
    "set added": "add set inet penstock more { type ipv4_addr; }",
    "counter added": "add counter inet penstock more",
}


@pytest.mark.parametrize("edit", EDITS)
def test_edit_by_others_is_noticed_and_repaired(space, rules, edit):
    one = rules()
    one.apply("secure")
    before = space.listing()
    space.nft(EDITS[edit])
    assert one.ask("verify") == "differs"
    one.apply("secure")
    assert space.listing() == before
    assert one.ask("verify") == "same"


def test_rules_of_same_kind_in_another_order_are_noticed(space, rules):
    one = rules()
    one.apply("secure")
    text = space.run("nft", "--handle", "list", "chain", "inet", "penstock", "guard_local").stdout
    rule, handle = re.search(r"\t(tcp dport @web .*) # handle (\d+)", text).groups()
    space.nft(f"delete rule inet penstock guard_local handle {handle}; insert rule inet penstock guard_local {rule}")
    assert one.ask("verify") == "differs"


def test_what_others_do_elsewhere_does_not_matter(space, rules):
    one = rules()
    one.apply("secure")
    count_something(space)
    space.nft("add table inet other; add chain inet other penstock; add table ip penstock; "
              "add rule inet other penstock counter")
    assert one.ask("verify") == "same"
    space.run("nft", "reset", "counters", "table", "inet", "penstock")
    assert one.ask("verify") == "same"
    one.apply("blocked")
    assert one.ask("verify") == "same"
    assert "table ip penstock" in space.run("nft", "list", "tables").stdout


def test_others_that_never_stop_changing_their_rules(space, rules):
    one = rules()
    with lib.others_that_never_stop(lambda words: space.argv(*words)):
        for _ in range(50):
            one.apply("secure")
            one.apply("blocked")
            assert one.ask("remove") == "ok"
    one.apply("secure")
    assert one.ask("verify") == "same"
    assert "redirect to" in space.listing()


def test_verify_before_apply_knows_nothing(rules):
    assert rules().ask("verify") == "unknown"


def test_owned_table_cannot_be_flushed_or_edited(space, rules):
    one = rules(owned=True)
    assert one.apply("secure") == "ok owned"
    before = space.listing()
    space.nft("flush ruleset")
    assert space.nft("delete table inet penstock", ok=False).returncode != 0
    assert space.nft("insert rule inet penstock guard_local accept", ok=False).returncode != 0
    assert space.listing() == before
    assert one.ask("verify") == "same"


def test_owned_table_outlives_a_crash_and_is_taken_back(space, rules):
    one = rules(owned=True)
    one.apply("blocked")
    before = space.listing()
    one.kill()
    assert space.listing() == before
    two = rules(owned=True)
    assert two.apply("blocked") == "ok owned"
    assert space.listing() == before
    assert space.nft("delete table inet penstock", ok=False).returncode != 0


def test_orphaned_table_is_taken_over_without_owning_it(space, rules):
    one = rules(owned=True)
    one.apply("secure")
    one.kill()
    two = rules(owned=False)
    assert two.apply("secure") == "ok"
    space.nft("delete table inet penstock")
    assert two.ask("verify") == "differs"


def test_table_without_owner_becomes_owned(space, rules):
    rules(owned=False).apply("secure")
    assert rules(owned=True).apply("secure") == "ok owned"
    assert space.nft("delete table inet penstock", ok=False).returncode != 0


def test_lockdown_is_replaced(space, rules):
    space.run("nft", "-f", f"{lib.TOP}/nft/lockdown.nft")
    assert "Blocked - penstockd has not started" in space.listing()
    one = rules(owned=True)
    one.apply("blocked")
    assert "penstock lockdown" not in space.listing()
    assert one.ask("verify") == "same"


def test_lockdown_can_be_loaded_twice(space):
    for _ in range(2):
        space.run("nft", "-f", f"{lib.TOP}/nft/lockdown.nft")
    assert space.listing().count("Blocked - penstockd has not started") == 2


def test_remove_deletes_the_table_and_no_other(space, rules):
    one = rules(owned=True)
    space.nft("add table inet other")
    one.apply("secure")
    assert one.ask("remove") == "ok"
    assert space.run("nft", "list", "tables").stdout == "table inet other\n"
    assert one.ask("remove") == "ok"
    assert one.ask("verify") == "unknown"
    one.apply("blocked")
    assert one.ask("verify") == "same"


def test_another_owner_is_reported(rules):
    rules(owned=True).apply("secure")
    two = rules(owned=True)
    answer = two.ask("apply blocked x")
    assert answer.startswith("error kernel refused removing table inet penstock: Operation not permitted"), answer
    assert "another program owns the table" in answer


def test_missing_capability_is_reported(rules):
    one = rules(prefix=["setpriv", "--bounding-set=-net_admin"])
    assert one.greeting == "error opening nf_tables: Operation not permitted (CAP_NET_ADMIN is missing)"

