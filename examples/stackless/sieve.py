"""The sieve of Eratosthenes as a chain of tasklets, which grows by one with each prime.

    ringlet run --stackless examples/stackless/sieve.py 50

The first number that comes out of the chain is a prime. It gets a filter of its own at the chain's
end, which lets through what it does not divide.
"""

import sys
from collections.abc import Generator
from itertools import count

try:
    import stackless  # type: ignore[import-not-found]
except ImportError:
    from ringlet.compat import stackless


def numbers(out: "stackless.channel") -> None:
    """Send all numbers from 2 on, as fast as somebody takes them."""
    for number in count(2):
        out.send(number)


def filtering(prime: int, inbox: "stackless.channel", out: "stackless.channel") -> None:
    """Send on what `prime` does not divide."""
    for number in inbox:
        if number % prime:
            out.send(number)


def primes() -> Generator[int, None, None]:
    """All of them. Closing the iterator ends the tasklets of the chain."""
    end = stackless.channel()
    chain = [stackless.tasklet(numbers)(end)]
    try:
        while True:
            prime = end.receive()
            yield prime
            new_end = stackless.channel()
            chain.append(stackless.tasklet(filtering)(prime, end, new_end))
            end = new_end
    finally:
        for link in chain:
            link.kill()


def main(limit: int = 50) -> None:
    """Print the primes below `limit`."""
    found = primes()
    below = []
    for prime in found:
        if prime >= limit:
            break
        below.append(prime)
    found.close()
    print(*below)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
