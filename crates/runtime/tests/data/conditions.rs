//! Conditions: what they see, what they may not be, and what they may cost.

use ark_os_core::command::Prepared;
use ark_os_core::run::TaskState;
use ark_os_runtime::data::{Condition, prepare};
use serde_json::{Value, json};

use super::fixture::Fixture;

/// What the condition comes to: `None` is a failure.
fn holds(fixture: &Fixture, cel: &str) -> Result<bool, String> {
    let mut run = fixture.run.clone();
    let mut workflow = (*run.workflow).clone();
    workflow.tasks[0].when = Some(cel.into());
    run.workflow = workflow.sealed();
    match prepare(&run, 0, &fixture.payloads) {
        Prepared::Go => Ok(true),
        Prepared::Skip => Ok(false),
        Prepared::Failed(failure) => {
            assert_eq!(&*failure.code, "condition_failed");
            Err(failure.message.to_string())
        }
        other => panic!("there is nothing else to prepare: {other:?}"),
    }
}

fn fixture(input: &Value) -> Fixture {
    let tasks = json!([
        {"name": "it"}, {"name": "a"}, {"name": "lax", "on_failure": "continue"}, {"name": "odd-one"},
    ]);
    Fixture::new(tasks, input)
}

#[test]
fn conditions_see_input_and_tasks() {
    let mut fixture = fixture(&json!({
        "n": 3, "f": 1.5, "s": "text", "no": null, "big": u64::MAX, "l": [1, 2, 3],
        "o": [{"id": 1, "ok": true}, {"id": 2, "ok": false}], "k k": {"x": 1},
    }));
    fixture.done("a", &json!({"files": ["x.rs"], "count": 1}));
    fixture.failed("lax", "sad");
    fixture.state("odd-one", TaskState::Skipped);
    for (cel, want) in [
        ("true", true),
        ("input.n == 3 && input.n > 2.5 && input.n - 1 == 2", true),
        ("input.f < 2 && input.s.startsWith('te') && 'ex' in ['ex']", true),
        ("input.no == null", true),
        ("input.big > 5u", true),
        ("has(input.n) && !has(input.missing)", true),
        ("input['k k'].x == 1", true),
        ("size(input.l) == 3 && 2 in input.l && input.l[0] == 1", true),
        ("input.l.all(x, x < input.n)", false),
        ("input.o.exists(o, o.ok && o.id == 1)", true),
        ("input.o.exists_one(o, o.ok)", true),
        ("size(input.o.filter(o, o.id > 1)) == 1 && 2 in input.o.map(o, o.id)", true),
        ("tasks.a.output.count == 1 && size(tasks.a.output.files) == 1", true),
        ("tasks.a.state == 'succeeded' && tasks.a.error == null", true),
        ("tasks.lax.state == 'failed' && tasks.lax.error.code == 'sad'", true),
        ("tasks.lax.output == null", true),
        ("tasks['odd-one'].state == 'skipped' && tasks['odd-one'].output == null", true),
        ("type(input.n) == int && type(input.s) != int", true),
        ("input.n > 5 ? false : size(input.s) == 4", true),
        ("size(input) == 8", true),
    ] {
        assert_eq!(holds(&fixture, cel), Ok(want), "{cel}");
    }
}

#[test]
fn what_cannot_be_evaluated_fails_with_a_reason() {
    let fixture = fixture(&json!({"n": 1, "l": [1]}));
    for cel in [
        "input.n",
        "input.missing == 1",
        "input.n.deep == 1",
        "input.n / 0 == 1",
        "input.n + 'x' == 1",
        "input.l[7] == 1",
        "9223372036854775807 + input.n > 0",
        "-9223372036854775808 / -1 == 0",
        "-(-9223372036854775808) == 0",
        "int('x') == 1",
        "tasks.nobody.output == 1",
        "input.n.all(x, x)",
    ] {
        let message = holds(&fixture, cel).unwrap_err();
        assert!(!message.is_empty() && message.len() < 1_000, "{cel}: {message}");
    }
}

#[test]
fn what_is_no_condition_is_refused_when_it_is_compiled() {
    let deep = format!("{}1{} == 1", "(".repeat(900), ")".repeat(900));
    let chain = format!("{}1 == 1", "1+".repeat(900));
    let nots = format!("{}true", "!".repeat(1_900));
    // The parser counts these away.
    assert!(Condition::compile(&nots).is_ok());
    let dots = format!("input{} == 1", ".a".repeat(900));
    let ternary = "true?".repeat(390);
    let long = format!("'{}' == ''", "x".repeat(2_000));
    let lists = format!("{}{} == 1", "[".repeat(900), "]".repeat(900));
    for cel in [
        "",
        " ",
        "input.",
        "1 +",
        "input.n ==",
        "é",
        "'",
        "{",
        "foo",
        "foo(1)",
        "tasks",
        "tasks.a",
        "tasks.size() > 1",
        "tasks[input.n].output == 1",
        "tasks.a.result == 1",
        "has(tasks.a)",
        "input.l.all(x, input.l.all(y, x == y))",
        "input.l.map(x, x + x).exists(y, y == 1)",
        "input.l.map(x, x) == [1]",
        "input.l.filter(x, x > 1)[0] == 1",
        "input.l.all(input, input > 1)",
        "input.l.all(tasks, true)",
        "input.s.matches('a*')",
        "Message{x: 1} == 1",
        "optional.of(1).hasValue()",
        "input.?n == 1",
        "x.all(y, true)",
        "@result == 1",
        deep.as_str(),
        chain.as_str(),
        dots.as_str(),
        ternary.as_str(),
        long.as_str(),
        lists.as_str(),
    ] {
        let message = Condition::compile(cel).unwrap_err();
        assert!(message.len() < 1_000, "{cel}");
    }
}

#[test]
fn costly_conditions_are_refused_before_they_run() {
    let list: Vec<u32> = (0..10_000).collect();
    let text = "x".repeat(1_000_000);
    let fixture = fixture(&json!({"l": list, "s": text, "n": 5}));
    assert_eq!(holds(&fixture, "input.l.all(x, x < 10000 && x >= 0 && x != 20000)"), Ok(true));
    assert_eq!(holds(&fixture, "input.l.exists(x, x == input.n)"), Ok(true));
    assert_eq!(holds(&fixture, "size(input.s + 'x') > size(input.s)"), Ok(true));
    let sums = vec!["input.s"; 200].join("+") + " == ''";
    for cel in [
        "input.l.all(x, x in input.l)",
        "input.l.all(x, input.s != 'y')",
        "size(input.l.map(x, input.l)) > 1",
        "size((input.l + input.l + input.l + input.l + input.l + input.l).filter(x, x > 1 && x < 3 && x != 7 && x != 8 && x != 9 && x != 10)) > 1",
        &sums,
    ] {
        let message = holds(&fixture, cel).unwrap_err();
        assert!(message.contains("would cost") || message.contains("levels"), "{cel}: {message}");
    }
    let many: Vec<u32> = (0..300_000).collect();
    let message = holds(&self::fixture(&json!({"l": many})), "size(input.l) > 1").unwrap_err();
    assert!(message.contains("reads more than"), "{message}");
}
