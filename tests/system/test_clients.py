# SPDX-License-Identifier: GPL-2.0-or-later
"""Real clients that know of no proxy, as people have them, through the secure channel to real servers."""

import contextlib
import hashlib
import os
import shutil
import subprocess
import threading
import time

import lab as labs
import pytest
from peers import read_head

MB = 1 << 20


@pytest.fixture
def client(lab, daemon):
    """client(argv, …) in the host's namespace: what it prints. Nothing may go past the proxy."""
    daemon()

    def run(*argv, **kwargs):
        kwargs.setdefault("timeout", 60)
        done = lab.run("host", argv, **kwargs)
        assert done.returncode == 0, done
        return done.stdout

    yield run
    assert lab.leaked() == 0


@pytest.fixture
def web(lab):
    """A directory that nginx serves as /file/…: its path and its name."""
    path = f"{lab.shm}/web-{os.urandom(4).hex()}"
    os.makedirs(path)
    yield path, os.path.basename(path)
    shutil.rmtree(path)


@contextlib.contextmanager
def serving(lab, argv, port):
    """A server of its own in the web's namespace, at raw4.example."""
    log = f"{lab.dir}/server-{os.urandom(4).hex()}.out"
    child = lab.spawn("web", argv, log)
    try:
        lab.wait_port("web", labs.RAW4, port, child, timeout=20)
        yield
    finally:
        child.terminate()
        child.wait(20)
        lab._kill(child)


def digest(data):
    return hashlib.sha256(data).hexdigest()


def digest_of(path):
    with open(path, "rb") as file:
        return digest(file.read())


def test_curl_with_http_2(lab, client):
    """One connection, many streams."""
    path = lab.make_file("five", 5 * MB)
    pki = f"{lab.dir}/pki"
    argv = ["nghttpx", "--conf=/dev/null", f"--frontend={labs.RAW4},443", f"--backend={labs.WWW4},80", "--no-ocsp",
            "--workers=1", f"{pki}/server.key", f"{pki}/server.pem"]
    with serving(lab, argv, 443):
        out = client("curl", "-sSZ", "--cacert", f"{pki}/ca.pem", "--http2", "-w", "%{http_version} %{num_connects}\n",
                     *[word for i in range(20) for word in ("-o", f"{lab.shm}/stream{i}", "https://raw4.example/file/five")])
    said = [line.split() for line in out.splitlines()]
    assert [version for version, _ in said] == ["2"] * 20
    assert sum(int(connects) for _, connects in said) < 20, "nothing was multiplexed"
    for i in range(20):
        assert digest_of(f"{lab.shm}/stream{i}") == digest_of(path)
        os.unlink(f"{lab.shm}/stream{i}")


def test_curl_that_goes_away_takes_its_connection_along(lab, client):
    """In the middle of an endless answer."""
    listener, ends = lab.listen("web", labs.RAW4, 80), []

    def serve():
        sock, _ = listener.accept()
        read_head(sock)
        with contextlib.suppress(OSError):
            sock.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            while True:
                sock.sendall(bytes(65536))
        ends.append(time.monotonic())
        sock.close()

    threading.Thread(target=serve, daemon=True).start()
    with listener:
        done = lab.run("host", ["curl", "-sS", "-m", "1", "-o", "/dev/null", "http://raw4.example/"])
        assert done.returncode == 28
        labs.wait_for(lambda: ends, 20, "the server's end")


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_wget(lab, client, web, scheme):
    path, name = web
    with open(f"{path}/page.html", "w", encoding="ascii") as file:
        file.write('<a href="one">1</a> <a href="two">2</a>')
    for one in ("one", "two"):
        with open(f"{path}/{one}", "wb") as file:
            file.write(os.urandom(3 * MB))
    client("wget", "-q", "-r", "-np", "-nH", "--cut-dirs=2", "-P", f"{path}/got", f"--ca-certificate={lab.dir}/pki/ca.pem",
           "-e", "robots=off", f"{scheme}://www4.example/file/{name}/page.html")
    for one in ("one", "two"):
        assert digest_of(f"{path}/got/{one}") == digest_of(f"{path}/{one}")


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_git(lab, client, web, scheme):
    path, name = web
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@example", "-c", "init.defaultBranch=main", "-C"]
    labs.command([*git, path, "init", "-q", "tree"])
    for i in range(20):
        with open(f"{path}/tree/file{i}", "wb") as file:
            file.write(os.urandom(100000))
        labs.command([*git, f"{path}/tree", "add", "."])
        labs.command([*git, f"{path}/tree", "commit", "-q", "-m", f"change {i}"])
    labs.command(["git", "clone", "-q", "--bare", f"{path}/tree", f"{path}/tree.git"])
    labs.command([*git, f"{path}/tree.git", "update-server-info"])
    labs.command(["chmod", "-R", "a+rX", path])
    client("git", "clone", "-q", f"{scheme}://www4.example/file/{name}/tree.git", f"{path}/clone",
           env={**os.environ, "GIT_SSL_CAINFO": f"{lab.dir}/pki/ca.pem", "GIT_TERMINAL_PROMPT": "0"})
    heads = {labs.command([*git, f"{path}/{tree}", "rev-parse", "HEAD"]) for tree in ("tree", "clone")}
    assert len(heads) == 1
    assert labs.command([*git, f"{path}/clone", "status", "--porcelain"]) == ""


def make_repository(path):
    """A Debian repository with one package of 5 MB."""
    os.makedirs(f"{path}/root/DEBIAN")
    os.makedirs(f"{path}/root/usr/share/lab")
    with open(f"{path}/root/DEBIAN/control", "w", encoding="ascii") as file:
        file.write("Package: lab\nVersion: 1\nArchitecture: all\nMaintainer: a <a@example>\nDescription: data\n")
    with open(f"{path}/root/usr/share/lab/data", "wb") as file:
        file.write(os.urandom(5 * MB))
    labs.command(["dpkg-deb", "--root-owner-group", "-Znone", "-b", f"{path}/root", f"{path}/lab_1_all.deb"])
    size, checksum = os.path.getsize(f"{path}/lab_1_all.deb"), digest_of(f"{path}/lab_1_all.deb")
    with open(f"{path}/root/DEBIAN/control", encoding="ascii") as file:
        packages = f"{file.read()}Filename: ./lab_1_all.deb\nSize: {size}\nSHA256: {checksum}\n"
    with open(f"{path}/Packages", "w", encoding="ascii") as file:
        file.write(packages)
    with open(f"{path}/Release", "w", encoding="ascii") as file:
        file.write(f"Date: Thu, 01 Jan 2026 00:00:00 UTC\nSHA256:\n {digest(packages.encode())} {len(packages)} Packages\n")


def test_apt(lab, client, web):
    """apt keeps its connection, and asks for several files before it has the first."""
    path, name = web
    make_repository(path)
    for directory in ("lists/partial", "cache/archives/partial", "got"):
        os.makedirs(f"{path}/apt/{directory}")
    with open(f"{path}/apt/sources.list", "w", encoding="ascii") as file:
        file.write(f"deb [trusted=yes] http://www4.example/file/{name} ./\n")
    options = [word for key, value in {"Dir::Etc::SourceList": f"{path}/apt/sources.list", "Dir::Etc::SourceParts": "-",
                                       "Dir::State::Lists": f"{path}/apt/lists", "Dir::Cache": f"{path}/apt/cache",
                                       "APT::Sandbox::User": "root", "Acquire::Languages": "none",
                                       "Acquire::http::Proxy": "DIRECT", "APT::Update::Error-Mode": "any"}.items()
               for word in ("-o", f"{key}={value}")]
    client("apt-get", "-q", *options, "update")
    client("apt-get", "-q", *options, "download", "lab", cwd=f"{path}/apt/got")
    assert digest_of(f"{path}/apt/got/lab_1_all.deb") == digest_of(f"{path}/lab_1_all.deb")


PYTHON = """
import hashlib, ssl, sys, urllib.request
context = ssl.create_default_context(cafile=sys.argv[1])
for url in sys.argv[2:]:
    with urllib.request.urlopen(url, context=context, timeout=30) as answer:
        print(hashlib.sha256(answer.read()).hexdigest())
"""


def test_python(lab, client):
    path = lab.make_file("five", 5 * MB)
    out = client("/usr/bin/python3", "-c", PYTHON, f"{lab.dir}/pki/ca.pem", "http://www4.example/file/five",
                 "https://www4.example/file/five", "http://www6.example/file/five", "https://www6.example/file/five")
    assert out.split() == [digest_of(path)] * 4


def test_events_arrive_as_they_are_sent(lab, client):
    """SSE: each before the next is made."""
    listener = lab.listen("web", labs.RAW4, 80)
    child = subprocess.Popen(lab.argv("host", ["curl", "-sSN", "-m", "30", "http://raw4.example/"]), stdout=subprocess.PIPE)
    try:
        with listener:
            listener.settimeout(20)
            sock, _ = listener.accept()
        with sock:
            read_head(sock)
            sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
            for i in range(10):
                event = b"data: %d\n\n" % i
                sock.sendall(b"%x\r\n%s\r\n" % (len(event), event))
                assert child.stdout.readline() + child.stdout.readline() == event
            sock.sendall(b"0\r\n\r\n")
        assert child.stdout.read() == b"" and child.wait(10) == 0
    finally:
        child.kill()
        child.wait()
        child.stdout.close()


def test_ssh_to_443(lab, client):
    """The server greets first; 20 MB each way."""
    directory = f"{lab.dir}/ssh-{os.urandom(4).hex()}"
    os.makedirs(directory, mode=0o700)
    os.makedirs("/run/sshd", exist_ok=True)
    for key in ("host", "user"):
        labs.command(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", f"{directory}/{key}"])
    with open(f"{directory}/config", "w", encoding="ascii") as file:
        file.write(f"ListenAddress {labs.RAW4}\nPort 443\nHostKey {directory}/host\nPidFile none\nStrictModes no\n"
                   f"AuthorizedKeysFile {directory}/user.pub\nUsePAM no\nPermitRootLogin prohibit-password\n")
    path = lab.make_file("twenty", 20 * MB)
    ssh = ["ssh", "-q", "-F", "none", "-p", "443", "-i", f"{directory}/user", "-o", "StrictHostKeyChecking=no", "-o",
           "UserKnownHostsFile=/dev/null", "-o", "BatchMode=yes", "root@raw4.example"]
    with serving(lab, ["/usr/sbin/sshd", "-D", "-e", "-f", f"{directory}/config"], 443):
        down = client(*ssh, f"cat {path}", text=False)
        with open(path, "rb") as file:
            up = client(*ssh, "sha256sum", stdin=file)
    assert digest(down) == digest_of(path) == up.split()[0]
    shutil.rmtree(directory)
