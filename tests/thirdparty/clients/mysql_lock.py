"""mysql_lock.py PORT: a hundred connections wait for a row that somebody has locked."""

import sys

import pymysql
from crowd import crowd


def connect():
    return pymysql.connect(host="127.0.0.1", port=int(sys.argv[1]), user="root")


def ask(connection, query, *arguments):
    with connection.cursor() as cursor:
        cursor.execute(query, arguments or None)
        return (cursor.fetchone() or [None])[0]


boss, clerk = connect(), connect()
ask(clerk, "CREATE DATABASE shop")
ask(clerk, "CREATE TABLE shop.items (id INT PRIMARY KEY) ENGINE = InnoDB")
ask(clerk, "INSERT INTO shop.items VALUES (1)")
clerk.commit()
ask(boss, "SELECT id FROM shop.items WHERE id = 1 FOR UPDATE")


def slow(number):
    with connect() as connection:
        query = "SELECT id + %s FROM shop.items WHERE id = 1 LOCK IN SHARE MODE"
        return ask(connection, query, number) - 1


def at_once():
    return ask(
        clerk, "SELECT COUNT(*) FROM information_schema.processlist WHERE info LIKE 'SELECT id +%'"
    )


crowd(slow, at_once, boss.commit)
