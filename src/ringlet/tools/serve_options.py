"""The options of `ringlet serve`. Each that a server has a keyword for is called as that is."""

import argparse
import dataclasses
import os
import re
from collections.abc import Callable
from typing import Any

from ringlet.servers import HTTPLimits
from ringlet.servers.listeners import BACKLOG

__all__ = ("DEFAULT_HOST", "DEFAULT_PORT", "FdAddress", "add_options", "server_keywords")

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 8000

#: Options that are keywords of the server as they are.
SAME = (
    "limit",
    "backlog",
    "handshake_timeout",
    "proxy_protocol",
    "unix_mode",
    "access_log",
    "access_format",
    "trusted_proxies",
    "forwarded_headers",
)
#: What the fields of HTTPLimits mean, in words for --help.
LIMITS = {
    "first_byte_timeout": "seconds a new connection may be silent",
    "idle_timeout": "seconds a kept-alive connection may be silent",
    "header_timeout": "seconds from the first byte of a request to the end of its head",
    "io_timeout": "seconds for each read of a body and each write of up to 256 KiB",
    "min_rate": "bytes per second that a request's body has to come with",
    "request_timeout": "seconds from the first byte of a request to the last of its response",
    "closing_timeout": "seconds a connection may still begin a request once the server stops",
    "max_request_line": "bytes of a request line",
    "max_header_bytes": "bytes of all header lines of a request",
    "max_headers": "header lines of a request",
    "max_body": "bytes of a request's body",
}


@dataclasses.dataclass(frozen=True)
class FdAddress:
    """A socket that whoever has started us has opened: its descriptor, None for systemd's all."""

    number: int | None


def add_options(parser: argparse.ArgumentParser) -> None:
    """All options but the application."""
    _add_addresses(parser.add_argument_group("where to listen"))
    _add_processes(parser.add_argument_group("processes"))
    parser.add_argument(
        "--patch",
        action="store_true",
        help="before the application is imported, make the standard library's waiting cooperative, "
        "and its threads tasklets, as 'ringlet run --patch' does",
    )
    _add_connections(parser.add_argument_group("connections"))
    _add_logs(parser.add_argument_group("logs"))
    _add_proxies(parser.add_argument_group("behind a proxy"))
    _add_limits(
        parser.add_argument_group(
            "limits", "What a client may cost; a client beyond one is refused. 'none' is no limit."
        )
    )


_Group = argparse._ArgumentGroup


def _add_addresses(group: _Group) -> None:
    group.add_argument(
        "--bind",
        action="append",
        type=address,
        metavar="ADDRESS",
        help="HOST:PORT, [IPV6]:PORT, unix:PATH, fd://NUMBER or systemd; may be given several "
        "times. A name is listened at by all its addresses. Without it, and without --host and "
        "--port, what systemd has opened for us if it has, else 127.0.0.1:8000",
    )
    group.add_argument(
        "--host", help=f"address or name to listen on, with --port (default: {DEFAULT_HOST})"
    )
    group.add_argument("--port", type=port, help=f"0 takes any free one (default: {DEFAULT_PORT})")
    group.add_argument(
        "--unix-mode",
        type=mode,
        metavar="MODE",
        help="permissions of a Unix socket's file, as in 660 (default: what the umask leaves)",
    )
    group.add_argument(
        "--backlog",
        type=positive(int),
        default=BACKLOG,
        metavar="N",
        help="connections the kernel holds until they are accepted (default: %(default)s)",
    )
    group.add_argument(
        "--reuse-port",
        action="store_true",
        help="each worker has a listening socket of its own, among which the kernel divides the "
        "connections (SO_REUSEPORT); without it they share one",
    )


def _add_processes(group: _Group) -> None:
    group.add_argument(
        "--workers",
        type=workers,
        metavar="N",
        help="serve with N processes, 'auto' for one per core, under a parent that replaces those "
        "that die (default: this process serves alone)",
    )
    group.add_argument(
        "--reload",
        action="store_true",
        help="watch the files the application is imported from, and start anew when one changes",
    )
    group.add_argument(
        "--reload-include",
        action="append",
        default=[],
        metavar="PATH",
        help="watch this file or folder, too, as for templates; may be given several times",
    )
    group.add_argument(
        "--preload",
        action="store_true",
        help="import the application once, before the workers are forked: they share its memory, "
        "and SIGHUP does not import it anew",
    )
    group.add_argument(
        "--grace",
        type=positive(float),
        metavar="SECONDS",
        help="time for requests under way to end once the server is told to stop (default: 5)",
    )
    group.add_argument(
        "--boot-timeout",
        type=positive(float),
        default=60.0,
        metavar="SECONDS",
        help="time for a worker to be ready, after which it is killed (default: %(default)g)",
    )
    group.add_argument(
        "--hang-timeout",
        type=optional(positive(float)),
        metavar="SECONDS",
        help="time a worker may let no tasklet run, after which it shows its stack, is killed and "
        "replaced (default: none)",
    )
    group.add_argument(
        "--pid-file", metavar="PATH", help="where to write the pid to send signals to"
    )


def _add_connections(group: _Group) -> None:
    group.add_argument(
        "--limit",
        type=positive(int),
        metavar="N",
        help="connections to serve at once, in each process; more wait in the kernel",
    )
    group.add_argument(
        "--tls-cert",
        metavar="FILE",
        help="speak HTTPS with this certificate, a PEM file with its chain",
    )
    group.add_argument(
        "--tls-key", metavar="FILE", help="its private key, if that is not in the same file"
    )
    group.add_argument(
        "--tls-client-ca",
        metavar="FILE",
        help="accept only clients with a certificate that one of these authorities has signed",
    )
    group.add_argument(
        "--handshake-timeout",
        type=positive(float),
        default=10.0,
        metavar="SECONDS",
        help="time for a TLS handshake and for a proxy's header (default: %(default)g)",
    )


def _add_logs(group: _Group) -> None:
    group.add_argument(
        "--access-log", metavar="FILE", help="a line for each request; '-' is standard output"
    )
    group.add_argument(
        "--access-format",
        default="combined",
        metavar="FORMAT",
        help="common, combined, json, or a template such as '{remote_addr} {request} {status}' "
        "(default: %(default)s)",
    )
    group.add_argument(
        "--log-level",
        choices=("debug", "info", "warning", "error"),
        help="what to log of all that is logged (default: warning, and the parent's info)",
    )


def _add_proxies(group: _Group) -> None:
    group.add_argument(
        "--trusted-proxies",
        type=words,
        default=(),
        metavar="NETWORKS",
        help="proxies whose X-Forwarded-... headers say who the client is: addresses, networks and "
        "'unix', with commas between",
    )
    group.add_argument(
        "--forwarded-headers",
        type=words,
        metavar="NAMES",
        help="which headers those are, with commas between",
    )
    group.add_argument(
        "--proxy-protocol",
        type=words,
        nargs="?",
        const=True,
        default=False,
        metavar="NETWORKS",
        help="connections begin with a header of the PROXY protocol, version 1 or 2; with networks "
        "only those from there, and others are served as they are",
    )


def _add_limits(group: _Group) -> None:
    for field in dataclasses.fields(HTTPLimits):
        kind = int if "int" in str(field.type) else float
        default = "none" if field.default is None else f"{field.default:g}"
        group.add_argument(
            option_of(field.name),
            type=optional(positive(kind)) if "None" in str(field.type) else positive(kind),
            default=field.default,
            metavar="N" if kind is int else "SECONDS" if "timeout" in field.name else "N",
            help=f"{LIMITS.get(field.name, field.name.replace('_', ' '))} (default: {default})",
        )


def option_of(name: str) -> str:
    """The option for a keyword."""
    return "--" + name.replace("_", "-")


def server_keywords(arguments: argparse.Namespace) -> dict[str, Any]:
    """The keywords of WSGIServer that the options say."""
    values = vars(arguments)
    found = {name: values[name] for name in SAME if values[name] is not None}
    fields = [field.name for field in dataclasses.fields(HTTPLimits)]
    found["http_limits"] = HTTPLimits(**{name: values[name] for name in fields})
    return found


# --- the values of options ----------------------------------------------------------------------


def address(text: str) -> Any:
    """The value of --bind: what a server takes, or FdAddress."""
    if text == "systemd":
        return FdAddress(None)
    if match := re.fullmatch(r"fd://(\d+)", text):
        return FdAddress(int(match[1]))
    if text.startswith("unix:") and len(text) > 5:
        path = text[5:].removeprefix("//")
        return "\0" + path[1:] if path.startswith("@") else path
    if text.startswith("/"):
        return text
    match = re.fullmatch(r"(?:\[([^][]*)\]|([^][:/]*)):([^:]*)", text)
    if match and match[2] not in ("unix", "fd"):
        return (match[1] or match[2] or "", port(match[3]))
    raise argparse.ArgumentTypeError(
        f"{text!r} is no address: give HOST:PORT, [IPV6]:PORT, unix:PATH, fd://NUMBER or systemd"
    )


def port(text: str) -> int:
    """The value of --port."""
    if not (text.isascii() and text.isdecimal()) or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is no port: give a number from 0 to 65535")
    return int(text)


def mode(text: str) -> int:
    """Permissions, as chmod takes them."""
    if not re.fullmatch("0?[0-7]{3}", text):
        raise argparse.ArgumentTypeError(f"{text!r} are no permissions: give them as in 660")
    return int(text, 8)


def workers(text: str) -> int:
    """A number of processes."""
    if text == "auto":
        # Of the cores there are, those this process may use.
        return len(os.sched_getaffinity(0))
    number: int = positive(int)(text)
    return number


def positive(kind: type) -> Callable[[str], Any]:
    """A number above 0, such as seconds."""

    def convert(text: str) -> Any:
        try:
            number = kind(text)
        except ValueError:
            number = 0
        if not 0 < number < float("inf"):
            what = "whole number" if kind is int else "number"
            raise argparse.ArgumentTypeError(f"{text!r} is no {what} above 0")
        return number

    return convert


def optional(convert: Callable[[str], Any]) -> Callable[[str], Any]:
    """The same, or 'none'."""
    return lambda text: None if text == "none" else convert(text)


def words(text: str) -> list[str]:
    """Words with commas between."""
    return [word.strip() for word in text.split(",") if word.strip()]
