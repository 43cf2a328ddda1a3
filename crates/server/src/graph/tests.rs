//! Graphs of plans: levels, paths, and each form of them.

use std::sync::Arc;

use super::*;
use ark_os_core::payload::Bytes;
use ark_os_core::plan::MapSpec;
use ark_os_core::plan::graph::{EdgeList, Edges};

/// a → {b map, c when} → d reduces b; f stands in for c; e after everything.
fn plan() -> Arc<Workflow> {
    let mut plan = Workflow::single("x");
    let names = ["a", "b", "c", "d", "e", "f"];
    plan.name = "demo".into();
    plan.version = "1".into();
    plan.tasks = names.iter().map(|name| TaskSpec::new(name, "echo")).collect();
    let needs: [&[u32]; 6] = [&[], &[0], &[0], &[1], &[3, 2], &[0]];
    for (task, needs) in plan.tasks.iter_mut().zip(needs) {
        task.needs = needs.to_vec();
    }
    let list = Bytes(Arc::from(&b"[]"[..]));
    let map = MapSpec { over: list, parallel_max: 0, failures_max: 0, collect: false };
    plan.tasks[1].shape = Shape::Map(map);
    plan.tasks[2].when = Some(r#"input.deep == "yes" && 1 < 2"#.into());
    plan.tasks[2].on_failure = OnFailure::Fallback(5);
    plan.tasks[3].shape = Shape::Reduce(1);
    plan.tasks[5].is_fallback = true;
    plan.sealed()
}

#[test]
fn levels_and_the_longest_chain_follow_from_what_waits_for_what() {
    let graph = of_plan(&plan());
    let levels: Vec<_> = graph.nodes.iter().map(|node| node.level).collect();
    assert_eq!(levels, [0, 1, 1, 2, 3, 2]);
    assert_eq!(graph.critical_path, ["a", "b", "d", "e"]);
    assert_eq!((graph.critical_ms, graph.edges.len()), (None, 7));
    assert_eq!(graph.nodes[5].fallback_for.as_deref(), Some("c"));
}

#[test]
fn the_chain_that_took_the_time_is_critical() {
    let before = before(&plan());
    let order = order(&plan(), &before);
    let weights = [Some(1), Some(5), Some(50), Some(1), Some(1), None];
    assert_eq!(critical_path(&before, &order, &weights), [0, 2, 4]);
}

#[test]
fn a_tree_of_text_fits_its_width_and_has_every_task_once() {
    for style in [TextStyle::default(), TextStyle { width: 40, ascii: true }] {
        let text = GraphFormat::Text(style).render(&of_plan(&plan()));
        assert!(text.lines().all(|line| line.chars().count() <= style.width), "{text}");
        assert_eq!(text.is_ascii(), style.ascii, "{text}");
    }
    let text = GraphFormat::Text(TextStyle::default()).render(&of_plan(&plan()));
    let want = "\
demo 1: 6 tasks
* a            echo
* ├─ b         echo  map
* │  ↓ d       echo  reduce
* │  ↓ e       echo
         also after c
  └─ c         echo
       when input.deep == \"yes\" && 1 < 2
     ↓ f       echo  fallback of c
* critical path: a → b → d → e
";
    let squeezed = |text: &str| -> Vec<String> {
        text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
    };
    assert_eq!(squeezed(&text), squeezed(want), "{text}");
}

#[test]
fn a_chain_of_a_thousand_tasks_and_a_comb_are_drawn_without_recursion() {
    let mut plan = Workflow::single("x");
    plan.tasks = (0..1_000).map(|ix| TaskSpec::new(&format!("t{ix}"), "echo")).collect();
    let mut comb = plan.clone();
    for (ix, task) in plan.tasks.iter_mut().enumerate().skip(1) {
        task.needs = vec![ix as u32 - 1];
    }
    for (ix, task) in comb.tasks.iter_mut().enumerate().skip(1) {
        task.needs = vec![(ix as u32 - 1) / 2 * 2];
    }
    for plan in [plan.sealed(), comb.sealed()] {
        let text = GraphFormat::Text(TextStyle::default()).render(&of_plan(&plan));
        assert!(text.lines().all(|line| line.chars().count() <= 80));
        assert_eq!(text.lines().count(), 1_002);
    }
}

/// A name, free text and every sign that means something to one of the languages.
fn hostile() -> GraphView {
    let mut graph = of_plan(&plan());
    graph.nodes[2].when = Some("x == \"a\\\"]; t0 --> t9 <script> #35; \n{}|`".to_owned());
    graph
}

#[test]
fn dot_is_one_digraph_whose_texts_cannot_end_a_string() {
    let text = GraphFormat::Dot.render(&hostile());
    assert!(text.starts_with("digraph \"demo\" {\n") && text.ends_with("}\n"), "{text}");
    for line in text.lines().filter(|line| line.contains('"')) {
        let plain = line.replace("\\\\", "").replace("\\\"", "");
        assert_eq!(plain.matches('"').count() % 2, 0, "{line}");
    }
    assert_eq!(text.lines().filter(|line| line.contains(" -> \"")).count(), 7);
    assert_eq!(text.lines().filter(|line| line.contains("[label=")).count(), 6);
    assert!(text.contains("style=dashed, label=\"fallback\""));
}

#[test]
fn mermaid_is_one_flowchart_whose_texts_cannot_end_a_label() {
    let text = GraphFormat::Mermaid.render(&hostile());
    assert!(text.starts_with("flowchart LR\n"));
    for line in text.lines().filter(|line| line.contains('"')) {
        assert_eq!(line.matches('"').count(), 2, "{line}");
        let label = line.split('"').nth(1).unwrap();
        assert!(!label.contains(['[', ']', '{', '}', '|', '`', '\\']), "{label}");
        assert!(!label.replace("<br/>", "").contains(['<', '>', '&']), "{label}");
    }
    assert_eq!(text.matches(" --> ").count() + text.matches("-. fallback .->").count(), 7);
    assert!(text.contains("  class t0 critical\n"));
}

#[test]
fn an_edge_list_of_the_plan_has_no_cycle_with_its_fallbacks() {
    let before = before(&plan());
    let mut edges = EdgeList::new(before.len());
    for (ix, needs) in (0u32..).zip(&before) {
        needs.iter().for_each(|need| assert!(edges.add(ix, *need)));
    }
    assert_eq!(Edges::len(&edges), 6);
    assert_eq!(order(&plan(), &before).len(), 6);
}
