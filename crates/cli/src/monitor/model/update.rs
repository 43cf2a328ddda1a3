//! `(Model, Input) → Model + Requests`.

use ark_os_api::LogPage;

use super::act::Verb;
use super::dialog::{Typed, type_into};
use super::{
    AgentsOf, Answer, Below, Choice, Dialog, EVENTS_MAX, EventLine, Input, LOGS_MAX, Link, Model,
    NOTICE_MS, Notice, Pane, Part, Request, RunBelow,
};
use crate::monitor::keys::Key;
use crate::monitor::rows;

/// Runs of the list; a search looks through more.
const RUNS_LISTED: usize = 100;
const RUNS_SEARCHED: usize = 500;
/// Between two tries to reach an instance that is gone, at most.
const RETRY_MS: u64 = 1_000;

impl Model {
    /// Takes an input; what is to be asked because of it.
    pub(crate) fn update(&mut self, input: Input) -> Vec<Request> {
        let requests = match input {
            Input::Ended => {
                self.is_over = true;
                Vec::new()
            }
            Input::Resized(columns, rows) => {
                self.size = (columns, rows);
                Vec::new()
            }
            Input::Tick { now_ms } => self.tick(now_ms),
            Input::Key(key) => self.press(key),
            Input::Answered(answer) => self.take(answer),
        };
        self.waiting += requests.len();
        requests
    }

    fn tick(&mut self, now_ms: u64) -> Vec<Request> {
        self.now_ms = now_ms;
        let is_old = |notice: &Notice| now_ms.saturating_sub(notice.at_ms) > NOTICE_MS;
        if self.notice.as_ref().is_some_and(is_old) {
            self.notice = None;
        }
        let every = match self.link {
            Link::Lost { .. } => self.interval_ms.min(RETRY_MS),
            _ => self.interval_ms,
        };
        // Whoever is slow is not asked again before the last answer came.
        if self.waiting > 0 || now_ms.saturating_sub(self.asked_ms) < every {
            return Vec::new();
        }
        self.asked_ms = now_ms;
        self.refresh()
    }

    /// Everything that the present screen shows.
    fn refresh(&self) -> Vec<Request> {
        let mut requests = vec![Request::Overview];
        if self.link != Link::Up {
            // One question finds out whether it is back.
            return requests;
        }
        match self.below.last() {
            Some(Below::Agents { of, .. }) => requests.push(Request::Agents(of.clone())),
            Some(Below::Agent { id, .. }) => requests.push(Request::Agent(id.clone())),
            Some(Below::Escalations { .. }) => requests.push(Request::Escalations),
            Some(Below::Run(run)) => requests.extend(requests_of(run)),
            None => match self.pane {
                Pane::Runs => requests.push(self.runs_request()),
                Pane::Log => requests.push(Request::Logs { after: self.logs_after }),
                _ => {}
            },
        }
        requests
    }

    fn runs_request(&self) -> Request {
        let limit = if self.search.is_empty() { RUNS_LISTED } else { RUNS_SEARCHED };
        Request::Runs { states: self.filter.states(), limit }
    }

    fn say(&mut self, text: impl Into<String>, is_bad: bool) {
        self.notice = Some(Notice { text: text.into(), is_bad, at_ms: self.now_ms });
    }

    fn press(&mut self, key: Key) -> Vec<Request> {
        match key {
            Key::Leave => {
                self.is_over = true;
                return Vec::new();
            }
            Key::Repaint => {
                self.repaint = true;
                return Vec::new();
            }
            _ => {}
        }
        if let Some(dialog) = self.dialog.take() {
            return self.press_dialog(dialog, key);
        }
        match key {
            Key::Char('q') => self.is_over = true,
            Key::Char('?') => self.dialog = Some(Dialog::Help),
            Key::Char(c @ '1'..='7') => {
                let at = (c as usize).saturating_sub('1' as usize);
                return Pane::ALL.get(at).map_or_else(Vec::new, |pane| self.turn_to(*pane));
            }
            Key::Tab | Key::Right => return self.turn(1),
            Key::BackTab | Key::Left => return self.turn(Pane::ALL.len() - 1),
            Key::Escape | Key::Backspace => {
                if self.below.pop().is_none() && !self.search.is_empty() && self.pane == Pane::Runs
                {
                    self.search.clear();
                }
                return self.refresh_now();
            }
            Key::Enter => return self.enter(),
            Key::Up | Key::Char('k') => self.step(-1),
            Key::Down | Key::Char('j') => self.step(1),
            Key::PageUp => self.step(-(self.page() as isize)),
            Key::PageDown => self.step(self.page() as isize),
            Key::Home | Key::Char('g') => self.step(isize::MIN),
            Key::End | Key::Char('G') => self.step(isize::MAX),
            Key::Char('e') => return self.go_into(Below::escalations()),
            Key::Char('f') if self.is_runs() => {
                self.filter = self.filter.next();
                self.runs = None;
                return self.refresh_now();
            }
            Key::Char('/') if self.below.is_empty() => {
                let requests = self.turn_to(Pane::Runs);
                self.dialog = Some(Dialog::Search { before: self.search.clone() });
                return requests;
            }
            Key::Char(c) => {
                if let Some(verb) = Verb::of(c) {
                    self.ask(verb);
                }
            }
            _ => {}
        }
        Vec::new()
    }

    fn is_runs(&self) -> bool {
        self.pane == Pane::Runs && self.below.is_empty()
    }

    fn press_dialog(&mut self, dialog: Dialog, key: Key) -> Vec<Request> {
        match dialog {
            // Any key closes the help.
            Dialog::Help => {}
            Dialog::Search { before } => match type_into(&mut self.search, key) {
                Typed::Open => self.dialog = Some(Dialog::Search { before }),
                Typed::Left => self.search = before,
                Typed::Done => return self.refresh_now(),
            },
            Dialog::Confirm(mut action) => match type_into(&mut action.reason, key) {
                Typed::Left => self.say("left as it is", false),
                Typed::Done if action.reason.trim().is_empty() => {
                    self.say("say why first: the reason is recorded", true);
                    self.dialog = Some(Dialog::Confirm(action));
                }
                Typed::Done => {
                    self.say(format!("{} {} …", action.verb.word(), action.target), false);
                    return vec![Request::Act(action)];
                }
                Typed::Open => self.dialog = Some(Dialog::Confirm(action)),
            },
        }
        Vec::new()
    }

    /// Tab goes through the parts of a run, and otherwise through the panes.
    fn turn(&mut self, by: usize) -> Vec<Request> {
        if let Some(Below::Run(run)) = self.below.last_mut() {
            let at = Part::ALL.iter().position(|part| *part == run.part).unwrap_or(0);
            let by = if by == 1 { 1 } else { Part::ALL.len() - 1 };
            run.part = Part::ALL.get((at + by) % Part::ALL.len()).copied().unwrap_or(Part::Graph);
            run.chosen = Choice::default();
            return self.refresh_now();
        }
        let at = Pane::ALL.iter().position(|pane| *pane == self.pane).unwrap_or(0);
        let next = Pane::ALL.get((at + by) % Pane::ALL.len()).copied();
        self.turn_to(next.unwrap_or(Pane::Overview))
    }

    fn turn_to(&mut self, pane: Pane) -> Vec<Request> {
        self.below.clear();
        self.pane = pane;
        self.refresh_now()
    }

    /// What a new screen shows is asked for at once, not at the next tick.
    fn refresh_now(&self) -> Vec<Request> {
        match self.link {
            Link::Up => self.refresh().into_iter().skip(1).collect(),
            _ => Vec::new(),
        }
    }

    fn step(&mut self, by: isize) {
        if self.below.is_empty() && self.pane == Pane::Log {
            let most = self.logs.len().saturating_sub(1);
            // Up is towards older lines.
            let up = self.chosen.log_up.saturating_add_signed(by.saturating_neg());
            self.chosen.log_up = up.min(most);
            return;
        }
        let ids = rows::ids(self);
        if let Some(chosen) = self.chosen_mut() {
            chosen.step(&ids, by);
        }
    }

    fn chosen_mut(&mut self) -> Option<&mut Choice> {
        if let Some(below) = self.below.last_mut() {
            return Some(match below {
                Below::Agents { chosen, .. }
                | Below::Agent { chosen, .. }
                | Below::Escalations { chosen, .. } => chosen,
                Below::Run(run) => &mut run.chosen,
            });
        }
        match self.pane {
            Pane::Fleet => Some(&mut self.chosen.fleet),
            Pane::Overview | Pane::Runs => Some(&mut self.chosen.runs),
            Pane::Queues => Some(&mut self.chosen.queues),
            Pane::Attention => Some(&mut self.chosen.attention),
            Pane::Rates | Pane::Log => None,
        }
    }

    /// Goes into what is chosen.
    fn enter(&mut self) -> Vec<Request> {
        rows::inside(self).map_or_else(Vec::new, |below| self.go_into(below))
    }

    /// The escalations are asked for from anywhere, and are one screen wherever that is.
    fn go_into(&mut self, below: Below) -> Vec<Request> {
        if let Below::Escalations { .. } = below {
            self.below.retain(|it| !matches!(it, Below::Escalations { .. }));
        }
        self.below.push(below);
        self.refresh_now()
    }

    /// Asks whether something is to be done to what is chosen.
    fn ask(&mut self, verb: Verb) {
        match rows::target(self, verb) {
            Some(target) => self.dialog = Some(Dialog::confirm(verb, target)),
            None if verb == Verb::Unpark => {
                self.say(
                    "choose a parked task first: in Attention, a run's tasks, or by `e`",
                    true,
                );
            }
            None => self.say(format!("choose a run to {} first", verb.word()), true),
        }
    }

    fn take(&mut self, answer: Answer) -> Vec<Request> {
        self.waiting = self.waiting.saturating_sub(1);
        self.answered_ms = self.now_ms;
        if let Answer::Unreachable { message } = answer {
            self.lose(message);
            return Vec::new();
        }
        let was_up = self.link == Link::Up;
        self.link = Link::Up;
        let more = self.take_answer(answer);
        if was_up {
            return more;
        }
        self.logs_after = None;
        self.refresh_now()
    }

    fn lose(&mut self, why: String) {
        let since_ms = match self.link {
            Link::Lost { since_ms, .. } => since_ms,
            _ => self.now_ms,
        };
        self.link = Link::Lost { since_ms, why };
    }

    fn take_answer(&mut self, answer: Answer) -> Vec<Request> {
        match answer {
            Answer::Overview { endpoint, overview } => {
                self.endpoint = endpoint;
                self.overview = Some(overview);
            }
            Answer::Runs { states, items, more } => {
                // The filter may have been changed meanwhile.
                if states == self.filter.states() {
                    (self.runs, self.runs_cut) = (Some(items), more);
                }
            }
            Answer::Agents { of: asked, agents: came } => {
                if let Some(Below::Agents { of, agents, .. }) = self.below.last_mut()
                    && *of == asked
                {
                    *agents = Some(came);
                }
            }
            Answer::Agent { view: came, tasks: now } => {
                if let Some(Below::Agent { id, view, tasks, .. }) = self.below.last_mut()
                    && *id == came.id
                {
                    (*view, *tasks) = (Some(came), now);
                }
            }
            Answer::Escalations { items: came, more } => {
                if let Some(Below::Escalations { items, is_cut, .. }) = self.below.last_mut() {
                    (*items, *is_cut) = (Some(came), more);
                }
            }
            Answer::Logs(page) => self.take_logs(page),
            Answer::Acted { action, state } => {
                self.say(format!("{} {}: {state}", action.verb.word(), action.target), false);
                return self.refresh();
            }
            Answer::Refused { request, message } => self.take_refusal(&request, message),
            of_run => return self.take_of_run(of_run),
        }
        Vec::new()
    }

    fn take_refusal(&mut self, request: &Request, message: String) {
        match (request, self.below.last_mut()) {
            (Request::Run(id), Some(Below::Run(run))) if run.id == *id => {
                run.missing = Some(message)
            }
            _ => self.say(message, true),
        }
    }

    /// What belongs to the run that is open.
    fn take_of_run(&mut self, answer: Answer) -> Vec<Request> {
        let Some(Below::Run(open)) = self.below.last_mut() else { return Vec::new() };
        match answer {
            Answer::Run(view) if view.id == open.id => open.view = Some(view),
            Answer::Graph { run, graph } if run == open.id => open.graph = Some(graph),
            Answer::Tasks { run, tasks } if run == open.id => open.tasks = tasks,
            Answer::Trace { run, rows, more } if run == open.id => {
                (open.trace, open.trace_cut) = (rows, more);
            }
            Answer::Events { run, events, more } if run == open.id => {
                open.take_events(events);
                if more && open.part == Part::Events {
                    return vec![Request::Events { run, after: open.events_after.clone() }];
                }
            }
            _ => {}
        }
        Vec::new()
    }

    fn take_logs(&mut self, page: LogPage) {
        if self.logs_after.is_none() {
            self.logs.clear();
        }
        self.logs_after = Some(page.next);
        if self.chosen.log_up > 0 {
            // Who reads older lines stays where he is.
            self.chosen.log_up += page.items.len();
        }
        self.logs.extend(page.items);
        while self.logs.len() > LOGS_MAX {
            self.logs.pop_front();
        }
        self.chosen.log_up = self.chosen.log_up.min(self.logs.len().saturating_sub(1));
    }
}

fn requests_of(run: &RunBelow) -> [Request; 2] {
    let id = run.id.clone();
    let part = match run.part {
        Part::Graph => Request::Graph(id.clone()),
        Part::Tasks => Request::Tasks(id.clone()),
        Part::Trace => Request::Trace(id.clone()),
        Part::Events => Request::Events { run: id.clone(), after: run.events_after.clone() },
    };
    [Request::Run(id), part]
}

impl RunBelow {
    /// A run of which nothing is known yet.
    pub(crate) fn new(id: String, part: Part) -> Self {
        RunBelow {
            id,
            part,
            view: None,
            graph: None,
            tasks: Vec::new(),
            trace: Vec::new(),
            trace_cut: false,
            events: std::collections::VecDeque::new(),
            events_after: None,
            chosen: Choice::default(),
            missing: None,
        }
    }

    fn take_events(&mut self, events: Vec<EventLine>) {
        if let Some(last) = events.last() {
            self.events_after = Some(last.id.clone());
        }
        for event in events {
            self.events.push_front(event);
        }
        self.events.truncate(EVENTS_MAX);
    }
}

impl Below {
    pub(crate) fn agents(of: AgentsOf) -> Self {
        Below::Agents { of, agents: None, chosen: Choice::default() }
    }

    pub(crate) fn agent(id: String) -> Self {
        Below::Agent { id, view: None, tasks: Vec::new(), chosen: Choice::default() }
    }

    pub(crate) fn escalations() -> Self {
        Below::Escalations { items: None, is_cut: false, chosen: Choice::default() }
    }

    pub(crate) fn run(id: String, part: Part) -> Self {
        Below::Run(Box::new(RunBelow::new(id, part)))
    }
}
