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
