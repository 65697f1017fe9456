# SPDX-License-Identifier: GPL-2.0-or-later
"""The web traffic of users and of services goes through the proxy, and nothing beside it."""

import hashlib
import json

import pytest
from machine import CA

THROUGH_THE_PROXY = "asked by 203.0.113.1"


@pytest.mark.parametrize("url", ["http://www4.example/", "https://www4.example/", "https://www6.example/"])
def test_a_user(lab, vm, url):
    code, http, text = vm.get(url, prefix="runuser -u tester --")
    assert (code, http) == (0, 200), text
    assert THROUGH_THE_PROXY in text or "asked by 2001:db8:3::1" in text
    assert lab.leaked() == 0 and lab.to_plain_port() == 0
    asked = "GET" if url.startswith("http:") else "CONNECT"
    assert any(method == asked and "www" in target for _, _, method, target, _ in lab.access_log())


@pytest.mark.parametrize("sandbox", ["-p User=tester", "-p DynamicUser=yes -p PrivateTmp=yes -p ProtectSystem=strict",
                                     "--slice=system.slice -p PrivateUsers=yes -p User=tester"])
def test_a_service(lab, vm, sandbox):
    code, http, text = vm.get("https://www4.example/", prefix=f"systemd-run -q --wait --pipe {sandbox}")
    assert (code, http) == (0, 200), text
    assert THROUGH_THE_PROXY in text
    assert lab.leaked() == 0


def test_a_session_is_shown_with_its_unit_and_user(lab, vm):
    lab.make_file("slow", 3000000)
    vm.ok(f"systemd-run -q --unit=download -p User=tester curl -sS -m 60 --limit-rate 50k --cacert {CA} -o /dev/null "
          "https://www4.example/file/slow")
    try:
        vm.until("penstock sessions | grep -q download.service", 20)
        sessions = [json.loads(line) for line in vm.ok("penstock sessions --json").splitlines()]
        text = json.dumps(sessions)
        assert "www4.example" in text and "download.service" in text and "tester" in text
    finally:
        vm.ok("systemctl stop download; systemctl reset-failed download 2>/dev/null || true")


def test_every_byte_of_a_download_and_an_upload(lab, vm):
    size = 2000003
    with open(lab.make_file("vm-bytes", size), "rb") as file:
        digest = hashlib.sha256(file.read()).hexdigest()
    assert digest in vm.ok(f"curl -sS -m 60 --cacert {CA} https://www4.example/file/vm-bytes | tee /tmp/bytes | sha256sum", timeout=90)
    vm.ok(f"curl -sS -f -m 60 --cacert {CA} -T /tmp/bytes https://www4.example/upload/vm-bytes", timeout=90)
    with open(f"{lab.shm}/upload/vm-bytes", "rb") as file:
        assert hashlib.sha256(file.read()).hexdigest() == digest
    assert lab.leaked() == 0


def test_quic_is_refused_at_once(lab, vm):
    probe = ("import socket\nfor family, to in ((2, '203.0.113.80'), (10, '2001:db8:3::80')):\n"
             "    s = socket.socket(family, socket.SOCK_DGRAM)\n    s.connect((to, 443))\n    s.settimeout(5)\n"
             "    try:\n        s.send(b'x')\n        s.recv(1)\n    except (ConnectionRefusedError, PermissionError) as e:\n"
             "        print('refused')\n")
    assert vm.ok("python3 -", stdin=probe).split() == ["refused", "refused"]
    assert lab.leaked() == 0
