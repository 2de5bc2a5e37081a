"""redis_blpop.py PORT: a hundred clients wait for what is pushed to a list."""

import sys

import redis
from crowd import COUNT, SECONDS, crowd

port = int(sys.argv[1])
boss = redis.Redis(host="127.0.0.1", port=port)
pool = redis.ConnectionPool(host="127.0.0.1", port=port)


def slow(number):
    _, value = redis.Redis(connection_pool=pool).blpop("jobs", timeout=SECONDS)
    return int(value)


def release():
    boss.rpush("jobs", *range(COUNT))


crowd(slow, lambda: boss.info("clients")["blocked_clients"], release)
