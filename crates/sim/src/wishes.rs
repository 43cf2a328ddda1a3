//! Schedules as their authors want them: drawn from the seed, written down in the input of every run, and
//! read back from there by the checker, who so knows what was wanted whatever the instance was told.

use std::sync::Arc;

use ark_os_core::payload::Payload;
use ark_os_core::schedule::{CatchUp, Overlap, Planned, ScheduleSpec};
use ark_os_core::text::Text;
use ark_os_core::time::Time;
use serde_json::{Value, json};

use crate::rng::Rng;

/// Names of schedules, so few that they are put anew and in the place of each other.
pub(crate) const NAMES: [&str; 3] = ["tick", "tock", "deed"];
/// Between two of a schedule's times, in seconds: each divides a minute, or is a part of an hour.
const PERIODS: [u64; 7] = [2, 5, 10, 15, 30, 60, 120];
/// How often each is drawn: few are so quick that their runs are in each other's way.
const PERIOD_WEIGHTS: [u64; 7] = [1, 3, 4, 4, 3, 2, 1];
const MINUTE_MS: u64 = 60_000;

/// When somebody wants runs, and what is to happen if there are none, or too many.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Wish {
    period_ms: u64,
    pub(crate) jitter_ms: u64,
    pub(crate) catch_up: CatchUp,
    pub(crate) overlap: Overlap,
}

impl Wish {
    pub(crate) fn draw(rng: &mut Rng) -> Wish {
        let period = PERIODS.get(rng.weighted(&PERIOD_WEIGHTS)).copied().unwrap_or(30);
        let catch_ups =
            [CatchUp::Skip, CatchUp::One, CatchUp::All { max: 1 }, CatchUp::All { max: 5 }];
        let overlaps = [Overlap::Allow, Overlap::Skip, Overlap::Queue, Overlap::CancelPrevious];
        Wish {
            period_ms: period * 1_000,
            jitter_ms: if rng.per_mille(250) { rng.range(1, 8_000) } else { 0 },
            catch_up: rng.pick(&catch_ups).copied().unwrap_or_default(),
            overlap: rng.pick(&overlaps).copied().unwrap_or_default(),
        }
    }

    /// The schedule; the number tells its runs from those of all others.
    pub(crate) fn spec(
        &self,
        (name, number): (Text, u64),
        workflow: Planned,
        rng: &mut Rng,
    ) -> ScheduleSpec {
        let list: Vec<u64> = (0..rng.below(6)).collect();
        let input = json!({
            "x": rng.below(9), "go": rng.per_mille(600), "list": list, "number": number,
            "every_ms": self.period_ms, "jitter_ms": self.jitter_ms,
            "catch_up": self.catch_up, "overlap": self.overlap,
        });
        ScheduleSpec {
            catch_up: self.catch_up,
            overlap: self.overlap,
            input: Payload::inline(input.to_string().into_bytes()),
            deadline_ms: rng.per_mille(200).then(|| rng.range(2_000, 90_000)),
            jitter_ms: (self.jitter_ms > 0).then_some(self.jitter_ms),
            is_paused: rng.per_mille(50),
            ..ScheduleSpec::new(name, &self.cron(), workflow)
        }
    }

    fn cron(&self) -> String {
        match (self.period_ms / 1_000, self.period_ms / MINUTE_MS) {
            (seconds, 0) => format!("*/{seconds} * * * * *"),
            (_, 1) => "* * * * *".to_owned(),
            (_, minutes) => format!("*/{minutes} * * * *"),
        }
    }

    /// What the author of a run's input wanted.
    pub(crate) fn of(input: &Payload) -> Option<Wish> {
        let Payload::Inline(text) = input else { return None };
        let said: Value = serde_json::from_slice(&text.0).ok()?;
        let read = |key: &str| said.get(key).cloned();
        Some(Wish {
            period_ms: read("every_ms")?.as_u64().filter(|it| *it > 0)?,
            jitter_ms: read("jitter_ms")?.as_u64()?,
            catch_up: serde_json::from_value(read("catch_up")?).ok()?,
            overlap: serde_json::from_value(read("overlap")?).ok()?,
        })
    }

    /// Whether this is one of its times.
    pub(crate) fn is_time(&self, time: Time) -> bool {
        time.0.is_multiple_of(self.period_ms)
    }

    /// The first of its times after a moment.
    pub(crate) fn next(&self, after: Time) -> Time {
        Time((after.0 / self.period_ms + 1) * self.period_ms)
    }

    /// How many of its times there are from one of them through a moment.
    pub(crate) fn count(&self, first: Time, last: Time) -> u64 {
        last.0.checked_sub(first.0).map_or(0, |span| span / self.period_ms + 1)
    }
}

/// The planted bug: another rule for times that were missed, or for runs that are not over.
pub(crate) fn with_rules(
    spec: ScheduleSpec,
    catch_up: Option<CatchUp>,
    overlap: Option<Overlap>,
) -> Arc<ScheduleSpec> {
    Arc::new(ScheduleSpec {
        catch_up: catch_up.unwrap_or(spec.catch_up),
        overlap: overlap.unwrap_or(spec.overlap),
        ..spec
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use ark_os_runtime::calendar::Calendar;

    #[test]
    fn the_naive_calendar_is_that_of_the_pattern_and_the_wish_is_read_back() {
        for seed in 0..200 {
            let mut rng = Rng::new(seed);
            let wish = Wish::draw(&mut rng);
            let spec = wish.spec(("s".into(), seed), Planned::Named("w".into()), &mut rng);
            assert_eq!(Wish::of(&spec.input), Some(wish));
            let calendar = Calendar::parse(&spec.cron, &spec.zone).unwrap();
            let at = Time(1_700_000_000_000 + rng.below(10_000_000));
            assert_eq!(calendar.next(at), Some(wish.next(at)), "{} at {at:?}", spec.cron);
        }
    }
}
