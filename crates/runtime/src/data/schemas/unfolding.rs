//! How much work a schema can be: a few definitions that refer to each other twice unfold to more
//! than any machine can check, and the validator has no limit of its own.

use std::collections::BTreeMap;

use serde_json::Value;

/// Parts of a schema with every reference unfolded.
const PARTS_MAX: usize = 10_000;
/// References that lead to references.
const CHAIN_MAX: usize = 64;
/// What listing the faults of one value may cost, about 20 ns each.
const LISTING_COST_MAX: usize = 1_000_000;

/// The size of a schema that has been unfolded, once around each circle.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Unfolded {
    parts: usize,
    /// References back into what is being unfolded: one level of a value is checked so many times
    /// for each time the level above it is.
    returns: usize,
}

impl Unfolded {
    /// Unfolds a schema, or says why it will not do.
    pub(super) fn of(schema: &Value) -> Result<Unfolded, String> {
        let mut unfolding = Unfolding { root: schema, known: BTreeMap::new(), open: Vec::new() };
        if schema.is_object() {
            // It is the target of `#` as well.
            return unfolding.target("#");
        }
        unfolding.schema(schema)
    }

    /// Whether all faults of a value with so many levels can be listed. That it is faulty costs no
    /// more than its size to find out, but the list is made without a memory of what was checked.
    pub(super) fn allows_list(&self, depth: usize) -> bool {
        let turns = u32::try_from(depth).ok().and_then(|depth| self.returns.checked_pow(depth));
        let turns = if self.returns <= 1 { Some(1) } else { turns };
        turns.is_some_and(|turns| turns.saturating_mul(self.parts) <= LISTING_COST_MAX)
    }

    fn add(&mut self, other: Unfolded) -> Result<(), String> {
        self.parts = self.parts.saturating_add(other.parts);
        self.returns = self.returns.saturating_add(other.returns);
        match self.parts > PARTS_MAX {
            true => Err(format!("its references unfold to more than {PARTS_MAX} parts")),
            false => Ok(()),
        }
    }
}

struct Unfolding<'s> {
    root: &'s Value,
    known: BTreeMap<&'s str, Unfolded>,
    open: Vec<&'s str>,
}

impl<'s> Unfolding<'s> {
    /// The recursion is as deep as the parser allows, for each of at most `CHAIN_MAX` references.
    fn schema(&mut self, schema: &'s Value) -> Result<Unfolded, String> {
        let mut sum = Unfolded { parts: 1, returns: 0 };
        let Value::Object(map) = schema else { return Ok(sum) };
        for (key, value) in map {
            match (key.as_str(), value) {
                ("$ref" | "$dynamicRef" | "$recursiveRef", Value::String(to)) => {
                    sum.add(self.target(to)?)?;
                }
                ("$id" | "id", Value::String(_)) if !std::ptr::eq(schema, self.root) => {
                    return Err("only the whole schema has an `$id`".to_owned());
                }
                // Data, and what counts where it is referred to.
                ("$defs" | "definitions" | "enum" | "const" | "default" | "examples", _) => {}
                // Names of properties, which may be those of keywords.
                (
                    "properties" | "patternProperties" | "dependentSchemas" | "dependencies",
                    Value::Object(parts),
                ) => {
                    for part in parts.values() {
                        sum.add(self.schema(part)?)?;
                    }
                }
                (_, Value::Array(parts)) => {
                    for part in parts {
                        sum.add(self.schema(part)?)?;
                    }
                }
                (_, value) => sum.add(self.schema(value)?)?,
            }
        }
        Ok(sum)
    }

    fn target(&mut self, to: &'s str) -> Result<Unfolded, String> {
        if self.open.contains(&to) {
            return Ok(Unfolded { parts: 1, returns: 1 });
        }
        if let Some(known) = self.known.get(to) {
            return Ok(*known);
        }
        let pointer = to.strip_prefix('#').filter(|rest| !rest.contains('%'));
        let schema = pointer.and_then(|pointer| self.root.pointer(pointer)).ok_or_else(|| {
            let to: String = to.chars().take(100).collect();
            format!("`{to}` does not lead into the schema: references are written `#/$defs/NAME`")
        })?;
        if self.open.len() == CHAIN_MAX {
            return Err(format!("more than {CHAIN_MAX} references lead to one another"));
        }
        self.open.push(to);
        let unfolded = self.schema(schema);
        self.open.pop();
        let unfolded = unfolded?;
        self.known.insert(to, unfolded);
        Ok(unfolded)
    }
}

/// Levels of a value. The recursion is as deep as the parser allows.
pub(super) fn depth(value: &Value) -> usize {
    let below = match value {
        Value::Array(list) => list.iter().map(depth).max(),
        Value::Object(map) => map.values().map(depth).max(),
        _ => None,
    };
    1 + below.unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn circles_are_told_from_trees() {
        let flat = json!({"properties": {"default": {"type": "integer"}}, "enum": [{"$ref": "x"}]});
        assert_eq!(Unfolded::of(&flat), Ok(Unfolded { parts: 3, returns: 0 }));
        let list = json!({"properties": {"next": {"$ref": "#"}}});
        assert_eq!(Unfolded::of(&list).map(|it| it.returns), Ok(1));
        assert!(Unfolded::of(&list).unwrap().allows_list(100));
        let tree = json!({"properties": {"l": {"$ref": "#"}, "r": {"$ref": "#"}}});
        let tree = Unfolded::of(&tree).unwrap();
        assert!(tree.returns == 2 && tree.allows_list(5) && !tree.allows_list(100));
    }

    #[test]
    fn definitions_that_double_are_refused() {
        let mut defs = serde_json::Map::new();
        for n in 0..60 {
            let next = json!({"$ref": format!("#/$defs/d{}", n + 1)});
            defs.insert(format!("d{n}"), json!({"allOf": [next, next]}));
        }
        defs.insert("d60".to_owned(), json!({"type": "integer"}));
        let schema = json!({"$ref": "#/$defs/d0", "$defs": defs});
        assert!(Unfolded::of(&schema).unwrap_err().contains("unfold"));
    }
}
