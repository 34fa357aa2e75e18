"""The application that `lastword worker` serves by default: configuration, broker, actors.

Importing it is composing it, as Dramatiq's command line wants it.
"""

import dramatiq

import lastword_middleware
from lastword.config import load_config
from lastword.log_formats import configure_logging
from lastword.storage.opening import sibling_of
from lastword_jobs.actors import declare_actors
from lastword_middleware.broker import worker_broker

config = load_config()
configure_logging(config.log_format)

broker = worker_broker(config)
application = lastword_middleware.install(broker, config=config)
dramatiq.set_broker(broker)
declare_actors(broker, config=config, records=sibling_of(application.ledger))
