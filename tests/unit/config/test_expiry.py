"""Warnings before the end of a certificate: each once, and again for the next step or the next certificate."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.config.expiry import Expiring, ExpiryWarnings, expiring
from gateway.config.records import Certificate, ClientCertificate, Listener, Tls, Upstream, UpstreamTls
from gateway.core.address import Address

DAY = 86400.0
END = 1_800_000_000.0
ONE = Expiring("listen", "[::]:443", "a.test", END)


def test_once_at_each_step() -> None:
    warnings = ExpiryWarnings()
    said = {days: warnings.due([ONE], END - days * DAY) for days in (31, 30, 29.9, 8, 7, 6, 1, 0.5, 0, -1)}
    assert [days for days, sentences in said.items() if sentences] == [30, 7, 0]
    assert said[30] == [
        "listen [::]:443: the certificate a.test ends on 2027-01-15, in 30 days; replace its files with new ones"
    ]
    assert said[0][0].startswith("listen [::]:443: the certificate a.test ended on 2027-01-15, so clients reject it; ")


@pytest.mark.parametrize(("days", "words"), [(1.5, "within two days"), (2.5, "in 2 days")])
def test_days_in_words(days: float, words: str) -> None:
    assert words in ExpiryWarnings().due([ONE], END - days * DAY)[0]


def test_a_renewed_certificate_begins_anew() -> None:
    warnings = ExpiryWarnings()
    assert warnings.due([ONE], END - DAY)
    later = ONE._replace(expires_at=END + 90 * DAY)
    assert not warnings.due([later], END - DAY)
    assert warnings.due([later], END + 61 * DAY)
    assert warnings.due([ONE._replace(name="")], END)[0].count("without a name")


def test_a_certificate_that_upstreams_see() -> None:
    certificate = Expiring("upstream", "ai", "g.test", END)
    (sentence,) = ExpiryWarnings().due([certificate], END)
    assert sentence == (
        "upstream ai: the client certificate g.test ended on 2027-01-15, so upstreams reject it; replace its files "
        "with new ones"
    )


def test_all_that_have_an_end() -> None:
    shown = Upstream("upstream ai", (), tls=UpstreamTls("ca", ClientCertificate("", "", "g.test", 5.0)))
    own = replace(shown, name="chat")
    plain = Upstream("other", (), tls=UpstreamTls("ca"))
    made = Certificate("", "", (), 7.0)
    listeners = [Listener(Address("h", 1)), Listener(Address("h", 2), tls=Tls((made,)))]
    assert expiring(listeners, [shown, own, plain]) == [
        ("listen", "h:2", "", 7.0),
        ("upstream", "ai", "g.test", 5.0),
        ("upstream", "chat", "g.test", 5.0),
    ]
