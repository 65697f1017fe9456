# SPDX-License-Identifier: GPL-2.0-or-later
"""apt installs it, and nothing is cut off by that."""


def test_installing_starts_nothing_without_a_server(lab, installed):
    assert installed.show("ActiveState") == "inactive"
    assert installed.show("UnitFileState") == "enabled"
    assert installed.show("UnitFileState", "penstock-lockdown") == "enabled", "by Also="
    assert installed.show("ActiveState", "penstock-lockdown") == "inactive"
    assert installed.run("nft list table inet penstock").status != 0
    assert installed.get(f"http://www4.example/")[:2] == (0, 200)


def test_a_start_without_a_server_says_what_to_do(installed):
    installed.ok("systemctl start penstock")
    text = installed.unit()
    assert "no server is named yet" in text and "Servers=" in text and "/etc/penstock/penstock.conf" in text
    assert installed.show("ActiveState") == "inactive"


def test_the_installed_files_are_those_of_the_package(installed):
    assert installed.ok("dpkg --verify penstock").strip() == ""
