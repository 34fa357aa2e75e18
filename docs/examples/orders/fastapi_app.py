"""Orders over FastAPI: `uvicorn fastapi_app:app`."""

import shipping
from fastapi import FastAPI, HTTPException
from pydantic import BaseModel

shipping.create_tables()
app = FastAPI()


class Wanted(BaseModel):
    """The body of a request."""

    item: str


# Not `async`: FastAPI runs it in a thread, so that the database keeps nobody else waiting.
@app.post("/orders", status_code=202)
def order(wanted: Wanted) -> dict[str, str]:
    """Take an order; shipping it goes on after the answer."""
    with shipping.database.connection_context():
        try:
            taken = shipping.take_order(wanted.item)
        except shipping.OutOfStock:
            raise HTTPException(409, f"there is no {wanted.item} left") from None
        return {"run": taken.run_id}
