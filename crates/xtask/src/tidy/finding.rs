//! What a check answers: a place, what is wrong there, and what to do.

use std::fmt;

/// One breach of a rule. Ordered by place, so that an answer reads like the tree.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Finding {
    path: String,
    line: usize,
    message: String,
    hint: &'static str,
}

impl Finding {
    pub(super) fn new(path: &str, line: usize, message: String, hint: &'static str) -> Self {
        Self { path: path.to_owned(), line, message, hint }
    }

    #[cfg(test)]
    pub(super) fn place(&self) -> String {
        format!("{}:{}", self.path, self.line)
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {} ({})", self.path, self.line, self.message, self.hint)
    }
}

/// For tests: where the findings are.
#[cfg(test)]
pub(super) fn places(findings: &[Finding]) -> Vec<String> {
    findings.iter().map(Finding::place).collect()
}
