"""postgres_lock.py MODULE PORT: a hundred connections wait for a lock. MODULE is the client."""

import importlib
import sys

from crowd import crowd

client = importlib.import_module(sys.argv[1])


def connect():
    return client.connect(
        host="127.0.0.1", port=int(sys.argv[2]), user="postgres", dbname="postgres"
    )


def ask(connection, query, *arguments):
    with connection.cursor() as cursor:
        cursor.execute(query, arguments)
        return cursor.fetchone()[0]


boss = connect()
ask(boss, "SELECT pg_advisory_lock(1)")


def slow(number):
    connection = connect()
    try:
        ask(connection, "SELECT pg_advisory_lock_shared(1)")
        return ask(connection, "SELECT %s::int", number)
    finally:
        connection.close()


def at_once():
    return ask(boss, "SELECT COUNT(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")


crowd(slow, at_once, lambda: ask(boss, "SELECT pg_advisory_unlock(1)"))
