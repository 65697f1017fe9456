# SPDX-License-Identifier: GPL-2.0-or-later
"""Rules of other programs that let no redirected connection arrive: penstock notices, says which, and what to add."""

import lab as labs
import pytest

SECURE, LOCAL_ERROR = "Connected (Secure Channel)", "Blocked - Local error"

# What a firewall that denies outgoing traffic lets out: the interface of a redirected packet is still the old one.
DENY_OUT = """
table inet firewall {
    chain out {
        type filter hook output priority 0; policy drop;
        oif lo accept
        meta l4proto { icmp, ipv6-icmp } accept
        udp dport 53 accept
        tcp dport { 53, 80, 443, 8080, 8081 } accept
        ct state established,related accept
    }
}"""

# wg-quick's, of its full tunnel.
TUNNEL = f"""
table ip wg-quick-wg0 {{
    chain preraw {{
        type filter hook prerouting priority raw;
        iifname != "wg0" ip daddr {labs.HOST4} fib saddr type != local drop
    }}
}}"""

DENY_IN = """
table ip6 firewall {
    chain in {
        type filter hook input priority 0; policy drop;
        iifname != lo accept
    }
}"""

OBSTACLES = {
    # name: (rules, what is said, what to add)
    "policy drop in output": (DENY_OUT, "table inet firewall, chain out drops what it does not know",
                              ["insert rule inet firewall out ip daddr 127.0.0.1 tcp dport 15443 accept",
                               "insert rule inet firewall out ip6 daddr ::1 tcp dport 15443 accept"]),
    "wg-quick": (TUNNEL, "table ip wg-quick-wg0, chain preraw drops the relays' answers",
                 ["insert rule ip wg-quick-wg0 preraw iifname lo accept"]),
    "policy drop in input": (DENY_IN, "table ip6 firewall, chain in drops what it does not know",
                             ["insert rule ip6 firewall in iifname lo accept"]),
}


def nft(lab, text):
    done = lab.run("host", ["nft", "-f", "-"], input=text)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", OBSTACLES)
@pytest.mark.parametrize("when", ["before", "later"])
def test_who_stands_in_the_way_is_said(lab, daemon, name, when):
    text, says, add = OBSTACLES[name]
    if when == "before":
        nft(lab, text)
    one = daemon(status=None if when == "before" else SECURE)
    if when == "later":
        nft(lab, text)
    page = one.wait_status(LOCAL_ERROR, 20)
    assert page["cause"] == "redirect-lost" and says in page["detail"] and "add there" in page["detail"], page["detail"]
    assert all(word in page["detail"] for word in add[0].split()[5:] if word != "lo")
    assert lab.curl("https://www4.example/", timeout=4)[0] in (7, 28)  # wg-quick's rule drops our resets, too
    nft(lab, "\n".join(add))
    one.wait_status(SECURE, 20)
    for url in ("https://www4.example/", "https://www6.example/"):
        assert lab.curl(url)[:2] == (0, 200)
    assert lab.leaked() == 0


def test_it_ends_with_the_other_program(lab, daemon):
    nft(lab, TUNNEL)
    one = daemon(status=LOCAL_ERROR)
    nft(lab, "delete table ip wg-quick-wg0")
    one.wait_status(SECURE, 20)
    one.wait_log("redirected connections arrive again")


def test_a_trial_is_no_session_and_leaves_nothing(lab, daemon):
    one = daemon()
    labs.wait_for(lambda: tried(lab) == 2, 10, "the first trial")
    nft(lab, "add table inet other")  # any change may be an obstacle
    labs.wait_for(lambda: tried(lab) == 4, 10, "another one")
    page = one.status()
    assert page["sessions"]["total"] == 0 and page["sessions"]["open"] == 0, page["sessions"]
    assert "session" not in one.log()
    assert lab.leaked() == 0
    nft(lab, "delete table inet other")


def tried(lab):
    """Connections so far, of both families."""
    text = lab.run("host", ["nft", "list", "counter", "inet", "penstock", "tried"]).stdout
    return int(text.split("packets ")[1].split()[0])
