//! Budgets: what work may use up, reserved before it starts and settled when it is over.
//!
//! Children draw from their parent: whoever starts work reserves along the whole path from the
//! namespace down, after asking every account of the path. Ceilings (deadline, depth, fan-out)
//! are not used up; they only shrink on the way down.

use std::fmt;

use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

use crate::error::Kind;
use crate::time::Time;

/// Amounts of the six accounts: a limit, a reservation or a spending.
#[derive(
    Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Encode, Decode, Serialize, Deserialize,
)]
#[cbor(map)]
#[serde(default, deny_unknown_fields)]
pub struct Amounts {
    /// Tokens of language models, in and out.
    #[n(0)]
    #[cbor(default, skip_if = "is_zero")]
    pub tokens: u64,
    /// Money, in millionths of the instance's currency.
    #[n(1)]
    #[cbor(default, skip_if = "is_zero")]
    pub cost_micros: u64,
    /// Processor time in milliseconds.
    #[n(2)]
    #[cbor(default, skip_if = "is_zero")]
    pub cpu_ms: u64,
    /// Bytes moved in and out of effects.
    #[n(3)]
    #[cbor(default, skip_if = "is_zero")]
    pub bytes: u64,
    /// Calls of tools and models.
    #[n(4)]
    #[cbor(default, skip_if = "is_zero")]
    pub calls: u64,
    /// Steps of attempts.
    #[n(5)]
    #[cbor(default, skip_if = "is_zero")]
    pub steps: u64,
}

fn is_zero(amount: &u64) -> bool {
    *amount == 0
}

impl Amounts {
    /// Nothing.
    pub const ZERO: Amounts = Amounts::all(0);
    /// No limit: as a limit, more than anybody can use up.
    pub const UNLIMITED: Amounts = Amounts::all(u64::MAX);

    const fn all(amount: u64) -> Self {
        Amounts {
            tokens: amount,
            cost_micros: amount,
            cpu_ms: amount,
            bytes: amount,
            calls: amount,
            steps: amount,
        }
    }

    /// The sum, account by account; stops at the largest number.
    #[must_use]
    pub fn plus(self, other: Amounts) -> Amounts {
        self.zip(other, u64::saturating_add)
    }

    /// The difference, account by account; stops at zero.
    #[must_use]
    pub fn minus(self, other: Amounts) -> Amounts {
        self.zip(other, u64::saturating_sub)
    }

    /// The smaller amount of each account.
    #[must_use]
    pub fn min(self, other: Amounts) -> Amounts {
        self.zip(other, Ord::min)
    }

    /// The larger amount of each account.
    #[must_use]
    pub fn max(self, other: Amounts) -> Amounts {
        self.zip(other, Ord::max)
    }

    /// These amounts where there is a limit, and none of what has no limit.
    #[must_use]
    pub fn where_limited(self, limit: Amounts) -> Amounts {
        self.zip(limit, |amount, limit| if limit == u64::MAX { 0 } else { amount })
    }

    /// These amounts where there is a limit, and no limit of what has none.
    #[must_use]
    pub fn within(self, limit: Amounts) -> Amounts {
        self.zip(limit, |amount, limit| if limit == u64::MAX { limit } else { amount })
    }

    /// As limits: what is not named has none.
    #[must_use]
    pub fn or_unlimited(self) -> Amounts {
        self.zip(self, |amount, _| if amount == 0 { u64::MAX } else { amount })
    }

    /// Whether no account exceeds `limit`; otherwise the first account that does.
    pub fn fits_in(self, limit: Amounts) -> Result<(), &'static str> {
        match self.first_over(limit) {
            None => Ok(()),
            Some((account, ..)) => Err(account),
        }
    }

    /// Whether every account is zero.
    pub fn is_zero(self) -> bool {
        self == Amounts::ZERO
    }

    /// Name, amount here and amount there of the first account in which this exceeds `limit`.
    fn first_over(self, limit: Amounts) -> Option<(&'static str, u64, u64)> {
        let pairs = [
            ("tokens", self.tokens, limit.tokens),
            ("cost_micros", self.cost_micros, limit.cost_micros),
            ("cpu_ms", self.cpu_ms, limit.cpu_ms),
            ("bytes", self.bytes, limit.bytes),
            ("calls", self.calls, limit.calls),
            ("steps", self.steps, limit.steps),
        ];
        pairs.into_iter().find(|(_, amount, limit)| amount > limit)
    }

    fn zip(self, other: Amounts, each: impl Fn(u64, u64) -> u64) -> Amounts {
        Amounts {
            tokens: each(self.tokens, other.tokens),
            cost_micros: each(self.cost_micros, other.cost_micros),
            cpu_ms: each(self.cpu_ms, other.cpu_ms),
            bytes: each(self.bytes, other.bytes),
            calls: each(self.calls, other.calls),
            steps: each(self.steps, other.steps),
        }
    }
}

/// The budget of one scope (a namespace, a run, a child run), and how much of it is used.
///
/// INVARIANT I11: `settled + reserved ≤ limit + over`, and `over` is zero unless the account is
/// frozen. Every reservation is asked for ([`Account::can_reserve`]) before it is made, so the only
/// way above the limit is a call that reports more than was reserved for it. That is charged in
/// full, since it was spent, and nothing is reserved any more until somebody raises the limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode, Serialize)]
#[cbor(map)]
pub struct Account {
    #[n(0)]
    limit: Amounts,
    #[n(1)]
    reserved: Amounts,
    #[n(2)]
    settled: Amounts,
    /// By how much reports exceeded their reservations, since the limit was last raised.
    #[n(3)]
    over: Amounts,
    #[n(4)]
    frozen: bool,
}

impl Account {
    /// An unused account.
    pub fn new(limit: Amounts) -> Self {
        Account {
            limit,
            reserved: Amounts::ZERO,
            settled: Amounts::ZERO,
            over: Amounts::ZERO,
            frozen: false,
        }
    }

    /// Whether `amounts` may be reserved now. A frozen account refuses even to reserve nothing, or
    /// work that reserves nothing could go on over-reporting.
    pub fn can_reserve(&self, amounts: Amounts) -> Result<(), BudgetRefusal> {
        let culprit = if self.frozen {
            // A frozen account went over somewhere; that is the account to raise.
            let (account, ..) = self.over.first_over(Amounts::ZERO).unwrap_or(("steps", 0, 0));
            Some((account, 0, 0))
        } else {
            amounts.first_over(self.available())
        };
        match culprit {
            None => Ok(()),
            Some((account, wanted, available)) => {
                Err(BudgetRefusal { account, wanted, available, is_frozen: self.frozen })
            }
        }
    }

    /// Reserves; the caller has asked [`Account::can_reserve`] of every account of the path.
    pub fn reserve(&mut self, amounts: Amounts) {
        self.reserved = self.reserved.plus(amounts);
    }

    /// Turns a reservation into what was spent. More than was reserved is an over-report: charged
    /// in full, kept in [`Account::over`], and the account is frozen.
    pub fn settle(&mut self, reserved: Amounts, spent: Amounts) {
        self.frozen |= spent.fits_in(reserved).is_err();
        self.charge(reserved, spent);
    }

    /// The same for the accounts above the one the call was made under. An over-report below
    /// freezes them only if it lifts them above their own limit: one lying call must not stop
    /// every other run of its namespace.
    pub fn settle_below(&mut self, reserved: Amounts, spent: Amounts) {
        self.charge(reserved, spent);
        if self.used().fits_in(self.limit).is_ok() {
            if !self.frozen {
                self.over = Amounts::ZERO;
            }
        } else {
            self.frozen = true;
        }
    }

    fn charge(&mut self, reserved: Amounts, spent: Amounts) {
        self.reserved = self.reserved.minus(reserved);
        self.settled = self.settled.plus(spent);
        self.over = self.over.plus(spent.minus(reserved));
    }

    /// Follows an account below, whose work is paid from this one too: what changed there changes
    /// here, and an over-report there freezes this one only above its own limit.
    pub fn follow(&mut self, before: &Account, after: &Account) {
        if before == after {
            return;
        }
        self.reserved = self.reserved.plus(after.reserved).minus(before.reserved);
        self.settled = self.settled.plus(after.settled).minus(before.settled);
        self.over = self.over.plus(after.over.minus(before.over));
        if self.used().fits_in(self.limit).is_err() {
            self.frozen = true;
        } else if !self.frozen {
            self.over = Amounts::ZERO;
        }
    }

    /// Gives a reservation back: the work did not happen.
    pub fn release(&mut self, reserved: Amounts) {
        self.reserved = self.reserved.minus(reserved);
    }

    /// Raises the limit (it never sinks by this), and thaws the account if what is used fits now. Raising
    /// to the present limit accepts an over-report that stayed inside it.
    pub fn raise(&mut self, limit: Amounts) {
        self.limit = self.limit.max(limit);
        if self.used().fits_in(self.limit).is_ok() {
            self.over = Amounts::ZERO;
            self.frozen = false;
        }
    }

    /// Lowers the limit, to what is used at the least: whoever set the rest aside has taken it back.
    pub(crate) fn lower(&mut self, limit: Amounts) {
        self.limit = self.limit.min(limit.max(self.used()));
    }

    /// What can still be reserved; nothing while frozen.
    pub fn available(&self) -> Amounts {
        if self.frozen { Amounts::ZERO } else { self.limit.minus(self.used()) }
    }

    /// Settled and reserved together.
    pub fn used(&self) -> Amounts {
        self.settled.plus(self.reserved)
    }

    /// The most that may be used.
    pub fn limit(&self) -> Amounts {
        self.limit
    }

    /// Set aside for work that is not over.
    pub fn reserved(&self) -> Amounts {
        self.reserved
    }

    /// Spent.
    pub fn settled(&self) -> Amounts {
        self.settled
    }

    /// By how much reports exceeded their reservations, since the limit was last raised.
    pub fn over(&self) -> Amounts {
        self.over
    }

    /// Whether an over-report stopped all further reservations.
    pub fn is_frozen(&self) -> bool {
        self.frozen
    }

    /// Whether I11 holds here.
    pub fn is_sound(&self) -> bool {
        self.used().fits_in(self.limit.plus(self.over)).is_ok()
            && (self.frozen || self.over.is_zero())
    }
}

/// A reservation that was refused, and by which of the six accounts.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub struct BudgetRefusal {
    account: &'static str,
    wanted: u64,
    available: u64,
    is_frozen: bool,
}

impl fmt::Display for BudgetRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let BudgetRefusal { account, wanted, available, is_frozen } = self;
        if *is_frozen {
            write!(f, "reserve: the budget is frozen since more `{account}` was used than reserved")
        } else {
            write!(f, "reserve {wanted} `{account}`: {available} left")
        }
    }
}

impl BudgetRefusal {
    /// What the caller would do differently: wait, or raise the limit.
    pub fn kind(&self) -> Kind {
        Kind::Exhausted
    }

    /// The first account that does not suffice.
    pub fn account(&self) -> &'static str {
        self.account
    }

    /// What was asked of it; zero where the account is frozen.
    pub fn wanted(&self) -> u64 {
        self.wanted
    }

    /// What it has left.
    pub fn available(&self) -> u64 {
        self.available
    }

    /// Whether waiting is in vain until somebody raises the limit.
    pub fn is_frozen(&self) -> bool {
        self.is_frozen
    }
}

/// Bounds that are inherited, not used up. They only shrink on the way down.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Encode, Decode, Serialize, Deserialize)]
#[cbor(map)]
#[serde(deny_unknown_fields)]
pub struct Ceilings {
    /// When everything below must be over.
    #[n(0)]
    pub deadline: Time,
    /// How many times work may still be delegated further down.
    #[n(1)]
    pub depth: u8,
    /// How many children one piece of work may have.
    #[n(2)]
    pub fan_out: u32,
}

impl Ceilings {
    /// The ceilings of a root: no deadline, the deepest delegation, the widest fan-out.
    pub const WIDEST: Ceilings = Ceilings {
        deadline: Time::NEVER,
        depth: crate::limits::DELEGATION_DEPTH_MAX,
        fan_out: crate::limits::MAP_CHILDREN_MAX,
    };

    /// The tighter of the two, bound by bound.
    #[must_use]
    pub fn narrowed(self, other: Ceilings) -> Ceilings {
        Ceilings {
            deadline: self.deadline.min(other.deadline),
            depth: self.depth.min(other.depth),
            fan_out: self.fan_out.min(other.fan_out),
        }
    }

    /// The ceilings one delegation further down; none where the depth is used up.
    pub fn one_deeper(self) -> Option<Ceilings> {
        Some(Ceilings { depth: self.depth.checked_sub(1)?, ..self })
    }

    /// Whether no bound is wider than `outer`'s.
    pub fn is_within(self, outer: Ceilings) -> bool {
        self.narrowed(outer) == self
    }
}

impl Default for Ceilings {
    fn default() -> Self {
        Ceilings::WIDEST
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOME: Amounts =
        Amounts { tokens: 10, cost_micros: 20, cpu_ms: 30, bytes: 40, calls: 5, steps: 6 };

    #[test]
    fn refusal_names_the_account_and_what_is_left() {
        let mut account = Account::new(SOME);
        account.reserve(Amounts { calls: 4, ..Amounts::ZERO });
        let refusal = account.can_reserve(Amounts { calls: 2, ..Amounts::ZERO }).unwrap_err();
        assert_eq!((refusal.account(), refusal.wanted(), refusal.available()), ("calls", 2, 1));
        assert_eq!(refusal.to_string(), "reserve 2 `calls`: 1 left");
        assert_eq!(account.can_reserve(Amounts { calls: 1, ..Amounts::ZERO }), Ok(()));
    }

    #[test]
    fn over_report_is_charged_once_and_freezes_until_raised() {
        let mut account = Account::new(SOME);
        let reserved = Amounts { tokens: 5, ..Amounts::ZERO };
        account.reserve(reserved);
        account.settle(reserved, Amounts { tokens: 12, ..Amounts::ZERO });
        assert!(account.is_frozen() && account.is_sound());
        assert_eq!(account.settled().tokens, 12);
        assert_eq!(account.over().tokens, 7);
        let refusal = account.can_reserve(Amounts::ZERO).unwrap_err();
        assert!(refusal.is_frozen() && refusal.to_string().contains("`tokens`"));

        account.raise(SOME);
        assert!(account.is_frozen(), "twelve do not fit in ten");
        account.raise(Amounts { tokens: 12, ..Amounts::ZERO });
        assert!(!account.is_frozen() && account.is_sound());
        assert_eq!(account.limit(), Amounts { tokens: 12, ..SOME }, "a limit never sinks");
    }

    #[test]
    fn over_report_below_freezes_an_ancestor_only_above_its_own_limit() {
        let small = Amounts { tokens: 1, ..Amounts::ZERO };
        let mut namespace = Account::new(SOME);
        namespace.reserve(small);
        namespace.settle_below(small, Amounts { tokens: 8, ..Amounts::ZERO });
        assert!(!namespace.is_frozen() && namespace.is_sound());
        namespace.reserve(small);
        namespace.settle_below(small, Amounts { tokens: 8, ..Amounts::ZERO });
        assert!(namespace.is_frozen() && namespace.is_sound());
    }

    #[test]
    fn no_limit_is_never_reached_by_honest_use() {
        let mut account = Account::new(Amounts::UNLIMITED);
        for _ in 0..1_000 {
            assert_eq!(account.can_reserve(SOME), Ok(()));
            account.reserve(SOME);
        }
        assert!(account.is_sound());
    }

    #[test]
    fn encoding_leaves_out_zeros_and_reads_back() {
        let bytes = minicbor::to_vec(Amounts { calls: 3, ..Amounts::ZERO }).unwrap();
        assert_eq!(bytes, [0xa1, 4, 3]);
        let mut account = Account::new(SOME);
        account.reserve(SOME);
        let back: Account = minicbor::decode(&minicbor::to_vec(account).unwrap()).unwrap();
        assert_eq!(back, account);
    }

    #[test]
    fn settings_may_leave_out_accounts_but_not_invent_them() {
        let amounts: Amounts = serde_json::from_str(r#"{"tokens": 7}"#).unwrap();
        assert_eq!(amounts, Amounts { tokens: 7, ..Amounts::ZERO });
        assert!(serde_json::from_str::<Amounts>(r#"{"token": 7}"#).is_err());
    }

    #[test]
    fn depth_is_used_up() {
        let mut ceilings = Ceilings { depth: 2, ..Ceilings::WIDEST };
        ceilings = ceilings.one_deeper().unwrap();
        ceilings = ceilings.one_deeper().unwrap();
        assert_eq!(ceilings.one_deeper(), None);
        assert!(ceilings.is_within(Ceilings::WIDEST) && !Ceilings::WIDEST.is_within(ceilings));
    }
}
