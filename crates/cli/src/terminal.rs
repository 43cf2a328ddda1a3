//! What the terminal can show: colour and progress bars only where somebody looks at one.

use std::io::IsTerminal;

pub(crate) use ark_os_core::text::one_line;

use crate::environment::Environment;

/// What the two output streams are connected to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terminal {
    colour_out: bool,
    colour_err: bool,
    live: bool,
    width: usize,
    is_utf8: bool,
}

/// Characters of a line where no terminal says otherwise.
const WIDTH: usize = 80;
/// Characters of a line at most: wider lines are hard to follow.
const WIDTH_MAX: usize = 200;

impl Default for Terminal {
    fn default() -> Self {
        Terminal { colour_out: false, colour_err: false, live: false, width: WIDTH, is_utf8: true }
    }
}

/// What a piece of text means, for those who see colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tone {
    /// Nothing special.
    Plain,
    /// It went well.
    Good,
    /// It needs somebody.
    Warning,
    /// It failed.
    Bad,
    /// Less important.
    Faint,
    /// A heading or a name.
    Strong,
}

impl Terminal {
    /// Looks at the process's streams.
    pub(crate) fn of_process(environment: &Environment) -> Self {
        let err = std::io::stderr().is_terminal();
        Terminal {
            colour_out: std::io::stdout().is_terminal() && !environment.no_colour,
            colour_err: err && !environment.no_colour,
            live: err,
            width: width().unwrap_or(WIDTH),
            is_utf8: environment.is_utf8,
        }
    }

    /// One without colours, of this width.
    pub(crate) fn plain(width: usize, is_utf8: bool) -> Self {
        Terminal { width, is_utf8, ..Terminal::default() }
    }

    /// Whether standard output takes colours.
    pub(crate) fn has_colour_out(self) -> bool {
        self.colour_out
    }

    /// Characters of a line on standard output.
    pub(crate) fn width(self) -> usize {
        self.width
    }

    /// Whether text beyond ASCII can be shown.
    pub(crate) fn is_utf8(self) -> bool {
        self.is_utf8
    }

    /// Whether somebody watches: progress may be drawn over itself.
    pub(crate) fn is_live(self) -> bool {
        self.live
    }

    /// Whether standard error takes colours.
    pub(crate) fn has_colour_err(self) -> bool {
        self.colour_err
    }

    /// Text for standard output.
    pub(crate) fn out(self, tone: Tone, text: &str) -> String {
        painted(self.colour_out, tone, text)
    }

    /// Text for standard error.
    pub(crate) fn err(self, tone: Tone, text: &str) -> String {
        painted(self.colour_err, tone, text)
    }
}

/// The width of the terminal that standard output is; none: it is none.
fn width() -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(std::io::stdout()).ok()?;
    Some(usize::from(size.ws_col).min(WIDTH_MAX)).filter(|width| *width > 0)
}

/// The rows of the terminal that standard output is; none: it is none.
pub(crate) fn rows() -> Option<u16> {
    let size = rustix::termios::tcgetwinsize(std::io::stdout()).ok()?;
    Some(size.ws_row).filter(|rows| *rows > 0)
}

/// The text, in colour where wanted.
pub(crate) fn painted(colour: bool, tone: Tone, text: &str) -> String {
    let code = match tone {
        Tone::Plain => return text.to_owned(),
        Tone::Good => 32,
        Tone::Warning => 33,
        Tone::Bad => 31,
        Tone::Faint => 2,
        Tone::Strong => 1,
    };
    if colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
}

/// How a state of a run or task looks.
pub(crate) fn tone_of(state: &str) -> Tone {
    match state {
        "succeeded" | "ready" | "ok" => Tone::Good,
        "failed" => Tone::Bad,
        "parked" | "waiting" | "paused" | "cancelled" => Tone::Warning,
        "skipped" | "pending" => Tone::Faint,
        _ => Tone::Plain,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colour_is_only_for_those_who_see_it() {
        assert_eq!(painted(false, Tone::Bad, "no"), "no");
        assert_eq!(painted(true, Tone::Bad, "no"), "\x1b[31mno\x1b[0m");
        assert_eq!(painted(true, Tone::Plain, "so"), "so");
    }
}
