"""User attributes that several rooms read: written where torch is, and shown without it."""

RUN_KEY = "olw:run"
"""Of a trial: what it trained and what that cost, as JSON; see `records.run.Run`."""
FINAL_KEY = "olw:final"
"""Of a study: its result, as JSON that is written once; see `records.final.Final`. Those of later
finalizations have a colon and their number, from 2, behind it."""
SETTINGS_KEY = "olw:settings"
"""Of a study: what the command line was told, as a JSON text; see `Settings`."""
DATA_KEY = "olw:data"
"""Of a study: images per split (``train``, ``val``, ``test``), the names of its ``classes``, and
the ``notices`` and ``model_notices``: what was warned about the data and the network."""
FIRST_TRIALS_KEY = "olw:first_trials"
"""Of a study: how many trials it begins with that are enqueued; absent if none is."""
