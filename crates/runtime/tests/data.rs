//! Data through its public interface: inputs, preparations, outputs, schemas and conditions of
//! whole workflows, and hostile JSON.

#[cfg(test)]
#[path = "data"]
mod data {
    mod conditions;
    mod fixture;
    mod flows;
    mod hostile;
    mod schemas;
}
