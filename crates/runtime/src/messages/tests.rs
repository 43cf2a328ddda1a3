//! Mailboxes of several agents under one lock.

use ark_os_core::priority::Priority;
use ark_os_core::time::Time;

use super::mailbox::{MailboxRule, Overflow, Put, Slip};
use super::shard::{SHARD_BYTES_MAX, Shard};

const RULE: MailboxRule =
    MailboxRule { messages_max: 100, bytes_max: SHARD_BYTES_MAX, overflow: Overflow::PushBack };

fn slip(bytes: usize, expires: u64) -> Slip {
    Slip { priority: Priority::Emergency, expires: Time(expires), bytes }
}

#[test]
fn what_is_over_in_other_mailboxes_keeps_nobody_out() {
    let shard = Shard::default();
    let half = SHARD_BYTES_MAX / 2;
    assert_eq!(shard.put(1, slip(half, 10), (), &RULE, Time(0)), Put::In);
    assert_eq!(shard.put(2, slip(half, 20), (), &RULE, Time(0)), Put::In);
    assert_eq!(shard.put(3, slip(1, 99), (), &RULE, Time(9)), Put::Full);
    assert_eq!(shard.put(3, slip(half, 99), (), &RULE, Time(10)), Put::In);
    assert_eq!(shard.put(4, slip(1, 99), (), &RULE, Time(10)), Put::Full);
    assert_eq!(shard.put(4, slip(1, 99), (), &RULE, Time(20)), Put::In);
    let (tally, waiting, _) = shard.sweep(Time(20));
    assert_eq!((tally.expired, tally.pushed_back, waiting), (2, 2, 2));
}
