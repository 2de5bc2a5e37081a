"""Networks that an option names, and whether an address is in one of them."""

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

__all__ = ("Networks", "address_of")


def address_of(host: str) -> IPv4Address | IPv6Address | None:
    """None for what is no address. An IPv4 address inside an IPv6 one is the IPv4 address."""
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return None
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address


class Networks:
    """Addresses and networks, as in "10.0.0.0/8". Raises ValueError for a name that is neither."""

    def __init__(self, names: Iterable[str]) -> None:
        self._networks = [ip_network(name) for name in names]

    def __bool__(self) -> bool:
        return bool(self._networks)

    def __contains__(self, host: str) -> bool:
        address = address_of(host)
        return address is not None and any(address in network for network in self._networks)
