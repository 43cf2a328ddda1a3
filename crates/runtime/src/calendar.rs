//! Calendars: at which moments a schedule is due. Patterns are those of cron, read in a time zone;
//! the zones are those of the program, so that they are the same on every machine.
//!
//! Where clocks are put forward, a time that does not exist is due at the moment of the change; where
//! they are put back, a time that occurs twice is due at the first. A pattern that says `*` or a step
//! for the hour or the minute counts real time and not the clock's.

use std::sync::OnceLock;

use ark_os_core::Kind;
use ark_os_core::schedule::ScheduleSpec;
use ark_os_core::text::beginning;
use ark_os_core::time::Time;
use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use jiff::tz::{TimeZone, TimeZoneDatabase};
use jiff::{Timestamp, Zoned};

use crate::RuntimeError;
use crate::error::Place;

/// Characters of a pattern that a refusal shows; one that is right is shorter.
const CRON_SHOWN_MAX: usize = 100;

/// When a schedule is due.
#[derive(Clone, Debug)]
pub struct Calendar {
    cron: Cron,
    zone: TimeZone,
}

/// The zones of the program.
fn zones() -> &'static TimeZoneDatabase {
    static ZONES: OnceLock<TimeZoneDatabase> = OnceLock::new();
    ZONES.get_or_init(TimeZoneDatabase::bundled)
}

impl Calendar {
    /// The calendar of a pattern of five fields (minute, hour, day, month, weekday), or six with the
    /// second first, in a time zone by its name in the tz database.
    ///
    /// # Errors
    /// There is no such pattern or zone; the places say which.
    pub fn parse(cron: &str, zone: &str) -> Result<Self, RuntimeError> {
        let mut places = Vec::new();
        let wrong = |pointer: &str, message: String, hint: &str| Place {
            pointer: pointer.to_owned(),
            message,
            hint: Some(hint.to_owned()),
        };
        let parser = CronParser::builder().seconds(Seconds::Optional).year(Year::Disallowed);
        let hint = "minute hour day month weekday, such as `30 9 * * MON-FRI`";
        let parsed = parser.build().parse(cron);
        let parsed = parsed.map_err(|error| {
            let message =
                format!("`{}` is no cron pattern: {error}", beginning(cron, CRON_SHOWN_MAX));
            places.push(wrong("/cron", message, hint));
        });
        let hint = "a name of the tz database, such as `Europe/Berlin` or `UTC`";
        let found = zones().get(zone).map_err(|_| {
            let message = format!("there is no time zone `{zone}`");
            places.push(wrong("/zone", message, hint));
        });
        match (parsed, found) {
            (Ok(cron), Ok(zone)) => Ok(Calendar { cron, zone }),
            _ => {
                let message = "accept the schedule: nobody can say when it is due";
                let error = RuntimeError::new(Kind::Invalid, "schedule_invalid", message);
                Err(error.with_places(places))
            }
        }
    }

    /// The first time after a moment; none: there is none any more.
    pub fn next(&self, after: Time) -> Option<Time> {
        let next = self.cron.find_next_occurrence(&self.zoned(after)?, false).ok()?;
        // What looks at whole seconds of the clock could name the moment's own again.
        time_of(next.timestamp()).filter(|next| *next > after)
    }

    /// The newest time that is not after a moment; none: there is none.
    pub fn newest(&self, until: Time) -> Option<Time> {
        let newest = self.cron.find_previous_occurrence(&self.zoned(until)?, true).ok()?;
        time_of(newest.timestamp()).filter(|newest| *newest <= until)
    }

    /// The next times after a moment.
    pub fn upcoming(&self, after: Time, count: usize) -> Vec<Time> {
        std::iter::successors(self.next(after), |time| self.next(*time)).take(count).collect()
    }

    fn zoned(&self, at: Time) -> Option<Zoned> {
        let millis = i64::try_from(at.0).ok()?;
        Some(Timestamp::from_millisecond(millis).ok()?.to_zoned(self.zone.clone()))
    }
}

/// When a schedule is due next, by its pattern; none: never, or nobody can read it.
pub fn next_of(spec: &ScheduleSpec, now: Time) -> Option<Time> {
    Calendar::parse(&spec.cron, &spec.zone).ok()?.next(now)
}

/// Reads a moment in RFC 3339.
pub fn moment(text: &str) -> Option<Time> {
    time_of(text.parse().ok()?)
}

fn time_of(at: Timestamp) -> Option<Time> {
    u64::try_from(at.as_millisecond()).ok().map(Time)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Time {
        moment(text).unwrap()
    }

    fn text(time: Time) -> String {
        Timestamp::from_millisecond(time.0 as i64).unwrap().to_string()
    }

    #[track_caller]
    fn check(cron: &str, zone: &str, after: &str, expect: &[&str]) {
        let calendar = Calendar::parse(cron, zone).unwrap();
        let found: Vec<String> =
            calendar.upcoming(at(after), expect.len()).into_iter().map(text).collect();
        assert_eq!(found, expect, "`{cron}` in {zone} after {after}");
        for time in expect {
            assert_eq!(calendar.newest(at(time)).map(text).as_deref(), Some(*time), "{time} back");
        }
    }

    #[test]
    fn times_of_patterns_are_those_of_the_zone() {
        check("30 9 * * MON-FRI", "UTC", "2026-11-20T09:30:00Z", &["2026-11-23T09:30:00Z"]);
        check(
            "*/20 * * * * *",
            "UTC",
            "2026-01-01T00:00:00.5Z",
            &["2026-01-01T00:00:20Z", "2026-01-01T00:00:40Z", "2026-01-01T00:01:00Z"],
        );
        check("0 9 * * *", "Asia/Kolkata", "2026-06-01T00:00:00Z", &["2026-06-01T03:30:00Z"]);
        check(
            "0 0 29 2 *",
            "UTC",
            "2026-01-01T00:00:00Z",
            &["2028-02-29T00:00:00Z", "2032-02-29T00:00:00Z"],
        );
        check("0 12 L * *", "UTC", "2026-02-01T00:00:00Z", &["2026-02-28T12:00:00Z"]);
    }

    #[test]
    fn a_time_that_the_clock_leaves_out_is_due_at_the_change() {
        // Berlin, 2026-03-29: 02:00 becomes 03:00.
        check(
            "30 2 * * *",
            "Europe/Berlin",
            "2026-03-28T12:00:00Z",
            &["2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"],
        );
        // New York, 2027-03-14: 02:00 becomes 03:00.
        check(
            "15 2 * * *",
            "America/New_York",
            "2027-03-13T12:00:00Z",
            &["2027-03-14T07:00:00Z", "2027-03-15T06:15:00Z"],
        );
        // Every half hour goes on in real time.
        check(
            "*/30 * * * *",
            "Europe/Berlin",
            "2026-03-29T00:00:00Z",
            &["2026-03-29T00:30:00Z", "2026-03-29T01:00:00Z", "2026-03-29T01:30:00Z"],
        );
    }

    #[test]
    fn a_time_that_the_clock_shows_twice_is_due_once() {
        // Berlin, 2026-10-25: 03:00 becomes 02:00.
        check(
            "30 2 * * *",
            "Europe/Berlin",
            "2026-10-24T12:00:00Z",
            &["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"],
        );
        // Lord Howe goes back by half an hour, 2026-04-05 at 02:00.
        check(
            "45 1 * * *",
            "Australia/Lord_Howe",
            "2026-04-04T00:00:00Z",
            &["2026-04-04T14:45:00Z", "2026-04-05T15:15:00Z"],
        );
        // Every half hour counts both.
        check(
            "*/30 * * * *",
            "Europe/Berlin",
            "2026-10-25T00:00:00Z",
            &[
                "2026-10-25T00:30:00Z",
                "2026-10-25T01:00:00Z",
                "2026-10-25T01:30:00Z",
                "2026-10-25T02:00:00Z",
            ],
        );
    }

    #[test]
    fn what_is_no_calendar_is_refused_with_its_places() {
        let error = Calendar::parse("61 * * * *", "Mars/Olympus").unwrap_err();
        let pointers: Vec<_> = error.places().iter().map(|it| it.pointer.as_str()).collect();
        assert_eq!((error.code(), pointers), ("schedule_invalid", vec!["/cron", "/zone"]));
        for cron in ["", "* * * *", "* * * * * * *", "x * * * *", "* * * * MON#9"] {
            assert!(Calendar::parse(cron, "UTC").is_err(), "{cron}");
        }
        let never = Calendar::parse("0 0 30 2 *", "UTC").unwrap();
        assert_eq!((never.next(Time(0)), never.newest(at("2026-01-01T00:00:00Z"))), (None, None));
    }
}
