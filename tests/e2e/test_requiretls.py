"""REQUIRETLS and TLS-Required: No (RFC 8689) towards the next hop: what each combination of wish and ability gives."""

import pytest

from evidence import untouched
from lab import spool, tlsa
from lab.behaviour import Drop
from test_ledger import failed, wait_ledger

PLAIN = ("PIPELINING", "SIZE 52428800", "8BITMIME", "ENHANCEDSTATUSCODES")
OFFERS = (*PLAIN, "REQUIRETLS")


@pytest.fixture
def at_rest(make_relay):
    """A relay whose spool is there, and which is not running; start() it when there is mail."""
    def make(**changes):
        relay = make_relay(**{"delivery": {"retry": {"first": "1h", "max": "1h"}, **changes.pop("delivery", {})}, **changes}).start()
        relay.stop()
        return relay
    return make


@pytest.fixture
def home(world):
    """Where bounces go: it offers REQUIRETLS, and is named securely."""
    domain = world.domain("home")
    domain.host = domain.mx()
    domain.host.behaviour = domain.host.behaviour.but(keywords_under_tls=OFFERS)
    return domain


def make_domain(world, named):
    """A domain whose MX is named by a secure answer, by a policy in force, or by neither."""
    return {"secure": lambda: world.domain(), "policy": lambda: world.domain(zone="test").policy(),
            "neither": lambda: world.domain(zone="test")}[named]()


@pytest.mark.parametrize("offers, certificate, named, relaxed, result", [
    (True, "good", "secure", False, "delivered"),
    (True, "good", "policy", False, "delivered"),
    (True, "good", "neither", False, "bounced"),
    (True, "good", "neither", True, "delivered"),
    (False, "good", "secure", False, "bounced"),
    (False, "good", "secure", True, "delivered"),
    (False, "good", "policy", False, "bounced"),
    (True, "self_signed", "secure", False, "bounced"),
    (True, "self_signed", "secure", True, "bounced"),
    (True, "self_signed", "policy", False, "deferred"),         # what the domain's own policy refuses may be mended
    (True, None, "secure", False, "bounced"),
    (True, None, "policy", False, "deferred"),
])
def test_require_tls(world, at_rest, home, offers, certificate, named, relaxed, result):
    relay = at_rest(delivery={"requiretls": "relaxed"} if relaxed else {})
    domain = make_domain(world, named)
    host = domain.mx()
    host.behaviour = host.behaviour.but(keywords_under_tls=OFFERS if offers else PLAIN, starttls=certificate is not None,
                                        certificate=getattr(world.ca, certificate or "good")(host.name))
    spool.put(relay, domain.user(), spool.REQUIRE_TLS, sender=home.user())
    relay.start()
    if result == "delivered":
        [got] = host.wait_messages()
        assert (b"REQUIRETLS" in got.mail_args.split()) == offers and got.tls
        return
    if result == "deferred":
        relay.wait_held(f"{domain}/requiretls")
    else:
        [bounce] = home.host.wait_messages()
        status = b"5.7.30" if certificate == "good" else b"5.7.10"      # REQUIRETLS support required; encryption needed
        assert b"Status: " + status in bounce.data
        assert b"text/rfc822-headers" in bounce.data and b"message/rfc822\r\n" not in bounce.data       # RFC 8689 5: as under RET=HDRS
        assert b"REQUIRETLS" in bounce.mail_args.split()
    assert untouched(host)


def test_every_host_is_tried(world, at_rest):
    relay = at_rest()
    domain = world.domain()
    first, second = domain.mx(label="a", preference=10), domain.mx(label="b", preference=20)
    second.behaviour = second.behaviour.but(keywords_under_tls=OFFERS)
    spool.put(relay, domain.user(), spool.REQUIRE_TLS)
    relay.start()
    second.wait_messages()
    assert untouched(first) and first.verbs()[-1] == "QUIT"     # RFC 8689 4.2.1


def test_a_host_that_cannot_be_asked_now_may_be_the_one(world, at_rest, home):
    """No bounce before every host was asked."""
    relay = at_rest()
    domain = world.domain()
    host = domain.mx(label="a", preference=10)
    dead = f"dead.{domain}"
    world.set_addresses(dead, [world.address()])
    domain.add_mx(dead, 20)
    spool.put(relay, domain.user(), spool.REQUIRE_TLS, sender=home.user())
    relay.start()
    relay.wait_held(f"{domain}/requiretls")
    assert untouched(host) and not home.host.messages


def test_a_handshake_that_is_lost_may_come_about_next_time(world, at_rest, home):
    relay = at_rest()
    domain = world.domain()
    host = domain.mx()
    host.behaviour = host.behaviour.but(keywords_under_tls=OFFERS, on={"HANDSHAKE": Drop()})
    spool.put(relay, domain.user(), spool.REQUIRE_TLS, sender=home.user())
    relay.start()
    relay.wait_held(f"{domain}/requiretls")
    assert untouched(host) and not home.host.messages


def test_dane_is_as_good_as_a_certificate(world, at_rest):
    relay = at_rest()
    domain = world.domain()
    host = domain.mx()
    host.behaviour = host.behaviour.but(keywords_under_tls=OFFERS, certificate=world.ca.self_signed(host.name))
    tlsa.publish(world, host.name, tlsa.record(host.behaviour.certificate))
    spool.put(relay, domain.user(), spool.REQUIRE_TLS)
    relay.start()
    assert b"REQUIRETLS" in host.wait_messages()[0].mail_args.split()


def test_never_on_a_session_of_plain_mail(world, at_rest):
    """Both wait for one host, which shows an unknown certificate: the plain one goes, and its session carries nothing else."""
    relay = at_rest(delivery={"concurrency": 1})
    domain = world.domain()
    host = domain.mx()
    host.behaviour = host.behaviour.but(keywords_under_tls=OFFERS, certificate=world.ca.self_signed(host.name))
    spool.put(relay, domain.user("plain"))
    spool.put(relay, domain.user("wanted"), spool.REQUIRE_TLS)
    relay.start()
    relay.wait_delivery(domain.name, result="delivered")
    relay.wait_delivery(f"{domain}/requiretls", result="bounced")
    assert [got.rcpt_to for got in host.messages] == [[domain.user("plain").encode()]]


def test_sessions_are_not_shared_where_both_are_good(world, at_rest):
    relay = at_rest(delivery={"concurrency": 1})
    domain = world.domain()
    host = domain.mx()
    host.behaviour = host.behaviour.but(keywords_under_tls=OFFERS)
    spool.put(relay, domain.user("plain"))
    spool.put(relay, domain.user("wanted"), spool.REQUIRE_TLS)
    relay.start()
    first, second = host.wait_messages(2)
    assert first.session is not second.session
    assert not first.tls.reused and not second.tls.reused


# TLS-Required: No.

@pytest.mark.parametrize("fault", ["no-starttls", "self-signed", "wrong-tlsa", "unlisted"])
def test_tls_required_no(world, at_rest, fault):
    """It is attempted, nothing fails on policy, and nothing is counted: neither as a failure of the domain's, nor as its success."""
    relay = at_rest()
    domain = world.domain().policy(mx=("other.{domain}",) if fault == "unlisted" else ("mx1.{domain}",))
    host = domain.mx()
    if fault == "no-starttls":
        host.behaviour = host.behaviour.but(starttls=False)
    elif fault == "self-signed":
        host.behaviour = host.behaviour.but(certificate=world.ca.self_signed(host.name))
    elif fault == "wrong-tlsa":
        tlsa.publish(world, host.name, tlsa.wrong())
    spool.put(relay, domain.user(), spool.TLS_OPTIONAL)
    relay.start()
    [got] = host.wait_messages()
    assert bool(got.tls) == (fault != "no-starttls")
    wait_ledger(relay, domain, {})


def test_tls_required_no_beside_mail_that_says_nothing(world, at_rest):
    """The one goes, the other waits, and is counted."""
    relay = at_rest()
    domain = world.domain()
    host = domain.mx()
    tlsa.publish(world, host.name, tlsa.wrong())
    spool.put(relay, domain.user("plain"))
    spool.put(relay, domain.user("optional"), spool.TLS_OPTIONAL)
    relay.start()
    relay.wait_delivery(f"{domain}/tls-optional", result="delivered")
    relay.wait_held(domain.name)
    assert [got.rcpt_to for got in host.messages] == [[domain.user("optional").encode()]]
    wait_ledger(relay, domain, {("tlsa", (tlsa.wrong(),), (host.name,)): (0, {failed(host, "validation-failure", "tlsa-mismatch"): 1})})


# Rules of the operator.

def test_relaxed_for_one_domain(world, at_rest):
    easy, strict = world.domain(), world.domain()
    relay = at_rest(domains=[{"domain": easy.name, "requiretls": "relaxed"}])
    hosts = easy.mx(), strict.mx()
    spool.put(relay, easy.user(), spool.REQUIRE_TLS)
    spool.put(relay, strict.user(), spool.REQUIRE_TLS)
    relay.start()
    hosts[0].wait_messages()
    relay.wait_delivery(f"{strict}/requiretls", result="bounced")
    assert untouched(hosts[1])
