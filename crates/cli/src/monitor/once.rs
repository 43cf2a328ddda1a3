//! One screen as text, or documents for programs.

use std::time::Duration;

use ark_os_api::{Exit, Json, LogLine, LogPage, Overview, Page};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use serde::Serialize;

use super::Wanted;
use super::draw::{COLUMNS_MIN, ROWS_MIN, draw};
use super::fetch::{Asked, escalations_path};
use super::model::{Answer, Input, Look, Model};
use crate::failure::Failure;
use crate::session::Session;
use crate::{terminal, threads};

/// Log lines of a document.
const LOGS: usize = 100;

/// What `--json` prints: everything there is, as the API has it.
#[derive(Serialize)]
struct Document {
    /// Where the instance is.
    endpoint: String,
    /// `GET /api/v1/overview`.
    overview: Json,
    /// `GET /api/v1/escalations`: the open ones, oldest first, at most 500.
    escalations: Vec<Json>,
    /// The newest lines of its log, oldest first.
    logs: Vec<LogLine>,
}

/// Prints documents: one, or one a line at every interval.
///
/// # Errors
/// The instance cannot be reached.
pub(crate) fn print_documents(
    session: &Session,
    wanted: &Wanted,
    once: bool,
) -> Result<Exit, Failure> {
    let mut asked = Asked::new(session, &wanted.namespace);
    let client = asked.client()?;
    loop {
        let logs: LogPage = client.get(&format!("/logs?limit={LOGS}"))?;
        let escalations: Page<Json> = client.get(&escalations_path())?;
        let document = Document {
            endpoint: client.address().endpoint.clone(),
            overview: client.get(&asked.overview_path())?,
            escalations: escalations.items,
            logs: logs.items,
        };
        if once {
            session.output.document(&document)?;
            return Ok(Exit::Done);
        }
        session.output.json_line(&document)?;
        threads::pause(Duration::from_millis(wanted.interval_ms));
    }
}

/// Prints the first screen as text, of the size of the terminal where that is larger than the least.
///
/// # Errors
/// The instance cannot be reached.
pub(crate) fn print_screen(session: &Session, wanted: &Wanted) -> Result<Exit, Failure> {
    let mut asked = Asked::new(session, &wanted.namespace);
    let client = asked.client()?;
    let overview: Overview = client.get(&asked.overview_path())?;
    let output = session.output.terminal();
    let look = Look { colour: false, utf8: output.is_utf8() };
    let endpoint = client.address().endpoint.clone();
    let mut model = Model::new(look, endpoint.clone(), wanted.namespace.clone());
    let columns = u16::try_from(output.width()).unwrap_or(COLUMNS_MIN).max(COLUMNS_MIN);
    // The prompt that comes after it has a row of its own.
    let rows = terminal::rows().map_or(ROWS_MIN, |rows| rows.saturating_sub(1)).max(ROWS_MIN);
    model.update(Input::Resized(columns, rows));
    model.update(Input::Answered(Answer::Overview { endpoint, overview: Box::new(overview) }));
    painted(&model).iter().try_for_each(|line| session.output.line(line))?;
    Ok(Exit::Done)
}

/// The screen of the model as lines.
pub(super) fn painted(model: &Model) -> Vec<String> {
    let (columns, rows) = model.size;
    let Ok(mut terminal) = Terminal::new(TestBackend::new(columns, rows));
    let Ok(_) = terminal.draw(|frame| draw(model, frame));
    lines(terminal.backend().buffer())
}

fn lines(buffer: &Buffer) -> Vec<String> {
    let width = usize::from(buffer.area.width).max(1);
    let row = |cells: &[ratatui::buffer::Cell]| {
        let line: String = cells.iter().map(ratatui::buffer::Cell::symbol).collect();
        line.trim_end().to_owned()
    };
    buffer.content.chunks(width).map(row).collect()
}
