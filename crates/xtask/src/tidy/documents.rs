//! Documents: every relative link leads somewhere.

use super::finding::Finding;
use super::tree::Tree;

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.texts(".md") {
        let mut fenced = false;
        for (line, text) in (1..).zip(text.lines()) {
            if text.trim_start().starts_with("```") {
                fenced = !fenced;
            }
            if fenced {
                continue;
            }
            for link in links(text).filter(|link| !leads(tree, path, link)) {
                let what = format!("the link `{link}` leads nowhere");
                findings.push(Finding::new(path, line, what, "links are relative to the file"));
            }
        }
    }
    findings
}

/// The targets of `[text](target)` and `[name]: target`, code apart.
fn links(line: &str) -> impl Iterator<Item = &str> {
    let inline = line.match_indices("](").filter_map(move |(at, mark)| {
        let quoted = line.get(..at)?.matches('`').count() % 2 == 1;
        let (target, _) = line.get(at + mark.len()..)?.split_once(')')?;
        (!quoted).then_some(target)
    });
    let named =
        line.strip_prefix('[').and_then(|rest| rest.split_once("]: ")).map(|(_, target)| target);
    inline.chain(named).map(|target| target.split(' ').next().unwrap_or(target))
}

fn leads(tree: &Tree, from: &str, link: &str) -> bool {
    let target = link.trim_matches(['<', '>']).split('#').next().unwrap_or_default();
    let elsewhere = target.contains("://") || target.starts_with("mailto:");
    if target.is_empty() || elsewhere {
        return true;
    }
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            // Above the root there is nothing to link to.
            ".." if parts.pop().is_none() => return false,
            ".." => {}
            name => parts.push(name),
        }
    }
    tree.has(&parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::super::finding::places;
    use super::*;

    fn found(text: &str) -> Vec<String> {
        places(&check(&Tree::planted(&[("docs/a.md", text), ("README.md", ""), ("docs/b.md", "")])))
    }

    #[test]
    fn links_that_lead_somewhere_are_clean() {
        assert!(
            found(
                "[b](b.md#x) [r](../README.md) [d](../docs/) [w](https://example.org/x) [h](#here)"
            )
            .is_empty()
        );
    }

    #[test]
    fn a_dead_link_is_found() {
        assert_eq!(found("text\n[c](c.md)"), ["docs/a.md:2"]);
        assert_eq!(found("[x](../../README.md)"), ["docs/a.md:1"]);
        assert_eq!(found("[c]: c.md"), ["docs/a.md:1"]);
    }

    #[test]
    fn code_is_not_read_for_links() {
        assert!(found("`a[0](c.md)`\n```\n[c](c.md)\n```\n").is_empty());
    }
}
