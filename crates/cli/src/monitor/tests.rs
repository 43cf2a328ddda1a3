//! The model fed with answers and keys, and the screens that come of it. The screens are kept as
//! snapshots at 80×24 and 120×40.

use ark_os_api::{LogPage, Overview};
use serde_json::{Value, json};

use super::keys::Key;
use super::model::{
    Answer, Below, EventLine, Filter, Input, Look, Model, Pane, Part, Request, Verb,
};
use super::once::painted;

const RUN: &str = "run_01JZ0000000000000000000007";
const UTF8: Look = Look { colour: false, utf8: true };

fn fixture(part: &str) -> Value {
    let all: Value = serde_json::from_str(include_str!("fixtures/run.json")).unwrap();
    all[part].clone()
}

fn overview() -> Box<Overview> {
    serde_json::from_str(include_str!("fixtures/overview.json")).unwrap()
}

fn answered(model: &mut Model, answer: Answer) -> Vec<Request> {
    model.update(Input::Answered(answer))
}

fn with(look: Look, columns: u16, rows: u16) -> Model {
    let model = Model::new(look, "http://127.0.0.1:7341".to_owned(), "default".to_owned());
    let mut model = model.every(1_000);
    model.update(Input::Resized(columns, rows));
    let endpoint = model.endpoint.clone();
    answered(&mut model, Answer::Overview { endpoint, overview: overview() });
    model
}

fn press(model: &mut Model, keys: &str) -> Vec<Request> {
    keys.chars().flat_map(|key| model.update(Input::Key(Key::Char(key)))).collect()
}

fn key(model: &mut Model, key: Key) -> Vec<Request> {
    model.update(Input::Key(key))
}

fn runs() -> Vec<ark_os_api::RunView> {
    overview().runs.shown
}

/// Both sizes of a screen, one below the other.
fn both(prepare: impl Fn(&mut Model)) -> String {
    [(80, 24), (120, 40)]
        .map(|(columns, rows)| {
            let mut model = with(UTF8, columns, rows);
            prepare(&mut model);
            let lines = painted(&model);
            assert_eq!(lines.len(), usize::from(rows));
            lines.join("\n")
        })
        .join("\n\n")
}

#[test]
fn the_first_screen_has_a_little_of_everything() {
    insta::assert_snapshot!(both(|_| {}));
}

#[test]
fn the_fleet_is_a_tree_with_the_health_of_layers_and_stacks() {
    insta::assert_snapshot!(both(|model| {
        press(model, "2");
    }));
}

#[test]
fn runs_are_listed_with_their_progress() {
    insta::assert_snapshot!(both(|model| {
        press(model, "3");
        answered(model, Answer::Runs { states: "", items: runs(), more: true });
    }));
}

#[test]
fn queues_tell_who_waits_for_which_skill() {
    insta::assert_snapshot!(both(|model| {
        press(model, "4");
    }));
}

#[test]
fn rates_have_curves_and_latencies() {
    insta::assert_snapshot!(both(|model| {
        press(model, "5");
    }));
}

#[test]
fn attention_tells_what_can_be_done() {
    insta::assert_snapshot!(both(|model| {
        press(model, "6");
        key(model, Key::Down);
    }));
}

#[test]
fn the_log_is_told_as_it_comes() {
    let line = |number: u64, level: &str, message: &str| {
        let line = json!({"timestamp": "2026-01-31T11:59:58.123Z", "level": level, "message": message,
            "agent_id": null, "task_id": "task_1", "trace_id": null, "attempts": number,
            "log.logger": "ark_os", "process.pid": 1, "service.name": "ark-os"});
        json!({"number": number, "line": line})
    };
    let page = json!({"next": 3, "lost": 0, "items": [
        line(1, "info", "listening"), line(2, "warn", "attempt lost\u{1b}[2J"), line(3, "error", "no disk")]});
    insta::assert_snapshot!(both(|model| {
        press(model, "7");
        let page: LogPage = serde_json::from_str(&page.to_string()).unwrap();
        answered(model, Answer::Logs(page));
    }));
}

fn with_agents(model: &mut Model) {
    press(model, "2");
    for _ in 0..7 {
        key(model, Key::Down);
    }
    let asked = key(model, Key::Enter);
    let [Request::Agents(of)] = &asked[..] else { panic!("{asked:?}") };
    let agents = serde_json::from_value(fixture("agents")).unwrap();
    answered(model, Answer::Agents { of: of.clone(), agents });
}

#[test]
fn a_stack_is_gone_into_and_its_agents_are_listed() {
    insta::assert_snapshot!(both(with_agents));
}

#[test]
fn an_agent_is_shown_with_what_it_works_on() {
    insta::assert_snapshot!(both(|model| {
        with_agents(model);
        key(model, Key::Down);
        assert_eq!(key(model, Key::Enter), [Request::Agent("specialist-00001".to_owned())]);
        let view = serde_json::from_value(fixture("agents")[1].clone()).unwrap();
        let task = serde_json::from_value(fixture("tasks")[3].clone()).unwrap();
        answered(model, Answer::Agent { view: Box::new(view), tasks: vec![task] });
    }));
}

fn into_run(model: &mut Model, part: Part) {
    model.below.push(Below::run(RUN.to_owned(), part));
    let view = serde_json::from_value(fixture("run")).unwrap();
    answered(model, Answer::Run(Box::new(view)));
}

#[test]
fn a_run_is_shown_as_its_graph() {
    insta::assert_snapshot!(both(|model| {
        into_run(model, Part::Graph);
        let graph = serde_json::from_value(fixture("graph")).unwrap();
        answered(model, Answer::Graph { run: RUN.to_owned(), graph });
    }));
}

#[test]
fn a_run_is_shown_by_its_tasks() {
    insta::assert_snapshot!(both(|model| {
        into_run(model, Part::Tasks);
        let tasks = serde_json::from_value(fixture("tasks")).unwrap();
        answered(model, Answer::Tasks { run: RUN.to_owned(), tasks });
    }));
}

#[test]
fn a_run_is_shown_by_its_trace_and_its_events() {
    let trace = both(|model| {
        into_run(model, Part::Trace);
        let rows = serde_json::from_value(fixture("trace")).unwrap();
        answered(model, Answer::Trace { run: RUN.to_owned(), rows, more: true });
    });
    let event = |number: u32| EventLine {
        id: format!("{number}.0"),
        at: "2026-01-31T11:58:00.003Z".to_owned(),
        text: format!("task_ready task={number}"),
    };
    let events = both(|model| {
        into_run(model, Part::Events);
        let events = vec![event(1), event(2)];
        answered(model, Answer::Events { run: RUN.to_owned(), events, more: false });
    });
    insta::assert_snapshot!(format!("{trace}\n\n{events}"));
}

#[test]
fn help_and_confirmation_stand_over_the_screen() {
    let help = both(|model| {
        press(model, "?");
    });
    let sure = both(|model| {
        press(model, "cbad input");
    });
    insta::assert_snapshot!(format!("{help}\n\n{sure}"));
}

fn with_escalations(model: &mut Model) {
    assert_eq!(press(model, "e"), [Request::Escalations]);
    let rung = |remedy: &str, at: u32, healthy: Option<bool>| json!({"remedy": remedy, "at": format!("2026-01-31T11:59:{at:02}.000Z"), "healthy": healthy});
    let by_seat = json!({"remedy": "quarantine", "by": "stack-chief-00003",
        "at": "2026-01-31T11:59:50.000Z", "healthy": null});
    let items = json!([
        {"id": 3, "state": "open", "class": "in_doubt", "to": "human",
         "task": "task_01JZ0000000000000000000006_1.17", "by": "micro-00042",
         "message": "an effect may or may not have happened: the agent died",
         "raised": "2026-01-31T11:40:00.000Z",
         "ladder": [rung("retry", 1, Some(false)), rung("reroute", 7, Some(false)),
            rung("observe", 9, Some(false))]},
        {"id": 12, "state": "open", "class": "agent_failing", "to": "stack-chief-00003",
         "agent": "micro-00007", "by": "micro-00007", "deadline": "2026-01-31T12:00:41.500Z",
         "message": "it fails although it was restarted and replaced",
         "raised": "2026-01-31T11:59:50.000Z",
         "ladder": [rung("restart", 10, Some(false)), rung("throttle", 11, Some(false)),
            rung("restart", 12, Some(false)), rung("throttle", 13, Some(false)),
            rung("restart", 14, Some(false)), rung("throttle", 15, Some(false)),
            rung("replace", 20, None), by_seat]},
    ]);
    let items = serde_json::from_value(items).unwrap();
    answered(model, Answer::Escalations { items, more: false });
}

#[test]
fn escalations_are_shown_with_whom_they_were_told_and_what_was_tried() {
    insta::assert_snapshot!(both(|model| {
        with_escalations(model);
        key(model, Key::Down);
    }));
}

#[test]
fn an_escalation_is_gone_into_and_what_it_is_about_can_be_unparked() {
    let mut model = with(UTF8, 80, 24);
    // From anywhere, and once.
    with_agents(&mut model);
    with_escalations(&mut model);
    with_escalations(&mut model);
    assert_eq!(model.below.len(), 2);
    press(&mut model, "unow");
    let asked = key(&mut model, Key::Enter);
    let [Request::Act(action)] = &asked[..] else { panic!("{asked:?}") };
    assert_eq!(action.target, "task_01JZ0000000000000000000006_1.17");
    let asked = key(&mut model, Key::Enter);
    let run = "run_01JZ0000000000000000000006".to_owned();
    assert_eq!(asked, [Request::Run(run.clone()), Request::Tasks(run)]);
    key(&mut model, Key::Escape);
    key(&mut model, Key::Down);
    assert_eq!(key(&mut model, Key::Enter), [Request::Agent("micro-00007".to_owned())]);
}

#[test]
fn a_frozen_instance_is_told_in_the_first_line() {
    let mut model = with(UTF8, 80, 24);
    let overview = Box::new(Overview { status: "frozen".to_owned(), ..*overview() });
    answered(&mut model, Answer::Overview { endpoint: String::new(), overview });
    assert!(painted(&model)[0].contains("‖ frozen"), "{}", painted(&model)[0]);
}

#[test]
fn a_terminal_with_nothing_but_ascii_gets_nothing_else() {
    let mut model = with(Look { colour: false, utf8: false }, 80, 24);
    for pane in "1234567".chars() {
        press(&mut model, &pane.to_string());
        let screen = painted(&model).join("\n");
        let other: Vec<char> = screen.chars().filter(|c| !c.is_ascii()).collect();
        assert!(other.is_empty(), "{other:?}\n{screen}");
    }
    press(&mut model, "1?");
    let screen = painted(&model).join("\n");
    assert!(screen.is_ascii(), "{screen}");
    insta::assert_snapshot!(screen);
}

#[test]
fn every_screen_can_be_painted_at_any_size() {
    for (columns, rows) in [(1, 1), (10, 3), (79, 23), (81, 7), (300, 100), (20, 60)] {
        let mut model = with(UTF8, columns, rows);
        for keys in ["1", "2", "3", "4", "5", "6", "7", "1?", " c"] {
            press(&mut model, keys);
            assert_eq!(painted(&model).len(), usize::from(rows), "{columns} {rows} {keys}");
        }
        key(&mut model, Key::Escape);
        with_escalations(&mut model);
        painted(&model);
        with_agents(&mut model);
        painted(&model);
        for part in Part::ALL {
            into_run(&mut model, part);
            painted(&model);
        }
    }
}

#[test]
fn an_action_is_done_only_after_a_reason_and_to_what_was_chosen() {
    let mut model = with(UTF8, 80, 24);
    press(&mut model, "1");
    key(&mut model, Key::Down);
    assert!(press(&mut model, "c").is_empty());
    assert!(key(&mut model, Key::Enter).is_empty());
    assert!(model.notice.as_ref().unwrap().is_bad, "{:?}", model.notice);
    // Letters are text now, and a list that moves under the question changes nothing.
    let mut moved = overview();
    moved.runs.shown.reverse();
    answered(&mut model, Answer::Overview { endpoint: String::new(), overview: moved });
    assert!(press(&mut model, "qp 1").is_empty());
    let asked = key(&mut model, Key::Enter);
    let [Request::Act(action)] = &asked[..] else { panic!("{asked:?}") };
    assert_eq!((action.verb, action.reason.as_str()), (Verb::Cancel, "qp 1"));
    assert_eq!(action.target, "run_01JZ0000000000000000000008");
    let refreshed =
        answered(&mut model, Answer::Acted { action: action.clone(), state: "cancelled".into() });
    assert_eq!(refreshed, [Request::Overview]);
    assert!(painted(&model)[23].contains("cancel run_01JZ0000000000000000000008: cancelled"));
}

#[test]
fn a_question_can_be_left() {
    let mut model = with(UTF8, 80, 24);
    press(&mut model, "pbecause");
    assert!(key(&mut model, Key::Escape).is_empty());
    assert!(model.dialog.is_none() && !model.is_over);
}

#[test]
fn unpark_needs_a_task_and_finds_it_in_attention() {
    let mut model = with(UTF8, 80, 24);
    press(&mut model, "u");
    assert!(model.dialog.is_none() && model.notice.as_ref().unwrap().is_bad);
    press(&mut model, "6jjunow");
    let asked = key(&mut model, Key::Enter);
    let [Request::Act(action)] = &asked[..] else { panic!("{asked:?}") };
    assert_eq!(action.target, "task_01JZ0000000000000000000006_1.17");
    // Nothing can be done to an agent from here.
    press(&mut model, "jc");
    assert!(model.dialog.is_none());
}

#[test]
fn a_lost_instance_is_told_and_asked_for_until_it_is_back() {
    let mut model = with(UTF8, 80, 24);
    let tick = |model: &mut Model, now_ms: u64| model.update(Input::Tick { now_ms });
    assert_eq!(tick(&mut model, 2_000), [Request::Overview]);
    assert_eq!(tick(&mut model, 2_500), []);
    answered(&mut model, Answer::Unreachable { message: "connection refused".to_owned() });
    tick(&mut model, 5_000);
    let screen = painted(&model);
    assert!(screen[0].contains("✗ reconnecting, lost for 2 s"), "{}", screen[0]);
    assert!(screen[23].contains("connection refused"), "{}", screen[23]);
    // What was known is still shown.
    assert!(screen[2].contains("Fleet 100"), "{}", screen[2]);
    press(&mut model, "7");
    let back = Answer::Overview { endpoint: "http://127.0.0.1:9".to_owned(), overview: overview() };
    assert_eq!(answered(&mut model, back), [Request::Logs { after: None }]);
    assert!(painted(&model)[0].contains("http://127.0.0.1:9"));
}

#[test]
fn an_instance_that_does_not_answer_is_told_to_be_late() {
    let mut model = with(UTF8, 80, 24);
    model.update(Input::Tick { now_ms: 1_000 });
    // No second question before the first is answered.
    assert_eq!(model.update(Input::Tick { now_ms: 9_000 }), []);
    assert!(painted(&model)[0].contains("no answer for 9 s"), "{}", painted(&model)[0]);
}

#[test]
fn runs_are_filtered_by_state_and_searched() {
    let mut model = with(UTF8, 80, 24);
    assert_eq!(press(&mut model, "3"), [Request::Runs { states: "", limit: 100 }]);
    let asked = press(&mut model, "ff");
    assert_eq!(asked.last(), Some(&Request::Runs { states: "parked", limit: 100 }));
    assert_eq!(model.filter, Filter::Parked);
    // The answer to a question of before is not taken for this one.
    answered(&mut model, Answer::Runs { states: "", items: runs(), more: false });
    assert!(model.runs.is_none());
    press(&mut model, "ffff");
    answered(&mut model, Answer::Runs { states: "", items: runs(), more: false });
    press(&mut model, "/NIGHT");
    let asked = key(&mut model, Key::Enter);
    assert_eq!(asked, [Request::Runs { states: "", limit: 500 }]);
    let listed: Vec<&str> = model.listed().iter().map(|run| run.workflow.as_str()).collect();
    assert_eq!(listed, ["nightly"]);
    key(&mut model, Key::Escape);
    assert_eq!(model.listed().len(), 5);
    assert_eq!(model.pane, Pane::Runs);
}

#[test]
fn tab_goes_through_panes_and_inside_a_run_through_its_parts() {
    let mut model = with(UTF8, 80, 24);
    for pane in Pane::ALL {
        assert_eq!(model.pane, pane);
        key(&mut model, Key::Tab);
    }
    assert_eq!(model.pane, Pane::Overview);
    let asked = key(&mut model, Key::Enter);
    let run = "run_01JZ0000000000000000000009".to_owned();
    assert_eq!(asked, [Request::Run(run.clone()), Request::Graph(run.clone())]);
    assert_eq!(key(&mut model, Key::Tab)[1], Request::Tasks(run.clone()));
    assert_eq!(key(&mut model, Key::Tab)[1], Request::Trace(run.clone()));
    let first = Request::Events { run: run.clone(), after: None };
    assert_eq!(key(&mut model, Key::Tab)[1], first);
    let event = EventLine { id: "5.0".to_owned(), at: String::new(), text: String::new() };
    let page = Answer::Events { run: run.clone(), events: vec![event], more: true };
    // A whole page means that there is more.
    let next = Request::Events { run, after: Some("5.0".to_owned()) };
    assert_eq!(answered(&mut model, page), [next]);
    key(&mut model, Key::Escape);
    assert!(model.below.is_empty());
}

#[test]
fn who_reads_older_log_lines_stays_there() {
    let mut model = with(UTF8, 80, 24);
    let page = |from: u64, to: u64| {
        let items: Vec<Value> = (from..=to)
            .map(|n| json!({"number": n, "line": {"message": format!("line {n}.")}}))
            .collect();
        let page = json!({"items": items, "next": to, "lost": 0});
        Answer::Logs(serde_json::from_str(&page.to_string()).unwrap())
    };
    press(&mut model, "7");
    answered(&mut model, page(1, 100));
    let last = |model: &Model| painted(model)[21].clone();
    assert!(last(&model).contains("line 100."), "{}", last(&model));
    key(&mut model, Key::PageUp);
    assert!(last(&model).contains("line 82."), "{}", last(&model));
    answered(&mut model, page(101, 110));
    assert!(last(&model).contains("line 82."), "{}", last(&model));
    key(&mut model, Key::End);
    assert!(last(&model).contains("line 110."), "{}", last(&model));
}

#[test]
fn a_run_that_is_not_there_is_told_as_such() {
    let mut model = with(UTF8, 80, 24);
    key(&mut model, Key::Enter);
    let request = Request::Run("run_01JZ0000000000000000000009".to_owned());
    answered(&mut model, Answer::Refused { request, message: "no such run".to_owned() });
    assert!(painted(&model)[3].contains("no such run"), "{}", painted(&model)[3]);
}

#[test]
fn the_keys_to_leave_end_it_also_over_a_question() {
    for keys in ["q", "7q"] {
        let mut model = with(UTF8, 80, 24);
        press(&mut model, keys);
        assert!(model.is_over);
    }
    let mut model = with(UTF8, 80, 24);
    press(&mut model, "c");
    key(&mut model, Key::Leave);
    assert!(model.is_over);
}
