# SPDX-License-Identifier: GPL-2.0-or-later
"""Users that the host does not know yet when penstockd starts: closed for them, open once they can be looked up."""
import json
import shutil

import pytest

import lab as labs

UID = 4321


@pytest.fixture
def passwd(lab):
    """A copy of /etc/passwd, to which users can be added, and the prefix that puts it in the place of the host's."""
    path = f"{lab.dir}/passwd"
    shutil.copy("/etc/passwd", path)
    return path, ["unshare", "--mount", "sh", "-c", f'mount --bind {path} /etc/passwd && exec "$@"', "sh"]


def bypassed(lab):
    done = lab.run("host", ["nft", "-j", "list", "set", "inet", "penstock", "bypass_users"], check=True)
    return [element for entry in json.loads(done.stdout)["nftables"] for element in entry.get("set", {}).get("elem", [])]


def append(path, line):
    with open(path, "a", encoding="ascii") as file:
        file.write(line)


def test_a_user_that_appears_later_is_bypassed_from_then_on(lab, daemon, passwd):
    path, prefix = passwd
    one = daemon({"Bypass": {"Users": "root later"}}, prefix=prefix)
    line = one.wait_log("user later cannot be looked up")
    assert "warning" in line or "penstockd" in line
    assert any("user later" in text for text in one.status()["warnings"])
    assert bypassed(lab) in ([0], ["root"]), "closed for who is not known"

    append(path, f"later:x:{UID}:{UID}::/:/bin/false\n")
    labs.wait_for(lambda: UID in bypassed(lab), 30, "the user's rule")
    assert not any("user later" in text for text in one.status()["warnings"])
    assert one.status()["status"] == "Connected (Secure Channel)"


def test_a_reload_keeps_what_was_looked_up_and_asks_for_what_is_new(lab, daemon, passwd):
    path, prefix = passwd
    one = daemon({"Bypass": {"Users": "later"}}, prefix=prefix)
    append(path, f"later:x:{UID}:{UID}::/:/bin/false\n")
    labs.wait_for(lambda: UID in bypassed(lab), 30, "the user's rule")
    one.write(lab.config({"Bypass": {"Users": "later third"}}))
    done = lab.run("host", [f"{lab.build}/penstock", "-S", one.control, "reload"])
    assert done.returncode == 0, done
    one.wait_log("user third cannot be looked up")
    assert bypassed(lab) == [UID]
