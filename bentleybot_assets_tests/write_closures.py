"""Regenerates ``contracts/xnys_closures.csv`` from exchange_calendars (``make calendar``)."""

from pathlib import Path

import exchange_calendars
import pandas as pd

import bentleybot_assets.contracts

TARGET = Path(bentleybot_assets.contracts.__file__).with_name("xnys_closures.csv")


def main() -> None:
    calendar = exchange_calendars.get_calendar("XNYS", start="1990-01-01")
    closed = pd.bdate_range("1990-01-01", calendar.last_session).difference(calendar.sessions)
    rows = sorted(
        [(day, "closed", "") for day in closed]
        + [
            (day, "early", calendar.session_close(day).tz_convert("America/New_York").strftime("%H:%M"))
            for day in calendar.early_closes
        ]
    )
    lines = [f"{day:%Y-%m-%d},{kind},{close}" for day, kind, close in rows]
    lines.append(f"{calendar.last_session:%Y-%m-%d},end,")
    TARGET.write_text("date,kind,close\n" + "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
