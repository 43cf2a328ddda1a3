//! `decide`: what a command changes, or why it changes nothing. Pure: it reads the state, asks the
//! rules, and answers with events. One file below for each command or family of them.

use crate::command::{Command, IntendStep};
use crate::error::{Kind, Rejected};
use crate::event::{Change, Event};
use crate::ids::RunId;
use crate::rules::Rules;
use crate::state::State;
use crate::step::StepKey;
use crate::time::Time;

mod admission;
mod agent;
mod attempt;
mod child_run;
mod deploy;
mod deployed_schedules;
mod dispatch;
mod draft;
mod emergency;
mod escalation;
mod expansion;
mod finish_attempt;
mod fire_schedule;
mod fork_run;
mod instance;
mod limited;
mod load_run;
mod outcome;
mod preparation;
mod prioritize_run;
mod probe;
mod recover_run;
mod remote;
mod retry_run;
mod run_control;
mod scale;
mod schedule;
mod settings;
mod signal;
mod step;
mod submit_run;
mod timer;
mod wait;

pub use remote::UNHEARD;
pub use step::Known;

/// Decides a command. The change may be empty: then there is nothing to record.
///
/// `now` never takes the state back: an earlier moment counts as the state's own.
///
/// # Errors
/// The command changes nothing; the rejection says why and what to do.
pub fn decide(
    state: &State,
    rules: &dyn Rules,
    command: Command,
    now: Time,
) -> Result<Change, Rejected> {
    let now = now.max(state.now);
    match command {
        command @ (Command::StartInstance(_)
        | Command::SetIntake { .. }
        | Command::ChangeSettings(_)
        | Command::Revoke { .. }) => of_the_whole(state, command, now),
        command @ (Command::SetAgent { .. }
        | Command::ScaleFleet { .. }
        | Command::Deploy(_)
        | Command::ReportHealth { .. }
        | Command::CancelDeployment { .. }
        | Command::JoinAgent(_)
        | Command::LeaveAgent { .. }
        | Command::MarkAgent { .. }) => of_fleet(state, rules, command, now),
        command @ (Command::ResolveEscalation { .. }
        | Command::TakeMeasure { .. }
        | Command::LiftMeasure { .. }) => of_supervision(state, command, now),
        Command::SubmitRun(submission) => submit_run::decide(state, rules, *submission, now),
        Command::RecoverRun { run } => recover_run::decide(state, rules, run, now),
        Command::LoadRun(load) => load_run::decide(state, rules, *load, now),
        Command::Dispatch => dispatch::decide(state, rules, now),
        Command::FireTimer => timer::decide(state, now),
        Command::FinishPreparation { run, node, generation, result } => {
            preparation::decide(state, preparation::Asked { run, node, generation }, result, now)
        }
        Command::FinishGathering { run, generation, result } => {
            preparation::gathered(state, run, generation, result, now)
        }
        Command::FinishAttempt(finish) => finish_attempt::decide(state, rules, &finish, now),
        Command::LoseAttempt { pt, reason } => attempt::lose(state, pt, reason, now),
        Command::ReturnAttempt { pt, reason } => attempt::give_back(state, pt, reason, now),
        Command::RenewLease { pt, agent } => attempt::renew(state, pt, agent, now),
        Command::ReportProgress { pt, agent, checkpoint } => {
            attempt::report(state, pt, agent, checkpoint, now)
        }
        Command::IntendStep(intent) => step::intend(state, rules, *intent, now),
        Command::SettleStep { pt, key, outcome, spent } => {
            step::settle(state, step::Settlement { pt, key, outcome, spent }, now)
        }
        Command::ReportProbe { pt, agent, key, finding } => {
            probe::decide(state, probe::Report { pt, agent, key, finding }, now)
        }
        Command::CancelRun { run, reason } => run_control::cancel(state, run, &reason, now),
        Command::PauseRun { run, reason } => run_control::pause(state, run, reason, now),
        Command::ResumeRun { run, reason } => run_control::resume(state, run, reason, now),
        Command::PrioritizeRun { run, priority, reason } => {
            prioritize_run::decide(state, run, (priority, reason), now)
        }
        command @ (Command::PutSchedule(_)
        | Command::SetSchedule { .. }
        | Command::RemoveSchedule { .. }
        | Command::RunSchedule { .. }
        | Command::FireSchedule(_)) => of_schedules(state, rules, command, now),
        Command::RetryRun { run, task, reason } => {
            retry_run::decide(state, run, (task, reason), now)
        }
        Command::UnparkTask { task, reason } => run_control::unpark(state, task, reason, now),
        Command::ResolveStep { run, key, resolution, reason } => {
            step::resolve(state, step::Verdict { run, key, resolution, reason }, now)
        }
        Command::SendSignal(signal) => signal::decide(state, *signal, now),
        Command::ForkRun(fork) => fork_run::decide(state, rules, *fork, now),
        Command::StartChild { child } => child_run::start(state, rules, child, now),
        Command::SettleChild { child } => child_run::settle(state, child, now),
    }
}

/// Commands about the instance as a whole.
fn of_the_whole(state: &State, command: Command, now: Time) -> Result<Change, Rejected> {
    let events = match command {
        Command::StartInstance(started) => instance::start(state, *started),
        Command::SetIntake { intake, reason } => instance::set_intake(state, intake, reason),
        Command::ChangeSettings(changed) => settings::decide(*changed)?,
        Command::Revoke { id, reason } => vec![Event::AuthorityRevoked { id, reason }],
        _ => return Err(misplaced()),
    };
    Ok(of_instance(events, now))
}

/// Commands about agents, each by itself or all that are deployed.
fn of_fleet(
    state: &State,
    rules: &dyn Rules,
    command: Command,
    now: Time,
) -> Result<Change, Rejected> {
    match command {
        Command::SetAgent { agent, online, reason } => {
            agent::set(state, agent, online, reason).map(|events| of_instance(events, now))
        }
        Command::ScaleFleet { agents, reason } => {
            scale::decide(state, agents, reason).map(|events| of_instance(events, now))
        }
        Command::Deploy(deploy) => deploy::decide(state, rules, *deploy, now),
        Command::ReportHealth { version, layer, result } => {
            Ok(deploy::report(state, version, layer, result, now))
        }
        Command::CancelDeployment { version, reason } => {
            deploy::cancel(state, version, &reason, now)
        }
        Command::JoinAgent(join) => remote::join(state, *join, now),
        Command::LeaveAgent { name, reason } => Ok(remote::leave(state, name, reason, now)),
        Command::MarkAgent { name, standing, reason } => {
            Ok(remote::mark(state, &name, (standing, reason), now))
        }
        _ => Err(misplaced()),
    }
}

/// Commands about escalations and emergency measures.
fn of_supervision(state: &State, command: Command, now: Time) -> Result<Change, Rejected> {
    let events = match command {
        Command::ResolveEscalation { id, action, reason } => {
            escalation::resolve(state, id, action, reason, now)
        }
        Command::TakeMeasure { kind, by, reason, lasts_ms } => {
            emergency::take(state, emergency::Wanted { kind, by, reason, lasts_ms }, now)
        }
        Command::LiftMeasure { id, by, reason } => emergency::lift(state, id, by, reason),
        _ => Err(misplaced()),
    };
    events.map(|events| of_instance(events, now))
}

/// Commands about schedules.
fn of_schedules(
    state: &State,
    rules: &dyn Rules,
    command: Command,
    now: Time,
) -> Result<Change, Rejected> {
    match command {
        Command::PutSchedule(put) => schedule::put(state, *put, now),
        Command::SetSchedule { schedule, is_paused, next, reason } => {
            schedule::set(state, &schedule, schedule::Setting { is_paused, next, reason }, now)
        }
        Command::RemoveSchedule { schedule, reason } => {
            schedule::remove(state, &schedule, reason, now)
        }
        Command::RunSchedule { schedule, key } => {
            fire_schedule::manual(state, rules, (&schedule, key), now)
        }
        Command::FireSchedule(fire) => fire_schedule::decide(state, rules, fire, now),
        _ => Err(misplaced()),
    }
}

/// The key of the step that an intent is about, and what is known of it. A recorded step is never
/// done again, and one that can be asked about is asked about first.
pub fn known_step<'a>(state: &'a State, intent: &IntendStep) -> Option<(StepKey, Known<'a>)> {
    step::known_step(state, intent)
}

/// Whether nobody who waits for an agent could be given one.
pub(crate) fn is_idle(state: &State) -> bool {
    dispatch::soonest(state).is_none()
}

fn of_instance(events: Vec<Event>, at: Time) -> Change {
    Change { run: None, at, events }
}

fn of_run(run: RunId, events: Vec<Event>, at: Time) -> Change {
    Change { run: Some(run), at, events }
}

/// A command that stands in a group and is not decided there: a fault of ours that must not look like an answer.
fn misplaced() -> Rejected {
    Rejected::new(Kind::Internal, "internal", "the command has no decision in its group")
}

/// Nothing to record.
fn nothing(at: Time) -> Change {
    Change { run: None, at, events: Vec::new() }
}
