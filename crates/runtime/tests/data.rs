//! Data through its public interface: inputs, preparations, outputs, schemas and conditions of
//! whole workflows, and hostile JSON.
#![allow(clippy::needless_pass_by_value)] // values are written where they are used

#[cfg(test)]
#[path = "data"]
mod data {
    mod conditions;
    mod fixture;
    mod flows;
    mod hostile;
    mod schemas;
}
