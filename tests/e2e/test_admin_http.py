"""The admin API over TCP: who may ask, what a web page may not, and what a reload changes."""

import http.client
import os

import pytest

from lab.process import wait_until
from test_admin import ask as ask_socket

TOKEN = "0123456789abcdef-first"
OTHER = "fedcba9876543210-other"
PORTS = iter(range(8025, 8125))


def ask(port, path="/status", method="GET", address="127.0.0.1", **fields):
    """Status, fields and text of the answer; fields as host="a" or authorization="Bearer x"."""
    connection = http.client.HTTPConnection(address, port, timeout=20)
    try:
        connection.putrequest(method, path, skip_host="host" in fields)
        for name, value in fields.items():
            connection.putheader(name, value)
        if method == "POST":
            connection.putheader("Content-Length", "0")
        connection.endheaders()
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read().decode()
    finally:
        connection.close()


def bearer(token):
    return {"authorization": f"Bearer {token}"}


@pytest.fixture
def port():
    return next(PORTS)


def reachable(port, address="127.0.0.1"):
    try:
        return ask(port, "/livez", address=address)[0] in (200, 401)
    except OSError:
        return False


def make_token(relay, text=TOKEN, mode=0o600):
    path = f"{relay.folder}/token"
    with open(path, "w", encoding="utf-8") as file:
        file.write(text + "\n")
    os.chmod(path, mode)
    return path


@pytest.fixture
def with_token(make_relay, port):
    """A relay that demands TOKEN on TCP."""
    relay = make_relay()
    relay.write_config(admin={"http": f"127.0.0.1:{port}", "token_file": make_token(relay)})
    return relay.start()


@pytest.fixture
def without(start_relay, port):
    return start_relay(admin={"http": f"127.0.0.1:{port}"})


# With a token.

@pytest.mark.parametrize("fields, code, challenge", [
    ({}, 401, 'Bearer realm="strictpost"'),
    (bearer(OTHER), 401, 'Bearer realm="strictpost", error="invalid_token"'),
    (bearer(TOKEN[:-1]), 401, 'Bearer realm="strictpost", error="invalid_token"'),
    (bearer(TOKEN + "x"), 401, 'Bearer realm="strictpost", error="invalid_token"'),
    (bearer(""), 401, 'Bearer realm="strictpost"'),
    (bearer(TOKEN + "x" * 2000), 401, 'Bearer realm="strictpost"'),
    ({"authorization": "Basic " + TOKEN}, 401, 'Bearer realm="strictpost"'),
    ({"authorization": TOKEN}, 401, 'Bearer realm="strictpost"'),
    (bearer(TOKEN), 200, None),
    ({"authorization": "bearer  " + TOKEN}, 200, None),
    ({**bearer(TOKEN), "host": "relay.example:8025", "origin": "https://dash.example"}, 200, None),
])
def test_token_is_demanded(with_token, port, fields, code, challenge):
    """RFC 6750 3: what is missing is asked for, what is wrong is said to be; the scheme's name has no case (RFC 9110 11.1)."""
    got, answered, _ = ask(port, **fields)
    assert (got, answered["WWW-Authenticate"]) == (code, challenge)


def test_token_is_demanded_before_anything_is_said(with_token, port):
    """Also of what there is and what not, and what it may do."""
    for path, method in (("/none", "GET"), ("/status", "DELETE"), ("/report/send", "POST"), ("/report/list?x=y", "GET")):
        assert ask(port, path, method)[0] == 401
    assert ask(port, "/none", **bearer(TOKEN))[0] == 404


def test_load_balancer_needs_no_token(with_token, port):
    assert ask(port, "/livez")[0] == ask(port, "/readyz", host="10.0.0.1:8025")[0] == 200
    assert ask(port, "/livez", "HEAD")[2] == ""


def test_control_socket_never_needs_the_token(with_token):
    assert ask_socket(with_token, "/status")[0] == 200


def test_token_that_changes_is_reread(with_token, port):
    make_token(with_token, OTHER)
    wait_until(lambda: ask(port, **bearer(OTHER))[0] == 200, 25, "the other token")
    assert ask(port, **bearer(TOKEN))[0] == 401


def test_token_that_goes_wrong_leaves_the_old_one(with_token, port):
    make_token(with_token, "short")
    with_token.wait_log("what was read before stays in force", timeout=25)
    assert ask(port, **bearer(TOKEN))[0] == 200 and ask(port, **bearer("short"))[0] == 401


def test_token_is_in_no_log_and_no_print(with_token, port):
    ask(port, **bearer(TOKEN))
    assert TOKEN not in with_token.log_text() and TOKEN not in with_token.command("config", "print").stdout


# Without one.

@pytest.mark.parametrize("fields, code", [
    ({}, 200), ({"host": "localhost"}, 200), ({"host": "LocalHost:8025"}, 200), ({"host": "127.0.0.2:1"}, 200), ({"host": "[::1]:8025"}, 200),
    ({"host": "rebound.example:8025"}, 403), ({"host": "localhost.example"}, 403), ({"host": "127.0.0.1.example"}, 403), ({"host": "10.0.0.1"}, 403),
    ({"host": "[::1].example"}, 403), ({"host": "[::1]:80.example"}, 403), ({"host": "localhost:8025.example"}, 403), ({"host": "[localhost]"}, 403),
    ({"host": ""}, 403), ({"host": "[::1"}, 403), ({"host": "["}, 403), ({"host": "[2001:db8::1]"}, 403),
    ({"host": "127.0.0.1", "origin": "http://127.0.0.1"}, 403), ({"origin": "null"}, 403), ({"origin": ""}, 403),
])
def test_web_page_cannot_steer_mail(without, port, fields, code):
    """DNS rebinding, and requests that a page may send across origins."""
    assert ask(port, **fields)[0] == code
    assert ask(port, "/report/send?dry=1", "POST", **fields)[0] == code


def test_whole_target_that_names_another_host_counts(without, port):
    """RFC 9112 3.2.2: what Host says beside it does not."""
    assert ask(port, f"http://rebound.example:{port}/status")[0] == 403
    assert ask(port, f"http://localhost:{port}/status", host="rebound.example")[0] == 200


def test_open_to_the_network_is_a_configuration_error(make_relay):
    relay = make_relay(admin={"http": "0.0.0.0:8025"})
    done = relay.command("config", "check")
    assert done.returncode == 78 and ": admin.http: 0.0.0.0:8025 is not a loopback address" in done.stderr + done.stdout
    assert "admin.token_file" in done.stderr + done.stdout


def test_token_that_others_can_read_is_warned_of(make_relay):
    relay = make_relay()
    relay.write_config(admin={"token_file": make_token(relay, mode=0o644)})
    done = relay.command("config", "check")
    assert done.returncode == 0 and "token has mode 0644" in done.stdout + done.stderr


# Reload.

def test_reload_opens_moves_and_closes(relay, port):
    relay.write_config(admin={"http": f"127.0.0.1:{port}"})
    relay.reload()
    wait_until(lambda: reachable(port), 10, "admin.http")
    other = next(PORTS)
    relay.write_config(admin={"http": f"[::1]:{other}"})
    relay.reload()
    wait_until(lambda: reachable(other, "::1"), 10, "admin.http moved")
    assert not reachable(port)
    relay.write_config(admin={"http": ""})
    relay.reload()
    wait_until(lambda: not reachable(other, "::1"), 10, "admin.http closed")
    assert ask_socket(relay, "/livez")[0] == 200


def test_open_door_does_not_outlive_its_token(make_relay, port):
    """The new address is taken, so the old one would stay: but it is not on loopback, and its token is gone."""
    relay = make_relay()
    relay.write_config(admin={"http": f"0.0.0.0:{port}", "token_file": make_token(relay)})
    relay.start()
    assert ask(port)[0] == 401
    relay.write_config(admin={"http": "127.0.0.1:2525", "token_file": ""})
    relay.reload()
    relay.wait_log("no admin.http")
    wait_until(lambda: not reachable(port), 10, "the door to the network closed")


def test_address_that_is_taken_leaves_mail_alone(start_relay):
    relay = start_relay(admin={"http": "127.0.0.1:2525"})
    assert "no admin.http" in relay.log_text()
    assert ask_socket(relay, "/readyz")[0] == 200


def test_crowd_on_tcp_leaves_the_socket_open(without, port):
    held = [http.client.HTTPConnection("127.0.0.1", port) for _ in range(100)]
    for connection in held:
        connection.connect()
        connection.sock.sendall(b"GET /li")
    wait_until(lambda: not reachable(port), 10, "TCP full")
    assert ask_socket(without, "/status")[0] == 200
    for connection in held:
        connection.close()
    wait_until(lambda: reachable(port), 10, "TCP again")
