//! I11: settled + reserved ≤ limit, over random trees of accounts, against a naive reference that
//! adds up the whole history anew after every operation.

use ark_os_core::budget::{Account, Amounts, Ceilings};
use ark_os_core::time::Time;
use proptest::prelude::*;

/// One thing that happens to the tree. Indices are taken modulo what there is.
#[derive(Clone, Copy, Debug)]
enum Op {
    Reserve { node: usize, amounts: Amounts },
    Settle { open: usize, spent: Amounts },
    SettleAll { open: usize },
    Release { open: usize },
    Raise { node: usize, limit: Amounts },
}

fn amounts(max: u64) -> impl Strategy<Value = Amounts> {
    // Most accounts zero: then single accounts decide, not always the first of the six.
    let one = prop_oneof![2 => Just(0), 2 => 0..=max];
    [one.clone(), one.clone(), one.clone(), one.clone(), one.clone(), one].prop_map(
        |[tokens, cost_micros, cpu_ms, bytes, calls, steps]| Amounts {
            tokens,
            cost_micros,
            cpu_ms,
            bytes,
            calls,
            steps,
        },
    )
}

fn limit() -> impl Strategy<Value = Amounts> {
    prop_oneof![
        1 => Just(Amounts::UNLIMITED),
        4 => amounts(400).prop_map(|a| a.plus(Amounts { tokens: 60, cost_micros: 60, cpu_ms: 60,
            bytes: 60, calls: 60, steps: 60 })),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        8 => (any::<usize>(), amounts(40)).prop_map(|(node, amounts)| Op::Reserve { node, amounts }),
        1 => (any::<usize>(), amounts(60)).prop_map(|(open, spent)| Op::Settle { open, spent }),
        3 => any::<usize>().prop_map(|open| Op::SettleAll { open }),
        3 => any::<usize>().prop_map(|open| Op::Release { open }),
        1 => (any::<usize>(), limit()).prop_map(|(node, limit)| Op::Raise { node, limit }),
    ]
}

fn six(a: Amounts) -> [u128; 6] {
    [a.tokens, a.cost_micros, a.cpu_ms, a.bytes, a.calls, a.steps].map(u128::from)
}

fn sum(all: impl Iterator<Item = Amounts>) -> [u128; 6] {
    all.fold([0; 6], |mut total, a| {
        for (t, a) in total.iter_mut().zip(six(a)) {
            *t += a;
        }
        total
    })
}

/// A tree of accounts, node 0 the namespace, and beside it everything that ever happened.
struct Tree {
    /// Parent of each node; the root's is itself.
    parents: Vec<usize>,
    accounts: Vec<Account>,
    limits: Vec<Amounts>,
    frozen: Vec<bool>,
    /// Reservations under way: by which node, how much.
    open: Vec<(usize, Amounts)>,
    /// Spendings: by which node, how much.
    spent: Vec<(usize, Amounts)>,
}

impl Tree {
    fn new(parents: &[usize], limits: &[Amounts]) -> Self {
        let parents: Vec<usize> =
            parents.iter().enumerate().map(|(ix, parent)| parent % ix.max(1)).collect();
        let limits: Vec<Amounts> = limits.iter().copied().take(parents.len()).collect();
        Tree {
            accounts: limits.iter().map(|limit| Account::new(*limit)).collect(),
            frozen: vec![false; limits.len()],
            parents,
            limits,
            open: Vec::new(),
            spent: Vec::new(),
        }
    }

    /// From the node up to the root.
    fn path(&self, mut node: usize) -> Vec<usize> {
        let mut path = vec![node];
        while node != 0 {
            node = self.parents[node];
            path.push(node);
        }
        path
    }

    fn is_below(&self, node: usize, ancestor: usize) -> bool {
        self.path(node).contains(&ancestor)
    }

    fn naive_reserved(&self, node: usize) -> [u128; 6] {
        sum(self.open.iter().filter(|(n, _)| self.is_below(*n, node)).map(|(_, a)| *a))
    }

    fn naive_settled(&self, node: usize) -> [u128; 6] {
        sum(self.spent.iter().filter(|(n, _)| self.is_below(*n, node)).map(|(_, a)| *a))
    }

    fn naive_fits(&self, node: usize, more: Amounts) -> bool {
        let (reserved, settled) = (self.naive_reserved(node), self.naive_settled(node));
        let (limit, more) = (six(self.limits[node]), six(more));
        (0..6).all(|i| reserved[i] + settled[i] + more[i] <= limit[i])
    }

    fn reserve(&mut self, node: usize, amounts: Amounts) {
        let path = self.path(node);
        let asked =
            path.iter().map(|n| self.accounts[*n].can_reserve(amounts)).find(Result::is_err);
        let naive = path.iter().all(|n| !self.frozen[*n] && self.naive_fits(*n, amounts));
        assert_eq!(asked.is_none(), naive, "{asked:?}");
        if naive {
            path.iter().for_each(|n| self.accounts[*n].reserve(amounts));
            self.open.push((node, amounts));
        }
    }

    fn settle(&mut self, open: usize, spent: Amounts) {
        let (node, reserved) = self.open.swap_remove(open);
        self.spent.push((node, spent));
        let path = self.path(node);
        self.accounts[node].settle(reserved, spent);
        let (six_spent, six_reserved) = (six(spent), six(reserved));
        self.frozen[node] |= (0..6).any(|i| six_spent[i] > six_reserved[i]);
        for ancestor in path.into_iter().skip(1) {
            self.accounts[ancestor].settle_below(reserved, spent);
            self.frozen[ancestor] |= !self.naive_fits(ancestor, Amounts::ZERO);
        }
    }

    fn run(&mut self, op: Op) {
        let nodes = self.accounts.len();
        match op {
            Op::Reserve { node, amounts } => self.reserve(node % nodes, amounts),
            Op::Raise { node, limit } => {
                let node = node % nodes;
                self.accounts[node].raise(limit);
                self.limits[node] = self.limits[node].max(limit);
                self.frozen[node] &= !self.naive_fits(node, Amounts::ZERO);
            }
            _ if self.open.is_empty() => {}
            Op::Settle { open, spent } => self.settle(open % self.open.len(), spent),
            Op::SettleAll { open } => {
                let open = open % self.open.len();
                self.settle(open, self.open[open].1);
            }
            Op::Release { open } => {
                let (node, reserved) = self.open.swap_remove(open % self.open.len());
                self.path(node).iter().for_each(|n| self.accounts[*n].release(reserved));
            }
        }
    }

    fn check(&self) {
        for (node, account) in self.accounts.iter().enumerate() {
            assert_eq!(six(account.reserved()), self.naive_reserved(node));
            assert_eq!(six(account.settled()), self.naive_settled(node));
            assert_eq!(account.is_frozen(), self.frozen[node]);
            assert_eq!(account.limit(), self.limits[node]);
            assert!(account.is_sound(), "{account:?}");
            if !account.is_frozen() {
                assert!(self.naive_fits(node, Amounts::ZERO), "I11: {account:?}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn reservations_never_exceed_the_limit_anywhere_in_the_tree(
        parents in proptest::collection::vec(any::<usize>(), 1..9),
        limits in proptest::collection::vec(limit(), 9),
        ops in proptest::collection::vec(op(), 1..120),
    ) {
        let mut tree = Tree::new(&parents, &limits);
        for op in ops {
            tree.run(op);
            tree.check();
        }
    }

    #[test]
    fn honest_use_never_freezes_and_gives_everything_back(
        limits in proptest::collection::vec(limit(), 4),
        wanted in proptest::collection::vec((amounts(40), amounts(40)), 1..60),
    ) {
        // Namespace, run, child run, attempt, one below the other.
        let mut tree = Tree::new(&[0, 0, 1, 2], &limits);
        tree.parents = vec![0, 0, 1, 2];
        for (reserved, spent) in wanted {
            let before = tree.open.len();
            tree.reserve(3, reserved);
            if tree.open.len() > before {
                tree.settle(before, spent.min(reserved));
            }
            tree.check();
        }
        for account in &tree.accounts {
            prop_assert!(!account.is_frozen() && account.reserved().is_zero());
            prop_assert_eq!(account.available().plus(account.settled()), account.limit());
        }
    }

    #[test]
    fn amounts_obey_their_laws(a in amounts(u64::MAX), b in amounts(u64::MAX)) {
        prop_assert_eq!(a.plus(b), b.plus(a));
        prop_assert_eq!(a.min(b).plus(a.minus(b)), a);
        prop_assert_eq!(a.fits_in(b).is_ok(), a.min(b) == a);
        prop_assert_eq!(a.fits_in(b).is_ok(), a.max(b) == b);
        prop_assert_eq!(a.fits_in(b).is_ok(), a.minus(b).is_zero());
        prop_assert!(a.fits_in(Amounts::UNLIMITED).is_ok() && Amounts::ZERO.fits_in(a).is_ok());
        let back: Amounts = minicbor::decode(&minicbor::to_vec(a).unwrap()).unwrap();
        prop_assert_eq!(back, a);
        let back: Amounts = serde_json::from_str(&serde_json::to_string(&a).unwrap()).unwrap();
        prop_assert_eq!(back, a);
    }

    #[test]
    fn ceilings_only_shrink(
        a in (any::<u64>(), any::<u8>(), any::<u32>()),
        b in (any::<u64>(), any::<u8>(), any::<u32>()),
    ) {
        let of = |(deadline, depth, fan_out)| Ceilings { deadline: Time(deadline), depth, fan_out };
        let (a, b) = (of(a), of(b));
        let both = a.narrowed(b);
        prop_assert!(both.is_within(a) && both.is_within(b));
        prop_assert_eq!(both, b.narrowed(a));
        prop_assert!(a.one_deeper().is_none_or(|deeper| deeper.is_within(a) && deeper != a));
    }
}
