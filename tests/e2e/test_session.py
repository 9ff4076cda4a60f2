"""Sessions with MX hosts: what is said to them, and what is made of whatever they say."""

import ssl

import pytest

from evidence import failure, same_message, untouched
from lab.behaviour import Close, Drop, Hang, Raw, Reset, Slow, Turns, by_recipient
from lab.client import message, submit

QUIET = ("PIPELINING", "8BITMIME", "ENHANCEDSTATUSCODES")


# What is said.

def test_ehlo_is_said_again_after_the_handshake(world, relay, send):
    domain = world.domain().policy()
    host = domain.mx()
    send(domain.user())
    host.wait_messages()
    relay.stop()
    [session] = host.wait_sessions()
    assert session.verbs() == ["EHLO", "STARTTLS", "EHLO", "MAIL", "RCPT", "DATA", "QUIT"]
    assert session.commands[0][0] == session.commands[2][0] == b"EHLO relay.example"
    assert session.ahead_of_handshake == b""


def test_recipients_of_one_domain_go_in_one_transaction(world, relay, send):
    domain = world.domain().policy()
    host = domain.mx()
    send([domain.user(f"user{i}") for i in range(20)])
    [got] = host.wait_messages()
    assert sorted(got.rcpt_to) == sorted(domain.user(f"user{i}").encode() for i in range(20))


def test_messages_share_a_session(world, start_relay):
    relay = start_relay(delivery={"concurrency": 1})
    domain = world.domain().policy()
    host = domain.mx()
    for i in range(10):
        submit(relay.address, domain.user(), message(f"m{i}"))
    got = host.wait_messages(10)
    assert len({m.data for m in got}) == 10
    assert len(host.sessions) == 1 and host.verbs().count("EHLO") == 2


def test_messages_per_session_is_a_limit(world, start_relay):
    relay = start_relay(delivery={"messages_per_session": 2, "concurrency": 1})
    domain = world.domain()
    host = domain.mx()
    for i in range(6):
        submit(relay.address, domain.user(), message(f"m{i}"))
    host.wait_messages(6)
    assert all(session.verbs().count("MAIL") <= 2 for session in host.sessions)


def test_concurrency_is_a_limit(world, start_relay):
    relay = start_relay(delivery={"concurrency": 2})
    domain = world.domain()
    host = domain.mx(world.honest(f"mx1.{domain}").but(on={".": Slow(0.3)}))
    for i in range(12):
        submit(relay.address, domain.user(), message(f"m{i}"))
    host.wait_messages(12)
    relay.stop()
    host.wait_sessions(len(host.sessions))
    changes = sorted([(s.started, 1) for s in host.sessions] + [(s.ended, -1) for s in host.sessions])
    at_once, most = 0, 0
    for _, change in changes:
        at_once += change
        most = max(most, at_once)
    assert most <= 2


def test_tls_session_is_resumed_and_still_verified(world, start_relay):
    relay = start_relay(delivery={"messages_per_session": 1})
    domain = world.domain().policy()
    host = domain.mx()
    for i in range(3):
        submit(relay.address, domain.user(), message(f"m{i}"))
        host.wait_messages(i + 1)
    relay.wait_empty()
    assert [m.tls.reused for m in host.messages][0] is False
    assert any(m.tls.reused for m in host.messages[1:])


def test_size_and_body_are_declared(world, relay, send):
    domain = world.domain()
    host = domain.mx()
    queue_id = send(domain.user(), message(body="gr\u00fc\u00dfe\r\n"), args=" BODY=8BITMIME")
    [got] = host.wait_messages()
    assert same_message(got.data, message(body="gr\u00fc\u00dfe\r\n"), queue_id)
    words = got.mail_args.upper().split()
    assert b"BODY=8BITMIME" in words
    assert b"SIZE=%d" % len(got.data) in words


def test_nothing_is_used_that_was_not_offered(world, relay, send):
    domain = world.domain()
    host = domain.mx(world.honest(f"mx1.{domain}").but(keywords=()))
    send(domain.user())
    [got] = host.wait_messages()
    assert got.mail_args == b""


def test_keywords_of_the_clear_session_are_forgotten(world, relay, send):
    domain = world.domain()
    host = domain.mx(world.honest(f"mx1.{domain}").but(keywords=("SIZE 1000", "CHUNKING", "8BITMIME"), keywords_under_tls=()))
    send(domain.user())
    [got] = host.wait_messages()
    assert got.mail_args == b"" and "BDAT" not in host.verbs()


def test_bdat_where_chunking_is_offered(world, relay, send):
    domain = world.domain()
    host = domain.mx(world.honest(f"mx1.{domain}").but(keywords=("CHUNKING", *QUIET)))
    data = message(body=".\r\n..\r\nno stuffing here\r\n")
    queue_id = send(domain.user(), data)
    [got] = host.wait_messages()
    assert same_message(got.data, data, queue_id)
    assert "BDAT" in host.verbs() and "DATA" not in host.verbs()


@pytest.mark.parametrize("keywords", [QUIET, ("CHUNKING", *QUIET)], ids=["data", "bdat"])
@pytest.mark.parametrize("body", [
    ".\r\n", "..\r\n.x\r\n", "\r\n\r\n\r\n", "x" * 998 + "\r\n", "no newline at the end", ".leading\r\n" * 5000,
    "a" * 300 + "\r\n" + "b" * 900000 + "\r\n"], ids=["dot", "dots", "empty-lines", "998", "no-newline", "many", "long-line"])
def test_body_arrives_byte_for_byte(world, relay, send, keywords, body):
    domain = world.domain()
    host = domain.mx(world.honest(f"mx1.{domain}").but(keywords=keywords))
    data = message(body=body)
    queue_id = send(domain.user(), data)
    event = relay.wait_delivery(domain.name)
    if any(len(line) > 998 for line in body.split("\r\n")) and event["result"] != "delivered":
        assert event["result"] == "bounced" and not host.messages       # a defined outcome, never a changed message
        return
    [got] = host.wait_messages()
    assert same_message(got.data, data + (b"" if data.endswith(b"\r\n") else b"\r\n"), queue_id)


def test_helo_where_ehlo_is_unknown(world, relay, send):
    domain = world.domain()
    host = domain.mx(world.honest().but(starttls=False, on={"EHLO": "500 5.5.1 what?"}))
    send(domain.user())
    [got] = host.wait_messages()
    assert host.sessions[0].verbs()[:2] == ["EHLO", "HELO"] and got.mail_args == b""


def test_enforce_never_falls_back_to_helo(world, relay, send):
    domain = world.domain().policy()
    host = domain.mx(world.honest(f"mx1.{domain}").but(on={"EHLO": "500 5.5.1 what?"}))
    send(domain.user())
    assert failure(relay.wait_delivery(domain.name, result="deferred")) == "starttls-not-supported"
    assert untouched(host)


def test_eight_bit_mail_to_a_seven_bit_host_bounces(world, relay, send):
    domain, sender = world.domain(), world.domain("sender")
    host, home = domain.mx(world.honest(f"mx1.{domain}").but(keywords=())), sender.mx()
    send(domain.user(), message(body="gr\u00fc\u00dfe\r\n"), sender=sender.user(), args=" BODY=8BITMIME")
    relay.wait_delivery(domain.name, result="bounced")
    [bounce] = home.wait_messages()
    assert b"5.6.3" in bounce.data and not host.messages


# What is made of what they say.

def test_bytes_before_the_handshake_are_discarded(world, relay, send):
    """CVE-2021-22947 and its kin: a reply injected in clear after 220 must not be read as if it came under TLS."""
    domain = world.domain().policy()
    host = domain.mx(world.honest(f"mx1.{domain}").but(inject=b"250-mx1\r\n250 CHUNKING\r\n250 2.1.0 ok\r\n"))
    send(domain.user())
    event = relay.wait_delivery(domain.name)
    assert "BDAT" not in host.verbs()
    if event["result"] == "delivered":              # allowed: the bytes were dropped and the session is in step
        assert host.messages[0].tls.version == "TLSv1.3"
    else:
        assert failure(event) == "validation-failure" and untouched(host)


def test_opportunistic_handshake_that_fails_is_followed_by_one_attempt_in_clear(world, relay, send):
    domain = world.domain()
    host = domain.mx(world.honest(f"mx1.{domain}").but(on={"HANDSHAKE": Drop()}))
    send(domain.user())
    [got] = host.wait_messages()
    assert got.tls is None
    assert ["STARTTLS" in session.verbs() for session in host.sessions] == [True, False]


def test_old_tls_is_good_enough_where_nothing_is_asked(world, relay, send):
    domain = world.domain()
    host = domain.mx(world.honest(f"mx1.{domain}").but(tls_min=ssl.TLSVersion.TLSv1_2, tls_max=ssl.TLSVersion.TLSv1_2))
    send(domain.user())
    assert host.wait_messages()[0].tls.version == "TLSv1.2"


@pytest.mark.parametrize("stage", ["CONNECT", "EHLO", "STARTTLS", "MAIL", "RCPT", "DATA", "BODY", "."])
@pytest.mark.parametrize("loss", [Drop, Reset])
def test_lost_connection_is_tried_again(world, relay, send, stage, loss):
    domain = world.domain().policy()
    host = domain.mx(world.honest(f"mx1.{domain}").but(on={stage: Turns(loss(), None)}))
    queue_id = send(domain.user())
    [got] = host.wait_messages()
    assert same_message(got.data, message(), queue_id) and got.tls
    assert relay.wait_delivery(domain.name, result="delivered")
    relay.wait_empty()
    assert len(host.messages) == 1


@pytest.mark.parametrize("stage", ["CONNECT", "EHLO", "MAIL", "RCPT", "DATA", "."])
@pytest.mark.parametrize("noise", [
    b"\xff\xfe\x00garbage\r\n", b"999 no such code\r\n", b"25\r\n", b"250-never\r\n221 ending\r\n", b"2500 five digits\r\n",
    b"250 " + b"x" * 100000 + b"\r\n", b"250-" + b"y" * 500 + b"\r\n", b"\r\n"],
    ids=["binary", "code-999", "short", "codes-differ", "four-digits", "long-line", "unfinished", "empty"])
def test_nonsense_is_a_temporary_failure(world, relay, send, stage, noise):
    domain = world.domain()
    host = domain.mx(world.honest(f"mx1.{domain}").but(starttls=False, on={
        stage: Turns(lambda d, a: (d.sock.sendall(noise), Drop())[1], None)}))
    send(domain.user())
    host.wait_messages()
    relay.wait_empty()
    assert not relay.deliveries(domain.name, result="bounced")


def test_reply_of_many_lines(world, relay, send):
    domain = world.domain()
    many = "".join(f"250-line {i}\r\n" for i in range(140)) + "250 2.0.0 the end"
    host = domain.mx(world.honest(f"mx1.{domain}").but(on={".": many, "MAIL": many, "RCPT": many}))
    send(domain.user())
    host.wait_messages()
    relay.wait_empty()
    assert relay.wait_delivery(domain.name, result="delivered")


def test_endless_reply_is_cut_off(world, relay, send):
    domain = world.domain()

    def flood(dialogue, _argument):
        for _ in range(1 << 12):
            dialogue.sock.sendall(b"250-and on and on and on\r\n" * 64)
        return Drop()
    host = domain.mx(world.honest(f"mx1.{domain}").but(starttls=False, on={"EHLO": Turns(flood, None)}))
    send(domain.user())
    host.wait_messages()
    assert relay.peak_memory_kib() < 1 << 20


@pytest.mark.parametrize("stage, reply", [
    ("CONNECT", Close("421 4.3.2 closing")), ("CONNECT", Close("554 5.3.2 go away")), ("EHLO", Close("421 4.3.2 closing")),
    ("MAIL", Close("421 4.3.2 closing")), ("MAIL", "451 4.7.1 greylisted"), ("RCPT", "450 4.2.1 busy"), ("RCPT", Close("421 4.3.2 closing")),
    ("RCPT", "552 5.2.2 too many recipients"), ("DATA", "451 4.3.0 later"), (".", "451 4.3.0 later"), (".", Close("421 4.3.2 closing"))])
def test_temporary_refusal_is_tried_again(world, relay, send, stage, reply):
    domain = world.domain().policy()
    host = domain.mx(world.honest(f"mx1.{domain}").but(on={stage: Turns(reply, None)}))
    queue_id = send(domain.user())
    [got] = host.wait_messages()
    assert same_message(got.data, message(), queue_id)
    relay.wait_empty()
    assert len(host.messages) == 1
    assert not relay.deliveries(domain.name, result="bounced")


def test_temporary_refusal_concerns_that_recipient_alone(world, relay, send):
    domain = world.domain()
    host = domain.mx(world.honest(f"mx1.{domain}").but(on={
        "RCPT": lambda d, a: by_recipient({domain.user("busy"): "450 4.2.1 busy"})(d, a) if not host.messages else None}))
    send([domain.user("ann"), domain.user("busy"), domain.user("eve")])
    first, second = host.wait_messages(2)
    assert sorted(first.rcpt_to) == [domain.user("ann").encode(), domain.user("eve").encode()]
    assert second.rcpt_to == [domain.user("busy").encode()]
    relay.wait_empty()


def test_recipient_limit_of_the_host_is_honoured(world, relay, send):
    domain = world.domain()
    host = domain.mx(world.honest(f"mx1.{domain}").but(
        on={"RCPT": lambda d, a: "452 4.5.3 too many recipients" if len(d.rcpt_to) >= 10 else None}))
    send([domain.user(f"user{i}") for i in range(25)])
    got = host.wait_messages(3)
    assert sorted(rcpt for m in got for rcpt in m.rcpt_to) == sorted(domain.user(f"user{i}").encode() for i in range(25))
    relay.wait_empty()


def test_dead_hosts_give_way_to_the_next(world, relay, send):
    """A port where nobody listens, a host that hangs up, then a good one: one attempt finds it."""
    domain = world.domain().policy(mx=("*.{domain}",))
    domain.add_mx(f"dead.{domain}", 1)
    world.set_addresses(f"dead.{domain}", [world.address()])
    domain.mx(world.honest(f"closing.{domain}").but(on={"CONNECT": Drop()}), "closing", 5)
    good = domain.mx(label="good", preference=10)
    send(domain.user())
    good.wait_messages(timeout=5)
    assert not relay.deliveries(domain.name, result="deferred")


def test_handshake_that_hangs_is_one_that_failed(world, relay, send):
    """After two minutes: `enforce` goes on to the next host, and without a policy the same host is asked once more in the clear."""
    strict, free = world.domain().policy(mx=("*.{domain}",)), world.domain()
    hanging = strict.mx(world.honest(f"hanging.{strict}").but(on={"HANDSHAKE": Hang()}), "hanging", 5)
    good = strict.mx(label="good", preference=10)
    host = free.mx(world.honest(f"mx1.{free}").but(on={"HANDSHAKE": Hang()}))
    send([strict.user(), free.user()])
    assert good.wait_messages(timeout=150)[0].tls and untouched(hanging)
    assert host.wait_messages(timeout=150)[0].tls is None


def test_greeting_with_control_characters_does_not_break_the_log(world, relay, send):
    domain = world.domain()
    domain.mx(world.honest(f"mx1.{domain}").but(on={"MAIL": Raw(b"451 4.3.0 \x1b[31mred\x00\"}\\ \xe2\x80\xae\r\n")}))
    send(domain.user())
    event = relay.wait_delivery(domain.name, result="deferred")
    assert "451 4.3.0" in event["reply"]
    assert all(c.isprintable() for c in event["reply"])
    assert "\x1b" not in relay.log_text()
