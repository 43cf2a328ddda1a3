//! What an instance advises, for people at a terminal: it names routes, here the commands that do the same.

/// Routes that hints name, with their commands.
const COMMANDS: [(&str, &str); 11] = [
    ("GET /api/v1/agents", "ark-os list agents"),
    ("GET /api/v1/deployments", "ark-os list deployments"),
    ("GET /api/v1/escalations", "ark-os escalations list"),
    ("GET /api/v1/measures", "ark-os emergency list"),
    ("GET /api/v1/runs", "ark-os list runs"),
    ("GET /api/v1/runs/{id}/graph", "ark-os graph RUN"),
    ("GET /api/v1/runs/{id}/tasks", "ark-os list tasks RUN"),
    ("GET /api/v1/schedules", "ark-os schedule list"),
    ("GET /api/v1/tasks/{id}", "ark-os get TASK"),
    ("GET /api/v1/workflows", "ark-os list workflows"),
    ("/api/v1/metrics", "ark-os monitor"),
];

/// The same advice with commands in the place of routes.
pub(crate) fn in_commands(hint: &str) -> String {
    let quoted = |text: &str| format!("`{text}`");
    COMMANDS.iter().fold(hint.to_owned(), |hint, (route, command)| {
        hint.replace(&quoted(route), &quoted(command))
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use ark_os_api::Problem;

    use super::*;
    use crate::failure::Failure;

    /// For whoever writes a program, where no command does it.
    const FOR_PROGRAMS: [&str; 4] = [
        "`POST /api/v1/workers`",
        "`/api/v1/openapi.json`",
        "`GET /api/v1/health`",
        "`GET /api/v1/metrics/history`",
    ];

    /// Texts in backticks that name a route, in the lines of code below a folder.
    fn routes_in(folder: &Path, found: &mut Vec<String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                routes_in(&path, found);
            } else if path.extension().is_some_and(|it| it == "rs") && !path.ends_with("hints.rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
                let quoted = code.flat_map(|line| line.split('`').skip(1).step_by(2));
                found.extend(
                    quoted.filter(|it| it.contains("/api/v1/")).map(|it| format!("`{it}`")),
                );
            }
        }
    }

    #[test]
    fn every_route_that_a_hint_names_is_a_command_here() {
        let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let mut routes = Vec::new();
        for name in ["core", "runtime", "server"] {
            routes_in(&crates.join(name).join("src"), &mut routes);
        }
        assert!(routes.len() > 10, "{routes:?}");
        routes.retain(|it| !FOR_PROGRAMS.contains(&it.as_str()));
        for route in routes {
            let told = in_commands(&route);
            assert!(told.starts_with("`ark-os "), "no command is known for {route}");
        }
        let mut ours = Vec::new();
        routes_in(&crates.join("cli/src"), &mut ours);
        ours.retain(|it| !FOR_PROGRAMS.contains(&it.as_str()));
        assert_eq!(ours, Vec::<String>::new(), "the command line names commands");
    }

    #[test]
    fn what_the_instance_advises_is_told_as_a_command() {
        let problem = Problem::new("run_not_found", "no run `x` is known")
            .with_hint("`GET /api/v1/runs` lists them");
        let failure = Failure::of_problem(problem);
        assert_eq!(failure.hint(), Some("`ark-os list runs` lists them"));
    }

    #[test]
    fn the_rest_of_a_hint_stays() {
        let hint = "`GET /api/v1/agents` lists them; names are such as `micro-00042`";
        assert_eq!(
            in_commands(hint),
            "`ark-os list agents` lists them; names are such as `micro-00042`"
        );
    }
}
