"""A Flask application with one of everything that meets the server."""

import os

from flask import Flask, Response, jsonify, redirect, request, send_file

from ringlet.sync import Barrier

#: As many requests have to be under way at once, or none of them ends well.
together = Barrier(20)

app = Flask(__name__)


@app.get("/")
def hello():
    return "Hello, Flask!"


@app.post("/echo")
def echo():
    return jsonify(request.get_json())


@app.post("/upload")
def upload():
    file = request.files["file"]
    return jsonify(name=file.filename, size=len(file.read()), note=request.form["note"])


@app.get("/stream")
def stream():
    return Response((f"{number}\n" for number in range(3)), mimetype="text/plain")


@app.get("/file")
def file():
    return send_file(os.environ["FILE"], mimetype="application/octet-stream", conditional=True)


@app.get("/away")
def away():
    response = redirect("/")
    response.set_cookie("seen", "yes")
    response.set_cookie("again", "yes")
    return response


@app.get("/meet")
def meet():
    together.wait(30)
    return "together"


@app.get("/fail")
def fail():
    raise ZeroDivisionError("the test wants it")


@app.get("/client")
def client():
    return jsonify(address=request.remote_addr, url=request.url)
