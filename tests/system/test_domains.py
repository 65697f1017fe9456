# SPDX-License-Identifier: GPL-2.0-or-later
"""[Block] Domains with real clients, secure and plain."""

import contextlib
import http.client

import lab as labs
import pytest
from peers import client_hello

ACCESS_DENIED = b"\x15\x03\x01\x00\x02\x02\x31"
ROUTES = {"secure": ({}, "Connected (Secure Channel)"),
          "plain": ({"SecureChannel": {"Enabled": "no"}}, "Connected (Non-secure)")}
RULE = "[Block] Domains=example"


@pytest.fixture(params=list(ROUTES))
def route(request):
    return ROUTES[request.param]


def start(daemon, route, domains, **more):
    changes, status = route
    return daemon({**changes, "Block": {"Domains": domains}, **more}, status=status)


def test_a_blocked_domain_is_refused_and_another_is_not(lab, daemon, route):
    one = start(daemon, route, "example")
    code, status, text = lab.curl("http://www4.example/")
    assert (code, status) == (0, 403) and f"({RULE})" in text
    code, _, text = lab.curl("https://www4.example/")
    assert code == 35 and "alert" in text, (code, text)
    one.wait_log(f"refused by a rule of the configuration ({RULE})")
    assert one.status()["sessions"]["refused"] == 2
    assert one.status()["sessions"]["failed"] == 0
    one.write(lab.config({**route[0], "Block": {"Domains": "www4.example.com 4.example"}}))
    assert one.ask("reload") == [{"ok": True}]
    assert lab.curl("http://www4.example/")[:2] == (0, 200)
    assert lab.curl("https://www4.example/")[:2] == (0, 200)


def test_the_case_of_a_name_and_its_dot_do_not_matter(lab, daemon, route):
    start(daemon, route, "WWW4.Example.")
    for host in ("www4.example", "WWW4.EXAMPLE", "www4.example."):
        assert lab.curl("http://www4.example/", "-H", f"Host: {host}")[1] == 403
        with lab.connect("host", labs.WWW4, 443) as sock:
            sock.sendall(client_hello(host.rstrip(".")))
            assert sock.recv(100) == ACCESS_DENIED


def test_what_says_no_name_goes_on(lab, daemon, route):
    start(daemon, route, "example")
    code, _, _ = lab.curl(f"https://{labs.WWW4}/", "-k")
    assert code == 0


def test_each_request_of_a_connection_is_judged(lab, daemon, route):
    one = start(daemon, route, "secret.example")
    client = http.client.HTTPConnection("www4.example")
    client.sock = lab.connect("host", labs.WWW4, 80)
    client.request("GET", "/")
    first = client.getresponse()
    assert first.status == 200 and first.read()
    client.request("GET", "/", headers={"Host": "secret.example"})
    second = client.getresponse()
    assert second.status == 403 and b"Domains=secret.example" in second.read()
    client.close()
    one.wait_log("1 request, ")
    assert one.status()["sessions"]["refused"] == 1


def test_in_a_direct_state_nobody_hears_names(lab, daemon):
    one = daemon({"Block": {"Domains": "example"}, "Failure": {"OnUnavailable": "direct"},
                  "SecureChannel": {"Enabled": "no"}}, status="Connected (Non-secure)")
    lab.fault("reject", labs.PLAIN_PORT)
    one.cli("test")
    labs.wait_for(lambda: one.status()["mode"] == "direct", 10, "the direct state")
    with contextlib.suppress(OSError):
        assert lab.curl("http://www4.example/")[:2] == (0, 200)
