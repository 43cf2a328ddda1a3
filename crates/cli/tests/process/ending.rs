//! Told to end while it works: what runs comes to its end, and everything else goes on at the next
//! start.

use rustix::process::Signal;

use super::script::Script;
use super::work::{Kind, SESSION};

/// Rounds of work that are under way when the node is told to end.
const ROUNDS: usize = 5;

#[test]
fn told_to_end_under_load_the_node_drains_and_loses_nothing() {
    let mut script = Script::new();
    for _ in 0..2 {
        let mut node = script.home.start(&[]);
        let client = script.ready(&mut node);
        // Work that never ends by itself would be drained for as long as is allowed.
        let load: Vec<Kind> = SESSION.into_iter().filter(|it| *it != Kind::Cancel).collect();
        for _ in 0..ROUNDS {
            script.plan(&load);
        }
        for work in script.works.iter_mut().filter(|work| !work.is_over()) {
            work.submit(&client, &script.sink).expect("the node stays");
        }
        node.signal(Signal::TERM);
        let status = node.ended();
        assert_eq!(status.code(), Some(0), "{}", script.home.log());
        script.verify_offline();
        assert!(script.works.iter().all(super::work::Work::is_acknowledged));
    }
    script.conclude();
}
