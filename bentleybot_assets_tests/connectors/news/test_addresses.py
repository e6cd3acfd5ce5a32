"""Public hosts are told from others, whatever form their address comes in."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bentleybot_assets.connectors.news.addresses import is_public, normal_host

# The blocks of IANA's special-purpose registries, and multicast: an address in each.
NOT_PUBLIC_IPV4 = [
    *("0.0.0.1", "10.1.2.3", "100.64.0.1", "100.127.255.254", "127.0.0.1", "127.255.255.254", "169.254.169.254"),
    *("172.16.0.1", "172.31.255.254", "192.0.0.1", "192.0.0.170", "192.0.2.1", "192.88.99.1", "192.168.1.1"),
    *("198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255"),
    "168.63.129.16",
]
NOT_PUBLIC_IPV6 = [
    *("::", "::1", "fe80::1", "fe80::1%eth0", "fc00::1", "fd12::1", "fec0::1", "ff02::1", "100::1", "5f00::1"),
    *("2001::1", "2001:2::1", "2001:10::1", "2001:20::1", "2001:db8::1", "2002:7f00:1::", "3fff::1", "64:ff9b:1::1"),
    *("::127.0.0.1", "4000::1"),
]
PUBLIC = ["8.8.8.8", "93.184.216.34", "1.1.1.1", "2606:4700::1111", "2a00:1450::1"]


@pytest.mark.parametrize("address", NOT_PUBLIC_IPV4 + NOT_PUBLIC_IPV6)
def test_special_addresses_are_not_public(address):
    assert not is_public(address)


@pytest.mark.parametrize("address", PUBLIC)
def test_ordinary_addresses_are_public(address):
    assert is_public(address)


@pytest.mark.parametrize("prefix", ["::ffff:", "64:ff9b::"])
@pytest.mark.parametrize(("address", "expected"), [*((a, False) for a in NOT_PUBLIC_IPV4), ("8.8.8.8", True)])
def test_an_ipv4_address_in_ipv6_is_judged_as_what_it_is(prefix, address, expected):
    assert is_public(prefix + address) is expected


@given(st.ip_addresses(v=4))
def test_6to4_and_compatible_forms_of_any_address_are_not_public(address):
    six_to_four = IPv6Address((0x2002 << 112) | (int(address) << 80))
    assert not is_public(str(six_to_four))
    assert not is_public(str(IPv6Address(int(address))))


@given(st.ip_addresses(v=4))
def test_no_address_is_public_that_the_standard_library_calls_private(address: IPv4Address):
    if address.is_private or address.is_multicast or address.is_reserved or address.is_loopback:
        assert not is_public(str(address))


@pytest.mark.parametrize(
    "host",
    [
        *("2130706433", "0x7f000001", "0x7f.0.0.1", "0177.0.0.1", "127.1", "127.0.1", "017700000001", "0", "0x"),
        *("1.2.3.4.5", "256.1.1.1", "1.2.3", "example.0x10", "127.0.0.1.."),
        *("\uff11\uff12\uff17.1", "127\u30021", "\u2460\u2461\u2466.1"),
        *(
            "",
            ".",
            "a..b",
            "-a.example",
            "a b",
            "a%2e",
            "127.0.0.1%00",
            "exa\u0000mple",
            "fe80::1%1",
            "::1::",
            "a" * 64,
        ),
        "\u2100.example",
    ],
)
def test_odd_spellings_of_hosts_are_refused(host):
    with pytest.raises(ValueError, match=r"."):
        normal_host(host)


@pytest.mark.parametrize(
    ("host", "normal"),
    [
        ("Example.COM", "example.com"),
        ("example.com.", "example.com"),
        ("127.0.0.1", "127.0.0.1"),
        ("\uff11\uff12\uff17.0.0.1", "127.0.0.1"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("0:0:0:0:0:0:0:1", "::1"),
        ("::ffff:127.0.0.1", "::ffff:7f00:1"),
        ("a_b.example", "a_b.example"),
        ("3com.example", "3com.example"),
    ],
)
def test_a_host_has_one_spelling(host, normal):
    assert normal_host(host) == normal


@given(st.text(min_size=1, max_size=40))
def test_a_spelling_is_refused_or_stays_what_it_became(host):
    try:
        normal = normal_host(host)
    except ValueError:
        return
    assert normal_host(normal) == normal
    assert normal.isascii()
