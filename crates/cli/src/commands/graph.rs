//! `ark-os graph`.

use std::path::Path;

use ark_os_api::{Exit, GraphView};
use ark_os_core::ids::RunId;
use ark_os_server::graph::{GraphFormat, TextStyle, of_plan};

use crate::client::segment;
use crate::failure::Failure;
use crate::session::Session;
use crate::submission::plan_of_file;

/// Draw the plan of a run, or of a workflow file that nobody ran
///
/// Of a run every task is shown with its state and the time from when it first stood in line to its
/// end; `*` marks the critical path: the chain that took the time, or without times the longest
/// one. A file is read here; no instance is needed.
#[derive(Debug, clap::Args)]
pub(crate) struct Graph {
    /// The run, or a workflow file (YAML, JSON or TOML; `-` reads standard input)
    #[arg(value_name = "RUN|FILE")]
    what: String,
    /// Which workflow of the file, if it has several
    #[arg(long, value_name = "NAME")]
    workflow: Option<String>,
    /// How it is written [default: text, or json with --json]
    #[arg(long, value_enum)]
    format: Option<Format>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// A tree of lines, fit for the terminal
    Text,
    /// The language of Graphviz: `ark-os graph RUN --format dot | dot -Tsvg`
    Dot,
    /// A flowchart of Mermaid, as Markdown files have them
    Mermaid,
    /// All that is known, for programs
    Json,
}

impl Graph {
    pub(crate) fn carry_out(self, session: &Session) -> Result<Exit, Failure> {
        let graph = if RunId::parse(&self.what).is_some() {
            if self.workflow.is_some() {
                return Err(Failure::usage("a run has just one workflow")
                    .with_hint("leave --workflow out, or name a file"));
            }
            session.client()?.get(&format!("/runs/{}/graph", segment(&self.what)))?
        } else {
            let skills = &session.components.skills;
            let plan = plan_of_file(Path::new(&self.what), self.workflow.as_deref(), skills);
            of_plan(&*plan?)
        };
        self.print(session, &graph)?;
        Ok(Exit::Done)
    }

    fn print(&self, session: &Session, graph: &GraphView) -> Result<(), Failure> {
        let terminal = session.output.terminal();
        let format = match (self.format, session.output.is_json()) {
            (Some(Format::Json), _) | (None, true) => return session.output.document(graph),
            (Some(Format::Dot), _) => GraphFormat::Dot,
            (Some(Format::Mermaid), _) => GraphFormat::Mermaid,
            (Some(Format::Text) | None, _) => {
                GraphFormat::Text(TextStyle { width: terminal.width(), ascii: !terminal.is_utf8() })
            }
        };
        session.output.bytes(format.render(graph).as_bytes())
    }
}
