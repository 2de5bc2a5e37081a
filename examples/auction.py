"""An auction: bidders bid when they like, and the hammer falls when nobody has for a while.

    python -m examples.auction --patience 0.5

The auctioneer waits for two things at once with select(): the next bid, and word that somebody has
gone home. Three times without either, "going once, going twice", and the lot is sold.
"""

import argparse
import random
from contextlib import suppress
from dataclasses import dataclass

from ringlet import Channel, ChannelClosed, Timeout, select, sleep, spawn


@dataclass(frozen=True)
class Bid:
    """Who bids how much."""

    bidder: str
    amount: int


class Auction:
    """One lot. Bidders use bid() and leave(); the auctioneer runs sell()."""

    def __init__(self, patience: float) -> None:
        self.patience = patience  # seconds before each "going"
        self.highest: Bid | None = None
        self.present: set[str] = set()
        self._bids: Channel[Bid] = Channel()
        self._leaving: Channel[str] = Channel()

    def bid(self, bidder: str, amount: int) -> bool:
        """Offer so much. False when the lot is sold."""
        try:
            self._bids.send(Bid(bidder, amount))
        except ChannelClosed:
            return False
        return True

    def leave(self, bidder: str) -> None:
        """Go home. Waits until the auctioneer has seen it."""
        with suppress(ChannelClosed):  # if it is over anyway
            self._leaving.send(bidder)

    def sell(self) -> Bid | None:
        """Take bids until nobody bids any more. Returns the highest, None if there was none."""
        calls = 0
        while self.present and calls < 3:
            try:
                match select(
                    self._bids.receiving(), self._leaving.receiving(), timeout=self.patience
                ):
                    case (0, _, Bid() as bid):
                        if self.highest is None or bid.amount > self.highest.amount:
                            self.highest, calls = bid, 0
                            print(f"{bid.bidder} bids {bid.amount}")
                    case (_, _, str() as name):
                        self.present.discard(name)
                        print(f"{name} leaves")
            except Timeout:
                calls += 1
                print(("going once", "going twice", "gone")[calls - 1])
        self._bids.close()
        self._leaving.close()
        return self.highest


def bidder(auction: Auction, name: str, limit: int, pause: float, step: int) -> None:
    """Bid a bit more than the highest, again and again, up to a limit; then go home."""
    while True:
        sleep(pause)
        if auction.highest and auction.highest.bidder == name:
            continue
        amount = (auction.highest.amount if auction.highest else 0) + step
        if amount > limit:
            return auction.leave(name)
        if not auction.bid(name, amount):
            return None


def hold(patience: float, seed: int) -> Bid | None:
    """An auction with three bidders."""
    auction, dice = Auction(patience), random.Random(seed)
    auction.present = {"Ada", "Grace", "Edsger"}
    bidders = [
        spawn(
            bidder,
            auction,
            name,
            dice.randrange(50, 200),
            patience * dice.uniform(0.1, 0.9),
            dice.randrange(5, 20),
        )
        for name in sorted(auction.present)
    ]
    try:
        return auction.sell()
    finally:
        for each in bidders:
            each.kill()


def main() -> None:
    parser = argparse.ArgumentParser(description="Sell something to the one who offers most.")
    parser.add_argument("--patience", type=float, default=0.5, metavar="SECONDS")
    parser.add_argument("--seed", type=int, default=1, help="other bidders, another auction")
    options = parser.parse_args()
    sold = hold(options.patience, options.seed)
    print(f"sold to {sold.bidder} for {sold.amount}" if sold else "not sold")


if __name__ == "__main__":
    main()
