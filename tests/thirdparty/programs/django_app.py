"""A Django site in one file, with one of everything that meets the server."""

import json
import os
from pathlib import Path

from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import (
    FileResponse,
    HttpResponse,
    HttpResponseRedirect,
    JsonResponse,
    StreamingHttpResponse,
)
from django.urls import path as route

from ringlet.sync import Barrier

#: As many requests have to be under way at once, or none of them ends well.
together = Barrier(20)

settings.configure(ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__, SECRET_KEY="for tests only")


def hello(request):
    return HttpResponse("Hello, Django!", content_type="text/plain")


def echo(request):
    return JsonResponse(json.loads(request.body))


def upload(request):
    file = request.FILES["file"]
    return JsonResponse({"name": file.name, "size": len(file.read()), "note": request.POST["note"]})


def stream(request):
    lines = (f"{number}\n" for number in range(3))
    return StreamingHttpResponse(lines, content_type="text/plain")


def file(request):
    path = Path(os.environ["FILE"])
    return FileResponse(path.open("rb"), content_type="application/octet-stream")


def away(request):
    response = HttpResponseRedirect("/")
    response.set_cookie("seen", "yes")
    response.set_cookie("again", "yes")
    return response


def meet(request):
    together.wait(30)
    return HttpResponse("together")


def fail(request):
    raise ZeroDivisionError("the test wants it")


def client(request):
    return JsonResponse(
        {"address": request.META["REMOTE_ADDR"], "url": request.build_absolute_uri()}
    )


views = (echo, upload, stream, file, away, meet, fail, client)
urlpatterns = [route("", hello), *(route(view.__name__, view) for view in views)]
app = get_wsgi_application()
