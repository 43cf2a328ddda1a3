//! Which tasks a condition speaks of. The core does not evaluate CEL; it only finds `tasks.NAME`
//! outside texts and comments, so that a condition is not asked before its tasks are over.

/// The names after `tasks.` or `tasks["…"]`, each once, in order of appearance.
pub(super) fn tasks_in(cel: &str) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    let mut scan = Scan { rest: cel };
    // Whether the word before was `tasks` as a name of its own, and not `x.tasks`.
    let mut after_tasks = false;
    let mut after_dot = false;
    while let Some(token) = scan.next_token() {
        let named = match token {
            Token::Word(word)
                if after_tasks && after_dot && !scan.rest.trim_start().starts_with('(') =>
            {
                Some(word.to_owned())
            }
            Token::Text(text) if after_tasks && !after_dot => Some(text.to_owned()),
            _ => None,
        };
        names.extend(named.filter(|name| !names.contains(name)));
        (after_tasks, after_dot) = match token {
            Token::Word(word) => (word == "tasks" && !after_dot, false),
            Token::Sign('.') => (after_tasks && !after_dot, true),
            // An opening bracket keeps `tasks` in force for the text inside it.
            Token::Sign('[') => (after_tasks && !after_dot, false),
            Token::Sign(_) | Token::Text(_) => (false, false),
        };
    }
    names
}

#[derive(Clone, Copy)]
enum Token<'t> {
    Word(&'t str),
    Text(&'t str),
    Sign(char),
}

struct Scan<'t> {
    rest: &'t str,
}

impl<'t> Scan<'t> {
    fn next_token(&mut self) -> Option<Token<'t>> {
        loop {
            self.rest = self.rest.trim_start();
            let Some(comment) = self.rest.strip_prefix("//") else { break };
            self.rest = comment.split_once('\n').map_or("", |(_, next)| next);
        }
        let first = self.rest.chars().next()?;
        if first == '"' || first == '\'' {
            return Some(Token::Text(self.quoted(false)));
        }
        if !is_word_char(first) {
            self.rest = self.rest.get(first.len_utf8()..).unwrap_or_default();
            return Some(Token::Sign(first));
        }
        let end = self.rest.find(|c| !is_word_char(c)).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        let is_prefix = matches!(word, "r" | "R" | "b" | "B" | "rb" | "br" | "bR" | "Rb");
        if is_prefix && rest.starts_with(['"', '\'']) {
            let is_raw = word.contains(['r', 'R']);
            return Some(Token::Text(self.quoted(is_raw)));
        }
        Some(Token::Word(word))
    }

    /// The inside of the text that starts here; escapes stay as they are, since names have none.
    fn quoted(&mut self, is_raw: bool) -> &'t str {
        let quote = match self.rest.get(..1) {
            Some("\"") if self.rest.starts_with("\"\"\"") => "\"\"\"",
            Some("'") if self.rest.starts_with("'''") => "'''",
            Some("\"") => "\"",
            _ => "'",
        };
        let inside = self.rest.get(quote.len()..).unwrap_or_default();
        let mut skip = false;
        let end = inside.char_indices().find(|(at, c)| {
            let escaped = std::mem::replace(&mut skip, false);
            skip = *c == '\\' && !is_raw && !escaped;
            !escaped && inside.get(*at..).is_some_and(|rest| rest.starts_with(quote))
        });
        let end = end.map_or(inside.len(), |(at, _)| at);
        let (text, rest) = inside.split_at(end);
        self.rest = rest.strip_prefix(quote).unwrap_or_default();
        text
    }
}

fn is_word_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_name_their_tasks() {
        let table: [(&str, &[&str]); 12] = [
            ("input.deep", &[]),
            ("tasks.scan.output.count > 0", &["scan"]),
            ("tasks . scan.output && tasks.b.error == null || tasks.scan.output", &["scan", "b"]),
            ("tasks[\"a-b\"].output && tasks['c'].output", &["a-b", "c"]),
            ("input.tasks.scan == 1", &[]),
            ("\"tasks.scan\" == input.x", &[]),
            ("'it\\'s tasks.scan' == input.x", &[]),
            ("r'\\' == tasks.scan.output", &["scan"]),
            ("'''a 'tasks.b' ''' == tasks.c.output", &["c"]),
            ("true // tasks.scan\n && has(tasks.b.output)", &["b"]),
            ("tasks.size() > 1 && my_tasks.scan", &[]),
            ("tasks.scan.output.tasks.other", &["scan"]),
        ];
        for (cel, want) in table {
            assert_eq!(tasks_in(cel), want, "{cel}");
        }
    }

    #[test]
    fn broken_conditions_end() {
        for cel in ["'", "\"\"\"", "tasks.", "tasks[", "tasks[1", "é'\\", "r'", "//"] {
            assert!(tasks_in(cel).is_empty(), "{cel}");
        }
    }
}
