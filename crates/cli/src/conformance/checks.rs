//! The checks, in the order in which they are run.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ark_os_api::TaskView;
use serde_json::{Value, json};

use super::relay::{Exchange, Fault, text};
use super::stage::{SOON, START, Stage};
use super::{ECHO, FAIL, LEASE, WORK};
use crate::threads::pause;

/// What a check saw.
pub(super) enum Seen {
    Passed(String),
    Skipped(String),
}

type Look = fn(&mut Stage) -> Result<Seen, String>;

/// A check.
pub(super) struct Check {
    pub(super) name: &'static str,
    /// What it holds a worker to.
    pub(super) what: &'static str,
    pub(super) look: Look,
}

/// All of them. The first starts the worker; the last two end it.
#[rustfmt::skip]
pub(super) const ALL: &[Check] = &[
    Check { name: "registers", what: "registers with the three skills", look: registers },
    Check { name: "waits", what: "waits in long polls instead of asking again and again", look: waits },
    Check { name: "completes", what: "completes tasks with the right outputs", look: completes },
    Check { name: "fails", what: "says that a task failed, with its code and whether to try again", look: fails },
    Check { name: "extends", what: "extends a task that takes longer than its lease", look: extends },
    Check { name: "obeys", what: "stops work on a task that was cancelled", look: obeys },
    Check { name: "busy", what: "tries again after 503, and not at once", look: busy },
    Check { name: "cut-claim", what: "claims with the same number when the answer was lost", look: cut_claim },
    Check { name: "cut-complete", what: "presents a result again when the answer was lost", look: cut_complete },
    Check { name: "forgotten", what: "registers again when the instance does not know it", look: forgotten },
    Check { name: "once", what: "presents no result after it was answered", look: once },
    Check { name: "leaves", what: "on SIGTERM: leaves, completes what it has in hand, ends with 0", look: leaves },
    Check { name: "fenced", what: "gives way to another process of its name", look: fenced },
];

/// Their names.
pub(crate) fn check_names() -> impl Iterator<Item = &'static str> {
    ALL.iter().map(|check| check.name)
}

/// Claims of an idle worker in the time of `waits`: one ends by itself, one more is generous.
const IDLE_CLAIMS_MAX: usize = 4;
const IDLE: Duration = Duration::from_secs(3);
/// Echoes in one go.
const ECHOES: usize = 30;

fn passed(detail: impl Into<String>) -> Result<Seen, String> {
    Ok(Seen::Passed(detail.into()))
}

fn registers(stage: &mut Stage) -> Result<Seen, String> {
    stage.start_worker()?;
    let patience = if stage.is_by_hand() { START * 4 } else { START };
    let registered = stage
        .transcript()
        .wait(0, patience, |all| all.iter().find(|it| it.verb == "register").cloned());
    let registered = registered.ok_or("it did not register in time")?;
    if registered.status != 200 {
        return Err(format!("its registration was answered {}", registered.status));
    }
    let offered: BTreeSet<String> =
        registered.asked("skills").iter().map(|it| text(it, "name").to_owned()).collect();
    let missing: Vec<&str> =
        [ECHO, FAIL, WORK].into_iter().filter(|skill| !offered.contains(*skill)).collect();
    if !missing.is_empty() {
        return Err(format!("it does not offer {}", missing.join(", ")));
    }
    passed(format!("as `{}`", text(&registered.answer, "worker")))
}

fn waits(stage: &mut Stage) -> Result<Seen, String> {
    let transcript = stage.transcript();
    let waits = stage.until(SOON, || transcript.is_open("claim").then_some(()));
    waits.ok_or("no claim waits for work")?;
    let mark = transcript.mark();
    pause(IDLE);
    let claims = transcript.since(mark).iter().filter(|it| it.verb == "claim").count();
    if claims > IDLE_CLAIMS_MAX {
        return Err(format!("{claims} claims in {} s without work", IDLE.as_secs()));
    }
    passed(format!("{claims} claims in {} s", IDLE.as_secs()))
}

fn completes(stage: &mut Stage) -> Result<Seen, String> {
    let mut tasks = Vec::new();
    for i in 0..ECHOES {
        let input = json!({ "i": i, "text": "ä\n\"", "list": [1, 2.5, null, true, {}] });
        tasks.push((stage.submit(ECHO, &input)?, input));
    }
    for (task, input) in tasks {
        let over = stage.over(&task, SOON)?;
        let output: Option<Value> =
            over.output.as_ref().and_then(|raw| serde_json::from_str(raw.get()).ok());
        if over.state != "succeeded" || output.as_ref() != Some(&input) {
            return Err(format!("{} is {} with {output:?}", task.task, over.state));
        }
    }
    passed(format!("{ECHOES} tasks"))
}

fn fails(stage: &mut Stage) -> Result<Seen, String> {
    for (retryable, attempts) in [(false, 1), (true, 3)] {
        let input = json!({ "code": "conformance.asked", "retryable": retryable });
        let task = stage.submit(FAIL, &input)?;
        let over = stage.over(&task, SOON)?;
        let code = over.failure.as_ref().map(|it| it.code.clone()).unwrap_or_default();
        if over.state != "failed" || code != "conformance.asked" {
            return Err(format!("{} is {} with the code `{code}`", task.task, over.state));
        }
        let made = attempts_of(stage, &task.task)?;
        if made != attempts {
            return Err(format!("{made} attempts where `retryable` is {retryable}"));
        }
    }
    passed("for good after 1 attempt, retryable after 3")
}

fn attempts_of(stage: &Stage, task: &str) -> Result<u32, String> {
    let view: TaskView = stage
        .client
        .get(&format!("/tasks/{task}"))
        .map_err(|failure| failure.message().to_owned())?;
    Ok(view.attempt + view.lost)
}

fn extends(stage: &mut Stage) -> Result<Seen, String> {
    let (transcript, long) = (stage.transcript(), LEASE * 5 / 2);
    let mark = transcript.mark();
    let task = stage.submit(WORK, &json!({ "ms": millis(long) }))?;
    let over = stage.over(&task, long + SOON)?;
    let made = attempts_of(stage, &task.task)?;
    if over.state != "succeeded" || made != 1 {
        return Err(format!("it is {} after {made} attempts: its lease ran out", over.state));
    }
    let extended = transcript.since(mark).iter().filter(|it| names(it, &task.task)).count();
    passed(format!("{extended} times in {} ms", millis(long)))
}

/// Whether a sign of life names the token of a task.
fn names(exchange: &Exchange, task: &str) -> bool {
    let token = task.replacen("task_", "pt_", 1) + "_f";
    exchange.verb == "extend"
        && exchange.asked("tokens").iter().any(|it| text(it, "pt").starts_with(&token))
}

fn obeys(stage: &mut Stage) -> Result<Seen, String> {
    let transcript = stage.transcript();
    let mark = transcript.mark();
    let task = stage.submit(WORK, &json!({ "ms": 60_000 }))?;
    let claimed = claimed(stage, mark, &task.task)?;
    stage.cancel(&task)?;
    let told = transcript.wait(mark, LEASE * 2, |all| {
        let is_told = |it: &Value| {
            text(it, "pt") == claimed && ["cancelled", "stale_fence"].contains(&text(it, "state"))
        };
        all.iter().position(|it| it.verb == "extend" && it.answered("tokens").iter().any(is_told))
    });
    let told = told.ok_or("it did not extend the task, so it was not told")?;
    // Its place is free again: there is work for it, and it is not at the old task any more.
    stage.succeeds(ECHO, &json!("after the cancelled task"))?;
    pause(LEASE);
    let later = transcript.since(mark + told + 1);
    let presented = |it: &Exchange| {
        let of = |list| it.asked(list).iter().any(|it| text(it, "pt") == claimed);
        of("results") || of("failures") || of("tokens")
    };
    if let Some(it) = later.iter().find(|it| presented(it)) {
        return Err(format!("it went on: `{}` names the task after it was told", it.verb));
    }
    passed("told by a sign of life, and silent about it from then on")
}

/// The token under which the worker claimed a task.
fn claimed(stage: &Stage, mark: usize, task: &str) -> Result<String, String> {
    let found = stage.transcript().wait(mark, SOON, |all| {
        let claims = all.iter().filter(|it| it.verb == "claim");
        let mut tasks = claims.flat_map(|it| it.answered("tasks"));
        tasks.find(|it| text(it, "task") == task)
    });
    found.map(|it| text(&it, "pt").to_owned()).ok_or_else(|| format!("{task} was not claimed"))
}

fn busy(stage: &mut Stage) -> Result<Seen, String> {
    let transcript = stage.transcript();
    let mark = transcript.mark();
    transcript.spoil(&[Fault::Busy; 3]);
    let spoiled = transcript.wait(mark, SOON * 2, |all| {
        let spoiled: Vec<Exchange> =
            all.iter().filter(|it| it.fault == Some(Fault::Busy)).cloned().collect();
        (spoiled.len() == 3).then_some(spoiled)
    });
    let Some(spoiled) = spoiled else {
        let left = transcript.unspoiled();
        return Err(format!("it did not try again: {} of 3 requests came", 3 - left));
    };
    // `Retry-After` is one second.
    for pair in spoiled.windows(2) {
        let [a, b] = pair else { continue };
        let after = b.at.saturating_duration_since(a.at);
        if a.verb == b.verb && after < Duration::from_millis(500) {
            let ms = after.as_millis();
            return Err(format!(
                "it tried `{}` again after {ms} ms: not as `Retry-After` asks",
                a.verb
            ));
        }
    }
    stage.succeeds(ECHO, &json!("after 503"))?;
    passed("three times, and then goes on")
}

fn cut_claim(stage: &mut Stage) -> Result<Seen, String> {
    let transcript = stage.transcript();
    let mark = transcript.mark();
    transcript.spoil(&[Fault::CutAnswer("claim")]);
    let task = stage.submit(ECHO, &json!("its claim's answer is lost"))?;
    let over = stage.over(&task, SOON + LEASE)?;
    let is_spoiled = transcript.unspoiled() == 0;
    let made = attempts_of(stage, &task.task)?;
    if over.state != "succeeded" || made != 1 || !is_spoiled {
        return Err(format!(
            "the task is {} after {made} attempts: another number was used, so its lease ran out",
            over.state
        ));
    }
    let claims = transcript.since(mark).into_iter().filter(|it| it.verb == "claim");
    let numbers: Vec<u64> = claims
        .filter(|it| it.answered("tasks").iter().any(|it| text(it, "task") == task.task))
        .filter_map(|it| it.request.get("claim").and_then(Value::as_u64))
        .collect();
    passed(format!("claims {numbers:?} gave the same task"))
}

fn cut_complete(stage: &mut Stage) -> Result<Seen, String> {
    let transcript = stage.transcript();
    let mark = transcript.mark();
    transcript.spoil(&[Fault::CutAnswer("complete")]);
    let task = stage.submit(ECHO, &json!("the answer to its result is lost"))?;
    let claimed = claimed(stage, mark, &task.task)?;
    let repeated = transcript.wait(mark, SOON, |all| {
        let answers = all.iter().filter(|it| it.verb == "complete" && it.fault.is_none());
        let mut tokens = answers.flat_map(|it| it.answered("tokens"));
        tokens.find(|it| text(it, "pt") == claimed)
    });
    let left = transcript.unspoiled();
    let repeated = repeated.ok_or(match left {
        0 => "it did not present the result again",
        _ => "it presented no result",
    })?;
    if text(&repeated, "state") != "accepted" || repeated.get("repeated") != Some(&json!(true)) {
        return Err(format!("the second answer is {repeated}"));
    }
    let over = stage.over(&task, SOON)?;
    passed(format!("the task is {} once, and the second answer says `repeated`", over.state))
}

fn forgotten(stage: &mut Stage) -> Result<Seen, String> {
    let transcript = stage.transcript();
    let mark = transcript.mark();
    transcript.spoil(&[Fault::Forget]);
    let registered = transcript.wait(mark, SOON, |all| {
        let forgot = all.iter().position(|it| it.fault == Some(Fault::Forget))?;
        let mut later = all.iter().skip(forgot);
        later.any(|it| it.verb == "register" && it.status == 200).then_some(())
    });
    transcript.unspoiled();
    registered.ok_or("it did not register again")?;
    stage.succeeds(ECHO, &json!("after it was forgotten"))?;
    passed("and works on")
}

fn once(stage: &mut Stage) -> Result<Seen, String> {
    let mut answered: BTreeMap<String, String> = BTreeMap::new();
    let mut presented = 0;
    for exchange in stage.transcript().since(0) {
        if !matches!(exchange.verb.as_str(), "complete" | "fail") {
            continue;
        }
        for list in ["results", "failures"] {
            for item in exchange.asked(list) {
                presented += 1;
                if let Some(state) = answered.get(text(&item, "pt")) {
                    let pt = text(&item, "pt");
                    return Err(format!("{pt} was presented after it was answered `{state}`"));
                }
            }
        }
        // An answer that was lost on its way is none.
        if exchange.fault.is_none() {
            let told = exchange.answered("tokens").into_iter();
            answered
                .extend(told.map(|it| (text(&it, "pt").to_owned(), text(&it, "state").to_owned())));
        }
    }
    passed(format!("{presented} results and failures"))
}

fn leaves(stage: &mut Stage) -> Result<Seen, String> {
    if stage.is_by_hand() {
        return Ok(Seen::Skipped("the worker was started by hand".to_owned()));
    }
    let transcript = stage.transcript();
    let mark = transcript.mark();
    let task = stage.submit(WORK, &json!({ "ms": 1_500 }))?;
    claimed(stage, mark, &task.task)?;
    let Some(mut worker) = stage.worker.take() else {
        return Err("it has ended already".to_owned());
    };
    worker.terminate();
    let left =
        transcript.wait(mark, SOON, |all| all.iter().any(|it| it.verb == "leave").then_some(()));
    left.ok_or("it did not leave")?;
    let over = stage.over(&task, SOON)?;
    if over.state != "succeeded" {
        return Err(format!("what it had in hand is {}", over.state));
    }
    match worker.ended_within(SOON) {
        None => Err("its process did not end".to_owned()),
        Some(status) if status.success() => passed("what it had in hand was completed"),
        Some(status) => Err(format!("its process ended with {status}")),
    }
}

fn fenced(stage: &mut Stage) -> Result<Seen, String> {
    if stage.is_by_hand() {
        return Ok(Seen::Skipped("the worker was started by hand".to_owned()));
    }
    let transcript = stage.transcript();
    let mark = transcript.mark();
    stage.start_worker()?;
    let registered = transcript.wait(mark, START, |all| {
        all.iter().find(|it| it.verb == "register" && it.status == 200).cloned()
    });
    let registered = registered.ok_or("it did not register in time")?;
    let waits = stage.until(SOON, || transcript.is_open("claim").then_some(()));
    waits.ok_or("no claim waits for work")?;
    let mark = transcript.mark();
    let answer: Result<Value, _> = stage.client.post("/workers", &registered.request, None);
    answer.map_err(|failure| failure.message().to_owned())?;
    let told = transcript.wait(mark, SOON, |all| {
        let told = |it: &Exchange| text(&it.answer, "code") == "worker_fenced";
        all.iter().any(told).then_some(())
    });
    told.ok_or("it was not told within its heartbeat: it says nothing any more")?;
    pause(LEASE);
    if transcript.since(mark).iter().any(|it| it.verb == "register") {
        return Err(
            "it registered again and took the name back: two processes would fight".to_owned()
        );
    }
    passed("and does not take the name back")
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
