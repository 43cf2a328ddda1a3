//! `ark-os noa`: checking, healing, comparing and importing manifests.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::support::Home;

fn tree(path: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let path: PathBuf = root.join(path);
    path.canonicalize()
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()))
        .display()
        .to_string()
}

#[test]
fn a_valid_manifest_passes_every_stage() {
    let home = Home::new();
    for (file, summary) in [
        ("examples/manifests/newsroom.yaml", "14 agents, 1 workflow, 1 schedule"),
        (
            "examples/manifests/checks.toml",
            "4 agents beside 8 of the profile, 1 workflow, 0 schedules",
        ),
    ] {
        let done = home.call(&["noa", "validate", &tree(file)]).expect(0);
        for stage in
            ["schema      ok", "references  ok", "capacity    ok", "authority   ok", summary]
        {
            assert!(done.out.contains(stage), "{stage}: {}", done.out);
        }
    }
    let done =
        home.call(&["--json", "noa", "validate", &tree("examples/agents/deliver.yaml")]).expect(0);
    let notes = done.json()["notes"].to_string();
    assert!(notes.contains("effect:effectful"), "{notes}");
}

#[test]
fn every_finding_has_its_stage_line_column_and_pointer_in_all_three_formats() {
    let home = Home::new();
    let yaml = "agents:\n  - name: a\n    layer: board\n    supervisor: b\n  - name: b\n    layer: micro\n    \
                skills: [echo]\n    behaviour: native\n    colour: red\nfleet:\n  agents: 20\n";
    let toml = "[[agents]]\nname = \"a\"\nlayer = \"board\"\nsupervisor = \"b\"\n\n[[agents]]\nname = \"b\"\n\
                layer = \"micro\"\nskills = [\"echo\"]\nbehaviour = \"native\"\ncolour = \"red\"\n\n[fleet]\nagents = 20\n";
    let json = "{\"agents\": [\n {\"name\": \"a\", \"layer\": \"board\",\n  \"supervisor\": \"b\"},\n \
                {\"name\": \"b\", \"layer\": \"micro\", \"skills\": [\"echo\"],\n  \"behaviour\": \"native\",\n  \
                \"colour\": \"red\"}],\n \"fleet\": {\"agents\": 20}}\n";
    for (name, text, places) in [
        ("m.yaml", yaml, [(9, 13), (4, 17)]),
        ("m.toml", toml, [(11, 10), (4, 14)]),
        ("m.json", json, [(6, 13), (3, 17)]),
    ] {
        let file = home.file(name, text);
        let file = file.display().to_string();
        let found = home.call(&["--json", "noa", "validate", &file]).expect(2).json();
        let told: Vec<Value> = found["findings"]
            .as_array()
            .unwrap()
            .iter()
            .map(|it| json!([it["stage"], it["code"], it["pointer"], it["line"], it["column"]]))
            .collect();
        assert_eq!(
            told,
            [
                json!(["schema", "unknown_field", "/agents/1/colour", places[0].0, places[0].1]),
                json!([
                    "authority",
                    "layer_not_above",
                    "/agents/0/supervisor",
                    places[1].0,
                    places[1].1
                ]),
            ],
            "{name}"
        );
        let done = home.call(&["noa", "validate", &file]).expect(2);
        let line = format!("{file}:{}:{}: `b` is of the layer `micro`", places[1].0, places[1].1);
        assert!(done.out.contains(&line), "{}", done.out);
    }
}

#[test]
fn there_must_be_room_for_the_agents() {
    let home = Home::new();
    let file = home
        .file("m.yaml", "groups:\n  - {name: g, count: 60, skills: [echo], behaviour: native}\n");
    let config = home.file("c.toml", "[system]\nmax_agents = 100\ninitial_agent_count = 50\n");
    let (file, config) = (file.display().to_string(), config.display().to_string());
    home.call(&["noa", "validate", &file]).expect(0);
    let done = home.call(&["noa", "validate", &file, "--config", &config]).expect(2);
    assert!(done.out.contains("capacity    1 error"), "{}", done.out);
    assert!(done.out.contains("more than 100"), "{}", done.out);
}

#[test]
fn healing_prints_or_writes_and_keeps_the_original() {
    let home = Home::new();
    let text = "# ours\nagents:\n  writer:\n    skills: text.write\n    layer: Micro\n    behaviour: worker\n    odd: 1\n";
    let path = home.file("m.yaml", text);
    let file = path.display().to_string();
    let healed = "agents:\n  - name: writer\n    layer: micro\n    skills:\n      - text.write\n    \
                  behaviour: worker\n    odd: 1\n";
    let done = home.call(&["noa", "normalize", &file]).expect(0);
    assert_eq!(done.out, healed);
    assert!(done.err.contains("m.yaml:2:1: word: \"Micro\" → \"micro\""), "{}", done.err);
    assert!(done.err.contains("m.yaml:2:1: kept"), "{}", done.err);
    let report = home.call(&["--json", "noa", "normalize", &file]).expect(0).json();
    assert_eq!(report["heals"].as_array().unwrap().len(), 3, "{report}");

    home.call(&["noa", "normalize", "--write", &file]).expect(0);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), healed);
    assert_eq!(std::fs::read_to_string(home.path().join("m.yaml.orig")).unwrap(), text);
    let done = home.call(&["noa", "normalize", "--write", &file]).expect(0);
    assert!(done.err.contains("nothing to heal"), "{}", done.err);
    assert!(!home.path().join("m.yaml.orig.1").exists());

    let toml = home.call(&["noa", "normalize", "--format", "toml", &file]).expect(0);
    assert!(toml.out.contains("[[agents]]\nname = \"writer\""), "{}", toml.out);
}

#[test]
fn a_directory_of_agents_is_imported_and_valid() {
    let home = Home::new();
    let done = home
        .call(&["noa", "import", "--from", "csv", &tree("examples/manifests/team.csv")])
        .expect(0);
    assert!(done.err.contains("team.csv:2: `Ana Müller` is called `Ana-Mueller`"), "{}", done.err);
    let file = home.file("team.yaml", &done.out);
    home.call(&["noa", "validate", &file.display().to_string()]).expect(0);

    let broken = home.file("b.csv", "name,manager,skills\na,,x.y\nb,nobody,x.y\nc,,\n");
    let done =
        home.call(&["noa", "import", "--from", "csv", &broken.display().to_string()]).expect(1);
    assert!(done.err.contains("b.csv:3: there is no agent `nobody`"), "{}", done.err);
    assert!(done.err.contains("b.csv:4: it has no skills"), "{}", done.err);
    assert!(done.err.contains("missing: (output):"), "{}", done.err);
}

#[test]
fn a_crew_is_imported_with_what_it_cannot_do_told() {
    let home = Home::new();
    let agents = home
        .file("agents.yaml", "writer:\n  role: Writer\n  goal: Write about {topic}\n  llm: a/b\n");
    let tasks = home.file(
        "tasks.yaml",
        "write:\n  description: Write about {topic}\n  agent: writer\n  expected_output: text\n",
    );
    let (agents, tasks) = (agents.display().to_string(), tasks.display().to_string());
    let done = home
        .call(&["--json", "noa", "import", "--from", "crewai", &agents, &tasks])
        .expect(0)
        .json();
    assert_eq!(done["manifest"]["agents"][0]["behaviour"], "worker");
    assert_eq!(done["manifest"]["workflows"][0]["input"]["required"], json!(["topic"]));
    assert!(done["notes"].to_string().contains("no language models"), "{done}");
}

#[test]
fn two_manifests_are_compared() {
    let home = Home::new();
    let old = tree("examples/manifests/checks.toml");
    let text = std::fs::read_to_string(&old).unwrap().replace("count = 3", "count = 5");
    let new = home.file("new.toml", &text).display().to_string();
    assert_eq!(home.call(&["noa", "diff", &old, &old]).expect(0).out, "no difference\n");
    let done = home.call(&["noa", "diff", &old, &new]).expect(0);
    assert_eq!(done.out, "~ agents hashers (micro)\n    count: 3 → 5\n");
}

#[test]
fn the_published_schema_is_printed() {
    let home = Home::new();
    let printed = home.call(&["noa", "schema"]).expect(0);
    let published = std::fs::read_to_string(tree("docs/manifest.schema.json")).unwrap();
    assert_eq!(printed.out, published, "ark-os noa schema > docs/manifest.schema.json");
}
