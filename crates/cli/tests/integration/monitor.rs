//! The live view: in a real terminal (tmux) before a real instance, and printed once.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use rustix::process::{Pid, Signal, kill_process};

use crate::agents::{WRITES, config, script, sink, with_sink};
use crate::support::{Home, PATIENCE, await_that};

static STARTED: AtomicU32 = AtomicU32::new(0);

/// A terminal that nobody looks at, with its own server.
struct Tmux {
    socket: PathBuf,
}

impl Tmux {
    /// A terminal of 80×24 that runs a shell script with the program as `$ARK`.
    fn run(home: &Home, script: &str, environment: &[(&str, &str)]) -> Self {
        // A server that was told to end may still hold the place of its socket.
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let tmux = Tmux { socket: home.path().join(format!("tmux{number}")) };
        let mut command =
            tmux.command(&["-f", "/dev/null", "new-session", "-d", "-x", "80", "-y", "24"]);
        command
            .arg("/bin/sh -c \"$SCRIPT\"")
            .env("HOME", home.path())
            .env("ARK_OS_DATA_DIR", home.data())
            .env("ARK", env!("CARGO_BIN_EXE_ark-os"))
            .env("SCRIPT", script)
            .envs(environment.iter().copied());
        let done = command.output().expect("tmux is installed by `cargo xtask test`");
        assert!(done.status.success(), "{done:?}");
        tmux
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new("tmux");
        command
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("LC_ALL", "C.UTF-8")
            .env("TERM", "xterm-256color")
            .stdin(Stdio::null())
            .arg("-S")
            .arg(&self.socket)
            .args(args);
        command
    }

    fn call(&self, args: &[&str]) -> String {
        let done = self.command(args).output().unwrap();
        assert!(done.status.success(), "{args:?}: {done:?}");
        String::from_utf8(done.stdout).unwrap()
    }

    fn keys(&self, keys: &[&str]) {
        let mut args = vec!["send-keys"];
        args.extend(keys);
        self.call(&args);
    }

    /// Types text as it is.
    fn types(&self, text: &str) {
        self.call(&["send-keys", "-l", text]);
    }

    fn pane(&self) -> String {
        self.call(&["capture-pane", "-p"])
    }

    /// Looks until every one of these stands on the screen.
    fn shows(&self, wanted: &[&str]) -> String {
        let begun = Instant::now();
        loop {
            let pane = self.pane();
            if wanted.iter().all(|text| pane.contains(text)) {
                return pane;
            }
            assert!(begun.elapsed() < PATIENCE, "not in time: {wanted:?}\n{pane}");
        }
    }

    /// The program that the shell runs.
    fn child(&self) -> Pid {
        let shell = self.call(&["display-message", "-p", "#{pane_pid}"]);
        let shell = shell.trim();
        let children = std::fs::read_to_string(format!("/proc/{shell}/task/{shell}/children"));
        let child: i32 = children.unwrap().trim().parse().unwrap();
        Pid::from_raw(child).unwrap()
    }
}

impl Drop for Tmux {
    fn drop(&mut self) {
        let _ = self.command(&["kill-server"]).output();
    }
}

/// Runs the view, then tells how it ended and how the terminal is, and stays.
const VIEW: &str = "echo before; \"$ARK\" monitor --interval 200ms; echo \"left with $?\"; \
                    stty -a | tr ' ;' '\\n\\n' | grep -x -e -*icanon -e -*echo | tr '\\n' ' '; sleep 600";

/// What a terminal that was given back shows: its former text, and lines are edited and echoed.
fn is_given_back(tmux: &Tmux) {
    let pane = tmux.shows(&["before", "left with 0", "icanon echo"]);
    assert!(!pane.contains("-icanon") && !pane.contains("Overview"), "{pane}");
}

/// The screen without what differs from time to time: ids, the clock, ages and the port.
fn masked(pane: &str) -> String {
    pane.lines().map(|line| format!("{}\n", masked_line(line))).collect()
}

fn masked_line(line: &str) -> String {
    let mut out = String::new();
    // Words and the gaps between them, so that columns stay where they are.
    for word in line.split_inclusive(' ') {
        let (text, gap) = match word.strip_suffix(' ') {
            Some(text) => (text, " "),
            None => (word, ""),
        };
        let digits = text.chars().filter(char::is_ascii_digit).count();
        let is_age = digits > 0
            && text.len() <= 6
            && text.ends_with('s')
            && text.chars().all(|c| c.is_ascii_digit() || ".ms".contains(c));
        if is_age {
            // Ages stand at the right of six columns.
            let kept = out.trim_end_matches(' ').len();
            out.truncate(kept.max(out.len().saturating_sub(6 - text.len())));
            out.push_str(&format!("{:>6}", "AGE"));
        } else if let Some(id) = text.strip_prefix('…').filter(|id| id.len() == 10) {
            out.push_str(&format!("…{}", "I".repeat(id.len())));
        } else if let Some((host, port)) =
            text.rsplit_once(':').filter(|it| it.0.starts_with("http"))
        {
            out.push_str(&format!("{host}:{}", "P".repeat(port.len())));
        } else if text.ends_with('Z') || (digits == 8 && text.len() == 10) {
            out.push_str(&text.replace(|c: char| c.is_ascii_digit(), "0"));
        } else {
            out.push_str(text);
        }
        out.push_str(gap);
    }
    out.trim_end().to_owned()
}

#[test]
fn the_view_is_driven_by_keys_and_gives_the_terminal_back() {
    let home = Home::new();
    let _node = home.start(&["--agents", "50"]);
    let run = home.call(&["submit", "--task", "sleep", "--input", "ms=3600000"]).expect(0).out;
    let run = run.trim();
    let tmux = Tmux::run(&home, VIEW, &[]);
    tmux.shows(&["[1 Overview]", "● ok", "1 running", "▶"]);
    tmux.keys(&["2"]);
    let fleet = tmux.shows(&["[2 Fleet]", "1/36", "● micro"]);
    insta::assert_snapshot!("fleet_in_a_terminal", masked(&fleet));
    tmux.keys(&["3"]);
    let runs = tmux.shows(&["[3 Runs]", "sleep", "0/1"]);
    insta::assert_snapshot!("runs_in_a_terminal", masked(&runs));

    for (key, verb, becomes) in [("p", "pause", "paused"), ("r", "resume", "running")] {
        tmux.keys(&[key]);
        tmux.shows(&["Sure?", verb, run]);
        // Nothing is done without a reason.
        tmux.keys(&["Enter"]);
        tmux.shows(&["say why first"]);
        tmux.types("for a test");
        tmux.shows(&["why: for a test"]);
        tmux.keys(&["Enter"]);
        tmux.shows(&[&format!("{verb} {run}: {becomes}"), becomes]);
    }
    let events = home.call(&["logs", run]).expect(0).out;
    assert!(events.contains("for a test"), "{events}");

    tmux.keys(&["Enter"]);
    tmux.shows(&[run, "[graph]", "sleep task", "1 running"]);
    tmux.keys(&["Tab"]);
    tmux.shows(&["[tasks]", "micro-"]);
    tmux.keys(&["Tab"]);
    tmux.shows(&["[trace]", "accepted", "cecca-00000 allow"]);
    tmux.keys(&["Tab"]);
    tmux.shows(&["[events]", "run_resumed", "reason=for a test"]);
    tmux.keys(&["c"]);
    tmux.types("enough");
    tmux.keys(&["Enter"]);
    tmux.shows(&["⊘ cancelled", "run_ended end=cancelled"]);
    tmux.keys(&["Escape"]);
    // A key that came at once would be taken for one with Alt.
    tmux.shows(&["[3 Runs]", "⊘", "f filter"]);

    tmux.keys(&["7"]);
    tmux.shows(&["[7 Log]", "INFO listening"]);
    tmux.keys(&["?"]);
    tmux.shows(&["Keys", "retry it from what failed"]);
    tmux.keys(&["Enter"]);
    tmux.call(&["resize-window", "-x", "120", "-y", "40"]);
    tmux.keys(&["1"]);
    // There is room for whole ids now.
    let wide = tmux.shows(&["[1 Overview]", run]);
    assert_eq!(wide.lines().count(), 40, "{wide}");
    tmux.call(&["resize-window", "-x", "80", "-y", "24"]);
    tmux.shows(&["[1 Overview]", &format!("…{}", &run[run.len() - 10..])]);
    tmux.keys(&["q"]);
    is_given_back(&tmux);
}

#[test]
fn the_terminal_is_given_back_whoever_ends_the_view() {
    let home = Home::new();
    let _node = home.start(&["--agents", "6"]);
    type End = fn(&Tmux);
    let ends: [End; 3] = [
        |tmux| tmux.keys(&["C-c"]),
        |tmux| kill_process(tmux.child(), Signal::TERM).unwrap(),
        |tmux| kill_process(tmux.child(), Signal::HUP).unwrap(),
    ];
    for end in ends {
        let tmux = Tmux::run(&home, VIEW, &[]);
        tmux.shows(&["[1 Overview]", "● ok"]);
        end(&tmux);
        is_given_back(&tmux);
    }
}

#[test]
fn a_killed_instance_is_told_and_found_again_wherever_it_listens() {
    let home = Home::new();
    let node = home.start(&["--agents", "6"]);
    let run = home.call(&["submit", "--task", "sleep", "--input", "ms=3600000"]).expect(0).out;
    let tmux = Tmux::run(&home, VIEW, &[]);
    let end = format!("…{}", &run.trim()[run.trim().len() - 10..]);
    tmux.shows(&["[1 Overview]", "● ok", &end]);
    node.signal(Signal::KILL);
    // What was known stays on the screen.
    tmux.shows(&["reconnecting, lost for", "cannot reach the instance", &end]);
    node.wait();
    let node = home.start(&["--agents", "12"]);
    let endpoint = node.ready.trim().strip_prefix("ready at ").unwrap();
    tmux.shows(&[endpoint, "● ok", "Fleet 12", "1 running"]);
    tmux.keys(&["q"]);
    is_given_back(&tmux);
}

#[test]
fn colours_are_only_for_those_who_want_them() {
    let home = Home::new();
    let _node = home.start(&["--agents", "6"]);
    for (environment, has_colour) in [(&[][..], true), (&[("NO_COLOR", "1")][..], false)] {
        let tmux = Tmux::run(&home, VIEW, environment);
        tmux.shows(&["[1 Overview]", "● ok"]);
        let painted = tmux.call(&["capture-pane", "-p", "-e"]);
        assert_eq!(painted.contains("\u{1b}[38;5;2m"), has_colour, "{painted:?}");
    }
}

#[test]
fn a_step_in_doubt_is_shown_with_what_resolves_it() {
    let home = with_sink();
    let effect = script("cat >/dev/null; echo $ARK_OS_STEP_KEY >>/out/sink; echo hello", WRITES);
    home.file("w.yaml", &effect);
    let config = config(&home, "w.yaml");
    let _node = home.start(&["--agents", "12", "--config", &config]);
    let run = home.call(&["submit", "w.yaml"]).expect(0).out.trim().to_owned();
    home.call(&["run", "--attach", &run]).expect(7);
    let key = sink(&home)[0].clone();
    let tmux = Tmux::run(&home, VIEW, &[]);
    tmux.shows(&["[1 Overview]", "6 Attention !1", "1 parked"]);
    tmux.keys(&["6"]);
    tmux.shows(&["step in doubt", "nobody knows whether", &format!("ark-os resolve {key}")]);
    // What the instance refuses is told.
    tmux.keys(&["u"]);
    tmux.types("go on");
    tmux.keys(&["Enter"]);
    tmux.shows(&["in doubt", "resolve"]);
    home.call(&["resolve", &key, "--happened", "{}", "--reason", "looked"]).expect(0);
    tmux.shows(&["nothing needs anybody"]);
}

#[test]
fn once_prints_one_screen_that_fits_and_one_document_with_everything() {
    let home = Home::new();
    let _node = home.start(&["--agents", "50"]);
    home.call(&["run", "--task", "echo"]).expect(0);
    await_that("the views show the run", || {
        home.call(&["monitor", "--once"]).expect(0).out.contains("1 succeeded")
    });
    let screen = home.call(&["monitor", "--once"]).expect(0).out;
    // A locale that is not set has nothing but ASCII.
    assert!(screen.is_ascii() && screen.lines().count() == 24, "{screen}");
    assert!(screen.lines().all(|line| line.len() <= 80), "{screen}");
    let document = home.call(&["--json", "monitor", "--once"]).expect(0).json();
    assert!(document["endpoint"].as_str().unwrap().starts_with("http://127.0.0.1:"));
    let overview = &document["overview"];
    assert_eq!((&overview["status"], &overview["fleet"]["agents"]), (&"ok".into(), &50.into()));
    for field in ["runs", "queues", "rates", "attention"] {
        assert!(!overview[field].is_null(), "{field}: {overview}");
    }
    assert_eq!(document["logs"][0]["line"]["service.name"], "ark-os");
    assert!(!document["logs"].to_string().contains(&token(&home)), "a token is in no log");
}

fn token(home: &Home) -> String {
    std::fs::read_to_string(home.data().join("token")).unwrap().trim().to_owned()
}

#[test]
fn what_cannot_be_watched_is_told_before_the_screen_is_taken() {
    let home = Home::new();
    let nobody = home.call(&["monitor", "--once"]).expect(3);
    assert!(nobody.err.contains("no instance runs"), "{}", nobody.err);
    home.call(&["monitor", "--interval", "soon"]).expect(2);
    let _node = home.start(&["--agents", "6"]);
    let piped = home.call(&["monitor"]).expect(2);
    assert!(
        piped.err.contains("needs a terminal") && piped.err.contains("--once"),
        "{}",
        piped.err
    );
    assert_eq!(piped.out, "");
}
