//! The terminal while the view has it: whatever happens, it is given back as it was.

use std::io::{IsTerminal, Stdout, stdout};
use std::sync::atomic::{AtomicBool, Ordering};

use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::cursor::Show;
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{
    EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};

use super::draw::draw;
use super::model::Model;
use crate::failure::Failure;

/// Set by a panic on any thread, which has given the terminal back: nothing may be painted any more.
static IS_BROKEN: AtomicBool = AtomicBool::new(false);

/// The terminal, in raw mode on its other screen. Dropping it gives it back.
pub(super) struct Screen {
    terminal: Terminal<CrosstermBackend<Stdout>>,
}

impl Screen {
    /// Takes the terminal.
    ///
    /// # Errors
    /// Standard output is none.
    pub(super) fn open() -> Result<Self, Failure> {
        if !stdout().is_terminal() {
            return Err(Failure::usage("the live view needs a terminal")
                .with_hint("`--once` prints one screen, `--once --json` one document"));
        }
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            IS_BROKEN.store(true, Ordering::Release);
            give_back();
            before(panic);
        }));
        enable_raw_mode()?;
        // From here on a failure gives back what was taken.
        let given = Given;
        execute!(stdout(), EnterAlternateScreen)?;
        let terminal = Terminal::new(CrosstermBackend::new(stdout()))?;
        std::mem::forget(given);
        Ok(Screen { terminal })
    }

    /// Columns and rows.
    pub(super) fn size(&self) -> Result<(u16, u16), Failure> {
        let size = self.terminal.size()?;
        Ok((size.width, size.height))
    }

    /// Paints the model.
    ///
    /// # Errors
    /// The terminal is gone, or another thread panicked.
    pub(super) fn paint(&mut self, model: &mut Model) -> Result<(), Failure> {
        if IS_BROKEN.load(Ordering::Acquire) {
            return Err(Failure::new("internal", "a thread of the live view panicked"));
        }
        if std::mem::take(&mut model.repaint) {
            self.terminal.clear()?;
        }
        self.terminal.draw(|frame| draw(model, frame))?;
        Ok(())
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        give_back();
    }
}

struct Given;

impl Drop for Given {
    fn drop(&mut self) {
        give_back();
    }
}

/// A terminal that is gone cannot be given back, and nobody is there to be told.
fn give_back() {
    let _ = disable_raw_mode();
    let _ = execute!(stdout(), LeaveAlternateScreen, Show);
}
