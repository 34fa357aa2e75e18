"""Orders in Django, in one file: `python shop.py migrate`, `python shop.py runserver`.

Django has its own connections, which Lastword cannot join. So an order is committed first, and its
run is started after that; what a crash keeps from being started, `start_missing` starts.
Serve it with `lastword worker shop` and `lastword scheduler`.
"""

import json
import os
import sys
from functools import partial

import django
import dramatiq
from django.conf import settings
from django.core.management import execute_from_command_line
from django.core.wsgi import get_wsgi_application
from django.db import connection, models, transaction
from django.http import JsonResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST
from dramatiq.brokers.redis import RedisBroker

import lastword
import lastword_middleware

settings.configure(
    ROOT_URLCONF=__name__,
    ALLOWED_HOSTS=["127.0.0.1"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "shop.db"}},
    DEFAULT_AUTO_FIELD="django.db.models.AutoField",
)
django.setup()

broker = RedisBroker(url=os.environ.get("LASTWORD_BROKER_URL", "redis://127.0.0.1:6379/0"))
dramatiq.set_broker(broker)
lastword_middleware.install(broker, config="lastword.toml")


class Order(models.Model):
    """What somebody wants."""

    item = models.TextField()
    run_id = models.TextField(null=True)
    shipped = models.BooleanField(default=False)

    class Meta:
        app_label = "shop"


@dramatiq.actor(operation="order.ship")
def ship(order_id):
    """Done twice it is the same: it may be repeated after a worker was lost, or started twice."""
    try:
        Order.objects.filter(id=order_id).update(shipped=True)
    finally:
        connection.close()


def start_shipping(order_id):
    """Start the run of an order that is committed."""
    started = lastword.start("order.ship", inputs={"order_id": order_id})
    Order.objects.filter(id=order_id).update(run_id=started.run_id)


def start_missing():
    """Start what a crash between a commit and its start has left out. Run it from time to time."""
    for order_id in Order.objects.filter(run_id=None).values_list("id", flat=True):
        start_shipping(order_id)


@csrf_exempt
@require_POST
def order(request):
    """Take an order; shipping it goes on after the answer."""
    item = json.loads(request.body)["item"]
    try:
        with transaction.atomic():
            taken = Order.objects.create(item=item)
            transaction.on_commit(partial(start_shipping, taken.id))
            if item == "unicorn":
                raise LookupError(item)
    except LookupError:
        return JsonResponse({"error": f"there is no {item} left"}, status=409)
    taken.refresh_from_db()
    return JsonResponse({"run": taken.run_id}, status=202)


urlpatterns = [path("orders", order)]
application = get_wsgi_application()


def create_tables():
    """What an application of several files does by migrations."""
    with connection.schema_editor() as editor:
        editor.create_model(Order)


if __name__ == "__main__":
    if sys.argv[1:] == ["migrate"]:
        create_tables()
    elif sys.argv[1:] == ["start_missing"]:
        start_missing()
    else:
        execute_from_command_line(sys.argv)
