//! Which row of a list is chosen: by its id, so that the choice stays with the thing when rows come
//! and go.

/// A chosen row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Choice {
    id: Option<String>,
    at: usize,
}

impl Choice {
    /// The number of the chosen row among these ids: where its id stands now, else where it stood.
    pub(crate) fn at<'a>(&self, ids: impl IntoIterator<Item = &'a str>) -> usize {
        let (mut len, mut found) = (0_usize, None);
        for id in ids {
            if found.is_none() && self.id.as_deref() == Some(id) {
                found = Some(len);
            }
            len += 1;
        }
        found.unwrap_or(self.at).min(len.saturating_sub(1))
    }

    /// Chooses the row that is so many rows away.
    pub(crate) fn step(&mut self, ids: &[String], by: isize) {
        let at = self.at(ids.iter().map(String::as_str)).saturating_add_signed(by);
        self.at = at.min(ids.len().saturating_sub(1));
        self.id = ids.get(self.at).cloned();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(text: &str) -> Vec<String> {
        text.chars().map(String::from).collect()
    }

    #[test]
    fn a_choice_stays_with_its_row_and_inside_the_list() {
        let mut choice = Choice::default();
        choice.step(&ids("abc"), 1);
        let at = |choice: &Choice, text: &str| choice.at(ids(text).iter().map(String::as_str));
        assert_eq!(at(&choice, "abc"), 1);
        // A new row came above, then the row itself went, then all of them.
        assert_eq!(at(&choice, "xabc"), 2);
        assert_eq!(at(&choice, "xac"), 1);
        assert_eq!(at(&choice, "x"), 0);
        assert_eq!(at(&choice, ""), 0);
        choice.step(&ids("xabc"), 99);
        assert_eq!(at(&choice, "xabc"), 3);
        choice.step(&ids("xabc"), -99);
        assert_eq!(at(&choice, "xabc"), 0);
    }
}
