//! The scripted session: a single client that gives work to a node in rounds, loses it, comes back,
//! sends everything again under the same keys, and checks what became of all of it.

use std::sync::atomic::{AtomicUsize, Ordering};

use ark_os_store::DiskFiles;
use ark_os_store::verify::{Trust, verify};

use super::client::{Client, Gone};
use super::node::{Home, Node};
use super::sink::Sink;
use super::support::command;
use super::work::{Kind, SESSION, Work};

/// Steps that a crash left in doubt, over all scripts of this process.
static DOUBTS: AtomicUsize = AtomicUsize::new(0);

pub(crate) fn count_doubts(more: usize) {
    DOUBTS.fetch_add(more, Ordering::Relaxed);
}

pub(crate) fn doubts() -> usize {
    DOUBTS.load(Ordering::Relaxed)
}

/// A data directory, its sink, and the work that was given to it.
pub(crate) struct Script {
    pub(crate) home: Home,
    pub(crate) sink: Sink,
    pub(crate) works: Vec<Work>,
    /// What a round gives.
    pub(crate) session: Vec<Kind>,
}

impl Script {
    pub(crate) fn new() -> Self {
        Script::of(Home::new(), "sink", SESSION.to_vec())
    }

    /// Another node with another session; its sink is this file.
    pub(crate) fn of(home: Home, sink: &str, session: Vec<Kind>) -> Self {
        let sink = Sink::new(&home.file(sink));
        Script { home, sink, works: Vec::new(), session }
    }

    /// New work, which has to be begun.
    pub(crate) fn plan(&mut self, kinds: &[Kind]) {
        for kind in kinds {
            let label = format!("w{}", self.works.len());
            self.works.push(Work::new(*kind, label));
        }
    }

    /// Sends again what was lost or may have been, and follows it to its end.
    pub(crate) fn settle(&mut self, client: &Client) -> Result<(), Gone> {
        for work in self.works.iter_mut().filter(|work| !work.is_over()) {
            work.submit(client, &self.sink)?;
        }
        for work in self.works.iter_mut().filter(|work| !work.is_over()) {
            work.finish(client, &self.sink)?;
        }
        Ok(())
    }

    /// A whole session, so many times, or until the node is gone.
    pub(crate) fn play(&mut self, client: &Client, rounds: usize) -> Result<(), Gone> {
        self.settle(client)?;
        for _ in 0..rounds {
            self.plan(&self.session.clone());
            self.settle(client)?;
        }
        Ok(())
    }

    /// A last life without any fault: everything comes to its end, and it was right.
    pub(crate) fn conclude(&mut self) {
        self.conclude_with(|_, _| Ok(()));
    }

    /// The same, with a look at what came of everything.
    pub(crate) fn conclude_with(
        &mut self,
        look: impl FnOnce(&Script, &Client) -> Result<(), Gone>,
    ) {
        let mut node = self.home.start(&[]);
        let client = self.ready(&mut node);
        self.settle(&client).expect("the node stays");
        for work in &self.works {
            work.check_again(&client).expect("the node stays");
            work.check_sink(&self.sink);
        }
        self.check_list(&client).expect("the node stays");
        look(self, &client).expect("the node stays");
        node.signal(rustix::process::Signal::TERM);
        let status = node.ended();
        assert_eq!(status.code(), Some(0), "{}", self.home.log());
        self.verify_offline();
    }

    /// The list of runs has every run once and no other: nothing was accepted twice.
    fn check_list(&self, client: &Client) -> Result<(), Gone> {
        let mut listed = Vec::new();
        let mut cursor = String::new();
        loop {
            let page = client.get(&format!("/runs?limit=500{cursor}"))?.good();
            let ids = page["items"].as_array().unwrap().iter();
            listed.extend(ids.map(|run| run["id"].as_str().unwrap().to_owned()));
            match page["next"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        let mut known: Vec<_> =
            self.works.iter().flat_map(|it| it.runs.values().cloned()).collect();
        listed.sort();
        known.sort();
        assert_eq!(listed, known);
        Ok(())
    }

    /// The node, which has to come up.
    pub(crate) fn ready(&self, node: &mut Node) -> Client {
        node.ready(&self.home).unwrap_or_else(|| panic!("it does not start: {}", self.home.log()))
    }

    /// A crash leaves nothing in the journal that does not verify.
    pub(crate) fn verify_after_crash(&self) {
        let data = self.home.data();
        if !data.join("journal").is_dir() || !data.join("ledger.pub").is_file() {
            // It never got so far, so there is nothing that could be lost.
            assert!(self.works.iter().all(|work| work.runs.is_empty()));
            return;
        }
        let report = verify(&DiskFiles::new(data).unwrap(), &Trust::default()).unwrap();
        assert!(report.fault.is_none(), "after a crash: {:?}", report.fault);
    }

    /// The program's own verification.
    pub(crate) fn verify_offline(&self) {
        let mut verify = command(env!("CARGO_BIN_EXE_ark-os"));
        verify.args(["ledger", "verify"]).arg(self.home.data());
        let output = verify.output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(output.status.code(), Some(0), "{text}");
        assert!(text.contains("the journal verifies"), "{text}");
        assert!(text.contains("  0 records are behind the newest checkpoint"), "{text}");
    }
}
