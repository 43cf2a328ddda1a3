//! `cargo xtask openapi`: the API's description is printed by the binary itself, committed, and
//! compared, so that what is published is what is served.

use std::path::Path;
use std::process::Command;

use crate::place::Place;
use crate::shell::{self, Failed};

const COMMITTED: &str = "docs/openapi.json";

/// Writes the committed file, or with `--check` compares it.
pub(crate) fn run(place: &Place, args: &[String]) -> Result<(), Failed> {
    let check = match args {
        [] => false,
        [flag] if flag == "--check" => true,
        _ => return Err(Failed::new("openapi takes `--check` or nothing".into())),
    };
    let mut command = shell::command("cargo", &place.root);
    command.args(["run", "--quiet", "--package", "ark-os", "--bin", "ark-os", "--", "openapi"]);
    let printed = shell::output(command)?;
    if check {
        compare(&place.root, &printed)
    } else {
        std::fs::write(place.root.join(COMMITTED), normal(&printed))
            .map_err(|error| Failed::new(format!("{COMMITTED} was not written: {error}")))
    }
}

/// Compares the committed file with what an already built binary prints.
pub(crate) fn check_built(place: &Place) -> Result<(), Failed> {
    let mut command: Command = shell::command(place.debug_binary("ark-os"), &place.root);
    command.arg("openapi");
    compare(&place.root, &shell::output(command)?)
}

fn compare(root: &Path, printed: &str) -> Result<(), Failed> {
    let committed = std::fs::read_to_string(root.join(COMMITTED)).map_err(|error| {
        Failed::new(format!("{COMMITTED}: {error} (run `cargo xtask openapi`)"))
    })?;
    match first_difference(&committed, &normal(printed)) {
        None => Ok(()),
        Some(line) => Err(Failed::new(format!(
            "{COMMITTED}:{line}: differs from what the code serves (run `cargo xtask openapi`)"
        ))),
    }
}

/// One newline at the end, whatever the binary printed.
fn normal(text: &str) -> String {
    let mut text = text.trim_end().to_owned();
    text.push('\n');
    text
}

fn first_difference(left: &str, right: &str) -> Option<usize> {
    if left == right {
        return None;
    }
    let same = left.lines().zip(right.lines()).take_while(|(a, b)| a == b).count();
    Some(same + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_line_is_named_and_equal_texts_agree() {
        assert_eq!(first_difference("a\nb\n", "a\nb\n"), None);
        assert_eq!(first_difference("a\nb\n", "a\nc\n"), Some(2));
        assert_eq!(first_difference("a\n", "a\nb\n"), Some(2));
    }

    #[test]
    fn the_end_of_the_text_is_one_newline() {
        assert_eq!(normal("{}"), "{}\n");
        assert_eq!(normal("{}\n\n"), "{}\n");
    }
}
