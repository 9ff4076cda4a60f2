"""What peers did that was hard on the mail of others."""

from lab.client import submit
from lab.oddhttps import drip


def test_policy_hosts_that_drip_do_not_keep_others_from_being_asked(world, start_relay):
    """More of them than fetches may be under way at once: a domain met for the first time waited for their deadline, a minute."""
    relay = start_relay()
    for i in range(40):
        domain = world.domain("drip").odd_policy(drip(gap_s=1))
        domain.set_mx((10, f"mx1.{domain}"))
        submit(relay.address, domain.user())
    fresh = world.domain("fresh").policy()
    host = fresh.mx()
    submit(relay.address, fresh.user())
    host.wait_messages(timeout=20)
    assert relay.wait_delivery(fresh.name, result="delivered")["policy"] == "sts/enforce"
