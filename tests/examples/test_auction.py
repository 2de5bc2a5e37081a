"""The highest bid wins, and the hammer falls when it has to."""

import pytest

from examples import auction as example
from examples.auction import Auction, Bid
from ringlet import sleep, spawn
from ringlet.testing import fake_clock


@pytest.fixture(autouse=True)
def clock():
    with fake_clock() as clock:
        yield clock


@pytest.fixture
def auction():
    auction = Auction(patience=10)
    auction.present = {"Ada", "Grace"}
    return auction


def test_the_highest_bid_wins_after_three_calls(auction, clock, capsys):
    selling = spawn(auction.sell)
    assert auction.bid("Ada", 10)
    assert auction.bid("Grace", 30)
    assert auction.bid("Ada", 20)  # too low: changes nothing
    assert selling.result() == Bid("Grace", 30)
    assert clock.time() == 30
    assert capsys.readouterr().out.splitlines() == [
        "Ada bids 10",
        "Grace bids 30",
        "going once",
        "going twice",
        "gone",
    ]


def test_a_bid_in_time_begins_the_calls_anew(auction, clock):
    selling = spawn(auction.sell)
    assert auction.bid("Ada", 1)
    sleep(25)
    assert auction.bid("Grace", 2)
    assert selling.result() == Bid("Grace", 2)
    assert clock.time() == 55


def test_it_is_over_when_all_have_left(auction, clock):
    selling = spawn(auction.sell)
    auction.leave("Ada")
    auction.leave("Grace")
    assert selling.result() is None
    assert clock.time() == 0


def test_who_comes_too_late_is_told(auction):
    auction.present = set()
    assert auction.sell() is None
    assert not auction.bid("Ada", 1)
    auction.leave("Ada")


@pytest.mark.parametrize("seed", range(5))
def test_whoever_bids_no_one_pays_more_than_needed(seed, capsys):
    sold = example.hold(10, seed)
    bids = [line for line in capsys.readouterr().out.splitlines() if " bids " in line]
    assert bids[-1] == f"{sold.bidder} bids {sold.amount}"
    amounts = [int(line.split()[-1]) for line in bids]
    assert amounts == sorted(set(amounts))


def test_as_a_program(run_example):
    said = run_example("auction", "--patience", 0.02).stdout.splitlines()
    assert "gone" in said or sum(line.endswith("leaves") for line in said) == 3
    assert said[-1].startswith("sold to ")
