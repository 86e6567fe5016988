"""When sources are due, by lines of cron."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from cronsim import CronSim
from msgspec import Struct


class Schedule(Struct, frozen=True):
    """A line of cron on the clock of a time zone. Where clocks are put forward over a time, it is due when they
    have been; where they are put back over it, once."""

    cron: str
    timezone: str = "UTC"

    def after(self, us: int) -> int:
        """The first time after `us`, both UTC microseconds."""
        start = datetime.fromtimestamp(us / 1e6, ZoneInfo(self.timezone))
        return int(next(CronSim(self.cron, start)).astimezone(UTC).timestamp() * 1e6)


class Timetable:
    """When each of several sources is due next, by name."""

    def __init__(self, schedules: Mapping[str, Schedule], now_us: int) -> None:
        self._schedules = schedules
        self._due = {name: schedule.after(now_us) for name, schedule in schedules.items()}

    def next_us(self) -> int | None:
        """When something is due; `None` for never."""
        return min(self._due.values(), default=None)

    def take(self, now_us: int) -> tuple[str, ...]:
        """The sources that are due now, which are then due at their next time. Times that were missed, as by a
        machine asleep, count once."""
        due = tuple(name for name, at in self._due.items() if at <= now_us)
        for name in due:
            self._due[name] = self._schedules[name].after(now_us)
        return due
