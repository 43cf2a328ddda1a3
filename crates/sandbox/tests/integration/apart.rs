//! Jobs side by side do not see each other.

use ark_os_sandbox::{Job, Profile};

use crate::support::{also_as_ordinary_user, jail, printed};

#[test]
fn two_jails_share_nothing() {
    let jail = jail();
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let script = "exec 3> /tmp/mine; sleep 1.25";
            jail.run(&Job::new(Profile::default(), ["sh", "-c", script]), &|| false).unwrap()
        });
        let script = "for i in 1 2 3 4 5 6 7 8; do ls -A /tmp /dev/shm/ /var/tmp/; \
            cat /proc/[0-9]*/cmdline; sleep 0.1; done | tr '\\0' ' ' | grep -e mine$ -e 1.25; true";
        let reader = jail.run(&Job::new(Profile::default(), ["sh", "-c", script]), &|| false);
        // Its own words, which it finds in itself, and nothing of the other's.
        let seen = printed(&reader.unwrap());
        assert!(!seen.contains("sleep 1.25") && !seen.contains("mine\n"), "{seen}");
        writer.join().unwrap();
    });
    also_as_ordinary_user("apart::two_jails_share_nothing");
}
