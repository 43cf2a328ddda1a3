//! What the view knows and shows, and how it changes. Pure: inputs are keys, answers and the time;
//! what has to be asked of the instance comes out as requests.

use std::collections::VecDeque;

use ark_os_api::{
    AgentView, EscalationView, GraphView, LogLine, LogPage, Overview, RunView, TaskView,
};

use super::keys::Key;

mod act;
mod choice;
mod dialog;
mod update;

pub(crate) use act::{Action, Verb};
pub(crate) use choice::Choice;
pub(crate) use dialog::Dialog;

/// Log lines kept for scrolling back.
const LOGS_MAX: usize = 2_000;
/// Events of a run kept: the newest.
const EVENTS_MAX: usize = 2_000;
/// How long an answer to a key is shown.
const NOTICE_MS: u64 = 8_000;
/// An instance that has not answered for so long is told to be late.
const LATE_MS: u64 = 5_000;

/// The panes, by their numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pane {
    Overview,
    Fleet,
    Runs,
    Queues,
    Rates,
    Attention,
    Log,
}

impl Pane {
    pub(crate) const ALL: [Pane; 7] = [
        Pane::Overview,
        Pane::Fleet,
        Pane::Runs,
        Pane::Queues,
        Pane::Rates,
        Pane::Attention,
        Pane::Log,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Pane::Overview => "Overview",
            Pane::Fleet => "Fleet",
            Pane::Runs => "Runs",
            Pane::Queues => "Queues",
            Pane::Rates => "Rates",
            Pane::Attention => "Attention",
            Pane::Log => "Log",
        }
    }
}

/// Which agents a list shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum AgentsOf {
    Layer(String),
    Stack(u32),
}

/// How a run is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Graph,
    Tasks,
    Trace,
    Events,
}

impl Part {
    pub(crate) const ALL: [Part; 4] = [Part::Graph, Part::Tasks, Part::Trace, Part::Events];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Part::Graph => "graph",
            Part::Tasks => "tasks",
            Part::Trace => "trace",
            Part::Events => "events",
        }
    }
}

/// What somebody went into.
#[derive(Clone, Debug)]
pub(crate) enum Below {
    /// The agents of a layer or a stack.
    Agents { of: AgentsOf, agents: Option<Vec<AgentView>>, chosen: Choice },
    /// One agent, and what it works on.
    Agent { id: String, view: Option<Box<AgentView>>, tasks: Vec<TaskView>, chosen: Choice },
    /// The open escalations, and whether there are more.
    Escalations { items: Option<Vec<EscalationView>>, is_cut: bool, chosen: Choice },
    /// One run.
    Run(Box<RunBelow>),
}

/// One run, in its parts; each is there once it was looked at.
#[derive(Clone, Debug)]
pub(crate) struct RunBelow {
    pub(crate) id: String,
    pub(crate) part: Part,
    pub(crate) view: Option<Box<RunView>>,
    pub(crate) graph: Option<Box<GraphView>>,
    pub(crate) tasks: Vec<TaskView>,
    pub(crate) trace: Vec<ark_os_api::TraceRow>,
    /// Whether the trace has more rows than are shown.
    pub(crate) trace_cut: bool,
    /// Newest first.
    pub(crate) events: VecDeque<EventLine>,
    /// Up to where the events were read.
    pub(crate) events_after: Option<String>,
    pub(crate) chosen: Choice,
    /// Why it cannot be shown.
    pub(crate) missing: Option<String>,
}

/// An event of a run, as a line of its list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EventLine {
    pub(crate) id: String,
    pub(crate) at: String,
    pub(crate) text: String,
}

/// Which runs the list shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Filter {
    All,
    Live,
    Parked,
    Failed,
    Cancelled,
    Succeeded,
}

impl Filter {
    const ALL: [Filter; 6] = [
        Filter::All,
        Filter::Live,
        Filter::Parked,
        Filter::Failed,
        Filter::Cancelled,
        Filter::Succeeded,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Filter::All => "all",
            Filter::Live => "live",
            Filter::Parked => "parked",
            Filter::Failed => "failed",
            Filter::Cancelled => "cancelled",
            Filter::Succeeded => "succeeded",
        }
    }

    /// The states that the API is asked for; empty: all.
    pub(crate) fn states(self) -> &'static str {
        match self {
            Filter::All => "",
            Filter::Live => "accepted,running,waiting,paused,parked",
            Filter::Parked => "parked",
            Filter::Failed => "failed",
            Filter::Cancelled => "cancelled",
            Filter::Succeeded => "succeeded",
        }
    }

    fn next(self) -> Self {
        let at = Filter::ALL.iter().position(|it| *it == self).unwrap_or(0);
        Filter::ALL.get((at + 1) % Filter::ALL.len()).copied().unwrap_or(Filter::All)
    }
}

/// How it stands with the instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Link {
    /// No answer yet.
    Connecting,
    /// It answers.
    Up,
    /// It does not; since when, and why.
    Lost { since_ms: u64, why: String },
}

/// What a key came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Notice {
    pub(crate) text: String,
    pub(crate) is_bad: bool,
    at_ms: u64,
}

/// What the terminal can show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Look {
    pub(crate) colour: bool,
    pub(crate) utf8: bool,
}

/// Everything that the view knows.
#[derive(Clone, Debug)]
pub(crate) struct Model {
    pub(crate) look: Look,
    pub(crate) endpoint: String,
    pub(crate) namespace: String,
    /// The time of this process: of waiting, never shown as that of the instance.
    pub(crate) now_ms: u64,
    pub(crate) link: Link,
    pub(crate) overview: Option<Box<Overview>>,
    pub(crate) pane: Pane,
    pub(crate) below: Vec<Below>,
    pub(crate) dialog: Option<Dialog>,
    pub(crate) notice: Option<Notice>,
    pub(crate) filter: Filter,
    pub(crate) search: String,
    /// The list of runs as it was last asked for; none: not yet.
    pub(crate) runs: Option<Vec<RunView>>,
    /// Whether there are more runs than were looked through.
    pub(crate) runs_cut: bool,
    pub(crate) logs: VecDeque<LogLine>,
    logs_after: Option<u64>,
    pub(crate) chosen: Chosen,
    /// Columns and rows of the screen.
    pub(crate) size: (u16, u16),
    interval_ms: u64,
    asked_ms: u64,
    /// Requests without an answer.
    waiting: usize,
    answered_ms: u64,
    pub(crate) is_over: bool,
    /// Whether the screen is to be painted anew from nothing.
    pub(crate) repaint: bool,
}

/// Where the cursor is in each pane's list.
#[derive(Clone, Debug, Default)]
pub(crate) struct Chosen {
    pub(crate) fleet: Choice,
    pub(crate) runs: Choice,
    pub(crate) queues: Choice,
    pub(crate) attention: Choice,
    /// Lines from the newest line of the log up; 0 follows it.
    pub(crate) log_up: usize,
}

/// What comes in.
#[derive(Clone, Debug)]
pub(crate) enum Input {
    Key(Key),
    /// The terminal has another size: so many columns and rows.
    Resized(u16, u16),
    /// Time has passed.
    Tick {
        now_ms: u64,
    },
    /// The instance answered, or did not.
    Answered(Answer),
    /// Somebody asked the process to end, or the terminal is gone.
    Ended,
}

/// What is to be asked of the instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    Overview,
    Runs { states: &'static str, limit: usize },
    Run(String),
    Agents(AgentsOf),
    Agent(String),
    Escalations,
    Graph(String),
    Tasks(String),
    Trace(String),
    Events { run: String, after: Option<String> },
    Logs { after: Option<u64> },
    Act(Action),
}

/// What came of a request.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    Overview {
        endpoint: String,
        overview: Box<Overview>,
    },
    Runs {
        states: &'static str,
        items: Vec<RunView>,
        more: bool,
    },
    Run(Box<RunView>),
    Agents {
        of: AgentsOf,
        agents: Vec<AgentView>,
    },
    Agent {
        view: Box<AgentView>,
        tasks: Vec<TaskView>,
    },
    Escalations {
        items: Vec<EscalationView>,
        more: bool,
    },
    Graph {
        run: String,
        graph: Box<GraphView>,
    },
    Tasks {
        run: String,
        tasks: Vec<TaskView>,
    },
    Trace {
        run: String,
        rows: Vec<ark_os_api::TraceRow>,
        more: bool,
    },
    Events {
        run: String,
        events: Vec<EventLine>,
        more: bool,
    },
    Logs(LogPage),
    Acted {
        action: Action,
        state: String,
    },
    /// The instance refused.
    Refused {
        request: Request,
        message: String,
    },
    /// It cannot be reached.
    Unreachable {
        message: String,
    },
}

impl Model {
    /// A view that knows nothing yet.
    pub(crate) fn new(look: Look, endpoint: String, namespace: String) -> Self {
        Model {
            look,
            endpoint,
            namespace,
            now_ms: 0,
            link: Link::Connecting,
            overview: None,
            pane: Pane::Overview,
            below: Vec::new(),
            dialog: None,
            notice: None,
            filter: Filter::All,
            search: String::new(),
            runs: None,
            runs_cut: false,
            logs: VecDeque::new(),
            logs_after: None,
            chosen: Chosen::default(),
            size: (80, 24),
            interval_ms: 0,
            asked_ms: 0,
            waiting: 0,
            answered_ms: 0,
            is_over: false,
            repaint: false,
        }
    }

    /// Looks at the instance so often.
    #[must_use]
    pub(crate) fn every(self, interval_ms: u64) -> Self {
        Model { interval_ms, ..self }
    }

    /// The runs that the list shows: those of the filter in which the search is found.
    pub(crate) fn listed(&self) -> Vec<&RunView> {
        let runs = self.runs.iter().flatten();
        let wanted = self.search.to_lowercase();
        let is_found = |run: &&RunView| {
            wanted.is_empty()
                || run.id.to_lowercase().contains(&wanted)
                || run.workflow.to_lowercase().contains(&wanted)
        };
        runs.filter(is_found).collect()
    }

    /// How long the instance has not answered, when it should have.
    pub(crate) fn late_ms(&self) -> Option<u64> {
        let late = self.now_ms.saturating_sub(self.answered_ms);
        (self.link == Link::Up && self.waiting > 0 && late > LATE_MS).then_some(late)
    }

    /// Rows of a list: the screen without its frame.
    fn page(&self) -> usize {
        usize::from(self.size.1.saturating_sub(6)).max(1)
    }
}
