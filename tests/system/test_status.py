# SPDX-License-Identifier: GPL-2.0-or-later
"""The status tells of every server, with real proxies behind the names."""

import lab as labs

SECURE, PLAIN = "Connected (Secure Channel)", "Connected (Non-secure)"
MISTRUST, NO_PORT = "Blocked - Mutual Auth Failed", "Blocked - Secure channel port not available"
TWO = {"Servers": "gw.example gw2.example nobody.invalid"}
FALLBACK = {"SecureChannel": {"AllowFallback": "yes"}}
OFTEN = {"Test": {"Interval": "1s", "RetryMax": "1s"}}


def servers(one):
    return {server["server"]: server for server in one.status()["servers"]}


def wait_state(one, name, state, timeout=15):
    labs.wait_for(lambda: servers(one)[name]["state"] == state, timeout, f"{name}: {state}")
    return servers(one)[name]


def test_a_mistrusted_server_shows_while_another_works(lab, daemon):
    lab.set_server_cert("gw", "wrong-name")
    one = daemon({"Proxy": TWO, **OFTEN})
    one.wait_status(SECURE)
    first = wait_state(one, "gw.example", "mistrusted")
    second = wait_state(one, "gw2.example", "trusted")
    third = wait_state(one, "nobody.invalid", "unresolved")
    assert (first["cause"], first["port"], first["in_use"]) == ("certificate-name", 8081, False)
    assert first["address"] in (*labs.PROXIES["gw"],)
    assert (second["cause"], second["in_use"]) == (None, True)
    assert second["tests"]["mutual_auth"]["ms"] > 0
    assert third["cause"].startswith("name-") and (third["address"], third["port"]) == (None, None)
    assert third["tests"]["tcp"]["ms"] > 0, "looking up the name took time"
    assert any("gw.example is mistrusted: " in text for text in one.status()["warnings"])
    page = one.cli("status").stdout
    assert "! gw.example is mistrusted: " in page.split("\n  Servers ")[0]
    one.wait_log("server gw.example at ")
    assert "untested -> mistrusted" in one.log() or "testing -> mistrusted" in one.log()
    lab.set_server_cert("gw")
    wait_state(one, "gw.example", "trusted")
    assert "mistrusted -> trusted" in one.log()
    assert one.status()["warnings"] == []


def test_a_server_that_dies_beside_another_one_is_told_once(lab, daemon):
    one = daemon({"Proxy": {"Servers": "gw.example gw2.example"}, **OFTEN})
    wait_state(one, "gw2.example", "trusted")
    lab.fault("reject", server="gw2")
    dead = wait_state(one, "gw2.example", "unreachable")
    assert dead["cause"] == "tcp-refused"
    assert one.status()["status"] == SECURE
    at = dead["tests"]["at"]
    labs.wait_for(lambda: servers(one)["gw2.example"]["tests"]["at"] > at, 15, "another test")
    assert servers(one)["gw2.example"]["since"] == dead["since"]
    assert one.log().count("trusted -> unreachable") == 1


def test_blocked_states_show_the_address(lab, daemon):
    one = daemon(OFTEN)
    lab.fault("reject")
    one.wait_status(NO_PORT)
    dead = wait_state(one, "gw.example", "unreachable")
    assert (dead["address"], dead["port"]) == (dead["address"], 8081) and dead["address"] in labs.PROXIES["gw"]
    assert dead["address"] in one.cli("status").stdout.split("\n  Servers ")[1]


def test_fallback_shows_the_secure_port_with_cause_and_cure(lab, daemon):
    lab.fault("reject")
    one = daemon({**FALLBACK, **OFTEN}, status=None)
    status = one.wait_status(PLAIN)
    wait_state(one, "gw.example", "plain")
    status = one.status()
    assert status["tests"]["tcp"]["result"] == "failed"
    assert status["tests"]["tcp"]["cause"] == "tcp-refused"
    assert status["tests"]["plain_tcp"]["result"] == "passed"
    assert status["tests"]["next_at"] is not None or status["tests"]["at"] is not None
    page = one.cli("status").stdout
    assert "! the secure channel is not used: " in page
    assert "What to do" in page and "Nothing listens there" in page
    assert "TCP to the secure port" in page
    at = servers(one)["gw.example"]["tests"]["at"]
    labs.wait_for(lambda: servers(one)["gw.example"]["tests"]["at"] > at, 15, "another test")
    assert "plain -> unreachable" not in one.log()


def test_a_key_of_this_host_makes_no_server_mistrusted(daemon):
    one = daemon({"SecureChannel": {"PrivateKey": "/nonexistent"}}, status=None)
    one.wait_status("Blocked - Local error")
    labs.wait_for(lambda: servers(one)["gw.example"]["cause"] == "file-missing", 15, "the cause")
    assert servers(one)["gw.example"]["state"] == "untested"
