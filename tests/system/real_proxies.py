# SPDX-License-Identifier: GPL-2.0-or-later
"""Real proxies at fake.example. On the plain port as Debian configures them (KINDS): only what must be said to run in the
lab is changed, addresses, paths, and that the lab's clients may use them at all. PROGRAMS: with as little configuration
as what they are there for needs."""

import contextlib
import os
import re
import shutil
from urllib.parse import unquote

import lab as labs

# Squid 5.7 takes a buffer that is full (512 KB) for the client's end, and drops what is uploaded fast, whoever uploads it.
ROOM = "client_request_buffer_max_size 64 MB\n"
MODULES = "/usr/lib/apache2/modules"


def squid(lab, directory):
    """Debian's own squid.conf: CONNECT to 443 alone."""
    with open("/etc/squid/squid.conf", encoding="utf-8") as file:
        text = file.read()
    ours = f"http_access allow all\npid_filename {directory}/squid.pid\nhosts_file /etc/hosts\npinger_enable off\n" \
           f"access_log stdio:{directory}/access.log\nbuffered_logs off\ncache_log {directory}/cache.log\n" \
           f"cache_effective_user proxy\nshutdown_lifetime 0 seconds\nconnect_timeout 2 seconds\ndns_timeout 2 seconds\n" \
           f"visible_hostname squid.example\nmax_filedescriptors 4096\n{ROOM}"
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


# ---- one or more programs, on the ports that they serve ----

PLAIN, SECURE = labs.PLAIN_PORT, labs.SECURE_PORT


def open_squid(lab, directory, more=""):
    """For everybody and everything, with a log of whole heads; more: lines before that."""
    with open(f"{directory}/squid.conf", "w", encoding="ascii") as file:
        file.write(f"""http_port {labs.FAKE4}:{PLAIN}
{more}
http_access allow all
cache deny all
cache_mem 1 MB
logformat heads %rm %ru %#>h
access_log stdio:{directory}/heads.log heads
strip_query_terms off
buffered_logs off
cache_log {directory}/cache.log
pid_filename {directory}/squid.pid
coredump_dir {directory}
pinger_enable off
shutdown_lifetime 0 seconds
hosts_file /etc/hosts
dns_timeout 2 seconds
connect_timeout 2 seconds
visible_hostname squid.example
max_filedescriptors 4096
cache_effective_user proxy
{ROOM}""")
    shutil.chown(directory, "proxy")
    return ["squid", "-N", "-n", labs.squid_service(lab.name) + "d", "-f", f"{directory}/squid.conf"]


def heads(directory):
    """What open_squid() was asked: (method, target, [field line, …]), oldest first."""
    with open(f"{directory}/heads.log", encoding="ascii") as file:
        lines = [line.split(" ") for line in file.read().splitlines()]
    return [(method, target, unquote(head).split("\r\n")[:-1]) for method, target, head in lines if method != "-"]


def squid_tls(lab, directory):
    """https_port that asks for certificates."""
    pki = f"{lab.dir}/pki"
    return [open_squid(lab, directory, f"https_port {labs.FAKE4}:{SECURE} tls-cert={pki}/server.pem "
                                       f"tls-key={pki}/server.key clientca={pki}/ca.pem")]


PASSWORD = "Proxy-Authorization: Basic cGVuc3RvY2s6c2VjcmV0"  # penstock:secret


def squid_basic(lab, directory):
    """Who says no password gets 407."""
    with open(f"{directory}/passwords", "w", encoding="ascii") as file:
        file.write("penstock:" + labs.command(["openssl", "passwd", "-apr1", "secret"]))
    return [open_squid(lab, directory, f"auth_param basic program /usr/lib/squid/basic_ncsa_auth {directory}/passwords\n"
                                       "acl known proxy_auth REQUIRED\nhttp_access deny !known")]


def squid_names(lab, directory):
    """No addresses, in a CONNECT or a request."""
    return [open_squid(lab, directory, "acl numeric dstdom_regex -n ^[0-9.]+$ ^\\[ :\nhttp_access deny numeric")]


def haproxy(lab, directory):
    """mode http, in front of Squid."""
    with open(f"{directory}/haproxy.cfg", "w", encoding="ascii") as file:
        file.write(f"""global
    maxconn 1000
    nbthread 1
defaults
    mode http
    timeout connect 5s
    timeout client 1m
    timeout server 1m
    timeout tunnel 1m
listen secure
    bind {labs.FAKE4}:{SECURE} ssl crt {lab.dir}/pki/server.both.pem ca-file {lab.dir}/pki/ca.pem verify required
    server squid {labs.FAKE4}:{PLAIN}
""")
    return [open_squid(lab, directory), ["haproxy", "-db", "-f", f"{directory}/haproxy.cfg"]]


def nghttpx(lab, directory):
    """In front of Squid."""
    pki = f"{lab.dir}/pki"
    return [open_squid(lab, directory),
            ["nghttpx", "--conf=/dev/null", "--http2-proxy", f"--frontend={labs.FAKE4},{SECURE}",
             f"--backend={labs.FAKE4},{PLAIN}", "--verify-client", f"--verify-client-cacert={pki}/ca.pem", "--no-ocsp",
             "--workers=1", f"{pki}/server.key", f"{pki}/server.pem"]]


def apache_tls(lab, directory, inside=""):
    """SSLVerifyClient for the whole server, or inside <Proxy>: asked for after the handshake then."""
    pki, verify = f"{lab.dir}/pki", "SSLVerifyClient require\n"
    argv = apache(lab, directory)
    with open(f"{directory}/apache.conf", encoding="ascii") as file:
        text = file.read()
    with open(f"{directory}/apache.conf", "w", encoding="ascii") as file:
        file.write(text.replace("<Proxy *>\n", f"<Proxy *>\n{inside}") + f"""
LoadModule ssl_module {MODULES}/mod_ssl.so
Listen {labs.FAKE4}:{SECURE}
<VirtualHost {labs.FAKE4}:{SECURE}>
    SSLEngine on
    SSLCertificateFile {pki}/server.pem
    SSLCertificateKeyFile {pki}/server.key
    SSLCACertificateFile {pki}/ca.pem
    {"" if inside else verify}
</VirtualHost>
""")
    return [argv]


def apache_proxy(lab, directory):
    return apache_tls(lab, directory, "SSLVerifyClient require\n")


def privoxy(_lab, directory):
    """Debian's own configuration."""
    with open("/etc/privoxy/config", encoding="utf-8") as file:
        text = re.sub(r"^listen-address .*$", "", file.read(), flags=re.MULTILINE)
    text, count = re.subn(r"^logdir .*$", f"logdir {directory}", text, flags=re.MULTILINE)
    assert count == 1
    with open(f"{directory}/config", "w", encoding="utf-8") as file:
        file.write(f"{text}\nlisten-address {labs.FAKE4}:{PLAIN}\n")
    shutil.chown(directory, "privoxy")
    return [["privoxy", "--no-daemon", "--user", "privoxy", f"{directory}/config"]]


def mitmproxy(lab, directory):
    """Reads what is inside TLS; its own CA is made at its start."""
    return [["mitmdump", "-q", "--listen-host", labs.FAKE4, "--listen-port", str(PLAIN), "--set", f"confdir={directory}",
             "--set", "stream_large_bodies=1m", "--set", f"ssl_verify_upstream_trusted_ca={lab.dir}/pki/ca.pem"]]


PROGRAMS = {"squid-tls": squid_tls, "haproxy": haproxy, "nghttpx": nghttpx, "apache-tls": apache_tls,
            "apache-proxy": apache_proxy, "squid-basic": squid_basic, "squid-names": squid_names, "privoxy": privoxy,
            "mitmproxy": mitmproxy}
SECURE_KINDS = ["squid-tls", "haproxy", "nghttpx", "apache-tls", "apache-proxy"]


@contextlib.contextmanager
def serving(lab, kind, programs, ports):
    """programs(lab, directory): their command lines."""
    directory = f"{lab.dir}/{kind}-{os.urandom(4).hex()}"
    os.makedirs(directory)
    children = [lab.spawn("gw", argv, f"{directory}/out") for argv in programs(lab, directory)]
    try:
        for port in ports:
            lab.wait_port("gw", labs.FAKE4, port, children[-1], timeout=30)
        yield directory
    finally:
        for child in children:
            child.terminate()
        try:
            for child in children:
                child.wait(30)
        finally:
            for child in children:
                lab._kill(child)
            shutil.rmtree(directory, ignore_errors=True)


def running(lab, kind):
    """One of KINDS."""
    return serving(lab, kind, lambda *args: [KINDS[kind](*args)], [PLAIN])


def running_programs(lab, kind):
    """One of PROGRAMS."""
    return serving(lab, kind, PROGRAMS[kind], [PLAIN, SECURE] if kind in SECURE_KINDS else [PLAIN])
