# SPDX-License-Identifier: GPL-2.0-or-later
"""A real kernel whose modules are gone: web traffic stays closed, and what is missing is named."""

import pytest
from machine import SECURE

GONE = "/etc/modprobe.d/without.conf"
ALL = ["nft_fib_inet", "nft_fib", "nft_redir", "nft_reject_inet", "nft_reject", "nft_chain_nat", "nft_nat", "nft_ct", "nft_objref"]


@pytest.fixture
def without(lab, vm):
    """without(modules): those cannot be loaded any more, and none is; no rules, nothing runs."""
    def remove(modules):
        vm.ok("systemctl stop penstock penstock-lockdown; nft flush ruleset; for i in 1 2 3 4 5 6; do "
              "rmmod $(awk '/^nf_|^nft_|^nfnetlink/ {print $1}' /proc/modules) 2>/dev/null; done; true")
        vm.write(GONE, "".join(f"install {module} /bin/false\n" for module in modules))
        lab.reset_counters()

    yield remove
    vm.ok(f"rm -f {GONE}")


@pytest.mark.parametrize("modules", [["nft_fib_inet", "nft_fib"], ["nft_redir"], ["nft_reject_inet", "nft_reject"], ["nft_ct"], ALL],
                         ids=lambda modules: "all" if modules == ALL else modules[0])
def test_a_kernel_that_lacks_modules(lab, vm, without, modules):
    without(modules)
    vm.run("systemctl start penstock", timeout=120)
    status = vm.wait_status("Blocked - Local error")
    assert modules[0] in status["detail"] and "reboot" in status["detail"] and status["cause"] == "kernel-modules"
    assert vm.show("ActiveState") == "active" and vm.show("NRestarts") == "0"
    assert vm.run("penstock status").status == 4
    # Refused, or unanswered where nothing can refuse.
    assert vm.get("http://www4.example/", limit=3)[0] in (7, 28)
    assert lab.leaked() == 0
    checked = vm.run("penstock check")
    assert checked.status == 78 and modules[0] in checked.output
    vm.ok(f"rm {GONE}")
    vm.wait_status(SECURE, timeout=90)  # by itself
