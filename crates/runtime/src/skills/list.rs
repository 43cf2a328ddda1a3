//! Lists: `list.range` makes one to map over; `list.count` and `list.sum` gather one in a reduce.

use serde::Deserialize;
use serde_json::{Number, Value, json};
use std::borrow::Cow;

use super::wire;
use super::{Cost, EffectClass, Host, Skill, SkillError, SkillSpec};

/// The longest list: as many items as one `map` may have.
const ITEMS_MAX: usize = 10_000;
/// The longest answer of `list.range`.
const RANGE_BYTES_MAX: usize = 1024 * 1024;
/// A sum or a count fits in this.
const SMALL_ANSWER_BYTES_MAX: usize = 4096;
/// How often a reduce renews its lease: items are small and quick to load.
const ITEMS_PER_PROGRESS: usize = 256;

/// Makes a list of `count` items: 0, 1, 2, … or so many copies of `value`.
#[derive(Debug)]
pub(super) struct Range;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RangeInput {
    count: usize,
    value: Option<Value>,
}

impl Skill for Range {
    fn spec(&self) -> &SkillSpec {
        static SPEC: SkillSpec = SkillSpec {
            name: Cow::Borrowed("list.range"),
            summary: Cow::Borrowed(
                "makes a list of `count` numbers, or of `count` copies of `value`",
            ),
            class: EffectClass::Pure,
            cost: Cost::Blocking,
            output_bytes_max: RANGE_BYTES_MAX,
            input_schema: Cow::Borrowed(
                r#"{"type":"object","required":["count"],"additionalProperties":false,
                "properties":{"count":{"type":"integer","minimum":0,"maximum":10000},"value":true}}"#,
            ),
            output_schema: Cow::Borrowed(r#"{"type":"array","maxItems":10000}"#),
            concurrency_max: None,
        };
        &SPEC
    }

    fn run(&self, _host: &dyn Host, input: &[u8]) -> Result<Vec<u8>, SkillError> {
        let RangeInput { count, value } = wire::read(input)?;
        let item_bytes = value.as_ref().map_or(8, |value| wire::weight(value) + 1);
        if count > ITEMS_MAX || count.saturating_mul(item_bytes) > RANGE_BYTES_MAX {
            return Err(SkillError::limit(format!(
                "make the list: it is over {ITEMS_MAX} items or {RANGE_BYTES_MAX} bytes"
            )));
        }
        match value {
            Some(value) => wire::answer(&vec![value; count]),
            None => wire::answer(&(0..count).collect::<Vec<_>>()),
        }
    }
}

/// Counts the items of a reduce.
#[derive(Debug)]
pub(super) struct Count;

impl Skill for Count {
    fn spec(&self) -> &SkillSpec {
        static SPEC: SkillSpec = SkillSpec {
            name: Cow::Borrowed("list.count"),
            summary: Cow::Borrowed("counts the items of a reduce"),
            class: EffectClass::Pure,
            cost: Cost::Tiny,
            output_bytes_max: SMALL_ANSWER_BYTES_MAX,
            input_schema: Cow::Borrowed("true"),
            output_schema: Cow::Borrowed(
                r#"{"type":"object","required":["count"],
                "properties":{"count":{"type":"integer"}}}"#,
            ),
            concurrency_max: None,
        };
        &SPEC
    }

    fn run(&self, host: &dyn Host, _input: &[u8]) -> Result<Vec<u8>, SkillError> {
        wire::answer(&json!({ "count": host.item_count() }))
    }
}

/// Adds up the items of a reduce, or one field of each.
#[derive(Debug)]
pub(super) struct Sum;

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct SumInput {
    field: String,
}

impl Skill for Sum {
    fn spec(&self) -> &SkillSpec {
        static SPEC: SkillSpec = SkillSpec {
            name: Cow::Borrowed("list.sum"),
            summary: Cow::Borrowed(
                "adds up the items of a reduce, or the number at the JSON pointer `field`",
            ),
            class: EffectClass::Pure,
            cost: Cost::Blocking,
            output_bytes_max: SMALL_ANSWER_BYTES_MAX,
            input_schema: Cow::Borrowed(
                r#"{"type":["object","null"],"additionalProperties":false,
                "properties":{"field":{"type":"string","pattern":"^(/.*)?$"}}}"#,
            ),
            output_schema: Cow::Borrowed(
                r#"{"type":"object","required":["sum","count"],
                "properties":{"sum":{"type":"number"},"count":{"type":"integer"}}}"#,
            ),
            concurrency_max: None,
        };
        &SPEC
    }

    fn run(&self, host: &dyn Host, input: &[u8]) -> Result<Vec<u8>, SkillError> {
        let SumInput { field } = wire::read::<Option<SumInput>>(input)?.unwrap_or_default();
        let count = host.item_count();
        let mut sum = Total::Whole(0);
        for index in 0..count {
            if index % ITEMS_PER_PROGRESS == 0 {
                if host.is_cancelled() {
                    return Err(SkillError::cancelled());
                }
                host.progress(index as u64, count as u64);
            }
            let item: Value = wire::read(&host.item(index)?)?;
            let number = item.pointer(&field).and_then(Value::as_number).ok_or_else(|| {
                let message = format!("add item {index}: there is no number at `{field}`");
                SkillError::permanent("list_sum.no_number", message)
            })?;
            sum = sum.plus(number);
        }
        wire::answer(&json!({ "sum": sum.number()?, "count": count }))
    }
}

/// Exact as long as every item is a whole number. An i128 cannot overflow here: it would take
/// 2^63 items.
#[derive(Clone, Copy)]
enum Total {
    Whole(i128),
    Real(f64),
}

impl Total {
    fn plus(self, number: &Number) -> Self {
        match (self, number.as_i128()) {
            (Self::Whole(sum), Some(whole)) => Self::Whole(sum.saturating_add(whole)),
            (Self::Whole(sum), None) => Self::Real(sum as f64 + number.as_f64().unwrap_or(0.0)),
            (Self::Real(sum), _) => Self::Real(sum + number.as_f64().unwrap_or(0.0)),
        }
    }

    fn number(self) -> Result<Number, SkillError> {
        match self {
            Self::Whole(sum) => Number::from_i128(sum),
            Self::Real(sum) => Number::from_f64(sum),
        }
        .ok_or_else(|| SkillError::permanent("list_sum.overflow", "add up: the sum is too large"))
    }
}
