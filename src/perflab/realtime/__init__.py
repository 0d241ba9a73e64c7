"""Real-time messages: channels with a bounded history in Redis."""

from perflab.realtime.errors import ChannelsUnavailable, RealtimeError
from perflab.realtime.log import ChannelLog, LogStats, Published
from perflab.realtime.messages import LANES, History, Lane, Message, Position, position_of

__all__ = [
    "LANES",
    "ChannelLog",
    "ChannelsUnavailable",
    "History",
    "Lane",
    "LogStats",
    "Message",
    "Position",
    "Published",
    "RealtimeError",
    "position_of",
]
