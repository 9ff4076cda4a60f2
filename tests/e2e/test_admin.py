"""The control socket: what it answers, to whom, and what stays out of the log; strictpost status and healthcheck."""

import http.client
import json
import os
import re
import socket
import stat
import subprocess
import time
from datetime import datetime, timezone

import pytest

from lab.behaviour import Slow
from lab.client import Client
from lab.process import wait_until
from lab.relay import ENVIRONMENT

STATUS = {"version", "hostname", "pid", "started", "uptime_s", "ready", "reason", "shards", "listen", "connections", "outbound", "accepted", "delivered",
          "deferred", "bounced", "queue", "store", "dnssec", "overrides",
          "throughput", "tls", "disk", "policies", "reports", "evidence_octets", "draining"}


def socket_of(relay):
    return relay.config["admin"]["socket"]


class Control(http.client.HTTPConnection):
    """A connection to the control socket."""

    def __init__(self, relay):
        super().__init__("localhost", timeout=20)
        self.path = socket_of(relay)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(20)
        self.sock.connect(self.path)

    def ask(self, path, method="GET", body=None):
        """The status, the fields, and the body: a value where it is JSON, octets where it is gzip, else text."""
        self.request(method, path, body)
        response = self.getresponse()
        data = response.read()
        if response.headers["Content-Type"] != "application/gzip":
            data = data.decode()
        if data and response.headers["Content-Type"] == "application/json":
            data = json.loads(data)
        return response.status, response.headers, data


def ask(relay, path, method="GET", body=None):
    control = Control(relay)
    try:
        return control.ask(path, method, body)
    finally:
        control.close()


def raw(relay, data):
    """All that comes back for these bytes, until the relay closes."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(20)
        sock.connect(socket_of(relay))
        sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: sock.recv(65536), b""))


def status(relay):
    return ask(relay, "/status")[2]


def run(relay, *arguments, uid=None, env=None):
    return subprocess.run([relay.binary, *arguments], capture_output=True, text=True, timeout=30, user=uid,
                          env={**os.environ, **ENVIRONMENT, **(env or {})})


# The socket.

def test_socket_is_the_owners_alone(relay):
    mode = os.stat(socket_of(relay)).st_mode
    assert stat.S_ISSOCK(mode) and stat.S_IMODE(mode) == 0o600
    assert relay.stop() == 0
    assert not os.path.exists(socket_of(relay))


def test_folder_is_made(make_relay):
    relay = make_relay()
    relay.write_config(admin={"socket": f"{relay.folder}/new/control.sock"})
    relay.start()
    assert stat.S_IMODE(os.stat(f"{relay.folder}/new").st_mode) == 0o755
    assert ask(relay, "/livez")[0] == 200


@pytest.mark.parametrize("path", ["/nonexistent/folder/control.sock", "relative.sock", "/proc/control.sock"])
def test_relay_runs_without_a_socket_it_cannot_make(world, make_relay, path):
    relay = make_relay(admin={"socket": path}).start()
    [event] = relay.events(event="admin", level="warning")
    assert "no control socket" in event["text"] and path in event["text"] and "admin.socket" in event["text"]
    with Client(relay.address) as client:
        client.hello()


def test_relay_without_a_socket(make_relay):
    relay = make_relay(admin={"socket": ""}).start()
    assert not relay.events(event="admin")
    done = run(relay, "status", "--config", relay.config_file)
    assert done.returncode == 1 and "admin.socket is empty" in done.stderr


def test_socket_of_another_relay_is_left_alone(relay, make_relay):
    second = make_relay(admin={"socket": socket_of(relay)}, listen=[{"address": "127.0.0.1:2526", "allow": ["127.0.0.1/32"]}]).start()
    assert second.events(event="admin", level="warning")
    assert status(relay)["pid"] == relay.process.pid
    assert second.stop() == 0
    assert status(relay)["pid"] == relay.process.pid


def test_file_that_is_no_socket_is_left_alone(make_relay):
    relay = make_relay()
    with open(socket_of(relay), "w", encoding="ascii") as file:
        file.write("precious")
    relay.start()
    assert relay.events(event="admin", level="warning")
    assert relay.stop() == 0
    with open(socket_of(relay), encoding="ascii") as file:
        assert file.read() == "precious"


def test_stale_socket_is_replaced(relay):
    relay.kill()
    assert os.path.exists(socket_of(relay))
    relay.start()
    assert ask(relay, "/livez")[0] == 200


def test_reload_moves_the_socket(relay):
    before = socket_of(relay)
    relay.write_config(admin={"socket": f"{relay.folder}/moved.sock"})
    relay.reload()
    wait_until(lambda: os.path.exists(socket_of(relay)), 10, "the new socket")
    assert ask(relay, "/livez")[0] == 200
    wait_until(lambda: not os.path.exists(before), 10, "the old one gone")


def test_reload_to_an_impossible_path_keeps_the_socket(relay):
    before = Control(relay)
    assert before.ask("/livez")[0] == 200
    relay.write_config(admin={"socket": "/nonexistent/folder/control.sock"})
    relay.reload()
    relay.wait_log("the admin API stays at")
    assert before.ask("/livez")[0] == 200
    before.close()


def test_reload_mends_what_was_missing(make_relay):
    relay = make_relay()
    relay.write_config(admin={"socket": f"{relay.folder}/a/b/control.sock"})
    relay.start()
    assert not os.path.exists(f"{relay.folder}/a")
    os.mkdir(f"{relay.folder}/a")
    relay.reload()
    wait_until(lambda: os.path.exists(socket_of(relay)), 10, "the socket")
    assert ask(relay, "/livez")[0] == 200


# What is answered.

def test_livez_and_readyz(relay):
    for path in ("/livez", "/readyz"):
        code, fields, body = ask(relay, path)
        assert (code, body) == (200, "ok\n") and fields["Content-Type"] == "text/plain"
        assert ask(relay, path, "HEAD")[0] == 200


def test_status_of_an_idle_relay(relay):
    code, fields, got = ask(relay, "/status")
    assert code == 200 and fields["Content-Type"] == "application/json"
    assert got.keys() == STATUS
    assert got["hostname"] == "relay.example" and got["pid"] == relay.process.pid and got["shards"] == 2
    assert got["listen"] == ["127.0.0.1:2525"]
    started = datetime.strptime(got["started"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc)
    assert abs(started.timestamp() + got["uptime_s"] - time.time()) < 10
    assert got["ready"] is True and got["reason"] is None
    assert [got[name] for name in ("connections", "accepted", "delivered", "deferred", "bounced")] == [0] * 5
    assert got["queue"] == {"messages": 0, "recipients": 0, "destinations_waiting": 0, "held": 0, "quarantined": 0, "oldest": None, "oldest_waiting": None}
    assert got["store"].keys() == {"commits", "ops", "largest_batch", "accepting"} and got["store"]["accepting"] is True


def test_status_counts_mail(world, relay, send):
    good, bad = world.domain(), world.domain().policy()
    host = good.mx()
    bad.mx(world.honest("other.example"))
    send([good.user("a"), good.user("b")])
    send([bad.user("c"), bad.user("d"), bad.user("e")])
    host.wait_messages()
    relay.wait_delivery(bad.name, result="deferred")
    wait_until(lambda: status(relay)["queue"]["messages"] == 1, 10, "one message left")
    got = status(relay)
    assert got["queue"]["recipients"] == 3 and got["accepted"] == 2 and got["delivered"] == 2 and got["deferred"] >= 3
    wait_until(lambda: status(relay)["queue"]["destinations_waiting"] == 1, 10, "the destination at rest")
    assert got["store"]["commits"] > 0 and got["store"]["ops"] >= got["store"]["commits"] and got["store"]["largest_batch"] > 0
    with Client(relay.address) as client:
        client.hello()
        assert status(relay)["connections"] == 1
    relay.restart()
    got = status(relay)
    assert (got["queue"]["messages"], got["queue"]["recipients"], got["accepted"]) == (1, 3, 0)


@pytest.mark.parametrize("path, method, code", [
    ("/", "GET", 404), ("/status/", "GET", 404), ("/Status", "GET", 404), ("/status%00", "GET", 404), ("/none", "POST", 404),
    ("/status", "POST", 405), ("/livez", "DELETE", 405), ("/status?a=b", "GET", 400), ("/livez?a", "GET", 400),
])
def test_routes(relay, path, method, code):
    got, fields, body = ask(relay, path, method, "x" if method == "POST" else None)
    assert got == code
    if code != 200:
        assert list(body) == ["error"]
    if code == 405:
        assert fields["Allow"] == "GET, HEAD"


GET = b"GET /livez HTTP/1.1\r\nHost: a\r\n"
POST = b"POST /livez HTTP/1.1\r\nHost: a\r\n"


@pytest.mark.parametrize("data, code", [
    (GET + b"X: y\r\n z\r\n\r\n", 400),
    (b"GET /livez HTTP/1.1\nHost: a\n\n", 400),
    (GET + b"X: a\0b\r\n\r\n", 400),
    (b"GET /livez HTTP/1.1\r\n\r\n", 400),
    (POST + b"Content-Length: 1\r\nContent-Length: 1\r\n\r\na", 400),
    (POST + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    (b"\x16\x03\x01\x02\x00", 400),
    (POST + b"Content-Length: 65537\r\n\r\n", 413),
    (POST + b"Transfer-Encoding: chunked\r\n\r\n10001\r\n" + b"x" * 65537, 413),
    (GET + b"X: " + b"y" * 16384, 431),
])
def test_malformed_requests_end_the_connection(relay, data, code):
    answer = raw(relay, data + GET + b"\r\n")
    assert answer.startswith(b"HTTP/1.1 %d " % code) and answer.count(b"HTTP/1.1 ") == 1
    assert b"Connection: close\r\n" in answer
    assert list(json.loads(answer.partition(b"\r\n\r\n")[2])) == ["error"]
    assert ask(relay, "/livez")[0] == 200


def test_pipelined_requests_are_answered_in_order(relay):
    answers = raw(relay, b"".join(b"GET /%s HTTP/1.1\r\nHost: a\r\n\r\n" % path for path in (b"status", b"livez", b"status", b"none") * 50))
    assert re.findall(rb"HTTP/1.1 (\d+)", answers) == [b"200", b"200", b"200", b"404"] * 50


def test_connections_are_limited_and_mail_goes_on(world, relay, send):
    held = []
    try:
        for _ in range(64):
            held.append(socket.socket(socket.AF_UNIX))
            held[-1].connect(socket_of(relay))
            held[-1].sendall(b"GET /li")
        wait_until(lambda: ask(relay, "/livez")[0] == 503, 10, "no more connections")
        host = world.domain("m")
        mx = host.mx()
        send(host.user())
        mx.wait_messages()
    finally:
        for sock in held:
            sock.close()
    wait_until(lambda: ask(relay, "/livez")[0] == 200, 10, "connections again")


def test_slow_request_is_ended(relay):
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(30)
        sock.connect(socket_of(relay))
        sock.sendall(b"GET /livez HTTP/1.1\r\n")
        started = time.monotonic()
        assert sock.recv(100).startswith(b"HTTP/1.1 408 ")
        assert 8 < time.monotonic() - started < 20


def test_nothing_of_it_is_in_the_mail_log(start_relay):
    relay = start_relay(log={"format": "text", "level": "info"})
    relay.wait_log("the resolver validates")
    before = relay.log_text()
    for path in ("/livez", "/readyz", "/status", "/none"):
        ask(relay, path)
    raw(relay, b"nonsense\r\n\r\n")
    assert run(relay, "healthcheck", "--config", relay.config_file).returncode == 0
    assert relay.log_text() == before


# Not ready.

def test_stopping_relay_is_alive_but_not_ready(world, relay, send):
    domain = world.domain()
    host = domain.mx(world.honest(f"mx1.{domain}").but(on={".": Slow(4)}))
    send(domain.user())
    wait_until(lambda: host.seen, 10, "the message at the host")
    control = Control(relay)
    assert control.ask("/readyz")[0] == 200
    relay.process.send(15)
    wait_until(lambda: control.ask("/readyz")[0] == 503, 3, "not ready")
    assert control.ask("/livez")[0] == 200
    assert control.ask("/readyz")[2] == {"error": "the relay is stopping"}
    got = status(relay)
    assert got["ready"] is False and got["reason"] == "the relay is stopping"
    done = run(relay, "healthcheck", "--config", relay.config_file)
    assert done.returncode == 1 and done.stdout == "not healthy: the relay is stopping\n"
    assert relay.process.wait() == 0
    control.close()


def test_full_disk_is_not_ready(make_relay):
    relay = make_relay()
    state = relay.config["state_dir"]
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m,mode=0700", "none", state], check=True)
    try:
        relay.start()
        assert ask(relay, "/readyz")[0] == 200
        with open(f"{state}/other", "wb", buffering=0) as file, pytest.raises(OSError):
            while True:
                file.write(bytes(4096))
        wait_until(lambda: ask(relay, "/readyz")[0] == 503, 10, "not ready")
        assert "spool" in ask(relay, "/readyz")[2]["error"]
        got = status(relay)
        assert got["ready"] is False and got["store"]["accepting"] is False
        os.unlink(f"{state}/other")
        wait_until(lambda: ask(relay, "/readyz")[0] == 200, 10, "ready again")
        assert relay.stop() == 0
    finally:
        if relay.running():
            relay.kill()
        subprocess.run(["umount", state], check=True)


# The commands.

def test_status_command(world, relay, send):
    domain = world.domain()
    host = domain.mx()
    send(domain.user())
    host.wait_messages()
    relay.wait_empty()
    done = run(relay, "status", "--config", relay.config_file, "--json")
    assert done.returncode == 0 and done.stderr == "" and done.stdout.count("\n") == 1
    assert json.loads(done.stdout).keys() == STATUS
    done = run(relay, "status", env={"STRICTPOST_CONFIG": relay.config_file})
    assert done.returncode == 0 and done.stderr == ""
    for words in ("on relay.example", f"pid {relay.process.pid}", "ready      yes", "127.0.0.1:2525", "1 accepted", "1 delivered", "0 messages"):
        assert words in done.stdout, (words, done.stdout)


def test_healthcheck_command(relay):
    done = run(relay, "healthcheck", "--config", relay.config_file)
    assert (done.returncode, done.stdout, done.stderr) == (0, "healthy\n", "")


def complaint(relay, uid=None):
    """What both commands say when they cannot ask; it is the same."""
    one = run(relay, "status", "--config", relay.config_file, uid=uid)
    other = run(relay, "healthcheck", "--config", relay.config_file, uid=uid)
    assert one.returncode == other.returncode == 1 and one.stdout == "" and one.stderr.startswith("strictpost status: ")
    assert other.stdout == "not healthy: " + one.stderr.removeprefix("strictpost status: ")
    return one.stderr


def test_no_daemon_there(make_relay):
    relay = make_relay()
    text = complaint(relay)
    assert f"no control socket at {socket_of(relay)}" in text and f"strictpost run --config {relay.config_file}" in text


def test_daemon_that_died(relay):
    relay.kill()
    text = complaint(relay)
    assert f"nobody answers at {socket_of(relay)}" in text and f"strictpost run --config {relay.config_file}" in text


def test_no_permission(relay):
    os.chmod(relay.folder, 0o755)
    os.chmod(relay.config_file, 0o644)
    text = complaint(relay, uid=65534)
    assert f"uid 65534 may not use the control socket {socket_of(relay)} (mode 0600, owner uid {os.getuid()})" in text and "root" in text


@pytest.mark.parametrize("answer, words", [
    (b"220 mx.example ESMTP\r\n", "not what a relay says"),
    (b"", "not what a relay says"),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n{\"a", "not JSON"),
    (b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n", "status 500"),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}", "not what a relay says"),
])
def test_somebody_else_at_the_socket(make_relay, answer, words):
    relay = make_relay()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(socket_of(relay))
        listener.listen(1)
        child = subprocess.Popen([relay.binary, "status", "--config", relay.config_file], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                 env={**os.environ, **ENVIRONMENT})
        connection, _ = listener.accept()
        with connection:
            connection.recv(4096)
            connection.sendall(answer)
        out, err = child.communicate(timeout=20)
    assert child.returncode == 1 and out == "" and words in err


def test_arguments(make_relay):
    relay = make_relay()
    for command in ("status", "healthcheck"):
        done = run(relay, command, "--help")
        assert done.returncode == 0 and f"usage: strictpost {command}" in done.stdout
        assert run(relay, command, "--dance").returncode == 2
        assert run(relay, command, "more").returncode == 2
    assert run(relay, "healthcheck", "--json").returncode == 2
    relay.write_config_text("nonsense: [\n")
    done = run(relay, "status", "--config", relay.config_file)
    assert done.returncode == 78 and relay.config_file in done.stderr
    assert run(relay, "healthcheck", "--config", relay.config_file).returncode == 1


def test_rules_that_override_are_shown_while_they_are_in_force(make_relay):
    rules = [{"domain": "x.test", "tls": "may", "override": True, "until": "2096-01-31", "reason": "broken, ticket 77"},
             {"domain": "y.test", "dane": "off", "override": True, "until": "2096-01-31", "reason": "r"},
             {"domain": "ended.test", "tls": "none", "override": True, "until": "2020-01-31", "reason": "r"},
             {"domain": "floor.test", "tls": "verify"}]
    relay = make_relay(domains=rules).start()
    assert json.loads(relay.command("status", "--json").stdout)["overrides"] == [
        {"domain": "x.test", "tls": "may", "reason": "broken, ticket 77", "ends": "2096-02-01T00:00:00Z"},
        {"domain": "y.test", "dane": "off", "reason": "r", "ends": "2096-02-01T00:00:00Z"}]
    shown = [line for line in relay.command("status").stdout.splitlines() if line.startswith("override")]
    assert shown == ["override   x.test, tls: may, ends 2096-02-01T00:00:00Z: broken, ticket 77",
                     "override   y.test, dane: off, ends 2096-02-01T00:00:00Z: r"]
    assert "ended.test" in relay.command("config", "check").stdout + relay.command("config", "check").stderr
