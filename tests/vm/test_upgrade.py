# SPDX-License-Identifier: GPL-2.0-or-later
"""apt installs the next version over a running one."""

from machine import SECURE

SESSION = """
import socket
sock = socket.create_connection(("203.0.113.80", 80))
sock.sendall(b"GET / HTTP/1.1\\r\\nHost: www4.example\\r\\n\\r\\n")
data = b""
while b"asked by" not in data:
    data += sock.recv(65536)
open("/run/session-is-open", "w").close()
sock.settimeout(300)  # an emulated machine may need longer than a minute for an upgrade
try:
    end = "closed" if sock.recv(65536) == b"" else "more data"
except OSError as error:
    end = error.strerror or "timeout"
with open("/run/session-has-ended", "w") as file:
    file.write(end)
"""


def test_an_upgrade_with_a_session_open(lab, vm, measured):
    version = vm.ok("cat /root/version").strip()
    assert vm.ok("dpkg-query -W -f '${Version}' penstock") == version
    vm.ok("echo '# a local change' >>/etc/penstock/penstock.conf")
    old = vm.pid()
    vm.write("/root/session", SESSION)
    vm.ok("systemd-run -q --unit=session python3 /root/session")
    vm.until("test -e /run/session-is-open && penstock sessions | grep -q session.service", 20)
    with vm.knocking() as knocked:
        vm.ok("DEBIAN_FRONTEND=noninteractive apt-get install -y -qq /root/next/penstock_*.deb </dev/null 2>&1", timeout=180)
        assert vm.ok("dpkg-query -W -f '${Version}' penstock") == version + "+next"
        vm.wait_status(SECURE)
    assert vm.pid() != old, "the new program runs"
    end = vm.until("cat /run/session-has-ended", 10)
    assert end in ("closed", "Connection reset by peer"), "its client was told"
    measured(f"upgrade: the open session was {end}, what came of a client's knocks meanwhile: {knocked['web']}")
    assert lab.leaked() == 0 and lab.to_plain_port() == 0
    assert "# a local change" in vm.ok("tail -n 1 /etc/penstock/penstock.conf")
    assert vm.show("UnitFileState") == "enabled"
    assert vm.get("https://www4.example/")[:2] == (0, 200)
