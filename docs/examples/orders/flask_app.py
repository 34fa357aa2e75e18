"""Orders over Flask: `flask --app flask_app run`."""

import shipping
from flask import Flask, abort, request

shipping.create_tables()
app = Flask(__name__)


@app.before_request
def connect():
    """A connection for each request."""
    shipping.database.connect()


@app.teardown_request
def disconnect(error):
    """And its end, whatever became of it."""
    if not shipping.database.is_closed():
        shipping.database.close()


@app.post("/orders")
def order():
    """Take an order; shipping it goes on after the answer."""
    item = request.get_json()["item"]
    try:
        taken = shipping.take_order(item)
    except shipping.OutOfStock:
        abort(409, f"there is no {item} left")
    return {"run": taken.run_id}, 202
