//! Configuration: layers with their origins, and what stops a start.

use crate::support::Home;

fn shown(home: &Home, args: &[&str], variables: &[(&str, &str)]) -> String {
    let mut command = home.command(&["config", "show"]);
    command.args(args).envs(variables.iter().copied());
    let done = crate::support::done(command.output().unwrap()).expect(0);
    // How wide the columns are depends on where the home is.
    let lines = home.neutral(&done.out);
    let lines = lines.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join("  "));
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn every_value_is_shown_with_where_it_came_from() {
    let home = Home::new();
    let file = home.file(
        "ark.toml",
        "[system]\nmode = \"autonomous\"\ninitial_agent_count = 20\n\
         [performance]\nmax_concurrent_tasks = 500\n",
    );
    let file = file.to_str().unwrap();
    let variables = [("ARK_OS_AGENT_COUNT", "30"), ("ARK_OS_TASK_TIMEOUT", "90s")];
    insta::assert_snapshot!(shown(
        &home,
        &["--config", file, "--data-dir", "/elsewhere"],
        &variables
    ));
}

#[test]
fn a_file_in_the_user_s_directory_is_read_without_being_named() {
    let home = Home::new();
    std::fs::create_dir_all(home.path().join(".config/ark-os")).unwrap();
    home.file(".config/ark-os/config.toml", "[system]\ninitial_agent_count = 7\n");
    let done = home.call(&["--json", "config", "show"]).expect(0).json();
    let values = done["values"].as_array().unwrap();
    let agents = values.iter().find(|it| it["key"] == "system.initial_agent_count").unwrap();
    assert_eq!(agents["value"], "7");
    assert!(agents["origin"].as_str().unwrap().ends_with("config.toml:2:23"), "{agents}");
}

#[test]
fn what_cannot_be_used_stops_the_start_with_its_place() {
    let home = Home::new();
    let file = home.file(
        "ark.toml",
        "[system]\nagents = 5\nmode = \"lazy\"\n\n[security]\ntoken_duration = \"24h\"\n",
    );
    let mut command = home.command(&["start", "--config", file.to_str().unwrap()]);
    let output = command.env("ARK_OS_HEARTBEAT_INTERVAL", "30s").output().unwrap();
    let done = crate::support::done(output).expect(2);
    insta::assert_snapshot!(home.neutral(&done.err));
    assert!(!home.data().exists(), "nothing was started");
}

#[test]
fn a_wrong_value_of_an_option_names_the_option() {
    let home = Home::new();
    let done = home.call(&["--json", "start", "--agents", "many"]).expect(2);
    let problem = done.problem();
    assert_eq!(problem["errors"][0]["place"], "--agents");
    home.call(&["start", "--agents", "0"]).expect(2);
    home.call(&["start", "--mode", "idle"]).expect(2);
    home.call(&["start", "--config", "/no/such/file"]).expect(2);
}

#[test]
fn limits_by_skill_hosts_and_a_namespace_s_budget_have_their_places() {
    let home = Home::new();
    let file = home.file(
        "ark.toml",
        "[server]\nhosts = [\"ark.example\", \"2001:db8::1\"]\n\
         [performance.skill_concurrency]\n\"audit.chunk\" = 8\naudit.report = 1\n\
         [budget]\nnamespace = { calls = 1_000_000, steps = 5, cost = \"5usd\" }\n",
    );
    let file = file.to_str().unwrap();
    let value = |variables: &[(&str, &str)], key: &str| {
        let mut command = home.command(&["--json", "config", "show", "--config", file]);
        command.envs(variables.iter().copied());
        let shown = crate::support::done(command.output().unwrap()).expect(0).json();
        let values = shown["values"].as_array().unwrap();
        let entry = values.iter().find(|it| it["key"] == key).unwrap();
        let text = |field: &str| home.neutral(entry[field].as_str().unwrap());
        (text("value"), text("origin"))
    };
    let pair = |value: &str, origin: &str| (value.to_owned(), origin.to_owned());
    let hosts = pair("ark.example,[2001:db8::1]", "HOME/ark.toml:2:9");
    assert_eq!(value(&[], "server.hosts"), hosts);
    let (limits, place) = value(&[], "performance.skill_concurrency");
    assert_eq!(limits, "audit.chunk=8,audit.report=1");
    assert!(place.starts_with("HOME/ark.toml:3:"), "{place}");
    let budget = pair("cost=5usd,calls=1000000,steps=5", "HOME/ark.toml:7:13");
    assert_eq!(value(&[], "budget.namespace"), budget);
    let variables = [("ARK_OS_NAMESPACE_BUDGET", "cpu=2h"), ("ARK_OS_HOSTS", "a.test,b.test")];
    assert_eq!(value(&variables, "budget.namespace"), pair("cpu=2h", "ARK_OS_NAMESPACE_BUDGET"));
    assert_eq!(value(&variables, "server.hosts"), pair("a.test,b.test", "ARK_OS_HOSTS"));
}

#[test]
fn lists_and_tables_of_another_form_are_told_with_their_place() {
    let home = Home::new();
    let file = home.file(
        "ark.toml",
        "[server]\nhosts = \"a\"\n[performance]\nskill_concurrency = { echo = 0 }\n\
         [budget]\nnamespace = { cost = \"5usd,calls=1\" }\n",
    );
    let done = home.call(&["--json", "config", "show", "--config", file.to_str().unwrap()]);
    let problem = done.expect(2).problem();
    let errors = problem["errors"].as_array().unwrap();
    let places: Vec<_> =
        errors.iter().map(|it| home.neutral(it["place"].as_str().unwrap())).collect();
    assert_eq!(places, ["HOME/ark.toml:2:9", "HOME/ark.toml:4:21", "HOME/ark.toml:6:13"]);
}

#[test]
fn a_limit_for_a_skill_that_nobody_has_stops_the_start() {
    let home = Home::new();
    let mut command = home.command(&["--json", "start", "--listen", "127.0.0.1:0"]);
    let output = command.env("ARK_OS_SKILL_CONCURRENCY", "ecko=2").output().unwrap();
    let problem = crate::support::done(output).expect(2).problem();
    assert_eq!(problem["code"], "unknown_skill", "{problem}");
}

#[test]
fn listening_everywhere_needs_a_name() {
    let home = Home::new();
    for address in ["0.0.0.0:0", "[::]:0"] {
        let problem = home.call(&["--json", "start", "--listen", address]).expect(2).problem();
        assert_eq!(problem["errors"][0]["place"], "--listen", "{problem}");
        assert!(problem.to_string().contains("--host"), "{problem}");
    }
    assert!(!home.data().exists(), "nothing was started");
}

/// Every key of the program stands in the documentation, with its variable, default and meaning.
#[test]
fn the_documentation_has_every_key_as_the_program_shows_it() {
    let documentation =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/operations.md"));
    let documentation = documentation.unwrap();
    let home = Home::new();
    let shown = home.call(&["--json", "config", "show"]).expect(0).json();
    let text = |it: &serde_json::Value, field: &str| it[field].as_str().unwrap().to_owned();
    for it in shown["values"].as_array().unwrap() {
        let (key, variable, about) = (text(it, "key"), text(it, "variable"), text(it, "about"));
        let default = match (key.as_str(), text(it, "value").as_str()) {
            ("system.data_dir", _) => "the state directory".to_owned(),
            (_, "") => "none".to_owned(),
            (_, value) => format!("`{value}`"),
        };
        let row = format!("| `{key}` | `{variable}` | {default} | {about} |");
        assert!(documentation.contains(&row), "docs/operations.md has no such row:\n{row}");
    }
    let rows = documentation.lines().filter(|line| line.contains("| `ARK_OS_")).count();
    assert_eq!(rows, shown["values"].as_array().unwrap().len(), "every row is a key");
}
