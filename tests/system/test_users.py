# SPDX-License-Identifier: GPL-2.0-or-later
"""Users that the host does not know yet when penstockd starts: closed for them, open once they can be looked up."""
import json
import pwd
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


@pytest.fixture
def groups(lab, passwd):
    """The same of /etc/group, beside that of /etc/passwd."""
    path = f"{lab.dir}/group"
    shutil.copy("/etc/group", path)
    _, prefix = passwd
    return path, [*prefix, "sh", "-c", f'mount --bind {path} /etc/group && exec "$@"', "sh"]


def blocked(lab):
    done = lab.run("host", ["nft", "-j", "list", "set", "inet", "penstock", "block_users"], check=True)
    elements = [element for entry in json.loads(done.stdout)["nftables"] for element in entry.get("set", {}).get("elem", [])]
    return sorted(pwd.getpwnam(one).pw_uid if isinstance(one, str) else one for one in elements)


def test_a_group_is_all_of_its_members(lab, daemon, passwd, groups):
    """By the group's line, and by the users' own group."""
    append(passwd[0], f"own:x:{UID}:4999::/:/bin/false\n")
    append(groups[0], "test-staff:x:4999:games,daemon\n")
    one = daemon({"Block": {"Users": "@test-staff"}}, prefix=groups[1])
    games, daemon_uid = pwd.getpwnam("games").pw_uid, pwd.getpwnam("daemon").pw_uid
    assert blocked(lab) == sorted([games, daemon_uid, UID])
    assert not any("test-staff" in text for text in one.status()["warnings"])
    for user, code in (("games", 7), ("man", 0)):
        done = lab.run("host", ["setpriv", f"--reuid={user}", "--clear-groups", "curl", "-s", "-m", "10", "-o", "/dev/null",
                                f"http://{labs.WWW4}/"])
        assert done.returncode == code, user


def test_a_group_that_appears_later_is_known_from_then_on(lab, daemon, passwd, groups):
    """First it is not there, then one of its members is not."""
    one = daemon({"Block": {"Users": "@later"}}, prefix=groups[1])
    one.wait_log("group @later cannot be looked up")
    assert any("group @later cannot" in text for text in one.status()["warnings"])
    append(groups[0], "later:x:4998:games,unborn\n")
    assert blocked(lab) == []
    append(passwd[0], f"unborn:x:{UID}:1::/:/bin/false\n")
    labs.wait_for(lambda: blocked(lab) == sorted([pwd.getpwnam("games").pw_uid, UID]), 30, "the group's rule")
    one.wait_log("group @later is known now: 2 members")
    one.write(lab.config({"Block": {"Users": "@later bin"}}))
    done = lab.run("host", [f"{lab.build}/penstock", "-S", one.control, "reload"])
    assert done.returncode == 0, done
    assert UID in blocked(lab), "a reload keeps what was looked up"
