"""The MySQL server of the production profile: how it is reached, and what its refusals mean.

Does not belong here: any table (``warehouse``, ``ledger``), the engines of others (``mysql_engine``).
"""

from bentleybot_assets.mysql.address import OPTIONS
from bentleybot_assets.mysql.errors import LOST, MySqlError, is_timed_out
from bentleybot_assets.mysql.heartbeat import BEAT_SECONDS, watched
from bentleybot_assets.mysql.patience import attempts, give_up
from bentleybot_assets.mysql.server import RESTORING, MySqlServer

__all__ = [
    "BEAT_SECONDS",
    "LOST",
    "OPTIONS",
    "RESTORING",
    "MySqlError",
    "MySqlServer",
    "attempts",
    "give_up",
    "is_timed_out",
    "watched",
]
