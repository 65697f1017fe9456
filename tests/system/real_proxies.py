# SPDX-License-Identifier: GPL-2.0-or-later
"""Proxies as Debian configures them, at fake.example's plain port: only what must be said to run in the lab is changed,
addresses, paths, and that the lab's clients may use them at all."""

import contextlib
import os
import re
import shutil

import lab as labs

MODULES = "/usr/lib/apache2/modules"


def squid(lab, directory):
    """Debian's own squid.conf: CONNECT to 443 alone."""
    with open("/etc/squid/squid.conf", encoding="utf-8") as file:
        text = file.read()
    ours = f"http_access allow all\npid_filename {directory}/squid.pid\nhosts_file /etc/hosts\npinger_enable off\n" \
           f"access_log stdio:{directory}/access.log\nbuffered_logs off\ncache_log {directory}/cache.log\n" \
           f"cache_effective_user proxy\nshutdown_lifetime 0 seconds\nconnect_timeout 2 seconds\ndns_timeout 2 seconds\n" \
           f"visible_hostname squid.example\nmax_filedescriptors 4096\n"
    with open(f"{directory}/ours.conf", "w", encoding="ascii") as file:
        file.write(ours)
    for old, new in ((r"^include /etc/squid/conf.d/\*.conf$", f"include {directory}/ours.conf"),
                     (r"^http_port 3128$", f"http_port {labs.FAKE4}:{labs.PLAIN_PORT}"),
                     (r"^coredump_dir .*$", f"coredump_dir {directory}")):
        text, count = re.subn(old, new, text, flags=re.MULTILINE)
        assert count == 1, f"{old} is not in Debian's squid.conf"
    with open(f"{directory}/squid.conf", "w", encoding="utf-8") as file:
        file.write(text)
    shutil.chown(directory, "proxy")
    return ["squid", "-N", "-n", labs.squid_service(lab.name) + "d", "-f", f"{directory}/squid.conf"]


def apache(_lab, directory):
    """A forward proxy with what mod_proxy_connect allows by itself: CONNECT to 443 and 563."""
    modules = "".join(f"LoadModule {name}_module {MODULES}/mod_{name}.so\n"
                      for name in ("mpm_event", "authz_core", "proxy", "proxy_http", "proxy_connect"))
    with open(f"{directory}/apache.conf", "w", encoding="ascii") as file:
        file.write(f"""{modules}
ServerRoot {directory}
ServerName apache.example
DefaultRuntimeDir {directory}
PidFile {directory}/apache.pid
ErrorLog {directory}/error.log
User www-data
Group www-data
Listen {labs.FAKE4}:{labs.PLAIN_PORT}
ProxyRequests On
<Proxy *>
    Require all granted
</Proxy>
LogFormat "%h %r %>s" lab
""")
    return ["apache2", "-D", "FOREGROUND", "-f", f"{directory}/apache.conf"]


def tinyproxy(_lab, directory):
    """Debian's own tinyproxy.conf, with the ConnectPort lines that it comes with."""
    with open("/etc/tinyproxy/tinyproxy.conf", encoding="utf-8") as file:
        text = file.read()
    for old, new in ((r"^Port .*$", f"Port {labs.PLAIN_PORT}\nListen {labs.FAKE4}"),
                     (r"^#?ConnectPort 443$", "ConnectPort 443"),
                     (r"^Allow 127.0.0.1$", f"Allow {labs.HOST4}"),
                     (r"^LogFile .*$", f'LogFile "{directory}/tinyproxy.log"'),
                     (r"^PidFile .*$", f'PidFile "{directory}/tinyproxy.pid"')):
        text, count = re.subn(old, new, text, flags=re.MULTILINE)
        assert count == 1, f"{old} is not in Debian's tinyproxy.conf"
    with open(f"{directory}/tinyproxy.conf", "w", encoding="utf-8") as file:
        file.write(text)
    shutil.chown(directory, "tinyproxy")
    return ["tinyproxy", "-d", "-c", f"{directory}/tinyproxy.conf"]


KINDS = {"squid": squid, "apache": apache, "tinyproxy": tinyproxy}


@contextlib.contextmanager
def running(lab, kind):
    directory = f"{lab.dir}/{kind}-{os.urandom(4).hex()}"
    os.makedirs(directory)
    child = lab.spawn("gw", KINDS[kind](lab, directory), f"{directory}/out")
    try:
        lab.wait_port("gw", labs.FAKE4, labs.PLAIN_PORT, child, timeout=20)
        yield directory
    finally:
        child.terminate()
        try:
            child.wait(10)
        finally:
            lab._kill(child)
            shutil.rmtree(directory, ignore_errors=True)
