//! The one place that draws the secrets of sessions.

/// A secret that nobody guesses: the random parts of two version 7 UUIDs, 148 bits.
#[expect(clippy::disallowed_methods, reason = "the sanctioned place")]
pub(super) fn draw_secret() -> String {
    let (a, b) = (uuid::Uuid::now_v7().as_u128(), uuid::Uuid::now_v7().as_u128());
    format!("ws_{:032x}{:016x}", a, b as u64)
}

/// Takes the same time wherever the two differ.
pub(super) fn is_same(presented: &str, session: &str) -> bool {
    if presented.len() != session.len() {
        return false;
    }
    let pairs = presented.bytes().zip(session.bytes());
    std::hint::black_box(pairs.fold(0u8, |all, (a, b)| all | (a ^ b))) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_differ_and_only_the_very_one_is_the_same() {
        let (a, b) = (draw_secret(), draw_secret());
        assert_eq!(a.len(), 51);
        assert!(is_same(&a, &a) && !is_same(&a, &b) && !is_same(&a, &a[1..]));
    }
}
