"""Streams through TLS in pieces of random sizes, by random methods, both ways at once."""

import os
import random

import pytest

import ringlet
from ringlet.io import socket, ssl
from tests.certificates import client_context, server_context
from tests.io.tls import shake, tcp_pair

DATA = os.urandom(600_000)
NOT_YET = (ssl.SSLWantReadError, ssl.SSLWantWriteError, TimeoutError)


class Talk:
    """A connection with two tasklets in each direction: one sends a part of DATA, one reads it."""

    def __init__(self, dice):
        self.dice = dice
        #: Time limits come and go while both directions are in use. What fails is tried again.
        self.limited = dice.random() < 0.5

    def run(self):
        versions = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
        context = client_context()
        context.maximum_version = self.dice.choice(versions)
        pair = socket.socketpair() if self.dice.random() < 0.3 else tcp_pair()
        a, b = shake(*pair, context, server_context())
        with a, b:
            working = []
            for source, target in ((a, b), (b, a)):
                total = self.dice.randrange(len(DATA))
                working += ringlet.spawn(self.send, source, total), ringlet.spawn(self.read, target)
            for tasklet in working:
                tasklet.join()
            sizes = [tasklet.result() for tasklet in working]
        assert sizes[0] == sizes[1]
        assert sizes[2] == sizes[3]

    def send(self, sock, total):
        done = 0
        while done < total:
            size = self.dice.choice((1, 10, 1000, 16384, 20_000, 100_000))
            data = DATA[done : min(done + size, total)]
            if not self.limited and self.dice.random() < 0.5:
                sock.sendall(data)
                done += len(data)
                continue
            try:
                done += sock.send(data)
            except NOT_YET:
                done += self.send_again(sock, data)
        sock.shutdown(socket.SHUT_WR)
        return done

    def send_again(self, sock, data):
        while True:
            ringlet.sleep(0)
            try:
                return sock.send(data)
            except NOT_YET:
                pass

    def read(self, sock):
        done = 0
        while data := self.read_some(sock):
            assert data == DATA[done : done + len(data)]
            done += len(data)
        return done

    def read_some(self, sock):
        size = self.dice.choice((1, 7, 4096, 65536, 200_000))
        buffer = bytearray(size)
        while True:
            if self.limited and self.dice.random() < 0.2:
                sock.settimeout(self.dice.choice((0.0, 0.0001, None)))
            if self.dice.random() < 0.1:
                sock.pending()
            try:
                if self.dice.random() < 0.3:
                    return bytes(buffer[: sock.recv_into(buffer)])
                return sock.recv(size)
            except NOT_YET:
                sock.settimeout(None)
                ringlet.sleep(0)


@pytest.mark.parametrize("seed", range(4))
def test_what_goes_in_comes_out(seed):
    dice = random.Random(seed)
    talks = [ringlet.spawn(Talk(dice).run) for _ in range(15)]
    for talk in talks:
        talk.result()
