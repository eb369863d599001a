"""Which proxy the environment names for one address: the usual variables, and what `NO_PROXY` excepts.

HTTP libraries read each entry as an address of their own, and one that they cannot read (a network, brackets) costs
every request. Here it costs itself. The invariant: nothing in `NO_PROXY` raises.
"""

from __future__ import annotations

import contextlib
import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass

_SEPARATORS = re.compile(r"[\s,;]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where a request goes. The host without brackets."""

    scheme: str
    host: str
    port: int


def environment_proxy(scheme: str, host: str, port: int | None) -> str | None:
    """The proxy that this process's environment, or its system, names for requests to an address."""
    from urllib.request import getproxies

    target = Target(scheme=scheme, host=host.strip("[]"), port=port or (443 if scheme == "https" else 80))
    return proxy_for(target, proxies=getproxies())


def proxy_for(target: Target, *, proxies: Mapping[str, str]) -> str | None:
    """The proxy's address, None where there is none for this target; `proxies` as `urllib.request.getproxies` returns
    them."""
    address = proxies.get(target.scheme, "").strip() or proxies.get("all", "").strip()
    if not address or any(_excepts(entry, target) for entry in _SEPARATORS.split(proxies.get("no") or "")):
        return None
    return address if "://" in address else f"http://{address}"


def _excepts(entry: str, target: Target) -> bool:
    """Whether an entry of `NO_PROXY` is about a target. One that says nothing that is known is about none."""
    if entry == "*":
        return True
    scheme, mark, rest = entry.lower().rpartition("://")
    if mark and scheme not in (target.scheme, "all"):
        return False
    rest = rest.rstrip("/") if "/" not in rest.rstrip("/") else rest
    network = _network(rest)
    if network is not None:
        return _is_in(target.host, network)
    host, port = _host_and_port(rest)
    if not host.strip("*.") or (port and port != str(target.port)):
        return False
    network = _network(host)
    if network is not None:
        return _is_in(target.host, network)
    if _network(target.host) is not None:
        return False
    name, suffix = target.host.lower().rstrip("."), host.removeprefix("*").strip(".")
    return name == suffix or name.endswith(f".{suffix}")


def _host_and_port(text: str) -> tuple[str, str]:
    if text.startswith("["):
        host, _, rest = text[1:].partition("]")
        return host, rest.removeprefix(":")
    host, mark, port = text.rpartition(":")
    return (host, port) if mark and ":" not in host else (text, "")


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    """An address is the network of one."""
    if text.startswith("[") and (text.endswith("]") or "]/" in text):
        text = text[1:].replace("]", "")
    with contextlib.suppress(ValueError):
        return ipaddress.ip_network(text.partition("%")[0], strict=False)
    return None


def _is_in(host: str, network: ipaddress.IPv4Network | ipaddress.IPv6Network) -> bool:
    with contextlib.suppress(ValueError):
        address = ipaddress.ip_address(host.partition("%")[0])
        mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
        return address in network or (mapped is not None and mapped in network)
    return False
