"""Between the socket module's address tuples and the engine's records."""
import socket

from . import _abi as abi

ANY = bytes(abi.ADDRESS.size)


def literal(host, port):
    """The record of a literal address, or None for a name."""
    host, _, zone = host.partition('%')
    for family, system in ((abi.IPV4, socket.AF_INET), (abi.IPV6, socket.AF_INET6)):
        try:
            octets = socket.inet_pton(system, host)
        except (OSError, ValueError):
            continue
        scope = int(zone) if zone.isdigit() else socket.if_nametoindex(zone) if zone else 0
        return abi.ADDRESS.pack(family, port, scope, octets)
    return None


def record(host, port):
    """The record of what must be a literal address."""
    packed = literal(host, port)
    if packed is None:
        raise ValueError(f'not an IP address: {host!r}')
    return packed


def unpack(packed):
    """As the socket module writes it: (host, port), with IPv6 (host, port, 0, scope)."""
    family, port, scope, octets = abi.ADDRESS.unpack(packed)
    if family == abi.IPV4:
        return socket.inet_ntop(socket.AF_INET, octets[:4]), port
    return socket.inet_ntop(socket.AF_INET6, octets), port, 0, scope
