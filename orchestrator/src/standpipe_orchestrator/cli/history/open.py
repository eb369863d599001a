"""`standpipe open`: the pages in a browser, signed in by a link that works once."""

from __future__ import annotations

import argparse
import webbrowser

from rich.console import Console

from standpipe_orchestrator.client.broker_client import BrokerClient


def configure(parser: argparse.ArgumentParser) -> None:
    parser.description = "Opens the server's pages in a browser, signed in by a link that works once."
    parser.add_argument("--print", dest="only_print", action="store_true", help="print the link and open nothing")


def answer(client: BrokerClient, console: Console, args: argparse.Namespace) -> int:
    link = client.login_link()
    # Where no browser can be started (a server, a container) the link is what one needs.
    if args.only_print or not webbrowser.open(link):
        console.out(link, highlight=False)
    return 0
