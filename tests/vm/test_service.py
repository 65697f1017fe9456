# SPDX-License-Identifier: GPL-2.0-or-later
"""systemctl runs it."""

from machine import SECURE


def test_the_status_text_is_the_verdict(vm):
    assert f'Status: "{SECURE}' in vm.unit()
    assert vm.status()["connection_status"] == "Proxy Trusted"
