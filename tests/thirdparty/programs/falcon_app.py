"""A Falcon application with one of everything that meets the server."""

import os
from pathlib import Path

import falcon

from ringlet.sync import Barrier

#: As many requests have to be under way at once, or none of them ends well.
together = Barrier(20)


class Hello:
    def on_get(self, req, resp):
        resp.content_type = falcon.MEDIA_TEXT
        resp.text = "Hello, Falcon!"


class Echo:
    def on_post(self, req, resp):
        resp.media = req.get_media()


class Upload:
    def on_post(self, req, resp):
        found = {}
        for part in req.get_media():
            if part.filename:
                found |= {"name": part.filename, "size": len(part.stream.read())}
            else:
                found[part.name] = part.text
        resp.media = found


class Stream:
    def on_get(self, req, resp):
        resp.content_type = falcon.MEDIA_TEXT
        resp.stream = (f"{number}\n".encode() for number in range(3))


class File:
    def on_get(self, req, resp):
        path = Path(os.environ["FILE"])
        resp.content_type = "application/octet-stream"
        resp.set_stream(path.open("rb"), path.stat().st_size)


class Away:
    def on_get(self, req, resp):
        resp.set_cookie("seen", "yes")
        resp.set_cookie("again", "yes")
        raise falcon.HTTPFound("/")


class Meet:
    def on_get(self, req, resp):
        together.wait(30)
        resp.text = "together"


class Fail:
    def on_get(self, req, resp):
        raise ZeroDivisionError("the test wants it")


class Client:
    def on_get(self, req, resp):
        resp.media = {"address": req.remote_addr, "url": req.url}


app = falcon.App()
for path, resource in {
    "/": Hello,
    "/echo": Echo,
    "/upload": Upload,
    "/stream": Stream,
    "/file": File,
    "/away": Away,
    "/meet": Meet,
    "/fail": Fail,
    "/client": Client,
}.items():
    app.add_route(path, resource())
