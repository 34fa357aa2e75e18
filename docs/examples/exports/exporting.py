"""What a worker serves: `lastword worker exporting`, and `lastword scheduler` beside it."""

import exports

broker = exports.make_application()
