//! The numbers of the events, as `event.rs` itself gives them: for the registry of what was promised, which
//! compares them from release to release. Read from the source, so that nobody has to keep a second list.

/// Where the numbers stand.
const SOURCE: &str = include_str!("event.rs");
/// What begins the list, and what ends it.
const BEGIN: &str = "pub enum Event {";
const END: &str = "}";

/// Number and name of every event, in the order of the source.
pub fn event_numbers() -> Vec<(u32, &'static str)> {
    let mut numbers = Vec::new();
    let mut number = None;
    let lines = SOURCE.lines().skip_while(|line| *line != BEGIN).skip(1);
    for line in lines.take_while(|line| *line != END) {
        // Those of an event's own fields stand further in.
        let Some(text) = line.strip_prefix("    ").filter(|it| !it.starts_with(' ')) else {
            continue;
        };
        if let Some(rest) = text.strip_prefix("#[n(") {
            number = rest.strip_suffix(")]").and_then(|digits| digits.parse().ok());
        } else if let Some(known) = number.filter(|_| text.starts_with(char::is_uppercase)) {
            let end = text.find(|c: char| !c.is_alphanumeric()).unwrap_or(text.len());
            numbers.extend(text.get(..end).map(|name| (known, name)));
            number = None;
        }
    }
    numbers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_event_has_a_number_of_its_own() {
        let numbers = event_numbers();
        assert!(numbers.len() > 20 && numbers.contains(&(0, "InstanceStarted")), "{numbers:?}");
        let mut unique: Vec<u32> = numbers.iter().map(|(number, _)| *number).collect();
        unique.sort_unstable();
        unique.dedup();
        assert_eq!(unique.len(), numbers.len());
        let variants = SOURCE.split_once(BEGIN).unwrap().1.split_once("\n}").unwrap().0;
        let marks = variants.lines().filter(|line| line.starts_with("    #[n(")).count();
        assert_eq!(marks, numbers.len());
    }
}
